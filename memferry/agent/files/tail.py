"""Reading what a growing file has gained since last time: a pure splitter of bytes into whole lines, fingerprints that
prove it is still the same file, and a thin reader.

"Still the same" is never taken from a size or an inode alone. A cursor remembers three keyed fingerprints: of the
file's head, of a window of one to two blocks before the offset, and of every block before that window. Head and
window are compared whenever the file has grown; everything is, when it changed without growing, when it is small, when
`whole` asks for it, and else as often as costs a few hundredths of a core. So an edit in the middle is seen at once,
and in a file of more than 4 MiB that also grew meanwhile, by the next scan or sooner. Any disagreement means: read
again from 0 and let the records' digests tell what is known. A last line without a newline waits, however long, until
its newline is there.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from memferry.agent.files.opening import read_at
from memferry.agent.files.scan import Stat
from memferry.keys import Fingerprinter

HEAD_BYTES = 4096
BLOCK_BYTES = 64 * 1024
CHUNK_BYTES = 2 * 1024 * 1024
LINE_BYTES = 16 * 1024 * 1024
OVERSIZE_HEAD_BYTES = 1024 * 1024
PROVED_ALWAYS_BYTES = 4 * 1024 * 1024
PROVED_BYTES_PER_S = 16 * 1024 * 1024
"""A whole comparison reads half a GB a second or more: this much of it hardly shows."""
_OVERLAP_BYTES = 256


class Chunk(NamedTuple):
    """Whole lines, each with its newline. `start`: byte offset of the first one in the file."""

    start: int
    lines: bytes


class Oversize(NamedTuple):
    """A complete line that is too long to be read; `size_bytes` counts its newline. `head`: its first bytes, at most
    OVERSIZE_HEAD_BYTES, which may say by what others name or repeat it."""

    start: int
    size_bytes: int
    head: bytes


# -- the pure part


class Splitter:
    """Cuts a stream at b"\\n", and nowhere else, into whole lines. However it is fragmented, the lines are the same.

    Keeps at most `line_bytes` of a line that is not complete yet; of a longer one (without its newline) only its head.
    """

    def __init__(self, start: int = 0, *, line_bytes: int = LINE_BYTES) -> None:
        self.start = start
        """Where the line begins that is not complete yet."""
        self.pending_bytes = 0
        self._line_bytes = line_bytes
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[Chunk | Oversize]:
        # In a piece of at most a line's limit, only the line that began before the piece can be too long.
        for cut in range(0, len(data), self._line_bytes):
            yield from self._piece(data[cut : cut + self._line_bytes] if len(data) > self._line_bytes else data)

    def _piece(self, piece: bytes) -> Iterator[Chunk | Oversize]:
        end = piece.rfind(b"\n") + 1
        if not end:
            self._hold(piece)
            return
        begin = 0
        size_bytes = self.pending_bytes + piece.index(b"\n") + 1
        if size_bytes - 1 > self._line_bytes:
            begin = piece.index(b"\n") + 1
            yield self._emit(Oversize(self.start, size_bytes, self._head(piece[: begin - 1])), size_bytes)
        if begin < end:
            lines = b"".join((*self._parts, piece[begin:end]))
            yield self._emit(Chunk(self.start, lines), len(lines))
        self._hold(piece[end:])

    def _emit(self, part: Chunk | Oversize, size_bytes: int) -> Chunk | Oversize:
        self.start += size_bytes
        self.pending_bytes = 0
        self._parts.clear()
        return part

    def _hold(self, rest: bytes) -> None:
        self.pending_bytes += len(rest)
        if self.pending_bytes > self._line_bytes:
            self._parts = [self._head(rest)]
        elif rest:
            self._parts.append(rest)

    def _head(self, rest: bytes) -> bytes:
        """Of a line that is too long."""
        if len(self._parts) == 1 and len(self._parts[0]) == OVERSIZE_HEAD_BYTES:
            return self._parts[0]
        return b"".join((*self._parts, rest[:OVERSIZE_HEAD_BYTES]))[:OVERSIZE_HEAD_BYTES]


class Cursor(msgspec.Struct, frozen=True):
    """How far a file has been read, and what proves that it is still that file. Local only; hashes are keyed.

    `offset`: behind the last newline that was consumed. `size_bytes`: the file's size at that read.
    `head`: the first `head_bytes`. `window`: the `window_bytes` before the offset. `chain`: all before the window.
    `proved_at`: when all of it was last read or compared, in seconds since 1970.
    """

    device: int
    inode: int
    size_bytes: int
    offset: int
    head_bytes: int
    head_hash: int
    window_bytes: int
    window_hash: int
    chain: int
    proved_at: float

    @property
    def pending_bytes(self) -> int:
        """Bytes of a last line that had no newline yet."""
        return self.size_bytes - self.offset

    def is_due(self, now: float) -> bool:
        """Whether all of it is to be compared, although it has only grown: the larger, the more seldom."""
        seconds = self.offset / PROVED_BYTES_PER_S if self.offset > PROVED_ALWAYS_BYTES else 0.0
        return not 0 <= now - self.proved_at < seconds


class Trail:
    """Fingerprints of what has been consumed, carried along while reading. `offset`: how far; `proved_at`: see
    Cursor; `is_proved`: whether all of it was compared just now."""

    def __init__(
        self,
        fingerprint: Fingerprinter,
        stat: Stat,
        *,
        offset: int = 0,
        head: bytes = b"",
        window: bytes = b"",
        chain: int = 0,
        proved_at: float,
        is_proved: bool = True,
    ) -> None:
        self.offset = offset
        self.proved_at = proved_at
        self.is_proved = is_proved
        self._fingerprint = fingerprint
        self._stat = stat
        self._head = head
        self._window = window
        self._chain = chain

    def advance(self, part: Chunk | Oversize, descriptor: int) -> None:
        """Go on behind `part`, which begins at `offset`. What was too long to be kept is read once more, in blocks."""
        assert part.start == self.offset
        if isinstance(part, Chunk):
            self._add(part.lines)
            return
        end = part.start + part.size_bytes
        while self.offset < end:
            size = min(BLOCK_BYTES, end - self.offset)
            # Zeros where the file was cut meanwhile: the next resume sees that these are not its bytes.
            self._add(read_at(descriptor, size, self.offset).ljust(size, b"\0"))

    def cursor(self) -> Cursor:
        return Cursor(
            device=self._stat.device,
            inode=self._stat.inode,
            size_bytes=max(self._stat.size, self.offset),
            offset=self.offset,
            head_bytes=len(self._head),
            head_hash=self._fingerprint(self._head),
            window_bytes=len(self._window),
            window_hash=self._fingerprint(self._window),
            chain=self._chain,
            proved_at=self.proved_at,
        )

    def _add(self, data: bytes) -> None:
        self.offset += len(data)
        if len(self._head) < HEAD_BYTES:
            self._head += data[: HEAD_BYTES - len(self._head)]
        data = self._window + data
        whole = max(0, len(data) // BLOCK_BYTES - 1) * BLOCK_BYTES
        self._chain = _chained(self._fingerprint, self._chain, memoryview(data)[:whole])
        self._window = data[whole:]


def _chained(fingerprint: Fingerprinter, chain: int, blocks: bytes | memoryview) -> int:
    """The fingerprint of all before and of these whole blocks. The checksum is fast, and hidden by the key."""
    for start in range(0, len(blocks), BLOCK_BYTES):
        chain = fingerprint(struct.pack("<qI", chain, zlib.crc32(blocks[start : start + BLOCK_BYTES])))
    return chain


# -- the reader


class Resume(NamedTuple):
    """Read on from `trail.offset`: everything before it is as it was."""

    trail: Trail


class Restart(NamedTuple):
    """Read from 0. `reason`: new, replaced (another file), truncated, rewritten."""

    reason: str
    trail: Trail


def resume(
    descriptor: int, stat: Stat, cursor: Cursor | None, fingerprint: Fingerprinter, *, now: float, whole: bool = False
) -> Resume | Restart:
    """Whether the file behind `descriptor` goes on where `cursor` ended. `stat`: its fstat, taken just now, at `now`.

    `whole`: compare every byte, not only head and window; also done when the file has not grown since, or it is time.
    """
    afresh = Trail(fingerprint, stat, proved_at=now)
    if cursor is None:
        return Restart("new", afresh)
    if stat.identity != (cursor.device, cursor.inode):
        return Restart("replaced", afresh)
    if stat.size < cursor.offset:
        return Restart("truncated", afresh)
    head = read_at(descriptor, cursor.head_bytes, 0)
    window = read_at(descriptor, cursor.window_bytes, cursor.offset - cursor.window_bytes)
    if (fingerprint(head), fingerprint(window)) != (cursor.head_hash, cursor.window_hash):
        return Restart("rewritten", afresh)
    proves = whole or stat.size <= cursor.size_bytes or cursor.is_due(now)
    if proves and _chain_of(descriptor, cursor, fingerprint) != cursor.chain:
        return Restart("rewritten", afresh)
    trail = Trail(
        fingerprint, stat, offset=cursor.offset, head=head, window=window, chain=cursor.chain,
        proved_at=now if proves else cursor.proved_at, is_proved=proves,
    )  # fmt: skip
    return Resume(trail)


def _chain_of(descriptor: int, cursor: Cursor, fingerprint: Fingerprinter) -> int:
    chain = 0
    end = cursor.offset - cursor.window_bytes
    for start in range(0, end, BLOCK_BYTES):
        chain = _chained(fingerprint, chain, read_at(descriptor, BLOCK_BYTES, start))
    return chain


def read_lines(
    descriptor: int,
    start: int,
    *,
    end: int | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    line_bytes: int = LINE_BYTES,
) -> Iterator[Chunk | Oversize]:
    """The whole lines between `start`, where a line begins, and `end` (default: the size now), in order.

    Stops early, at a line's end, when the file is cut or rewritten meanwhile; the next `resume` says so.
    """
    end = os.fstat(descriptor).st_size if end is None else end
    splitter = Splitter(start, line_bytes=line_bytes)
    position, last = start, b""
    while position < end:
        data = read_at(descriptor, len(last) + min(chunk_bytes, end - position), position - len(last))
        if not data.startswith(last) or len(data) == len(last):
            return
        data = data[len(last) :]
        yield from splitter.feed(data)
        position += len(data)
        last = data[-_OVERLAP_BYTES:]
