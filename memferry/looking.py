"""Opening a database; and reading it beside whoever writes it, also where the disk is full."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What a database fails with: Python cannot repeat what SQLite says of a damaged one where that quotes what is no UTF-8
any more."""


def said(error: Exception) -> str:
    """What SQLite said."""
    return "malformed database schema" if isinstance(error, UnicodeDecodeError) else str(error)


class Look(NamedTuple):
    """A connection that only reads, without transactions of its own. `frozen`: it will not see what is written."""

    database: sqlite3.Connection
    frozen: bool


def looking(path: str, *, timeout_s: float = 5) -> Look:
    """Raises SQLITE_ERRORS. On a full disk SQLite has no room for the file by which readers and a writer agree; where
    nothing is in the log beside the database, nobody writes, and it is read as it lies."""
    database = _opened(path, "mode=ro", timeout_s)
    try:
        database.execute("select 1 from sqlite_schema limit 1").fetchone()
    except SQLITE_ERRORS as error:
        database.close()
        if not isinstance(error, sqlite3.OperationalError) or _has_log(path):
            raise
        return Look(_opened(path, "immutable=1", timeout_s), frozen=True)
    return Look(database, frozen=False)


@contextmanager
def closed_on_error(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """It stays open, unless the block, which makes it ready, raises."""
    try:
        yield database
    except BaseException:
        database.close()
        raise


@contextmanager
def looked_at(path: str) -> Iterator[sqlite3.Connection]:
    """For a moment: closed when the block ends."""
    database = looking(path).database
    try:
        yield database
    finally:
        database.close()


def _has_log(path: str) -> bool:
    """A reader may have left an empty one."""
    try:
        return os.path.getsize(f"{path}-wal") > 0
    except FileNotFoundError:
        return False


def _opened(path: str, how: str, timeout_s: float) -> sqlite3.Connection:
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return sqlite3.connect(f"file:{quoted}?{how}", uri=True, timeout=timeout_s, isolation_level=None)
