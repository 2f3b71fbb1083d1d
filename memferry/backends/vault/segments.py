"""Segments: zstd frames of JSON lines, one operation a line, ascending. Frames may be put one behind the other, so
most are joined without compressing them again. Pure: bytes in, bytes out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import chain, groupby
from typing import NamedTuple, TypeAlias

import msgspec
import zstandard

from memferry.model import Sealed

LEVEL = 3
_STEP_BYTES = 4 << 20
_MAX_WINDOW_BYTES = 32 << 20
_RAW_PER_STORED = 16
"""So many bytes of lines weigh as much as one stored byte: nothing that packs very well grows without bound."""

Lines: TypeAlias = Iterator[tuple[int, bytes]]
"""Operations as (seq, JSON line without its newline), ascending by seq."""


class Unsound(Exception):
    """These bytes are not what they should be; the message ends the sentence that their name begins."""


class Limits(NamedTuple):
    """`target`: stored bytes from which a segment is full. `small`: frames below it are compressed anew when joined.
    `line`, `stored`, `raw`: what a reader accepts of one line and of one segment; nothing larger is ever written."""

    target_bytes: int = 4 << 20
    small_bytes: int = 64 << 10
    line_bytes: int = 96 << 20
    stored_bytes: int = 160 << 20
    raw_bytes: int = 256 << 20


class Piece(NamedTuple):
    """A segment, or a part of one, in memory. `first`..`last`: seqs, inclusive; `data`: whole frames of `raw` bytes of
    lines, `records` of them."""

    first: int
    last: int
    records: int
    raw: int
    data: bytes

    @property
    def size(self) -> int:
        """Stored bytes."""
        return len(self.data)


class _Numbered(msgspec.Struct):
    seq: int


_number = msgspec.json.Decoder(_Numbered).decode


def weight(size: int, raw: int) -> int:
    """How full a segment of `size` stored bytes with `raw` bytes of lines is, compared with `Limits.target_bytes`."""
    return max(size, raw // _RAW_PER_STORED)


def lines(data: bytes, raw: int, longest: int) -> Iterator[bytes]:
    """The lines in `data`, without newlines. Unsound if it is not whole frames of exactly `raw` bytes of whole
    lines. Gives up on one that is much longer than `longest` bytes."""
    begun: list[bytes] = []
    unpacked = size = 0
    for step in _steps(data, raw):
        unpacked += len(step)
        whole, newline, rest = step.rpartition(b"\n")
        if newline:
            yield from b"".join([*begun, whole]).split(b"\n")
            begun, size = [], 0
        begun.append(rest)
        size += len(rest)
        if size > longest:
            raise Unsound(f"holds a line of more than {longest} bytes")
    if unpacked != raw or any(begun):
        raise Unsound(f"does not unpack to {raw} bytes of whole lines")


def _steps(data: bytes, raw: int) -> Iterator[bytes]:
    """What `data` unpacks to, in steps; cut one byte behind `raw`."""
    unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    try:
        with unpacker.stream_reader(data, read_across_frames=True) as reader:
            left = raw + 1
            while step := reader.read(min(_STEP_BYTES, left)):
                left -= len(step)
                yield step
    except zstandard.ZstdError as error:
        raise Unsound(f"cannot be unpacked: {error}") from error


def numbered(data: bytes, raw: int, first: int, last: int, longest: int) -> Lines:
    """The operations in `data`. Unsound if one is no operation, longer than `longest` bytes, or not within
    `first`..`last` in ascending order."""
    previous = first - 1
    for line in lines(data, raw, longest):
        try:
            seq = _number(line).seq
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unsound(f"holds a line that is not an operation: {error}") from error
        if not previous < seq <= last:
            raise Unsound(f"holds operation {seq} out of place")
        if len(line) > longest:
            raise Unsound(f"holds an operation of more than {longest} bytes")
        previous = seq
        yield seq, line


def opened(piece: Piece, longest: int | None = None) -> Lines:
    """The operations of a piece. Unsound if it does not hold what it says."""
    return numbered(piece.data, piece.raw, piece.first, piece.last, piece.raw if longest is None else longest)


def accept(sealed: Sealed, limits: Limits) -> tuple[Iterable[Piece], dict[int, str]]:
    """What can be stored of a sealed frame, and the seqs that cannot, with the reason. Unsound if the frame is
    damaged."""
    if sealed.count == 0:
        return (), {}
    whole = Piece(sealed.first, sealed.last, sealed.count, sealed.raw_bytes, sealed.frame)
    if sealed.raw_bytes <= min(limits.line_bytes, limits.raw_bytes // 2):
        found = sum(1 for _ in lines(whole.data, whole.raw, whole.raw))
        if found != sealed.count:
            raise Unsound(f"holds {found} operations instead of {sealed.count}")
        return (whole,), {}
    reason = f"longer than {limits.line_bytes} bytes"
    refused = {seq: reason for seq, line in opened(whole) if len(line) >= limits.line_bytes}
    return frames(((seq, line) for seq, line in opened(whole) if seq not in refused), limits), refused


def frames(operations: Lines, limits: Limits) -> Iterator[Piece]:
    """Compress operations into frames of about a full segment's weight."""
    group: list[tuple[int, bytes]] = []
    raw = 0
    for seq, line in operations:
        if group and raw + len(line) > _RAW_PER_STORED * limits.target_bytes:
            yield _frame(group)
            group, raw = [], 0
        group.append((seq, line))
        raw += len(line) + 1
        if raw >= _RAW_PER_STORED * limits.target_bytes // 4:
            yield _frame(group)
            group, raw = [], 0
    if group:
        yield _frame(group)


def _frame(group: list[tuple[int, bytes]]) -> Piece:
    raw = b"\n".join(line for _, line in group) + b"\n"
    packed = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(raw)
    return Piece(group[0][0], group[-1][0], len(group), len(raw), packed)


def without(piece: Piece, seqs: Collection[int], limits: Limits) -> Iterable[Piece]:
    """The piece less some operations; itself, if it has none of them."""
    if not any(piece.first <= seq <= piece.last for seq in seqs):
        return (piece,)
    doomed = frozenset(seqs)
    return frames(((seq, line) for seq, line in opened(piece) if seq not in doomed), limits)


def squeeze(pieces: Iterable[Piece], limits: Limits) -> Iterator[Piece]:
    """Compress small neighbours anew as one, which packs them several times better; the others stay as they are."""
    for small, run in groupby(pieces, key=lambda piece: piece.size < limits.small_bytes):
        if not small:
            yield from run
        elif len(group := list(run)) == 1:
            yield from group
        else:
            yield from frames(chain.from_iterable(map(opened, group)), limits)


def pack(pieces: Iterable[Piece], limits: Limits) -> Iterator[Piece]:
    """Put neighbours one behind the other until a segment is full."""
    group: list[Piece] = []
    full = 0
    for piece in pieces:
        if group and full + weight(piece.size, piece.raw) > 2 * limits.target_bytes:
            yield _joined(group)
            group, full = [], 0
        group.append(piece)
        full += weight(piece.size, piece.raw)
        if full >= limits.target_bytes:
            yield _joined(group)
            group, full = [], 0
    if group:
        yield _joined(group)


def _joined(group: list[Piece]) -> Piece:
    if len(group) == 1:
        return group[0]
    records, raw = sum(piece.records for piece in group), sum(piece.raw for piece in group)
    return Piece(group[0].first, group[-1].last, records, raw, b"".join(piece.data for piece in group))
