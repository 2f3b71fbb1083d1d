"""From other machines' logs into this machine's files: verify, decide, write, remember."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from memferry.agent import apply
from memferry.agent.catalog import Catalog
from memferry.agent.journal import Journal
from memferry.agent.known import FOREIGN, FORGOTTEN, HELD, WITHDRAWN, Seen, digest_number
from memferry.agent.merge import Decision, Version, decide, prefix
from memferry.agent.state import State
from memferry.agent.tree import Tree
from memferry.agent.withdraw import Withdrawal
from memferry.backends.base import MachineLog, Readable
from memferry.backends.names import check_file
from memferry.errors import MemferryError, TargetRefused
from memferry.formats.base import Kind, Whole
from memferry.keys import Fingerprinter
from memferry.model import Identity, Op, Put, Retract, Source

BATCH = 2000
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ -]*")


class Pulled(NamedTuple):
    """What a pull came to. `files`: those written, `taken`: records, `conflicts`: new ones."""

    machines: tuple[str, ...]
    taken: int
    withdrawn: int
    conflicts: int
    files: tuple[str, ...]
    skipped: int


class _Arrival(NamedTuple):
    """A version that is to be taken in. `file`: where it goes; `ours`: the version it meets; `loser`: text of the
    version that is kept beside, if the two conflict."""

    put: Put
    id: int
    decision: Decision
    kind: Kind
    file: str
    ours: Version | None
    loser: str | None


class Pull:
    """Applies the logs of one backend. `trees`: the spaces of this machine by name. `dry_run`: no file is written.
    `recognise`: after a state was lost, only what was pulled before is known again; a document that differs from
    what the log says is left for the next scan and pull to sort out."""

    def __init__(
        self, state: State, catalog: Catalog, journal: Journal, withdrawal: Withdrawal, fingerprint: Fingerprinter,
        trees: Mapping[str, Tree], me: Identity, backend_name: str, *, dry_run: bool = False, recognise: bool = False,
    ) -> None:  # fmt: skip
        self._state = state
        self._catalog = catalog
        self._journal = journal
        self._withdrawal = withdrawal
        self._fingerprint = fingerprint
        self._trees = trees
        self._me = me
        self._backend = backend_name
        self._dry_run = dry_run
        self._recognise = recognise
        self._machines: list[str] = []
        self._files: set[str] = set()
        self._taken = self._withdrawn = self._conflicts = self._skipped = 0
        self._names: dict[str, str] = {me.id: me.name}

    def run(self, backend: Readable) -> Pulled:
        """Raises TargetRefused before anything of a doubtful log is applied."""
        logs = [_safely_named(log) for log in backend.machines() if log.id != self._me.id]
        self._names |= {log.id: log.name for log in logs}
        self._start_over_for_new_spaces()
        for log in logs:
            applied = self._meet(log)
            if log.head.last_seq > applied or self._pending(log.id):
                self._machines.append(log.name)
                self._apply_log(backend, log, applied)
        return Pulled(
            tuple(self._machines), self._taken, self._withdrawn, self._conflicts, tuple(sorted(self._files)),
            self._skipped,
        )  # fmt: skip

    def _start_over_for_new_spaces(self) -> None:
        """What was passed over because its space was not configured is wanted now; what is known changes nothing."""
        known = set(json.loads(self._state.meta("spaces pulled") or "[]"))
        if not known >= self._trees.keys():
            with self._state.transaction():
                self._state.execute("update peer set applied = 0")
                self._state.set_meta("spaces pulled", json.dumps(sorted(known | self._trees.keys())))

    def _meet(self, log: MachineLog) -> int:
        """Refuse a head older than the newest one seen; returns the last seq applied."""
        row = self._state.one(
            "select sequence, sha256, applied from peer where backend = ? and machine = ?", self._backend, log.id
        )
        if row is None:
            return 0
        sequence, sha256, applied = row
        if log.head.sequence < sequence or (log.head.sequence == sequence and log.head.sha256 != sha256):
            raise TargetRefused(
                f"the log of machine {log.name} in {self._backend} went back from head {sequence}"
                f" to {log.head.sequence}: nothing of it was applied",
                backend=self._backend,
                hint=f"run `memferry verify --backend {self._backend}`; the backup it was restored from may be old",
            )
        return int(applied)

    def _pending(self, machine: str) -> bool:
        row = self._state.one("select 1 from foreign_record where machine = ? and pending limit 1", machine)
        return row is not None

    def _apply_log(self, backend: Readable, log: MachineLog, applied: int) -> None:
        batch: list[Op] = []
        for op in backend.read(log.id, after=applied):
            batch.append(op)
            if len(batch) >= BATCH:
                self._apply(log, batch)
                batch = []
        self._apply(log, batch)
        with self._state.transaction():
            self._remember(log, log.head.last_seq)

    def _remember(self, log: MachineLog, applied: int) -> None:
        head, applied = log.head, 0 if self._recognise else applied
        self._state.execute(
            "insert into peer values(?, ?, ?, ?, ?, ?, ?) on conflict(backend, machine) do update set"
            " name = excluded.name, sequence = excluded.sequence, sha256 = excluded.sha256,"
            " last_seq = excluded.last_seq, applied = max(applied, excluded.applied)",
            (self._backend, log.id, log.name, head.sequence, head.sha256, head.last_seq, applied),
        )

    # -- one batch: intent, files, done

    def _apply(self, log: MachineLog, ops: Sequence[Op]) -> None:
        """First the intent is durable, then the files are written, then it is done: a crash in between repeats."""
        if not ops:
            return
        arrivals: list[_Arrival] = []
        with self._state.transaction():
            for op in ops:
                if isinstance(op, Put) and (arrival := self._judge(log, op)) is not None:
                    arrivals.append(arrival)
                    self._intend(log, arrival)
            self._journal.hear(max(op.hlc for op in ops))
        self._write(log, arrivals)
        with self._state.transaction():
            for op in ops:
                if isinstance(op, Retract):
                    self._withdraw(log, op)
            self._state.execute("update foreign_record set pending = 0 where machine = ? and pending", (log.id,))
            self._remember(log, ops[-1].seq)

    def _judge(self, log: MachineLog, put: Put) -> _Arrival | None:
        """None: there is nothing to do."""
        check_file(put.file)
        tree = self._trees.get(put.space)
        kind = tree.format.kind(put.file) if tree else None
        if tree is None or kind is None or kind.local or tree.rules.verdict(put.file) is not None:
            self._skipped += 1
            return None
        id_ = self._fingerprint.key(put.space, put.key)
        # Also when there is nothing to take: if it is withdrawn there later, ours goes too.
        self._state.execute("insert or replace into arrived values(?, ?, ?)", (log.id, put.seq, id_))
        seen = self._catalog.seen([id_]).get(id_)
        if seen is not None and not self._welcome(put, seen):
            return None
        whole = isinstance(kind.reader, Whole)
        file = put.file if whole else apply.shard(put.file, log.name)
        if (
            self._recognise
            and isinstance(kind.reader, Whole)
            and not apply.holds(tree.root, Source(put.space, file, kind.format), kind.reader, put.key, put.digest)
        ):
            return None
        if self._is_pending(id_, log.id, put.seq):
            return _Arrival(put, id_, Decision.TAKE, kind, file, None, None)
        ours, text = self._current(id_, seen)
        decision = decide(
            Version(put.digest, put.hlc, log.id), put.base, ours,
            seen_before=self._seen_before(id_, put.digest), prefix=prefix(put.body, text) if whole else 0,
        )  # fmt: skip
        if decision is Decision.NOTHING:
            return None
        loser = {Decision.CONFLICT_TAKE: text, Decision.CONFLICT_KEEP: put.body}.get(decision) if whole else None
        return _Arrival(put, id_, decision, kind, file, ours, loser)

    def _welcome(self, put: Put, seen: Seen) -> bool:
        """Not what is held or was forgotten here; what was withdrawn only when it was written again since."""
        if seen.seq == WITHDRAWN:
            return int(put.hlc, 16) > seen.digest
        return seen.seq not in (HELD, FORGOTTEN)

    def _current(self, id_: int, seen: Seen | None) -> tuple[Version | None, str | None]:
        """The version that is current here, and its text."""
        if seen is None or seen.seq == WITHDRAWN:
            return None, None
        if seen.seq > 0:
            put = self._journal.put(seen.seq)
            return (Version(put.digest, put.hlc, self._me.id), put.body) if put else (None, None)
        row = self._state.one("select digest, hlc, machine, body from foreign_record where id = ?", id_)
        return (Version(*row[:3]), row[3]) if row else (None, None)

    def _seen_before(self, id_: int, digest: str) -> bool:
        number = digest_number(bytes.fromhex(digest))
        return self._state.one("select 1 from version where id = ? and digest = ?", id_, number) is not None

    def _is_pending(self, id_: int, machine: str, seq: int) -> bool:
        row = self._state.one(
            "select 1 from foreign_record where id = ? and machine = ? and seq = ? and pending", id_, machine, seq
        )
        return row is not None

    def _intend(self, log: MachineLog, arrival: _Arrival) -> None:
        put, id_ = arrival.put, arrival.id
        execute = self._state.execute
        self._taken += 1
        if arrival.loser is not None:
            self._conflicts += 1
            self._list_conflict(log, arrival)
        number = digest_number(bytes.fromhex(put.digest))
        if arrival.decision is Decision.CONFLICT_KEEP:
            execute("insert or ignore into version values(?, ?, 0)", (id_, number))
            return
        seen = self._catalog.seen([id_]).get(id_)
        if seen is not None and seen.digest != number and seen.seq != WITHDRAWN:
            execute("insert or ignore into version values(?, ?, ?)", (id_, seen.digest, max(seen.seq, 0)))
        execute("insert or replace into record values(?, ?, ?, 0)", (id_, number, FOREIGN))
        text = put.body if isinstance(arrival.kind.reader, Whole) else None
        execute(
            "insert or replace into foreign_record values(?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
            (id_, log.id, put.seq, put.hlc, put.digest, put.space, arrival.file, put.key, text),
        )

    def _list_conflict(self, log: MachineLog, arrival: _Arrival) -> None:
        put, ours = arrival.put, arrival.ours
        assert ours is not None
        ours_lost = arrival.decision is Decision.CONFLICT_TAKE
        digest, hlc, machine = ours if ours_lost else Version(put.digest, put.hlc, log.id)
        name = self._names.get(machine, machine)
        copy = apply.conflict_copy(put.file, name, hlc) if put.key == put.file else None
        self._state.execute(
            "insert or ignore into conflict(space, key, file, machine, hlc, digest, copy, body, since)"
            " values(?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (put.space, put.key, put.file, name, hlc, digest, copy, arrival.loser, self._state.clock()),
        )

    # -- files

    def _write(self, log: MachineLog, arrivals: Sequence[_Arrival]) -> None:
        by_file: dict[tuple[str, str], list[_Arrival]] = defaultdict(list)
        for arrival in arrivals:
            by_file[arrival.put.space, arrival.file].append(arrival)
        for (space, file), group in by_file.items():
            self._files.add(f"{space}/{file}")
            if self._dry_run:
                continue
            try:
                self._write_file(self._trees[space], file, group)
            except MemferryError as error:
                with self._state.transaction():
                    self._state.report_problem("pull", f"{space}/{file}", str(error), error.hint)
                raise

    def _write_file(self, tree: Tree, file: str, group: Sequence[_Arrival]) -> None:
        reader = group[0].kind.reader
        if not isinstance(reader, Whole):
            apply.append_lines(tree.root, file, [arrival.put.body.encode() for arrival in group])
            return
        taken = [arrival for arrival in group if arrival.decision is not Decision.CONFLICT_KEEP]
        if group[0].put.key != file:
            source = Source(tree.name, file, group[0].kind.format)
            entries = {arrival.put.key: arrival.put.body.encode() for arrival in taken}
            if entries:
                apply.edit_array(tree.root, source, reader, entries, frozenset())
            return
        self._keep_losers(tree, group)
        if taken:
            over = self._catalog.versions(group[0].id)  # ours among them, since the intent is on record
            apply.write_document(tree.root, file, taken[-1].put.body.encode(), over=over)

    def _keep_losers(self, tree: Tree, group: Sequence[_Arrival]) -> None:
        """A losing document is kept beside the winner, before the winner is written."""
        for copy, body in self._state.rows(
            "select copy, body from conflict where space = ? and key = ? and copy is not null",
            tree.name, group[0].put.key,
        ):  # fmt: skip
            apply.write_document(tree.root, copy, body.encode())
            self._files.add(f"{tree.name}/{copy}")

    # -- withdrawing

    def _withdraw(self, log: MachineLog, retract: Retract) -> None:
        """What another machine withdrew goes from the files it was pulled into, and from our own log."""
        for machine, seq in retract.ops:
            id_ = self._id_of(machine, seq)
            tree = self._trees.get(retract.space)
            if id_ is not None and tree is not None:
                self._withdraw_record(tree, id_, int(retract.hlc, 16))

    def _id_of(self, machine: str, seq: int) -> int | None:
        """The record behind an operation of another machine's log, or of ours."""
        row = self._state.one("select id from arrived where machine = ? and seq = ?", machine, seq)
        if row is None and machine == self._me.id:
            sql = "select id from record where seq = ? union select id from version where seq = ?"
            row = self._state.one(sql, seq, seq)
        return None if row is None else int(row[0])

    def _withdraw_record(self, tree: Tree, id_: int, when: int) -> None:
        row = self._state.one("select file, key, digest from foreign_record where id = ?", id_)
        if row is not None:
            file, key, digest = row
            kind = tree.format.kind(file)
            if kind is not None and not self._dry_run:
                apply.remove(tree.root, Source(tree.name, file, kind.format), kind, key, bytes.fromhex(digest))
            self._files.add(f"{tree.name}/{file}")
            self._state.execute("delete from foreign_record where id = ?", (id_,))
        status = FORGOTTEN if row is None else WITHDRAWN
        self._withdrawal.withdraw(tree.name, [id_], status)
        self._state.execute("update record set seq = ?, digest = ? where id = ?", (status, when, id_))
        self._withdrawn += 1


def _safely_named(log: MachineLog) -> MachineLog:
    """A machine's name becomes part of file names here, and it comes from the backend."""
    return log if _SAFE_NAME.fullmatch(log.name) else log._replace(name=log.id)
