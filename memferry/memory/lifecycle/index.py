"""What the ledgers say, in tables: a command reads what they gained since the last one, never the whole history.

A SQLite file under `index/`, made from the ledgers and thrown away whenever one of them is not what it was: shorter,
rewritten, gone. It is used under the tree's lock only.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from memferry.looking import SQLITE_ERRORS, closed_on_error
from memferry.memory.lifecycle import ledgers
from memferry.memory.lifecycle.fold import Fold
from memferry.memory.lifecycle.schema import SCHEMA, SCHEMA_VERSION
from memferry.memory.lifecycle.tree import ZONES, place

FILE = "memferry.db"
_HEAD = 512
_TAIL = 256


class Changed(Exception):
    """A ledger is no longer a continuation of what was read of it."""


class Index:
    """The tables, caught up with the ledgers below `root` when it is made. Owns its connection: close it.

    `keep=False`: nothing on disk changes, the tables are as they would be.
    """

    def __init__(self, root: str, *, keep: bool) -> None:
        self._root = root
        self._keep = keep
        self._path = os.path.join(root, "index", FILE)
        self.db = self._opened()
        try:
            self.catch_up()
        except (Changed, *SQLITE_ERRORS):
            self._start_again()

    def close(self) -> None:
        """What was not kept on purpose is rolled back."""
        self.db.close()

    def one(self, sql: str, *values: object) -> Any:
        """The first column of the first row, None where there is none."""
        row = self.db.execute(sql, values).fetchone()
        return row[0] if row else None

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """All of them."""
        return self.db.execute(sql, values).fetchall()

    def catch_up(self) -> None:
        """Read what the ledgers gained. Raises Changed."""
        self.db.execute("begin")
        known = {row[0]: _Known(*row) for row in self.db.execute("select * from files")}
        fold = Fold(self.db)
        for file, stat in _ledgers(self._root):
            self._read(file, stat, known.pop(file, None), fold)
        if known:
            raise Changed
        fold.finish()
        if self._keep:
            self.db.execute("commit")

    def follow(self) -> None:
        """Read what the command just wrote, so that the next one need not. What goes wrong with that is the next one's
        to notice."""
        with suppress(Changed, *SQLITE_ERRORS):
            self.catch_up()

    def _read(self, file: str, stat: os.stat_result, known: _Known | None, fold: Fold) -> None:
        stamp = f"{stat.st_ino}-{stat.st_mtime_ns}-{stat.st_size}"
        if known is not None and known.stamp == stamp:
            return
        path = os.path.join(self._root, *file.split("/"))
        if known is None:
            known = _Known(file, "", 0, 0, 0, None, None, None, "")
        elif stat.st_size < known.offset or _fingerprint(path, known.offset) != known.mark:
            raise Changed
        counted = fold.read(file, place(file), ledgers.read(path, offset=known.offset, number=known.lines + 1), known)
        self.db.execute(
            "insert or replace into files values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (file, stamp, *counted, _fingerprint(path, counted.offset)),
        )

    # -- making it

    def _opened(self) -> sqlite3.Connection:
        if not self._keep and not os.path.exists(self._path):
            return _fresh(":memory:")
        try:
            return self._existing()
        except SQLITE_ERRORS:
            return self._anew()

    def _existing(self) -> sqlite3.Connection:
        with closed_on_error(_connected(self._path)) as db:
            version = db.execute("pragma user_version").fetchone()[0]
        if version == SCHEMA_VERSION:
            return db
        db.close()
        return self._anew()

    def _anew(self) -> sqlite3.Connection:
        """In memory where it cannot be kept, on a full disk perhaps: what is kept only saves time."""
        if self._keep:
            with suppress(*SQLITE_ERRORS, OSError):
                for suffix in ("", "-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        os.unlink(self._path + suffix)
                return _fresh(self._path)
        return _fresh(":memory:")

    def _start_again(self) -> None:
        self.db.close()
        self.db = self._anew()
        try:
            self.catch_up()
        except SQLITE_ERRORS:
            self.db.close()
            self.db = _fresh(":memory:")
            self.catch_up()


class _Known(NamedTuple):
    """What was read of a ledger: up to byte `offset`, which ends `lines` lines, of them `records` records."""

    file: str
    stamp: str
    offset: int
    lines: int
    records: int
    ts_min: str | None
    ts_max: str | None
    scope: str | None
    mark: str


def _ledgers(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every ledger of the tree in the order of names, and what is named like one and is none."""
    for zone in ZONES:
        yield from _below(os.path.join(root, zone), zone)


def _below(folder: str, name: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        file = f"{name}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, file)
        elif entry.name.endswith(".jsonl") and entry.is_file(follow_symlinks=False):
            yield file, os.stat(entry.path, follow_symlinks=False)  # Windows: what the folder says of it is old


def _fingerprint(path: str, offset: int) -> str:
    """Of the bytes at the start and of those before `offset`: what was read is still there."""
    with open(path, "rb") as file:
        head = file.read(min(_HEAD, offset))
        file.seek(max(0, offset - _TAIL))
        tail = file.read(min(_TAIL, offset))
    return hashlib.sha1(head + b"\0" + tail, usedforsecurity=False).hexdigest()


def _connected(path: str) -> sqlite3.Connection:
    with closed_on_error(sqlite3.connect(path, isolation_level=None)) as db:
        # A power cut may take the last commits but never what was read before: the offsets lie in the same file.
        db.execute("pragma journal_mode=wal")
        db.execute("pragma synchronous=normal")
    return db


def _fresh(path: str) -> sqlite3.Connection:
    with closed_on_error(_connected(path)) as db:
        db.executescript(SCHEMA)
        db.execute(f"pragma user_version={SCHEMA_VERSION}")
    return db
