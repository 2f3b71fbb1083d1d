"""What a batch changes in this machine's log: what is new, what should lie there already, what goes."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from memferry.backends.vault import segments
from memferry.backends.vault.head import Segment
from memferry.backends.vault.reading import Reader
from memferry.backends.vault.segments import Limits, Lines, Piece, Unsound
from memferry.backends.vault.writing import Log, Part, Writer
from memferry.errors import InvalidValue
from memferry.model import Identity, Sealed


class Arrivals(NamedTuple):
    """A batch, sorted out. `fresh`: beyond the log's end; `again`: lines by seq that the log should hold already."""

    fresh: Sequence[Piece]
    again: Mapping[int, bytes]
    refused: Mapping[int, str]
    withdrawn: frozenset[int]
    last_seq: int


class Batches:
    """Compares batches with the log of one machine. Segments may be stored; which of them count, a head says."""

    def __init__(self, reader: Reader, writer: Writer, me: Identity, limits: Limits) -> None:
        self._reader = reader
        self._writer = writer
        self._me = me
        self._limits = limits

    def sorted_out(self, log: Log, batch: Sequence[Sealed]) -> Arrivals:
        """What the batch brings. InvalidValue if a part of it is not what the journal says."""
        withdrawn = frozenset(seq for sealed in batch for seq in sealed.retracts)
        fresh: list[Piece] = []
        again: dict[int, bytes] = {}
        refused: dict[int, str] = {}
        for sealed in batch:
            for piece in self._accepted(sealed, refused):
                beyond, covered = _split(piece, log.last_seq, self._limits)
                fresh.extend(part for one in beyond for part in segments.without(one, withdrawn, self._limits))
                again.update((seq, line) for seq, line in covered if seq not in withdrawn)
        last_seq = max([log.last_seq, *(sealed.last for sealed in batch)])
        packed = list(segments.pack(segments.squeeze(fresh, self._limits), self._limits))
        return Arrivals(packed, again, refused, withdrawn, last_seq)

    def _accepted(self, sealed: Sealed, refused: dict[int, str]) -> Iterator[Piece]:
        try:
            pieces, poison = segments.accept(sealed, self._limits)
            refused.update(poison)
            yield from pieces
        except Unsound as error:
            raise InvalidValue(
                f"the journal's operations {sealed.first} to {sealed.last} cannot be stored: it {error}",
                backend=self._reader.name,
                hint="memferry doctor",
            ) from error

    def amended(self, log: Log, arrivals: Arrivals) -> Iterator[Part]:
        """The log's segments with what a batch brings again put in where it is missing, and less what it withdraws.
        ForkedLog if another operation lies there."""
        again = dict(sorted(arrivals.again.items()))
        for segment in log.segments:
            yield from segments.frames(_taken(again, segment.first - 1), self._limits)
            yield from self._amend(segment, dict(_taken(again, segment.last)), arrivals.withdrawn)
        yield from segments.frames(iter(again.items()), self._limits)

    def _amend(self, segment: Segment, again: Mapping[int, bytes], withdrawn: Collection[int]) -> Iterator[Part]:
        missing = self._missing(segment, again) if again else {}
        if missing:
            stored = self._reader.lines(self._me.id, segment)
            kept = (one for one in heapq.merge(stored, missing.items()) if one[0] not in withdrawn)
            yield from segments.frames(kept, self._limits)
        else:
            yield from self._writer.without(segment, withdrawn)

    def _missing(self, segment: Segment, again: Mapping[int, bytes]) -> dict[int, bytes]:
        missing = dict(again)
        for seq, line in self._reader.lines(self._me.id, segment):
            if missing.pop(seq, line) != line:
                raise self._reader.forked(self._me, f"holds another operation {seq} than this state")
        return missing


def _split(piece: Piece, at: int, limits: Limits) -> tuple[Iterator[Piece], Lines]:
    """What of a piece lies beyond seq `at`, and the operations up to it."""
    if piece.first > at:
        return iter((piece,)), iter(())
    covered = (one for one in segments.opened(piece) if one[0] <= at)
    if piece.last <= at:
        return iter(()), covered
    return segments.frames((one for one in segments.opened(piece) if one[0] > at), limits), covered


def _taken(operations: dict[int, bytes], through: int) -> Lines:
    """Take operations up to a seq out of a mapping that is sorted by it."""
    for seq in [seq for seq in operations if seq <= through]:
        yield seq, operations.pop(seq)
