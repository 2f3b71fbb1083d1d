"""The local full-text index: built behind the sync from machines' logs, a cache that can be made again at any time."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from memferry.errors import StateError
from memferry.model import Op, Put, Retract

VERSION = 1
BATCH = 2000
SCHEMA = """
create table position(machine text primary key, seq integer not null) without rowid;
create table entry(id integer primary key, machine text not null, seq integer not null, space text not null,
  key text not null, file text not null, type text, tags text not null, ts text, hlc text not null, text text not null,
  unique(machine, seq));
create index entry_of on entry(space, key);
create virtual table words using fts5(text, content='entry', content_rowid='id', tokenize='porter unicode61');
create trigger entry_in after insert on entry begin
  insert into words(rowid, text) values (new.id, new.text); end;
create trigger entry_out after delete on entry begin
  insert into words(words, rowid, text) values ('delete', old.id, old.text); end;
"""
_NOT_WORDS = frozenset({"hash", "idempotency_key", "schema_version", "digest", "id", "event_id", "uuid"})


class Wanted(NamedTuple):
    """What to search for. `since`: ISO date or time, compared with a record's own."""

    query: str
    limit: int = 10
    space: str | None = None
    type: str | None = None
    tag: str | None = None
    since: str | None = None


class Hit(NamedTuple):
    """One answer; a higher score is better. `snippet`: the best passage with the matching words in brackets."""

    key: str
    space: str
    text: str
    snippet: str
    score: float
    file: str
    type: str | None
    tags: list[str]
    ts: str | None
    machine: str


class Index:
    """One database that many processes may search while one adds to it."""

    def __init__(self, path: Path) -> None:
        self._database = _open(path)

    def close(self) -> None:
        self._database.close()

    def position(self, machine: str) -> int:
        """The last seq of a machine's log that is in the index."""
        row = self._database.execute("select seq from position where machine = ?", (machine,)).fetchone()
        return row[0] if row else 0

    def add(self, machine: str, ops: Iterable[Op]) -> int:
        """Take in operations of a machine's log in order; returns how many. Committed batch by batch."""
        count = 0
        for batch in _batched(ops):
            with self._transaction():
                for op in batch:
                    self._take(machine, op)
                self._database.execute("insert or replace into position values(?, ?)", (machine, batch[-1].seq))
            count += len(batch)
        return count

    def drop(self, machine: str, seqs: Iterable[int]) -> None:
        """Withdrawn before anybody else knew of them."""
        with self._transaction():
            self._database.executemany("delete from entry where machine = ? and seq = ?", ((machine, s) for s in seqs))

    def search(self, wanted: Wanted) -> list[Hit]:
        """Best first; an empty query answers nothing."""
        match = _match(wanted.query)
        if not match:
            return []
        rows = self._database.execute(
            "select key, space, entry.text, snippet(words, 0, '[', ']', ' … ', 24), -bm25(words), file, type, tags, ts,"
            " machine from words join entry on entry.id = words.rowid where words match ?"
            " and (? is null or space = ?) and (? is null or type = ?) and (? is null or instr(tags, ?))"
            " and (? is null or ts >= ?) order by bm25(words) limit ?",
            (
                match, wanted.space, wanted.space, wanted.type, wanted.type, wanted.tag, f"\n{wanted.tag}\n",
                wanted.since, wanted.since, wanted.limit,
            ),
        )  # fmt: skip
        return [Hit._make((*row[:7], row[7].split(), *row[8:])) for row in rows]

    def _take(self, machine: str, op: Op) -> None:
        execute = self._database.execute
        if isinstance(op, Retract):
            self._database.executemany("delete from entry where machine = ? and seq = ?", op.ops)
        elif isinstance(op, Put):
            newer = execute(
                "select 1 from entry where space = ? and key = ? and hlc > ?", (op.space, op.key, op.hlc)
            ).fetchone()
            if newer:
                return
            execute("delete from entry where space = ? and key = ?", (op.space, op.key))
            tags = "".join(f"\n{tag}" for tag in op.tags) + "\n"
            execute(
                "insert or ignore into entry(machine, seq, space, key, file, type, tags, ts, hlc, text)"
                " values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (machine, op.seq, op.space, op.key, op.file, op.type, tags, op.ts, op.hlc, prose(op)),
            )

    def _transaction(self) -> sqlite3.Connection:
        self._database.execute("begin immediate")
        return self._database


def prose(put: Put) -> str:
    """What a person would read of a record: a document's text, or the words among a JSON record's values."""
    if put.format == "document":
        return put.body
    try:
        value = msgspec.json.decode(put.body)
    except msgspec.DecodeError:
        return put.body
    return "\n".join(_strings(value)) or put.body


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        if " " in value or not value.isascii():
            yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in _NOT_WORDS:
                yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _match(query: str) -> str:
    """Any of the words; FTS5's own syntax is never reached, so no query can be wrong."""
    return " OR ".join(f'"{word}"' for word in re.findall(r"\w+", query))


def _batched(ops: Iterable[Op]) -> Iterator[list[Op]]:
    batch: list[Op] = []
    for op in ops:
        batch.append(op)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _open(path: Path) -> sqlite3.Connection:
    try:
        database = sqlite3.connect(path, isolation_level=None, timeout=10)
        path.chmod(0o600)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = normal")  # a cache: a power cut may cost it its newest entries
        (version,) = database.execute("pragma user_version").fetchone()
        if version != VERSION:
            database.executescript(f"begin immediate; {SCHEMA} pragma user_version = {VERSION}; commit;")
    except sqlite3.Error as error:
        raise StateError(f"{path}: {error}", hint=f"delete {path.name}; it is made again") from error
    return database
