"""The journal: every cleared operation of this machine, sealed, in order. It is the record store and the outbox.

A backend's queue is what lies beyond its checkpoint. The journal is kept, so a new backend, a repair or
a source that vanished never needs anything else.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

import msgspec
import zstandard

from memferry.agent.state import clock
from memferry.agent.state.database import REBUILD, State, StateDamaged
from memferry.model import Op, Put, Retract, Sealed, Sighting

ZSTD_LEVEL = 3
COLUMNS = "first, last, count, raw_bytes, frame, retracts"

T = TypeVar("T")

BATCH_BYTES = 8 << 20
"""Of what is taken from a log at once."""
SEVERAL = -1
"""`file` of a row whose records were read from several files: each operation names its own."""


class _Placed(msgspec.Struct):
    """Where an operation lies."""

    space: str
    file: str


class _Keyed(msgspec.Struct):
    """What record an operation is a version of; without a key it is of none."""

    seq: int
    space: str = ""
    file: str = ""
    key: str = ""


_encode = msgspec.json.Encoder()
_decode = msgspec.json.Decoder(Op)
_placed = msgspec.json.Decoder(_Placed)
_keyed = msgspec.json.Decoder(_Keyed)


def seal(ops: Sequence[Op], machine: str) -> Sealed:
    """One frame from operations of `machine` in ascending order. The frame's header holds its raw size."""
    raw = _encode.encode_lines(ops)
    retracts = tuple(seq for op in ops if type(op) is Retract for owner, seq in op.ops if owner == machine)
    frame = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(raw)
    return Sealed(ops[0].seq, ops[-1].seq, len(ops), len(raw), frame, retracts)


def unseal(sealed: Sealed) -> list[Op]:
    """The operations of a frame, in order. Raises StateDamaged where it is not what was sealed."""
    return decode(sealed, _decode)


def decode(sealed: Sealed, decoder: msgspec.json.Decoder[T]) -> list[T]:
    """As `unseal`, with a decoder that may read less of each."""
    try:
        raw = zstandard.ZstdDecompressor().decompress(sealed.frame, max_output_size=sealed.raw_bytes)
        return decoder.decode_lines(raw)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        text = f"the journal's operations {sealed.first} to {sealed.last} cannot be read"
        raise StateDamaged(text, hint=REBUILD) from error


def batches(ops: Iterable[Op], most: int) -> Iterator[list[Op]]:
    """Not empty; bounded in number and in bytes."""
    batch: list[Op] = []
    room = BATCH_BYTES
    for op in ops:
        batch.append(op)
        room -= len(op.body) if isinstance(op, Put) else 0
        if len(batch) == most or room <= 0:
            yield batch
            batch, room = [], BATCH_BYTES
    if batch:
        yield batch


