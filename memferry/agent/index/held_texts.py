"""What is held, read once more from its files: their words lie nowhere else. For the local index alone."""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from memferry.agent.files import gzipped, opening
from memferry.agent.files.tail import Chunk
from memferry.agent.files.tree import Tree
from memferry.agent.state.database import State
from memferry.errors import SpaceMissing
from memferry.formats.base import Kind, Whole
from memferry.keys import Fingerprinter
from memferry.model import Put, Record, Source

LINE_BYTES = 16 << 20
WHOLE_BYTES = 64 << 20
AT_ONCE = 1 << 16


class HeldRow(NamedTuple):
    """What the state knows of a held record: fingerprints of its key and digest, and where it lies. `start`: byte
    offset of a line, number of an entry."""

    id: int
    digest: int
    start: int
    space: str
    file: str


def held_rows(state: State, ids: Collection[int]) -> list[HeldRow]:
    """Those of the ids that are held, in files that are there; by file and start."""
    rows = state.among(
        "select held.id, held.digest, held.start, file.space, file.path from held join file on file.id = held.file"
        " where not file.gone and held.id in (select value from json_each(?)) order by file.id, held.start",
        ids,
    )
    return [HeldRow(*row) for row in rows]


def held_texts(
    rows: Sequence[HeldRow], trees: Mapping[str, Tree], fingerprint: Fingerprinter, hlc: Callable[[], str]
) -> Iterator[Put]:
    """The records themselves, as the index takes them: `seq` is the id, `position` where it starts. What a file no
    longer says there is left out; when it is read the next time, the state learns where it is now."""
    for (space, file), group in groupby(rows, key=lambda row: (row.space, row.file)):
        wanted = list(group)
        tree = trees.get(space)
        kind = tree.kind(file) if tree is not None else None
        if tree is None or kind is None:
            continue
        with contextlib.suppress(opening.Unreadable, SpaceMissing):
            for row, record in _paired(tree, file, kind, wanted, fingerprint):
                body = record.body.decode("utf-8", "replace")
                yield Put(
                    row.id, hlc(), space, _storable(record.key), file, row.start, record.digest.hex(), kind.format,
                    body, type=record.type and _storable(record.type), tags=tuple(map(_storable, record.tags)),
                    ts=record.ts and _storable(record.ts),
                )  # fmt: skip


def _storable(text: str) -> str:
    """As UTF-8 can hold it. A record may be held for half of a surrogate pair, which then shows as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def _paired(
    tree: Tree, file: str, kind: Kind, wanted: Sequence[HeldRow], fingerprint: Fingerprinter
) -> Iterator[tuple[HeldRow, Record]]:  # fmt: skip
    by_id = {row.id: row for row in wanted}
    for record in _records(tree, file, kind, wanted):
        row = by_id.get(fingerprint.key(tree.name, record.key))
        if row is not None and row.digest == fingerprint(record.digest) and row.start == record.start:
            yield row, record


def _records(tree: Tree, file: str, kind: Kind, wanted: Sequence[HeldRow]) -> Iterator[Record]:
    source = Source(tree.name, file, kind.format, kind.derived)
    if isinstance(kind.reader, Whole):
        read = opening.read_stable(tree.root, file, WHOLE_BYTES)
        snapshot = kind.reader.parse(source, read[0]) if read is not None else None
        yield from snapshot.records if snapshot is not None else ()
        return
    with opening.opened(tree.root, file) as (descriptor, _):
        starts = [row.start for row in wanted]
        lines = _unpacked(descriptor, starts) if file.lower().endswith(".gz") else _lines(descriptor, starts)
        for start, line in lines:
            yield from kind.reader.parse(source, line, start)


def _lines(descriptor: int, starts: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """The lines that start there, as far as they are whole."""
    for start in starts:
        if line := _line(descriptor, start):
            yield start, line


def _unpacked(descriptor: int, starts: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Likewise out of an archive, as far as it can be read; `starts`: ascending, of the unpacked bytes."""
    for part in gzipped.unproved_gz_lines(descriptor, line_bytes=LINE_BYTES):
        if not isinstance(part, Chunk):
            continue
        end = part.start + len(part.lines)
        for start in starts[bisect_left(starts, part.start) : bisect_left(starts, end)]:
            at = start - part.start
            yield start, part.lines[at : part.lines.index(b"\n", at) + 1]
        if end > starts[-1]:
            return


def _line(descriptor: int, start: int) -> bytes:
    """Empty where there is no newline."""
    line = b""
    while b"\n" not in line and len(line) < LINE_BYTES:
        part = opening.read_at(descriptor, AT_ONCE, start + len(line))
        if not part:
            break
        line += part
    whole, newline, _ = line.partition(b"\n")
    return whole + newline if newline else b""
