"""Where anything private may turn up, and a search of it. A new kind of place is one more function giving pieces."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from memferry.looking import SQLITE_ERRORS
from tests.canary.layers import Seen, layers
from tests.canary.traces import Traces

SECRETS = frozenset({"secret.key"})
"""Files of a state that are random by themselves and open nothing."""
AT_HOME = frozenset({"held.db", "held.db-wal"})
"""In which the owner of a machine may search what is held there."""
WORKING_MEMORY = "-shm"
"""Ends the names of files through which those who have a database of SQLite open share where its pages are: SQLite
writes numbers of pages there and nothing else. The kernel was seen to leave in one what the searching process had in
its memory before (Linux 6.18, ext4 with small blocks)."""


class Piece(NamedTuple):
    """Bytes that somebody could read there, and what they are called."""

    name: str
    data: bytes


Place: TypeAlias = Iterable[Piece]


class Leak(NamedTuple):
    """Something private that was found: in which piece, under which layers, and by what it is betrayed."""

    piece: str
    layers: tuple[str, ...]
    trace: str

    def __str__(self) -> str:
        return f"{self.trace} in {self.piece}{''.join(f' > {layer}' for layer in self.layers)}"


def search(traces: Traces, places: Iterable[Place], keys: Sequence[str] = ()) -> list[Leak]:
    """Every leak, where it lies first: the same bytes are read once, wherever else they lie, and under any layers.
    `keys`: age identities that open what is encrypted for them."""
    seen: Seen = {}
    return [
        Leak(piece.name, layer.path, trace)
        for place in places
        for piece in place
        for layer in layers(piece.data, keys, seen)
        for trace in sorted(traces.find(layer.data))
    ]


# -- places


def folder(path: Path, *, passing: Collection[str] = SECRETS) -> Place:
    """All names and bytes below `path`, and the cells of databases. `passing`: names of files that are passed over, as
    working memory is."""
    for one in sorted(path.rglob("*")):
        inside = one.relative_to(path).as_posix()
        yield Piece(f"the name {path.name}/{inside}", inside.encode("utf-8", "surrogateescape"))
        if one.is_symlink():
            yield Piece(f"the link {inside}", str(one.readlink()).encode("utf-8", "surrogateescape"))
        elif one.is_file() and one.name not in passing and not one.name.endswith(WORKING_MEMORY):
            yield from file(one, f"{path.name}/{inside}")


def home(state: Path) -> Place:
    """A machine's own state."""
    return folder(state, passing=SECRETS | AT_HOME)


def file(path: Path, name: str = "") -> Place:
    """One file, its bytes and, of a database, every cell: a long one is torn apart where it lies."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:  # a service that is at work takes some away
        return
    yield Piece(name or path.name, data)
    if data.startswith(b"SQLite format 3\0"):
        yield from _cells(path, name or path.name)


def _cells(path: Path, name: str) -> Place:
    """Of a database that may be damaged, as far as it goes; blobs one by one, all the rest of a table together."""
    with (
        contextlib.suppress(*SQLITE_ERRORS),
        contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database,
    ):
        database.text_factory = bytes
        for (table,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
            with contextlib.suppress(*SQLITE_ERRORS):
                title = table.decode()
                yield from _table(f"{name}: {title}", database.execute(f'select * from "{title}"'))


def _table(name: str, rows: Iterable[Sequence[object]]) -> Iterator[Piece]:
    small: list[bytes] = []
    for row in rows:
        for cell in row:
            if isinstance(cell, bytes) and (len(cell) >= 512 or not cell.isascii()):
                yield Piece(name, cell)
            elif isinstance(cell, int):
                small.append(cell.to_bytes(8, "little", signed=True))
            elif cell is not None:
                small.append(cell if isinstance(cell, bytes) else str(cell).encode())
    yield Piece(name, b"\n".join(small))


def said(name: str, text: str | bytes) -> Place:
    """What a program said, what was recorded on a line: anything that is there as a whole."""
    yield Piece(name, text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))
