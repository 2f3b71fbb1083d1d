"""What this machine knows of records and, as `files`, of where they lie; answers the policies on what is held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from memferry.agent.state.database import State
from memferry.agent.state.files import Files
from memferry.agent.state.known import HELD, Seen
from memferry.agent.state.plan import SAME_KEY, Plan
from memferry.agent.state.sieve import Sieve
from memferry.keys import Fingerprinter
from memferry.model import Hold
from memferry.policies.base import Held, Kept

SIEVED = {"record": "id", "ref": "target", "echo": "mark", "passage": "mark"}
"""Tables that are asked for each record that is read, by a column of fingerprints."""

INSERTS = {
    "record": "insert into record values(?, ?, ?, ?) on conflict(id) do update set digest = excluded.digest,"
    " seq = excluded.seq, place = excluded.place",
    "version": "insert or ignore into version values(?, ?, ?)",
    "place": "insert or replace into place values(?, ?, ?)",
    "held": "insert or replace into held values(?, ?, ?, ?, ?)",
    "held_too": "insert into held_too values(?, ?, ?) on conflict(id, file) do update set own = max(own, excluded.own)",
    "ref": "insert or ignore into ref values(?, ?)",
    "echo": "insert or ignore into echo values(?, ?)",
    "passage": "insert or ignore into passage values(?, ?, ?, ?)",
}


class Catalog:
    """Reads and writes what the state knows of records. Call inside a transaction of the state.

    `alone`: while it exists, records and what is held change through it only; then it need not ask for what is new.
    """

    def __init__(self, state: State, *, alone: bool = False) -> None:
        self._state = state
        self.files = Files(state)
        self._learned = False
        self._sieves = {table: Sieve(state, table, column) for table, column in SIEVED.items()} if alone else {}

    def _among(self, table: str, columns: str, marks: Collection[int]) -> list[tuple]:  # type: ignore[type-arg]
        """Rows of a table by the fingerprints that `SIEVED` names."""
        marks = self._likely(table, marks)
        if not marks:
            return []
        sql = f"select {columns} from {table} where {SIEVED[table]} in (select value from json_each(?))"
        return self._state.among(sql, marks)

    def _likely(self, table: str, marks: Collection[int]) -> Collection[int]:
        """Less those that are surely in no row."""
        return self._sieves[table].passing(marks) if table in self._sieves else marks

    def _add(self, table: str, rows: Iterable[tuple[int, ...]]) -> None:
        """In the order of their fingerprints, which stand first: neighbours lie in one page."""
        rows = sorted(rows)
        if table in self._sieves:
            self._sieves[table].add(row[0] for row in rows)
        if rows:
            self._state.execute_many(INSERTS[table], rows)

    # -- records

    def seen(self, ids: Collection[int]) -> dict[int, Seen]:
        """What is known of these keys; unknown ones are left out."""
        rows = self._among("record", "id, digest, seq, place", ids)
        return {row[0]: Seen(row[1], row[2], row[3]) for row in rows}

    def lying(self, places: Collection[int]) -> dict[int, tuple[int, int]]:
        """Place -> id of the record that lies there, and the digest number of its version: what was put or placed last,
        of what is still stored."""
        elsewhere = "select place, id, seq from place where place in (select value from json_each(?))"
        rows = self._state.among(elsewhere, places)
        versions = self._all_versions({id_ for _, id_, _ in rows})
        placed = [(seq, place, id_, _version_at(seq, versions[id_])) for place, id_, seq in rows if id_ in versions]
        first = [(seq, place, id_, digest) for id_, seq, place, digest in self._first_at(places)]
        return {place: (id_, digest) for _, place, id_, digest in sorted(placed + first)}

    def _all_versions(self, ids: Collection[int]) -> dict[int, list[tuple[int, int]]]:
        """The seq and digest number of every version that is stored of these, ascending."""
        found: dict[int, list[tuple[int, int]]] = {}
        for table in ("version", "record"):
            sql = f"select id, seq, digest from {table} where seq > 0 and id in (select value from json_each(?))"
            for id_, seq, digest in self._state.among(sql, ids):
                found.setdefault(id_, []).append((seq, digest))
        return {id_: sorted(some) for id_, some in found.items()}

    def lying_at(self, places: Collection[int]) -> list[tuple[int, int]]:
        """Id and seq of the records that have their first place there."""
        return [(id_, seq) for id_, seq, _, _ in self._first_at(places)]

    def _first_at(self, places: Collection[int]) -> list[tuple[int, int, int, int]]:
        sql = (
            "select id, seq, place, digest from record where seq > 0 and place > 0"
            " and place in (select value from json_each(?))"
        )
        return self._state.among(sql, places)

    def versions(self, id_: int) -> set[int]:
        """Digest numbers of every version that was met under a key, the current one too."""
        rows = self._state.rows(
            "select digest from version where id = ? union select digest from record where id = ?", id_, id_
        )
        return {row[0] for row in rows}

    def holes(self, first: int, last: int) -> frozenset[int]:
        """Places between two, inclusive, where nothing is stored any more: what lay there was withdrawn."""
        taken = {
            row[0]
            for table, condition in (("record", "place > 0 and seq > 0 and"), ("place", ""))
            for row in self._state.rows(
                f"select place from {table} where {condition} place between ? and ?", first, last
            )
        }
        return frozenset(range(first, last + 1)) - taken

    def foreign_files(self, ids: Collection[int]) -> dict[int, str]:
        """Where records of other machines were written to, by record id."""
        return dict(
            self._state.among(
                "select id, space || '/' || file from foreign_record where id in (select value from json_each(?))", ids
            )
        )

    def foreign_digests(self, ids: Collection[int]) -> dict[int, str]:
        """Full hex digests of the other machines' versions that lie in files here. Of one that is still to be written
        nothing here was made: whoever edits its file meanwhile has not seen it."""
        sql = "select id, digest from foreign_record where not pending and id in (select value from json_each(?))"
        return dict(self._state.among(sql, ids))

    def store(self, made: Plan) -> None:
        """What a plan says is known of records from now on."""
        self._add("record", made.rows)
        self._add("version", made.versions)
        self._add("place", made.placed)
        self.remember(made.stored)
        self._note_redacted(made.stored)

    def _note_redacted(self, kept: Sequence[Kept]) -> None:
        """Which of these left without something, and by what that is recognised elsewhere."""
        before = self._redacted_among([one.id for one in kept])
        changed = [one for one in kept if one.id in before or one.record.redacted]
        if not changed:
            return
        gone = [before[one.id] for one in changed if before.get(one.id)]
        if gone:
            self._state.among("delete from passage where id in (select value from json_each(?))", gone)
        self._state.among("delete from redacted where id in (select value from json_each(?))", [o.id for o in changed])
        rows = [(one.id, one.removed_id) for one in changed if one.record.redacted]
        self._state.execute_many("insert into redacted values(?, ?)", rows)
        self._learn((p.mark, p.whole, p.length, o.removed_id) for o in changed for p in o.removed)

    def redacted(self, ids: Collection[int]) -> Collection[int]:
        """Those of which the file has an original that was never sent."""
        return self._redacted_among(ids).keys()

    def _redacted_among(self, ids: Collection[int]) -> dict[int, int]:
        if self._state.one("select 1 from redacted limit 1") is None:
            return {}
        return dict(
            self._state.among("select id, removed from redacted where id in (select value from json_each(?))", ids)
        )

    # -- what is held

    def held_ids(self, ids: Collection[int]) -> Mapping[int, Collection[int]]:
        found: dict[int, set[int]] = {}
        if ids:
            sql = "select name, id from held_name where name in (select value from json_each(?))"
            by_key = [(id_, id_) for id_, seq in self._among("record", "id, seq", ids) if seq == HELD]
            for name, id_ in (*by_key, *self._state.among(sql, ids)):
                found.setdefault(name, set()).add(id_)
        return found

    def has_passages(self) -> bool:
        return self._state.one("select 1 from passage limit 1") is not None

    def passages(self, marks: Collection[int]) -> Mapping[int, Sequence[tuple[int, int, int]]]:
        found: dict[int, list[tuple[int, int, int]]] = {}
        for mark, length, whole, id_ in self._among("passage", "mark, length, whole, id", marks):
            found.setdefault(mark, []).append((length, whole, id_))
        return found

    def derived_from(self, held: Iterable[Held]) -> dict[int, list[int]]:
        """Stored records of which a version may name one of `held` or repeat it: id -> seqs of all of its versions."""
        held = list(held)
        marks = {mark for one in held for passage in one.passages for mark in (passage.mark, passage.whole)}
        named = self._among("ref", "id", [name for one in held for name in (one.id, *one.also)])
        repeated = self._among("echo", "id", marks)
        return self.seqs_of({row[0] for row in (*named, *repeated)})

    def seqs_of(self, ids: Collection[int]) -> dict[int, list[int]]:
        """Of every version that is stored of these."""
        return {id_: [seq for seq, _ in versions] for id_, versions in self._all_versions(ids).items()}

    def hold(
        self, met: Sequence[tuple[int, Held]], fingerprint: Fingerprinter, lifted: Collection[tuple[int, int]] = ()
    ) -> None:
        """Remember verdicts on records, each with the file it was met in; their digests are stored as keyed
        fingerprints only. `lifted`: id and file, where that file says so no more, but another one does."""
        held = [one for _, one in met]
        rules = {verdict: self._rule(verdict.rule, verdict.reason) for verdict in {one.verdict for one in held}}
        self._state.execute_many("delete from held_too where id = ? and file = ?", sorted(lifted))
        before = self._held_before([one.id for one in held])
        shown = self._by_place(met, before, lifted)
        self._count_less([before[one.id] for _, one in shown if one.id in before])
        self._add("held", (
            (one.id, fingerprint(one.record.digest), file, one.record.start, rules[one.verdict]) for file, one in shown
        ))  # fmt: skip
        self._count(Counter((file, rules[one.verdict]) for file, one in shown))
        self.remember_passages(held)
        self._state.execute_many(
            "insert or ignore into held_name values(?, ?)", sorted((name, one.id) for one in held for name in one.also)
        )
        self._add("record", ((one.id, 0, HELD, 0) for one in held))
        self._tell_index(one.id for one in held)

    def _by_place(
        self,
        met: Sequence[tuple[int, Held]],
        before: Mapping[int, tuple[int, int]],
        lifted: Collection[tuple[int, int]],
    ) -> Sequence[tuple[int, Held]]:
        """One verdict for each record, which `held` gets: where it was held last. Its other files are remembered apart,
        for it stays at home until none of them says so any more."""
        if not before and len({one.id for _, one in met}) == len(met):
            return met
        same = self._rule(SAME_KEY.rule, SAME_KEY.reason)
        last = {id_: (file, rule != same) for id_, (file, rule) in before.items()}
        shown: dict[int, tuple[int, Held]] = {}
        too: list[tuple[int, int, int]] = []
        for file, one in met:
            where, own = last.get(one.id, (file, False))
            if own and one.verdict == SAME_KEY and (one.id, where) not in lifted:
                too += [(one.id, file, False)] if file != where else []
                continue
            too += [(one.id, where, own)] if file != where else []
            last[one.id] = file, one.verdict != SAME_KEY
            shown[one.id] = file, one
        self._add("held_too", too)
        return [*shown.values()]

    def hold_again(self, id_: int, digest: int, file: int, start: int, verdict: Hold) -> None:
        """As a state before this one knew it: its `digest` is a keyed fingerprint already."""
        rule = self._rule(verdict.rule, verdict.reason)
        self._count_less(self._held_before([id_]).values())
        self._add("held", [(id_, digest, file, start, rule)])
        self._count({(file, rule): 1})
        self._tell_index([id_])

    def _tell_index(self, ids: Iterable[int]) -> None:
        self._state.execute_many("insert into held_change(id) values(?)", ((id_,) for id_ in ids))

    def lose_held(self, file: int) -> None:
        """A file is gone: what was held of it is not to be found any more."""
        if self.holds_of(file):
            self._state.execute("insert into held_change(id) select id from held where file = ?", (file,))

    def remember_passages(self, held: Iterable[Held]) -> None:
        """By what their texts are recognised in others."""
        self._learn((p.mark, p.whole, p.length, one.id) for one in held for p in one.passages)

    def _learn(self, passages: Iterable[tuple[int, int, int, int]]) -> None:
        before = self._state.database.total_changes
        self._add("passage", passages)
        self._learned |= self._state.database.total_changes > before

    def has_learned(self) -> bool:
        """Whether since it was last asked a passage has become known."""
        learned, self._learned = self._learned, False
        return learned

    def held_only_in(self, files: Mapping[int, int]) -> frozenset[int]:
        """Those held ids that no other file holds than the one that `files` gives for them. One that is gone still does
        if it was the last to."""
        before = self._held_before(files)
        same = self._rule(SAME_KEY.rule, SAME_KEY.reason) if before else 0
        sql = (
            "select held_too.id, file from held_too join file on file.id = file where own and not gone"
            " and held_too.id in (select value from json_each(?))"
        )
        elsewhere = {id_ for id_, file in self._state.among(sql, before) if file != files[id_]}
        return frozenset(
            id_ for id_, (file, rule) in before.items() if id_ not in elsewhere and (file == files[id_] or rule == same)
        )

    def hold_no_more(self, read: Mapping[int, Collection[int]]) -> bool:
        """These files were read from their beginnings, and held these ids. What others hold that they held, too, waits
        for others only. Returns whether files are to be read again for that."""
        sql = "select id, file from held_too where own and file in (select value from json_each(?))"
        lifted = [(id_, file) for id_, file in self._state.among(sql, read) if id_ not in read[file]]
        self._state.execute_many("delete from held_too where id = ? and file = ?", lifted)
        self._reconsider_where({id_ for id_, _ in lifted})
        return bool(lifted)

    def _reconsider_where(self, ids: Collection[int]) -> None:
        """All files in which a version of one of these stands that is held."""
        if ids:
            for table in ("held", "held_too"):
                sql = f"select file from {table} where id in (select value from json_each(?))"
                self.files.reconsider_these({row[0] for row in self._state.among(sql, ids)})

    def holds_of(self, file: int) -> bool:
        """Whether a record of this file was held when it was last read."""
        sqls = ("select 1 from holding where file = ? and count > 0 limit 1", "select 1 from held_too where file = ?")
        return any(self._state.one(sql, file) is not None for sql in sqls)

    def release(self, ids: Collection[int]) -> None:
        """These are no longer held: what they said counts as public from now on."""
        if ids:
            self._count_less(self._held_before(ids).values())
            self._tell_index(ids)
            self._reconsider_where(ids)
            self._state.among("delete from held_too where id in (select value from json_each(?))", ids)
            self._state.among("delete from held where id in (select value from json_each(?))", ids)
            self._state.among("delete from held_name where id in (select value from json_each(?))", ids)
            self._state.among("delete from passage where id in (select value from json_each(?))", ids)

    def let_go(self, ids: Collection[int]) -> None:
        """As `release`, of what was held and has never been stored: nothing is known of it any more."""
        if ids:
            self.release(ids)
            self._state.among("delete from record where id in (select value from json_each(?))", ids)

    def remember(self, kept: Sequence[Kept]) -> None:
        """How stored records will be found when what they derive from becomes private."""
        self._add("ref", ((ref, one.id) for one in kept for ref in one.refs))
        self._add("echo", ((mark, one.id) for one in kept for mark in one.echoes))

    def _count(self, held: Mapping[tuple[int, int], int]) -> None:
        """How many records of each file each rule holds: `status` must not count a million rows."""
        self._state.execute_many(
            "insert into holding values(?, ?, ?) on conflict(file, rule) do update set count = count + excluded.count",
            ((file, rule, count) for (file, rule), count in held.items()),
        )

    def _count_less(self, before: Iterable[tuple[int, int]]) -> None:
        """File and rule of what is about to be held for another reason, or no longer."""
        self._count({known: -count for known, count in Counter(before).items()})

    def _held_before(self, ids: Collection[int]) -> dict[int, tuple[int, int]]:
        """Id -> file and rule of those that are held."""
        likely = self._likely("record", ids)  # what is held is a known record, too
        if not likely:
            return {}
        sql = "select id, file, rule from held where id in (select value from json_each(?))"
        return {id_: (file, rule) for id_, file, rule in self._state.among(sql, likely)}

    def _rule(self, rule: str, reason: str) -> int:
        self._state.execute("insert or ignore into rule(rule, reason) values(?, ?)", (rule, reason))
        row = self._state.one("select id from rule where rule = ? and reason = ?", rule, reason)
        assert row is not None
        return int(row[0])


def _version_at(seq: int, versions: Sequence[tuple[int, int]]) -> int:
    """The digest of the version that was current when an operation said that it lies somewhere."""
    return next((digest for put, digest in reversed(versions) if put <= seq), versions[0][1])
