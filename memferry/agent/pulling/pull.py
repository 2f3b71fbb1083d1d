"""From other machines' logs into this machine's files: verify, take in the facts, then bring the files in line.

A log that cannot be trusted is left alone and named; the others are taken in all the same.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from memferry.agent.files.tree import Tree
from memferry.agent.pulling import apply, incoming
from memferry.agent.pulling.clocks import Clocks
from memferry.agent.pulling.edits import How
from memferry.agent.pulling.reconcile import Reconcile
from memferry.agent.state import clock
from memferry.agent.state.catalog import Catalog
from memferry.agent.state.database import State
from memferry.agent.state.journal import Journal
from memferry.agent.state.known import FOREIGN, FORGOTTEN, HELD, WITHDRAWN, Seen, digest_number
from memferry.agent.state.received import Line, Named, Received
from memferry.agent.state.withdraw import Withdrawal
from memferry.backends.base import MachineLog, Readable
from memferry.errors import TargetRefused
from memferry.formats.base import Kind, Whole
from memferry.keys import Fingerprinter
from memferry.model import Identity, Op, Put, Retract, Settle, Sighting

BATCH = 20_000
BATCH_BYTES = 8 << 20
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._ -]{0,62}[A-Za-z0-9_-])?")


class Refused(NamedTuple):
    """A log that was left alone."""

    machine: str
    error: str
    hint: str


class Pulled(NamedTuple):
    """What a pull came to. `files`: those touched (`space/file`) and how. `taken`: records, `conflicts`: new ones;
    `skipped`: operations of spaces and files that are not carried here; `failed`: files that could not be written, and
    why; `strange`: operations that no memferry writes; `ahead`: machines whose clock is."""

    machines: tuple[str, ...]
    taken: int
    withdrawn: int
    conflicts: int
    files: Mapping[str, How]
    skipped: int
    failed: Mapping[str, str]
    refused: tuple[Refused, ...]
    strange: int
    ahead: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """4: something was refused. 1: a file could not be written."""
        return TargetRefused.exit_code if self.refused or self.strange else int(bool(self.failed))


class _Arrival(NamedTuple):
    """A version that may be taken in. `kind`: of its file."""

    put: Put
    id: int
    kind: Kind


class Pull:
    """Applies the logs of one backend. `trees`: the spaces of this machine by name. `dry_run`: no file is written.
    `recognise`: after a state was lost, only what was pulled before is known again."""

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
        self._received = Received(state, journal)
        self._files = Reconcile(
            state, catalog, self._received, trees, self._name_of, dry_run=dry_run, recognise=recognise
        )
        self._machines: list[str] = []
        self._names: dict[str, str] = {me.id: me.name}
        self._refused: list[Refused] = []
        self._clocks = Clocks(state, journal, self._received, me)
        self._counts: Counter[str] = Counter()

    def run(self, backend: Readable) -> Pulled:
        """Raises BackendError where the backend itself cannot be read."""
        logs = list(self._trusted(backend))
        self._start_over_for_new_spaces()
        for log in logs:
            try:
                applied = self._meet(log)
                if log.head.last_seq > applied:
                    self._machines.append(log.name)
                    self._take_in(backend, log, applied)
                self._clear(log.id)
            except TargetRefused as error:
                self._refuse(log.id, log.name, error)
        with self._state.transaction():
            self._clocks.judge()
        self._files.run()
        return Pulled(
            tuple(self._machines), self._counts["taken"], self._counts["withdrawn"], self._files.conflicts,
            dict(sorted(self._files.touched.items())), self._counts["skipped"],
            {file: str(error) for file, error in self._files.failed.items()}, tuple(self._refused),
            self._counts["strange"], tuple(self._clocks.ahead),
        )  # fmt: skip

    # -- which logs

    def _trusted(self, backend: Readable) -> Iterator[MachineLog]:
        """The logs of the others; those whose head cannot be believed are named and left alone."""
        survey = backend.survey()
        logs = _named_apart([log for log in survey.logs if log.id != self._me.id], self._me.name)
        self._names |= {log.id: log.name for log in logs}
        for machine, error in survey.refused.items():
            if machine != self._me.id:
                self._refuse(machine, self._name_of(machine), error)
        yield from logs

    def _name_of(self, machine: str) -> str:
        if machine not in self._names:
            row = self._state.one("select name from peer where machine = ?", machine)
            self._names[machine] = row[0] if row else machine
        return self._names[machine]

    def _refuse(self, machine: str, name: str, error: TargetRefused) -> None:
        self._refused.append(Refused(name, str(error), error.hint))
        with self._state.transaction():
            self._state.report_problem("log", f"{self._backend}/{machine}", f"{name}: {error}", error.hint)

    def _clear(self, machine: str) -> None:
        with self._state.transaction():
            self._state.clear_problem("log", f"{self._backend}/{machine}")

    def _start_over_for_new_spaces(self) -> None:
        """What was passed over because its space was not there is wanted now; what is known changes nothing."""
        before = set(json.loads(self._state.meta("spaces pulled") or "[]"))
        if before != self._trees.keys():
            with self._state.transaction():
                if not before >= self._trees.keys():
                    self._state.execute("update peer set applied = 0")
                self._state.set_meta("spaces pulled", json.dumps(sorted(self._trees)))

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

    # -- one log

    def _take_in(self, backend: Readable, log: MachineLog, applied: int) -> None:
        first_stuck: int | None = None
        strange = self._counts["strange"]
        for ops in _batches(backend.read(log.id, after=applied)):
            stuck = self._apply(log, ops)
            first_stuck = stuck if first_stuck is None else first_stuck
        through = log.head.last_seq if first_stuck is None else first_stuck - 1
        with self._state.transaction():
            if self._counts["strange"] == strange:
                self._state.clear_problem("log", f"{self._backend}/{log.id}/operations")
            self._remember(log, through)
            self._state.execute(
                "update peer set applied = ? where backend = ? and machine = ?", (through, self._backend, log.id)
            )

    def _remember(self, log: MachineLog, applied: int) -> None:
        head = log.head
        self._state.execute(
            "insert into peer values(?, ?, ?, ?, ?, ?, ?) on conflict(backend, machine) do update set"
            " name = excluded.name, sequence = excluded.sequence, sha256 = excluded.sha256,"
            " last_seq = excluded.last_seq, applied = max(applied, excluded.applied)",
            (self._backend, log.id, log.name, head.sequence, head.sha256, head.last_seq, applied),
        )

    def _apply(self, log: MachineLog, ops: Sequence[Op]) -> int | None:
        """One batch: lines into shards, then all facts in one transaction. Returns the first seq that has to be read
        again, because its shard could not be written."""
        sound = [op for op in ops if not self._is_strange(log, op)]
        dead = self._received.dead_of(log.id, ops[0].seq, ops[-1].seq)
        arrivals = [one for op in sound if isinstance(op, Put) and op.seq not in dead and (one := self._arrival(op))]
        arrivals = [one for one in arrivals if self._is_true(log, one)]
        lines, texts = self._sort_lines(log, [one for one in arrivals if not isinstance(one.kind.reader, Whole)])
        stuck = self._shards(self._files.add_lines(texts))
        with self._state.transaction():
            self._add_lines([line for line in lines if line.shard not in stuck])
            for one in arrivals:
                if isinstance(one.kind.reader, Whole):
                    self._counts["taken"] += self._received.add_rival(log.id, one.put, one.id) and self._is_news(one)
            for op in sound:
                self._take_fact(op)
            self._clocks.hear(log, sound)
            self._remember(log, ops[-1].seq)
        return min((line.seq for line in lines if line.shard in stuck), default=None)

    def _is_strange(self, log: MachineLog, op: Op) -> bool:
        why = incoming.flaw(op)
        if why is not None:
            self._report_strange(log, op.seq, why)
        return why is not None

    def _is_true(self, log: MachineLog, one: _Arrival) -> bool:
        true = incoming.is_true(one.put, one.kind)
        if not true:
            self._report_strange(log, one.put.seq, "is not what its digest says")
        return true

    def _report_strange(self, log: MachineLog, seq: int, why: str) -> None:
        self._counts["strange"] += 1
        with self._state.transaction():
            self._state.report_problem(
                "log", f"{self._backend}/{log.id}/operations", f"operation {seq} of {log.name} {why}; it was left out",
                "no memferry writes this: ask who else can write to that backend",
            )  # fmt: skip

    def _arrival(self, put: Put) -> _Arrival | None:
        """None: it is of a space or a file that is not carried here."""
        tree = self._trees.get(put.space)
        kind = tree.format.kind(put.file) if tree else None
        if tree is None or kind is None or kind.local or tree.rules.verdict(put.file) is not None:
            self._counts["skipped"] += 1
            return None
        return _Arrival(put, self._fingerprint.key(put.space, put.key), kind)

    def _is_news(self, one: _Arrival) -> bool:
        seen = self._catalog.seen([one.id]).get(one.id)
        return seen is None or seen.digest != digest_number(bytes.fromhex(one.put.digest))

    def _take_fact(self, op: Op) -> None:
        match op:
            case Retract():
                if op.space in self._trees:
                    self._received.note_withdrawal(op.space, clock.latest(op.hlc))
                self._withdraw(op)
            case Settle():
                self._settle(op)
            case Sighting():
                self._received.see(op)

    def _settle(self, op: Settle) -> None:
        self._received.settle(op.ops)
        self._received.mark(id_ for one in op.ops for id_ in self._ids_of(one))

    # -- ledgers

    def _sort_lines(
        self, log: MachineLog, arrivals: Sequence[_Arrival]
    ) -> tuple[list[Line], dict[tuple[str, str], list[bytes]]]:
        """Where each line lies from now on, and what is to be added to which shard. A line is written once, whichever
        machines have it; where this one has it itself, not at all."""
        ids = [one.id for one in arrivals]
        seen, here, own = self._catalog.seen(ids), self._received.lines(ids), self._own_lines(ids)
        lines: list[Line] = []
        texts: dict[tuple[str, str], list[bytes]] = defaultdict(list)
        for one in arrivals:
            number = digest_number(bytes.fromhex(one.put.digest))
            line = Line(log.id, one.put.seq, one.id, number, 0)
            others = [known for known in here[one.id, number] if known.shard]
            if not self._is_welcome(seen.get(one.id)) or (one.id, number) in own:
                pass
            elif others:
                line = line._replace(shard=others[0].shard)
            else:
                line = self._into_shard(log, one.put, line)
                texts[one.put.space, apply.shard(one.put.file, log.name)].append(one.put.body.encode())
                self._counts["taken"] += 1
            here[one.id, number].append(line)
            lines.append(line)
        return lines, texts

    def _into_shard(self, log: MachineLog, put: Put, line: Line) -> Line:
        with self._state.transaction():  # before the file is there, so that nobody reads it as this machine's own
            return line._replace(shard=self._received.shard(put.space, apply.shard(put.file, log.name)))

    def _own_lines(self, ids: Collection[int]) -> set[tuple[int, int]]:
        sql = "select id, digest from {} where seq > 0 and id in (select value from json_each(?))"
        return {row[:2] for table in ("record", "version") for row in self._state.among(sql.format(table), ids)}

    def _is_welcome(self, seen: Seen | None) -> bool:
        return seen is None or seen.seq not in (HELD, FORGOTTEN)

    def _add_lines(self, lines: Sequence[Line]) -> None:
        self._received.add_lines(lines)
        seen = self._catalog.seen([line.id for line in lines])
        new = [line for line in lines if line.shard and (line.id not in seen or seen[line.id].seq == WITHDRAWN)]
        self._state.execute_many(
            "insert or replace into record values(?, ?, ?, 0)", ((line.id, line.digest, FOREIGN) for line in new)
        )

    def _shards(self, files: Iterable[str]) -> set[int]:
        """Their numbers, from `space/file`."""
        return {self._received.shard(space, file) for space, _, file in (one.partition("/") for one in files)}

    # -- withdrawing

    def _withdraw(self, retract: Retract) -> None:
        """What another machine withdrew goes from the files it was pulled into, and from our own log. Once: who writes
        a record again after that has done so knowingly."""
        ids = set(self._received.withdraw(retract.ops))
        ids |= self._own_ids(retract.ops)
        if not ids:
            return
        self._received.mark(ids)
        self._withdraw_own(retract.space, ids)
        self._counts["withdrawn"] += len(ids)

    def _ids_of(self, op: Named) -> Collection[int]:
        line = self._received.line(op)
        return self._own_ids([op]) if line is None else (line.id,)

    def _is_former(self, op: Named) -> bool:
        """Whether an operation is this machine's own, under the id that it had before it became a fork."""
        row = self._state.one("select through from former where machine = ?", op[0])
        return row is not None and op[1] <= row[0]

    def _own_ids(self, ops: Sequence[Named]) -> set[int]:
        """The records that those of these operations put which are this machine's own, and not withdrawn yet."""
        seqs = {op[1] for op in ops if op[0] == self._me.id or self._is_former(op)}
        return {self._fingerprint.key(put.space, put.key) for put in self._journal.puts(seqs).values()}

    def _withdraw_own(self, space: str, ids: Collection[int]) -> None:
        """Entries go from their array. Lines and documents that were written here stay in their files, and at home."""
        seen = self._catalog.seen(ids)
        entries = self._own_entries(space, {id_: one.seq for id_, one in seen.items() if one.seq > 0})
        pulled = {id_ for id_, one in seen.items() if one.seq in (FOREIGN, WITHDRAWN)}
        self._withdrawal.withdraw_own(space, entries | pulled, WITHDRAWN)
        self._withdrawal.withdraw_own(space, set(seen) - entries - pulled, FORGOTTEN)

    def _own_entries(self, space: str, current: Mapping[int, int]) -> set[int]:
        """Those that lie in JSON arrays; where each lies is kept in mind for `Reconcile`."""
        tree = self._trees.get(space)
        puts, entries = self._journal.puts(list(current.values())) if tree else {}, set()
        for id_, seq in current.items():
            put = puts.get(seq)
            kind = tree.format.kind(put.file) if tree and put else None
            if put is not None and kind and isinstance(kind.reader, Whole) and put.key != put.file:
                entries.add(id_)
                row = (id_, self._me.id, seq, put.hlc, put.digest, space, put.file, put.key)
                self._state.execute("insert or replace into foreign_record values(?, ?, ?, ?, ?, ?, ?, ?, 1)", row)
        return entries


def _batches(ops: Iterator[Op]) -> Iterator[list[Op]]:
    """Not empty; bounded in number and in bytes."""
    batch: list[Op] = []
    room = BATCH_BYTES
    for op in ops:
        batch.append(op)
        room -= len(op.body) if isinstance(op, Put) else 0
        if len(batch) == BATCH or room <= 0:
            yield batch
            batch, room = [], BATCH_BYTES
    if batch:
        yield batch


def _named_apart(logs: Sequence[MachineLog], mine: str) -> list[MachineLog]:
    """A machine's name becomes part of file names here, and it comes from the backend: it must be one, and no two
    machines may share it."""
    taken = Counter(log.name.lower() for log in logs) + Counter([mine.lower()])
    return [log._replace(name=_name(log, alone=taken[log.name.lower()] == 1)) for log in logs]


def _name(log: MachineLog, *, alone: bool) -> str:
    if not _SAFE_NAME.fullmatch(log.name):
        return log.id
    return log.name if alone else f"{log.name}-{log.id[:4]}"
