"""The vectors of the local index: one SQLite file a model, beside the index, a cache of it like the index of the files.

```
stamp     which model, which form of text and which index these are of
passage   id as in the index, before: the first passage of the record before it, digest of the text, vector
tokens    id, the token states of the passage; none where the model has no such thing
```

No numpy here: what is stored was packed where the model runs. A passage that leaves the index leaves this file with
`prune`, which needs no model. A passage whose text is known, from another record or from before the index was made
again, is not read by the model a second time.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from memferry.embedder import Model
from memferry.looking import SQLITE_ERRORS
from memferry.recall.index import PASSAGE_BITS, connect, explained, remove
from memferry.recall.layout import VECTORS
from memferry.recall.passages import passages

VERSION = 1
FORMAT = "head: passage of 1200"
"""How a text is made from a record (`passages`): vectors of another form are not comparable."""
LONGEST_RECORD = 64
"""Passages of one record that get vectors, about 70 KB of text; the rest is found by its words."""

NEWEST = 1 << 62

SCHEMA = """
create table stamp(name text primary key, value text not null) without rowid;
create table passage(id integer primary key, before integer, digest blob not null, vector blob not null);
create index passage_digest on passage(digest);
create table tokens(id integer primary key, packed blob not null);
"""


class Unread(NamedTuple):
    """A passage without a vector, of a record of this `space`, `key` and `file`. `digest`: 16 bytes of its text's
    SHA-256."""

    id: int
    before: int | None
    text: str
    space: str
    key: str
    file: str

    @property
    def digest(self) -> bytes:
        import hashlib  # with OpenSSL, 4 MB: who only looks which vectors there are needs none

        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).digest()[:16]


class Packed(NamedTuple):
    """What a model saw of a text, as it is stored (`embed.base`). `tokens` may be empty."""

    vector: bytes
    tokens: bytes


def beside(index: Path, label: str) -> Path:
    """Where the vectors of an index lie that a model with this label made."""
    return index.with_name(f"{index.stem}.{label}{VECTORS}")


def all_beside(index: Path) -> list[Path]:
    """Those of every model that was ever chosen."""
    return sorted(index.parent.glob(f"{index.stem}.*{VECTORS}"))


class Vectors:
    """The connection that adds; a worker's reads beside it. Whoever opens it closes it. `index`: what it belongs to;
    `held`: the part for records that stay at home."""

    def __init__(self, path: Path, index: Path, *, held: bool = False) -> None:
        self.path = path
        self.held = held
        with explained(path):
            self._database = _open(path)
            self._database.execute("attach ? as source", (str(index),))

    def close(self) -> None:
        self._database.close()

    def belong_to(self, model: Model) -> None:
        """Vectors of another model, or of another form of text, are dropped; those of an index that was made again
        lose their ids, and are kept until all is embedded, for texts that come back."""
        stamps = dict(self._rows("select name, value from stamp"))
        wanted = {"model": model.name, "sha256": model.sha256, "format": FORMAT, "index": self._index_mark()}
        if stamps == wanted:
            return
        with self._transaction():
            if any(stamps.get(name) != wanted[name] for name in ("model", "sha256", "format")):
                self._execute("delete from passage")
                self._execute("delete from tokens")
            else:
                self._execute("update passage set id = -id where id > 0")
                self._execute("update tokens set id = -id where id > 0")
            self._database.executemany("insert or replace into stamp values(?, ?)", wanted.items())

    def prune(self) -> int:
        """Take out what the index no longer shows; returns how many passages. They are gone from the file when the
        call returns."""
        gone = [
            (row[0],)
            for row in self._rows(
                f"select id from passage where id > 0 and id >> {PASSAGE_BITS} not in"
                " (select id from source.entry where current)"
            )
        ]
        if gone:
            self._drop(gone)
        return len(gone)

    def unread(self, limit: int, below: int = NEWEST) -> list[Unread]:
        """Passages of at most `limit` records that have no vectors yet, the newest records first. `below`: of those
        records whose first passage has a smaller id."""
        rows = self._rows(
            "select id, before, head, text, space, key, file from source.entry where current and id < ? and not exists"
            f" (select 1 from passage where passage.id = source.entry.id << {PASSAGE_BITS}) order by id desc limit ?",
            below >> PASSAGE_BITS, limit,
        )  # fmt: skip
        return [
            Unread(id_ << PASSAGE_BITS | number, before << PASSAGE_BITS if before is not None else None, text, *origin)
            for id_, before, head, whole, *origin in rows
            for number, text in reversed(list(enumerate(passages(head, whole)[:LONGEST_RECORD])))
        ]

    def waiting(self) -> int:
        """How many records have no vectors yet."""
        (counts,) = self._rows(
            "select (select count(*) from source.entry where current),"
            f" (select count(*) from passage where id > 0 and id & {(1 << PASSAGE_BITS) - 1} = 0)"
        )
        return int(counts[0]) - int(counts[1])

    def adopt(self, unread: Sequence[Unread]) -> list[Unread]:
        """Give known texts the vectors that they have; returns the others."""
        others = []
        with self._transaction():
            for one in unread:
                known = self._rows("select id from passage where digest = ? limit 1", one.digest)
                if not known:
                    others.append(one)
                    continue
                self._execute(
                    "insert or ignore into passage select ?, ?, digest, vector from passage where id = ?",
                    one.id, one.before, known[0][0],
                )  # fmt: skip
                self._execute(
                    "insert or ignore into tokens select ?, packed from tokens where id = ?", one.id, *known[0]
                )
        return others

    def add(self, read: Sequence[tuple[Unread, Packed]]) -> None:
        """Those whose records the index still shows: one may have been withdrawn while the model read it."""
        shown = f"where exists (select 1 from source.entry where current and id = ? >> {PASSAGE_BITS})"
        with self._transaction():
            self._database.executemany(
                f"insert or ignore into passage select ?, ?, ?, ? {shown}",
                ((one.id, one.before, one.digest, packed.vector, one.id) for one, packed in read),
            )
            self._database.executemany(
                f"insert or ignore into tokens select ?, ? {shown}",
                ((one.id, packed.tokens, one.id) for one, packed in read if packed.tokens),
            )

    def forget_the_unowned(self) -> None:
        """What was kept from an index before this one."""
        unowned = self._rows("select id from passage where id < 0")
        if unowned:
            self._drop(unowned)

    def _drop(self, ids: Sequence[tuple[int]]) -> None:
        with self._transaction():
            self._database.executemany("delete from passage where id = ?", ids)
            self._database.executemany("delete from tokens where id = ?", ids)
        self._execute("pragma wal_checkpoint(truncate)")

    def _index_mark(self) -> str:
        """Random, of an index since it was made."""
        return str(self._rows("pragma source.application_id")[0][0])

    def _execute(self, sql: str, *values: object) -> None:
        with explained(self.path):
            self._database.execute(sql, values)

    def _rows(self, sql: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with explained(self.path):
            return self._database.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with explained(self.path):
            self._database.execute("begin immediate")
            with self._database:
                yield


def _open(path: Path) -> sqlite3.Connection:
    """A damaged file, or one of another memferry, is made anew: it is a cache."""
    try:
        return _of_this_version(path)
    except SQLITE_ERRORS as error:
        if isinstance(error, sqlite3.OperationalError):  # locked, or a full disk: the file may be good
            raise
        remove(path)
        return _of_this_version(path)


def _of_this_version(path: Path) -> sqlite3.Connection:
    database = connect(path)
    (version,) = database.execute("pragma user_version").fetchone()
    if version not in (0, VERSION):
        database.close()
        raise sqlite3.DatabaseError(f"version {version}")
    if not version:
        database.executescript(f"begin immediate; {SCHEMA} pragma user_version = {VERSION}; commit;")
    return database
