"""What this machine knows of its files and records; answers the policies' questions about what is held."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from struct import Struct
from struct import error as StructError  # noqa: N812

import msgspec

from memferry.agent.files.scan import Stat
from memferry.agent.files.tail import Cursor
from memferry.agent.state.database import State
from memferry.agent.state.known import HELD, KnownFile, Seen
from memferry.agent.state.plan import Plan
from memferry.agent.state.sieve import Sieve
from memferry.keys import Fingerprinter
from memferry.policies.base import Held, Kept

_cursor_decoder = msgspec.msgpack.Decoder(Cursor)
_cursor_encoder = msgspec.msgpack.Encoder()
_STAT = Struct("<5q")
"""As `Stat` is declared."""


FILE_COLUMNS = (
    "id, space, path, format, stat, cursor, content, layouts, position, placed, cleared, noted_mtime_ns, frame, gone"
)

SIEVED = {"record": "id", "held": "id", "ref": "target", "echo": "mark", "passage": "mark"}
"""Tables that are asked for each record that is read, by a column of fingerprints."""

INSERTS = {
    "record": "insert into record values(?, ?, ?, ?) on conflict(id) do update set digest = excluded.digest,"
    " seq = excluded.seq, place = excluded.place",
    "version": "insert or ignore into version values(?, ?, ?)",
    "place": "insert or replace into place values(?, ?, ?)",
    "held": "insert or replace into held values(?, ?, ?, ?, ?)",
    "ref": "insert or ignore into ref values(?, ?)",
    "echo": "insert or ignore into echo values(?, ?)",
    "passage": "insert or ignore into passage values(?, ?, ?, ?)",
}


def _file(row: Sequence) -> KnownFile:  # type: ignore[type-arg]
    id_, space, path, format_, packed, cursor, content, layouts, *rest = row
    position, placed, cleared, noted, frame, gone = rest
    stat = None if packed is None else Stat._make(_STAT.unpack(packed))
    parsed = _cursor_decoder.decode(cursor) if cursor else None
    stretches = tuple((start, layout) for start, layout in json.loads(layouts))
    return KnownFile(
        id_, space, path, format_, stat, parsed, content, stretches, position, placed, bool(cleared), noted, frame,
        bool(gone),
    )  # fmt: skip


class Catalog:
    """Reads and writes what the state knows of files and records. Call inside a transaction of the state.

    `alone`: while it exists, records and what is held change through it only; then it need not ask for what is new.
    """

    def __init__(self, state: State, *, alone: bool = False) -> None:
        self._state = state
        self._sieves = {table: Sieve(state, table, column) for table, column in SIEVED.items()} if alone else {}

    def _among(self, table: str, columns: str, marks: Collection[int]) -> list[tuple]:  # type: ignore[type-arg]
        """Rows of a table by the fingerprints that `SIEVED` names."""
        if table in self._sieves:
            marks = self._sieves[table].passing(marks)
        if not marks:
            return []
        sql = f"select {columns} from {table} where {SIEVED[table]} in (select value from json_each(?))"
        return self._state.among(sql, marks)

    def _add(self, table: str, rows: Iterable[tuple[int, ...]]) -> None:
        """In the order of their fingerprints, which stand first: neighbours lie in one page."""
        rows = sorted(rows)
        if table in self._sieves:
            self._sieves[table].add(row[0] for row in rows)
        if rows:
            self._state.execute_many(INSERTS[table], rows)

    # -- files

    def stats(self, space: str, paths: Sequence[str] | None = None) -> dict[str, Stat]:
        """The stat of every live file of a space as last read, or of these."""
        sql = "select path, stat from file where space = ? and not gone and stat is not null"
        if paths is None:
            rows = self._state.rows(sql, space)
        else:
            rows = self._state.rows(f"{sql} and path in (select value from json_each(?))", space, json.dumps(paths))
        # Ten thousand files are compared by every scan: unpacked in one go.
        unpacked = _STAT.iter_unpack(b"".join([row[1] for row in rows]))
        return dict(zip([row[0] for row in rows], map(partial(tuple.__new__, Stat), unpacked), strict=True))

    def stats_of(self, files: Collection[int]) -> list[tuple[str, str, Stat]]:
        """(space, path, stat as last read) of those of these files that are not gone."""
        rows = self._state.among(
            "select space, path, stat from file where not gone and stat is not null"
            " and id in (select value from json_each(?))", files
        )  # fmt: skip
        return [(space, path, Stat._make(_STAT.unpack(packed))) for space, path, packed in rows]

    def file(self, space: str, path: str) -> KnownFile | None:
        row = self._state.one(f"select {FILE_COLUMNS} from file where space = ? and path = ?", space, path)
        try:
            return None if row is None else _file(row)
        except (msgspec.MsgspecError, StructError, ValueError) as error:
            raise self._state.damaged("what is known of a file") from error

    def meet_file(self, space: str, path: str, format_name: str) -> KnownFile:
        """The file's row, made when it is new."""
        known = self.file(space, path)
        if known is not None:
            return known
        self._state.execute("insert into file(space, path, format) values(?, ?, ?)", (space, path, format_name))
        made = self.file(space, path)
        assert made is not None
        return self.relay(made, 0)

    def relay(self, file: KnownFile, position: int) -> KnownFile:
        """A new layout from `position` on: what lay there no longer counts as being in its place."""
        layout = self._state.execute("insert into layout(file) values(?)", (file.id,)).lastrowid
        assert layout is not None
        layouts = (*((start, id_) for start, id_ in file.layouts if start < position), (position, layout))
        return self.save_file(file._replace(layouts=layouts, placed=min(file.placed, position)))

    def save_file(self, file: KnownFile) -> KnownFile:
        stat = _STAT.pack(*file.stat) if file.stat else None
        cursor = _cursor_encoder.encode(file.cursor) if file.cursor else None
        self._state.execute(
            "update file set space = ?, path = ?, format = ?, stat = ?, cursor = ?, content = ?, layouts = ?,"
            " position = ?, placed = ?, cleared = ?, noted_mtime_ns = ?, frame = ?, gone = ? where id = ?",
            (
                file.space, file.path, file.format, stat, cursor, file.content, json.dumps(file.layouts),
                file.position, file.placed, file.cleared, file.noted_mtime_ns, file.frame, file.gone, file.id,
            ),
        )  # fmt: skip
        return file

    # -- records

    def seen(self, ids: Collection[int]) -> dict[int, Seen]:
        """What is known of these keys; unknown ones are left out."""
        rows = self._among("record", "id, digest, seq, place", ids)
        return {row[0]: Seen(row[1], row[2], row[3]) for row in rows}

    def places(self, places: Collection[int]) -> dict[int, int]:
        """Place -> id, for those of `places` where a record lies that has its first place elsewhere."""
        rows = self._state.among("select place, id from place where place in (select value from json_each(?))", places)
        return dict(rows)

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

    def pulled_files(self, space: str) -> set[str]:
        """Ledgers and copies that pulls wrote: they are another machine's to carry."""
        return {row[0] for row in self._state.rows("select file from pulled_file where space = ?", space)}

    def foreign_files(self, ids: Collection[int]) -> dict[int, str]:
        """Where records of other machines were written to, by record id."""
        return dict(
            self._state.among(
                "select id, space || '/' || file from foreign_record where id in (select value from json_each(?))", ids
            )
        )

    def foreign_digests(self, ids: Collection[int]) -> dict[int, str]:
        """Full hex digests of the other machines' versions that are current here."""
        return dict(
            self._state.among("select id, digest from foreign_record where id in (select value from json_each(?))", ids)
        )

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
        self._add("passage", ((p.mark, p.whole, p.length, o.removed_id) for o in changed for p in o.removed))

    def redacted(self, ids: Collection[int]) -> Collection[int]:
        """Those of which the file has an original that was never sent."""
        return self._redacted_among(ids).keys()

    def _redacted_among(self, ids: Collection[int]) -> dict[int, int]:
        if self._state.one("select 1 from redacted limit 1") is None:
            return {}
        return dict(
            self._state.among("select id, removed from redacted where id in (select value from json_each(?))", ids)
        )

    def displace(self, space: str, path: str) -> None:
        """Another file takes this name; what is known of the one that had it stays, without a name."""
        self._state.execute(
            "update file set path = path || char(0) || id, gone = 1, stat = null, cursor = null"
            " where space = ? and path = ?",
            (space, path),
        )

    def add_note(self, file: int, seq: int) -> None:
        self._state.execute("insert into note values(?, ?)", (file, seq))

    def add_members(self, file: int, ids: Iterable[int]) -> None:
        self._state.execute_many("insert or ignore into member values(?, ?)", ((file, id_) for id_ in ids))

    def drop_members(self, file: int, ids: Iterable[int]) -> None:
        self._state.execute_many("delete from member where file = ? and id = ?", ((file, id_) for id_ in ids))

    def members(self, file: int) -> set[int]:
        """The entries that a JSON array held when last read."""
        return {row[0] for row in self._state.rows("select id from member where file = ?", file)}

    def lying_in(self, file: int) -> list[int]:
        """Ids of the records that were placed in a file."""
        return [
            row[0]
            for table in ("record", "place")
            for row in self._state.rows(
                f"select distinct {table}.id from layout cross join {table} on place > 0"
                " and place between layout.id << 32 and (layout.id << 32) + 4294967295 where layout.file = ?",
                file,
            )
        ]

    # -- what is held

    def held_ids(self, ids: Collection[int]) -> Collection[int]:
        if not ids:
            return ()
        by_key = [row for row in self._among("record", "id, seq", ids) if row[1] == HELD]
        by_name = self._state.among("select name from held_name where name in (select value from json_each(?))", ids)
        return {row[0] for row in (*by_key, *by_name)}

    def has_passages(self) -> bool:
        return self._state.one("select 1 from passage limit 1") is not None

    def passages(self, marks: Collection[int]) -> Mapping[int, Sequence[tuple[int, int, int]]]:
        found: dict[int, list[tuple[int, int, int]]] = {}
        for mark, length, whole, id_ in self._among("passage", "mark, length, whole, id", marks):
            found.setdefault(mark, []).append((length, whole, id_))
        return found

    def derived_from(self, held: Iterable[Held]) -> set[int]:
        """Ids of stored records that name one of `held` or may repeat it."""
        held = list(held)
        marks = {mark for one in held for passage in one.passages for mark in (passage.mark, passage.whole)}
        named = self._among("ref", "id", [name for one in held for name in (one.id, *one.also)])
        repeated = self._among("echo", "id", marks)
        suspects = {row[0] for row in (*named, *repeated)}
        return {id_ for id_, seen in self.seen(suspects).items() if seen.seq > 0}

    def hold(self, held: Sequence[Held], file: int, fingerprint: Fingerprinter) -> None:
        """Remember verdicts on records of one file; their digests are stored as keyed fingerprints only."""
        rules = {verdict: self._rule(verdict.rule, verdict.reason) for verdict in {one.verdict for one in held}}
        self._discount([one.id for one in held])
        self._add("held", (
            (one.id, fingerprint(one.record.digest), file, one.record.start, rules[one.verdict]) for one in held
        ))  # fmt: skip
        self._count(Counter((file, rules[one.verdict]) for one in held))
        self.remember_passages(held)
        self._state.execute_many(
            "insert or ignore into held_name values(?, ?)", sorted((name, one.id) for one in held for name in one.also)
        )
        self._add("record", ((one.id, 0, HELD, 0) for one in held))
        self._tell_index(one.id for one in held)

    def _tell_index(self, ids: Iterable[int]) -> None:
        self._state.execute_many("insert into held_change(id) values(?)", ((id_,) for id_ in ids))

    def lose_held(self, file: int) -> None:
        """A file is gone: what was held of it is not to be found any more."""
        if self.holds_of(file):
            self._state.execute("insert into held_change(id) select id from held where file = ?", (file,))

    def remember_passages(self, held: Iterable[Held]) -> None:
        """By what their texts are recognised in others."""
        self._add("passage", ((p.mark, p.whole, p.length, one.id) for one in held for p in one.passages))

    def held_in(self, file: int, ids: Collection[int]) -> frozenset[int]:
        """Those of the held ids that were last met in this file."""
        rows = self._state.among("select id, file from held where id in (select value from json_each(?))", ids)
        return frozenset(id_ for id_, where in rows if where == file)

    def holds_of(self, file: int) -> bool:
        """Whether a record of this file was held when it was last read."""
        return self._state.one("select 1 from holding where file = ? and count > 0 limit 1", file) is not None

    def reconsider(self, space: str) -> None:
        """Something is no longer held: what was held because of it is read and judged again."""
        self._state.execute(
            "update file set stat = null, cursor = null, content = null where space = ? and id in ("
            "select holding.file from holding join rule on rule.id = holding.rule"
            " where holding.count > 0 and rule.rule in ('lineage', 'overlap'))",
            (space,),
        )

    def reconsider_findings(self) -> None:
        """Something that was found may leave now: what is held or redacted for a finding is read and judged again."""
        self._state.execute(
            "update file set stat = null, cursor = null, content = null where id in ("
            "select holding.file from holding join rule on rule.id = holding.rule"
            " where holding.count > 0 and substr(rule.rule, 1, 8) = 'secrets.'"
            " union select layout.file from redacted join record using(id)"
            " join layout on layout.id = record.place >> 32)"
        )

    def reconsider_all(self, space: str) -> None:
        """Every file is read and judged again."""
        self._state.execute("update file set stat = null, cursor = null, content = null where space = ?", (space,))

    def release(self, ids: Collection[int]) -> None:
        """These are no longer held: what they said counts as public from now on."""
        if ids:
            self._discount(ids)
            self._tell_index(ids)
            self._state.among("delete from held where id in (select value from json_each(?))", ids)
            self._state.among("delete from held_name where id in (select value from json_each(?))", ids)
            self._state.among("delete from passage where id in (select value from json_each(?))", ids)

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

    def _discount(self, ids: Collection[int]) -> None:
        """These are about to be held for another reason, or no longer."""
        self._count({before: -count for before, count in Counter(self._among("held", "file, rule", ids)).items()})

    def _rule(self, rule: str, reason: str) -> int:
        self._state.execute("insert or ignore into rule(rule, reason) values(?, ?)", (rule, reason))
        row = self._state.one("select id from rule where rule = ? and reason = ?", rule, reason)
        assert row is not None
        return int(row[0])