class Journal:
    """Appends to and reads from the `journal` table. Call inside a transaction of the state."""

    def __init__(self, state: State, machine: str) -> None:
        self._state = state
        self.machine = machine

    @property
    def last_seq(self) -> int:
        """The newest seq given out, also when its operation was withdrawn since."""
        return int(self._state.meta("seq") or 0)

    def next(self) -> tuple[int, str]:
        """Seq and clock value of the next operation."""
        hlc = self.next_hlc()  # which may be told in an operation of its own
        return self.last_seq + 1, hlc

    def next_hlc(self) -> str:
        """A clock value later than every one given out or heard of. Only when its own clock was ahead and has
        been put right does it start again from there, and says so in the log."""
        last, wall = self._state.meta("hlc") or clock.ZERO, self.wall
        if clock.is_ahead(last, wall) and not self.is_behind:
            return self._start_again(wall)
        text = max(wall, clock.after(last))
        self._state.set_meta("hlc", text)
        return text

    def _start_again(self, wall: str) -> str:
        seq = self.last_seq
        if seq:
            self.append_ops([Sighting(seq + 1, wall, self.machine, seq)])
            row = (self.machine, seq, wall)
            self._state.execute("insert or ignore into sighting values(?, ?, ?)", row)
        self._state.count("clock put right")
        text = clock.after(wall)
        self._state.set_meta("hlc", text)
        return text

    @property
    def wall(self) -> str:
        """What this machine's clock shows."""
        return clock.reading(self._state.clock())

    @property
    def is_behind(self) -> bool:
        """Whether this machine's clock fell behind what it has seen and believed: then nothing is judged by it."""
        return clock.is_ahead(self._state.meta("heard") or clock.ZERO, self.wall)

    def hear(self, hlc: str) -> None:
        """Another machine's clock was seen, and is not ahead: ours must not fall behind it."""
        for name in ("hlc", "heard"):
            if hlc > (self._state.meta(name) or ""):
                self._state.set_meta(name, hlc)

    def resume(self, hlc: str) -> None:
        """This machine itself has given out `hlc` before."""
        if hlc > (self._state.meta("hlc") or ""):
            self._state.set_meta("hlc", hlc)

    def append(self, sealed: Sealed, file: int = 0) -> None:
        """`file`: where its records were read, by id; SEVERAL where that was not one file."""
        retracts = json.dumps(sealed.retracts)
        self._state.execute(
            "insert into journal values(?, ?, ?, ?, ?, ?, ?)",
            (sealed.first, sealed.last, sealed.count, sealed.raw_bytes, retracts, sealed.frame, file),
        )
        self._state.set_meta("seq", max(self.last_seq, sealed.last))

    def append_ops(self, ops: Sequence[Op], file: int = 0) -> None:
        if ops:
            self.append(seal(ops, self.machine), file)

    def files(self, first: int, last: int) -> set[tuple[str, str]]:
        """Space and path of the files whose records lie in the rows that overlap `first`..`last`."""
        start = self._row_of(first)
        found = set(self._state.rows(
            "select distinct file.space, file.path from journal join file on file.id = journal.file"
            " where journal.first between ? and ?", start, last
        ))  # fmt: skip
        mixed = f"select {COLUMNS} from journal where file = {SEVERAL} and first between ? and ?"
        for row in self._state.rows(mixed, start, last):
            found |= {(put.space, put.file) for put in decode(sealed_in(row), _placed)}
        return found

    def read_from(self, file: int, space: str, path: str) -> dict[int, str]:
        """Seq -> key of the versions that were read from a file, by its id; also where a row holds those of several,
        or was taken back from a log: by the name that it had then."""
        found: dict[int, str] = {}
        for row in self._state.rows(f"select {COLUMNS}, file from journal where file in (?, 0, {SEVERAL})", file):
            ops = decode(sealed_in(row[:-1]), _keyed)
            found |= {
                op.seq: op.key for op in ops if op.key and (row[-1] == file or (op.space, op.file) == (space, path))
            }
        return found

    def _row_of(self, seq: int) -> int:
        """Where the row begins that may hold this operation."""
        start = self._state.one("select max(first) from journal where first <= ?", seq)
        return (start[0] if start else None) or seq

    def sealed(self, first: int, last: int) -> Iterator[Sealed]:
        """Rows that overlap `first`..`last`, ascending."""
        position = self._row_of(first)
        while row := self._state.one(
            f"select {COLUMNS} from journal where first between ? and ? limit 1", position, last
        ):
            position = row[1] + 1
            if row[1] >= first:
                yield sealed_in(row)

    def after(self, seq: int, limit_bytes: int) -> list[Sealed]:
        """The next rows beyond `seq`, about `limit_bytes` of frames, at least one if there is any."""
        batch: list[Sealed] = []
        size = 0
        for sealed in self.sealed(seq + 1, self.last_seq):
            batch.append(sealed)
            size += len(sealed.frame)
            if size >= limit_bytes:
                break
        return batch

    def put(self, seq: int) -> Put | None:
        """The stored version with this seq."""
        return self.puts([seq]).get(seq)

    def puts(self, seqs: Collection[int]) -> dict[int, Put]:
        """Stored versions by seq, in ascending order, each row opened once."""
        found: dict[int, Put] = {}
        wanted = sorted(seqs, reverse=True)
        while wanted:
            first = last = wanted[-1]
            for row in self.sealed(first, first):
                last = row.last
                here = {seq for seq in wanted if seq <= last}
                found |= {op.seq: op for op in _opened(row) if op.seq in here and isinstance(op, Put)}
            wanted = [seq for seq in wanted if seq > last]
        return found

    def only(self, seq: int) -> list[Sealed]:
        """The operation with this seq, sealed alone; empty when it was withdrawn."""
        return [seal([op], self.machine) for row in self.sealed(seq, seq) for op in _opened(row) if op.seq == seq]

    def scrub(self, seqs: Collection[int]) -> None:
        """Take operations out: their bytes are gone from the journal when the transaction commits."""
        remaining = sorted(set(seqs))
        doomed = frozenset(remaining)
        while remaining:
            first = remaining[0]
            for row in list(self.sealed(first, first)):
                self._rewrite(row, doomed)
                first = row.last
            remaining = [seq for seq in remaining if seq > first]
        _opened.cache_clear()

    def _rewrite(self, sealed: Sealed, doomed: frozenset[int]) -> None:
        kept = [op for op in unseal(sealed) if op.seq not in doomed]
        if len(kept) == sealed.count:
            return
        (file,) = self._state.rows("select file from journal where first = ?", sealed.first)[0]
        self._state.wipe()
        self._state.execute("delete from journal where first = ?", (sealed.first,))
        self.append_ops(kept, file)


def sealed_in(row: Sequence[object]) -> Sealed:
    """A row of the journal; its `COLUMNS`."""
    first, last, count, raw_bytes, frame, retracts = row
    return Sealed(first, last, count, raw_bytes, frame, tuple(json.loads(retracts)))  # type: ignore[arg-type]


@lru_cache(maxsize=2)
def _opened(sealed: Sealed) -> list[Op]:
    return unseal(sealed)
