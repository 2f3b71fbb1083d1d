"""Whole lines out of a gzip file, such as a ledger that was rotated away: checked first, and never more than a cap."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from memferry.agent.files.opening import read_at
from memferry.agent.files.tail import LINE_BYTES, Chunk, Oversize, Splitter

LIMIT_BYTES = 4 * 1024**3
LARGEST_RATIO = 250
_FREE_BYTES = 16 * 1024 * 1024
_STEP_BYTES = 1024 * 1024
_GZIP = 31
_UNPACK_IT = "unpack it, since a ledger may be of any size, or name it in .memferryignore"
_REPAIR_IT = "repair it or remove it, or name it in .memferryignore"


class Broken(NamedTuple):
    """The file cannot be read; `reason` ends the sentence that its name begins. One that is still being written too.
    `hint`: what a person can do about it."""

    reason: str
    hint: str


class Unfinished(NamedTuple):
    """The last line has no newline; as in a growing file it is not read. Offsets are of the unpacked bytes."""

    start: int
    size_bytes: int


def read_gz_lines(
    descriptor: int,
    *,
    limit_bytes: int = LIMIT_BYTES,
    ratio: int = LARGEST_RATIO,
    line_bytes: int = LINE_BYTES,
) -> Iterator[Chunk | Oversize | Unfinished | Broken]:
    """All whole lines of a gzip file of one or more members; or one `Broken`, and nothing else, when any part of it
    is damaged, cut, or unpacks to more than `limit_bytes` or to more than `ratio` times its size (beyond 16 MiB).

    Unpacks twice, so that no line is handed out before the last checksum has proved it; memory stays bounded.
    """
    try:
        for _ in _unpacked(descriptor, limit_bytes, ratio):
            pass
    except _Refused as error:
        yield Broken(str(error), error.hint)
        return
    yield from unproved_gz_lines(descriptor, limit_bytes=limit_bytes, ratio=ratio, line_bytes=line_bytes)


def unproved_gz_lines(
    descriptor: int,
    *,
    limit_bytes: int = LIMIT_BYTES,
    ratio: int = LARGEST_RATIO,
    line_bytes: int = LINE_BYTES,
) -> Iterator[Chunk | Oversize | Unfinished | Broken]:
    """The same, unpacked once and as far as it is asked for: what is `Broken` may come last. For whoever proves each
    line by its digest."""
    splitter = Splitter(line_bytes=line_bytes)
    try:
        for data in _unpacked(descriptor, limit_bytes, ratio):
            yield from splitter.feed(data)
    except _Refused as error:
        yield Broken(str(error), error.hint)
        return
    if splitter.pending_bytes:
        yield Unfinished(splitter.start, splitter.pending_bytes)


class _Refused(Exception):
    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.hint = hint


def _unpacked(descriptor: int, limit_bytes: int, ratio: int) -> Iterator[bytes]:
    """Pieces of up to 1 MiB. Raises _Refused."""
    packed_bytes = unpacked_bytes = 0
    members = _Members()
    while data := read_at(descriptor, _STEP_BYTES, packed_bytes):
        packed_bytes += len(data)
        for piece in members.feed(data):
            unpacked_bytes += len(piece)
            if unpacked_bytes > limit_bytes:
                raise _Refused(f"unpacks to more than {limit_bytes:,} bytes", _UNPACK_IT)
            if unpacked_bytes > max(_FREE_BYTES, ratio * packed_bytes):
                raise _Refused(f"unpacks to more than {ratio} times its size", _UNPACK_IT)
            yield piece
    if not members.complete:
        raise _Refused("ends too early: cut, or still being written", f"if nobody is writing it: {_REPAIR_IT}")


class _Members:
    """The members of a gzip file, one after the other."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)

    @property
    def complete(self) -> bool:
        return self._member.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        piece = b""
        while data or len(piece) == _STEP_BYTES:  # a full piece may have left more inside
            if self._member.eof:
                data = data.lstrip(b"\0")  # padding, as gzip(1) allows
                if not data:
                    return
                self._member = zlib.decompressobj(_GZIP)
            try:
                piece = self._member.decompress(data, _STEP_BYTES)
            except zlib.error as error:
                raise _Refused("is damaged, or is not gzip", _REPAIR_IT) from error
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            yield piece
