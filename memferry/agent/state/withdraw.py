"""Withdrawing what was stored: the user's wish, an entry its owner removed, or a record that became private."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from memferry.agent.state.catalog import Catalog
from memferry.agent.state.database import State
from memferry.agent.state.journal import Journal
from memferry.agent.state.known import FOREIGN, FORGOTTEN, HELD, KNOWN, WITHDRAWN
from memferry.agent.state.place import ACKNOWLEDGED
from memferry.agent.state.received import Received
from memferry.keys import Fingerprinter
from memferry.model import Retract

RETRACTED_AT_ONCE = 1000
_BEING_FORGOTTEN = "being forgotten"
"""In the state: ids, as JSON."""


class Withdrawal:
    """Takes records out of the journal and queues retractions for what a backend may already have.

    Call inside a transaction of the state; when it commits, no byte of a withdrawn record is left in the journal.
    """

    def __init__(
        self, state: State, catalog: Catalog, journal: Journal, machine: str, fingerprint: Fingerprinter
    ) -> None:  # fmt: skip
        self._state = state
        self._catalog = catalog
        self._journal = journal
        self._machine = machine
        self._fingerprint = fingerprint
        self._received = Received(state, journal)

    def withdraw(self, space: str, ids: Collection[int], status: int) -> list[int]:
        """Withdraw every version of these records; `record.seq` becomes `status`. Returns what seqs were current.
        Whose owner removed them, or wants them forgotten, does so for all machines: their versions go, too."""
        theirs = [] if status == HELD else self._retract_others(space, ids)
        return theirs + self.withdraw_own(space, ids, status)

    def withdraw_own(self, space: str, ids: Collection[int], status: int) -> list[int]:
        """As `withdraw`, but what other machines wrote is theirs to withdraw."""
        stored = self._stored(ids)
        if not stored:
            return []
        current = [seen.seq for seen in self._catalog.seen(stored).values()]
        seqs = self._seqs(stored)
        self._check(stored, seqs)
        layouts = self._layouts(stored)
        self._forget_rows(stored, status)
        seqs |= self._names_no_longer_told(layouts)
        self._take_out(space, seqs)
        return current

    def withdraw_unsent(self, space: str, path: str) -> bool:
        """Withdraw the versions that no backend has acknowledged of a file that is not carried any more; what one has
        stays. If it is carried again, it is read anew. Returns whether there was something."""
        known = self._catalog.files.find(space, path)
        (through,) = self._state.one("select coalesce(max(through), 0) from checkpoint") or (0,)
        sent = max(through, int(self._state.meta(ACKNOWLEDGED) or 0))
        lying = self._catalog.seen(self._catalog.files.lying_in(known.id)) if known else {}
        ids = [id_ for id_, seen in lying.items() if seen.seq > sent]
        if known is not None and ids:
            older = self._acknowledged(ids, sent)
            self.withdraw_own(space, [id_ for id_ in ids if id_ not in older], WITHDRAWN)
            self._go_back(space, older, sent)
            self._catalog.files.reconsider_these([known.id])
        return bool(ids)

    def _acknowledged(self, ids: Collection[int], sent: int) -> dict[int, int]:
        """By id, the seq of the newest version up to `sent`."""
        rows = self._state.among(
            f"select id, max(seq) from version where seq between 1 and {sent:d}"
            " and id in (select value from json_each(?)) group by id",
            ids,
        )
        return dict(rows)

    def _go_back(self, space: str, to: Mapping[int, int], sent: int) -> None:
        """These versions are current again, by id, as if nothing had come after `sent`."""
        if not to:
            return
        seqs = self._seqs(list(to))
        self._check(to, seqs)
        one, execute = self._state.one, self._state.execute
        for id_, seq in to.items():
            known = one("select digest from version where id = ? and seq = ?", id_, seq)
            place = one("select place from place where id = ? and seq = ?", id_, seq)  # where it lay, if not here
            assert known is not None
            execute("update record set digest = ?, seq = ? where id = ?", (*known, seq, id_))
            if place is not None:
                execute("update record set place = ? where id = ?", (*place, id_))
            for table in ("version", "place"):
                execute(f"delete from {table} where id = ? and (seq = ? or seq > ?)", (id_, seq, sent))
        self._take_out(space, {seq for seq in seqs if seq > sent})

    def withdraw_versions(self, space: str, versions: Mapping[int, int]) -> None:
        """Withdraw what was replaced since: seq -> id of its record, whose other versions stay."""
        if not versions:
            return
        for table in ("version", "place"):
            sql = f"delete from {table} where id = ? and seq = ?"
            self._state.execute_many(sql, ((id_, seq) for seq, id_ in versions.items()))
        self._take_out(space, versions.keys())

    def forget(self, space: str, ids: Collection[int]) -> int:
        """The user's wish: withdraw, also what came from another machine. Returns how many records. What was pulled is
        `being_forgotten` until `Reconcile` has taken it from its file; `keep_away` ends that."""
        seen = self._catalog.seen(ids)
        pulled = [id_ for id_, one in seen.items() if one.seq == FOREIGN]
        own = [id_ for id_, one in seen.items() if one.seq > 0]
        self.withdraw(space, pulled, WITHDRAWN)
        self.withdraw(space, own, FORGOTTEN)
        self._state.set_meta(_BEING_FORGOTTEN, json.dumps([*self.being_forgotten(), *pulled]))
        return len(pulled) + len(own)

    def being_forgotten(self) -> list[int]:
        """Records that may still stand in the files that pulls wrote them to."""
        ids: list[int] = json.loads(self._state.meta(_BEING_FORGOTTEN) or "[]")
        return ids

    def keep_away(self, ids: Collection[int]) -> None:
        """What was forgotten is not taken in again, wherever it comes from."""
        self._state.execute_many("update record set seq = ? where id = ?", ((FORGOTTEN, id_) for id_ in ids))
        left = [id_ for id_ in self.being_forgotten() if id_ not in ids]
        self._state.set_meta(_BEING_FORGOTTEN, json.dumps(left))

    def undo(self, space: str, ids: Collection[int]) -> list[int]:
        """What was forgotten is carried again where it still stands in a file: the space is read anew. Returns those
        that were."""
        forgotten = [id_ for id_, seen in self._catalog.seen(ids).items() if seen.seq == FORGOTTEN]
        self._state.execute_many("delete from record where id = ?", ((id_,) for id_ in forgotten))
        if forgotten:
            self._catalog.files.reconsider_all(space)
        return forgotten

    def _retract_others(self, space: str, ids: Collection[int]) -> list[int]:
        """Other machines' versions of these records are withdrawn by name; lines go from their shards. Returns FOREIGN
        for every record whose current version was one of them."""
        ops = self._received.ops_of(ids)
        if not ops:
            return []
        foreign = [seen.seq for seen in self._catalog.seen(ids).values() if seen.seq == FOREIGN]
        self._received.withdraw(ops)
        self._tell(space, self._journal.next_hlc(), ops)
        return foreign

    def _take_out(self, space: str, seqs: Collection[int]) -> None:
        self._journal.scrub(seqs)
        self._retract(space, seqs)
        self._state.execute_many("insert or ignore into withdrawn values(?)", ((seq,) for seq in sorted(seqs)))

    def _stored(self, ids: Collection[int]) -> list[int]:
        current = {id_ for id_, seen in self._catalog.seen(ids).items() if seen.seq > 0}
        sql = "select distinct id from version where seq > 0 and id in (select value from json_each(?))"
        return sorted(current | {row[0] for row in self._state.among(sql, ids)})

    def _seqs(self, ids: Sequence[int]) -> set[int]:
        found: set[int] = set()
        for table in ("record", "version", "place"):
            sql = f"select seq from {table} where id in (select value from json_each(?))"
            found |= {row[0] for row in self._state.among(sql, ids)}
        return {seq for seq in found if seq > 0}

    def _check(self, ids: Collection[int], seqs: Collection[int]) -> None:
        """Nothing else may be withdrawn instead, where what is known of a record is damaged."""
        puts = self._journal.puts(seqs).values()
        if not {self._fingerprint.key(put.space, put.key) for put in puts} <= set(ids):
            raise self._state.damaged(KNOWN)

    def _layouts(self, ids: Sequence[int]) -> set[int]:
        found: set[int] = set()
        for table in ("record", "place"):
            sql = f"select place >> 32 from {table} where id in (select value from json_each(?))"
            found |= {row[0] for row in self._state.among(sql, ids)}
        return found

    def _forget_rows(self, ids: Sequence[int], status: int) -> None:
        when = 0 if status == HELD else int(self._journal.next_hlc(), 16)
        self._state.execute_many(
            "update record set seq = ?, digest = ? where id = ?", ((status, when, id_) for id_ in ids)
        )
        for table in ("version", "place"):
            self._state.execute_many(f"delete from {table} where id = ?", ((id_,) for id_ in ids))

    def _names_no_longer_told(self, layouts: Collection[int]) -> set[int]:
        """Seqs of notes about files that have nothing stored any more: a name alone may tell too much."""
        files = {
            row[0]
            for row in self._state.among(
                "select file from layout where id in (select value from json_each(?))", layouts
            )
        }
        empty = files - self._files_with_content(files)
        self._state.execute_many(
            "update file set cleared = 0, noted_mtime_ns = null, frame = null where id = ?", ((file,) for file in empty)
        )
        notes = self._state.among("select seq from note where file in (select value from json_each(?))", empty)
        self._state.execute_many("delete from note where file = ?", ((file,) for file in empty))
        return {row[0] for row in notes}

    def _files_with_content(self, files: Collection[int]) -> set[int]:
        live: set[int] = set()
        for table, condition in (("record", "seq > 0 and"), ("place", "")):
            sql = (
                f"select distinct layout.file from layout join {table} on {table}.place > 0 and {table}.place between"
                " layout.id << 32 and (layout.id << 32) + 4294967295"
                f" where {condition} layout.file in (select value from json_each(?))"
            )
            live |= {row[0] for row in self._state.among(sql, files)}
        return live

    def _retract(self, space: str, seqs: Collection[int]) -> None:
        """Only what a backend may have seen is retracted there: the rest never existed for it."""
        row = self._state.one("select max(attempted) from checkpoint")
        attempted = (row[0] if row else None) or 0
        sent = sorted(seq for seq in seqs if seq <= attempted)
        hlc = self._journal.next_hlc()
        self._tell(space, hlc, [(self._machine, seq) for seq in sent])
        for former, through in self._state.rows("select machine, through from former"):
            twins = [(former, seq) for seq in sorted(seqs) if seq <= through]
            self._received.bury(twins)
            self._tell(space, hlc, twins)

    def _tell(self, space: str, hlc: str, ops: Sequence[tuple[str, int]]) -> None:
        for start in range(0, len(ops), RETRACTED_AT_ONCE):
            some = tuple(ops[start : start + RETRACTED_AT_ONCE])
            self._journal.append_ops([Retract(self._journal.last_seq + 1, hlc, space, some)])
