"""The state database: what was read, what is held, what is queued, what every backend has acknowledged."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from memferry.errors import StateError
from memferry.looking import SQLITE_ERRORS, closed_on_error, said

SCHEMA_VERSION = 7
"""Up by one with every change. What an earlier version has not delivered yet is read from its files again."""

PATIENCE_S = 10
"""So long another program may have the database to itself."""

SCHEMA = """
create table meta(name text primary key, value) without rowid;

-- What was read. `stat`: five 64-bit integers (catalog.py); null: to be read again. A layout is a stretch of a file's
-- positions: place = layout << 32 | position.
create table file(
  id integer primary key, space text not null, path text not null, format text not null default '',
  stat blob, cursor blob, content integer, layouts text not null default '[]',
  position integer not null default 0, placed integer not null default 0, cleared integer not null default 0,
  noted_mtime_ns integer, frame text, gone integer not null default 0,
  unique(space, path));
create table layout(id integer primary key, file integer not null);
create table record(id integer primary key, digest integer not null, seq integer not null, place integer not null);
-- Versions before the current one; seq 0: another machine's.
create index record_at on record(place) where place > 0;
create table version(id integer, digest integer, seq integer, primary key(id, digest, seq)) without rowid;
create table place(place integer primary key, id integer not null, seq integer not null);
create index place_of on place(id);
create table withdrawn(seq integer primary key);
create table note(file integer, seq integer, primary key(file, seq)) without rowid;
create table member(file integer, id integer, primary key(file, id)) without rowid;

-- What is held: never a body, never an unkeyed digest.
create table rule(id integer primary key, rule text not null, reason text not null, unique(rule, reason));
create table held(id integer primary key, digest integer not null, file integer not null, start integer not null,
  rule integer not null);
-- Other files in which it was met, too. `own`: as held, not only as another version of what is held.
create table held_too(id integer, file integer, own integer not null, primary key(id, file)) without rowid;
create table holding(file integer, rule integer, count integer not null, primary key(file, rule)) without rowid;
create table passage(mark integer, whole integer, length integer, id integer,
  primary key(mark, whole, length, id)) without rowid;
create table held_name(name integer, id integer, primary key(name, id)) without rowid;
create table held_change(number integer primary key, id integer not null); -- since the local index last looked
create table ref(target integer, id integer, primary key(target, id)) without rowid;
create table echo(mark integer, id integer, primary key(mark, id)) without rowid;

-- Stored without something that stays in the file. `removed`: under which id passages of its blocks are known, or 0.
create table redacted(id integer primary key, removed integer not null);

-- What is queued and what is acknowledged.
-- `file`: the one whose records a row of the journal holds; 0: it holds none; -1: those of several.
create table journal(first integer primary key, last integer not null, count integer not null,
  raw_bytes integer not null, retracts text not null, frame blob not null, file integer not null);
create table checkpoint(backend text primary key, through integer not null default 0,
  attempted integer not null default 0, head text, acknowledged_at real, failures integer not null default 0,
  next_attempt_at real not null default 0, error text, hint text) without rowid;
create table refused(backend text, seq integer, attempts integer not null, next_attempt_at real not null,
  reason text not null, parked integer not null default 0, primary key(backend, seq)) without rowid;

-- What came from other machines: a set of facts, so that the order in which they arrive does not matter.
create table peer(backend text, machine text, name text not null, sequence integer not null, sha256 text not null,
  last_seq integer not null, applied integer not null default 0, primary key(backend, machine)) without rowid;
create table arrived(machine text, seq integer, id integer not null, digest integer not null, shard integer not null,
  primary key(machine, seq)) without rowid;
create index arrived_of on arrived(id);
create table rival(machine text, seq integer, id integer not null, hlc text not null, digest text not null, base text,
  space text not null, file text not null, key text not null, body blob not null,
  raw_bytes integer not null, primary key(machine, seq))
  without rowid;
create index rival_of on rival(id);
create table dead(machine text, seq integer, primary key(machine, seq)) without rowid;
create table settled(machine text, seq integer, primary key(machine, seq)) without rowid;
create table sighting(machine text, through integer, hlc text, primary key(machine, through, hlc)) without rowid;
create table newest(machine text primary key, name text not null, hlc text not null) without rowid;
create table former(machine text primary key, through integer not null) without rowid;

-- What a pull writes into files, which nobody reads as this machine's own; what is still to be written or taken out.
-- `bytes`: of a shard, how many of its first bytes hold nothing but known lines.
create table pulled_file(number integer primary key, space text not null, file text not null,
  bytes integer not null default 0, unique(space, file));
create table unwritten(id integer primary key);
create table doomed(space text, file text, digest integer, primary key(space, file, digest)) without rowid;
create table foreign_record(id integer primary key, machine text not null, seq integer not null, hlc text not null,
  digest text not null, space text not null, file text not null, key text not null,
  pending integer not null);
create table conflict(name integer primary key, space text not null, key text not null, file text not null,
  machine text not null, hlc text not null, digest text not null, copy text, body text, since real not null,
  id integer not null, written integer not null default 0, unique(space, key, digest));

-- What people must know.
create table problem(area text, subject text, text text not null, hint text not null, since real not null,
  primary key(area, subject)) without rowid;
create table counter(name text primary key, value integer not null) without rowid;
create table run(number integer primary key, kind text not null, started_at real not null, finished_at real not null,
  report text not null);
"""


REBUILD = "run `memferry doctor --rebuild`: it is made again from your files and backends"


class Problem(NamedTuple):
    """Bad news that stays until it is gone. `area`: file, space, backend, watch, ...; times in seconds since 1970."""

    area: str
    subject: str
    text: str
    hint: str
    since: float


class State:
    """The only connection that writes. Every change happens inside `transaction()`.

    Used from one thread at a time; whoever opens it closes it.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.clock = clock
        self.database = _open(path)
        self._depth = 0
        self._is_to_wipe = False

    def close(self) -> None:
        with contextlib.suppress(*SQLITE_ERRORS):
            self.database.execute("pragma optimize")
        self.database.close()

    # -- transactions

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when it ends. One inside another is part of that."""
        if self._depth:
            yield
            return
        self.execute("begin immediate")
        self._depth += 1
        try:
            yield
            self.execute("commit")
        except BaseException:
            with contextlib.suppress(StateError):
                self.execute("rollback")
            raise
        finally:
            self._depth -= 1
        self._wipe()

    def wipe(self) -> None:
        """What this transaction deletes or replaces was withdrawn: it must not survive in the log either."""
        self._is_to_wipe = True

    def _wipe(self) -> None:
        """Whoever reads just now keeps the log as it is, until a later transaction is through."""
        if not self._is_to_wipe:
            return
        with contextlib.suppress(StateError):  # what is in the way of it shows with the next commit
            self.execute("pragma busy_timeout = 0")
            self._is_to_wipe = self.one("pragma wal_checkpoint(truncate)") != (0, 0, 0)
        self.execute(f"pragma busy_timeout = {PATIENCE_S * 1000}")

    @contextlib.contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Everything inside happens, is seen, and is undone at the end: a dry run."""
        self.execute("begin immediate")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            self._is_to_wipe = False
            with contextlib.suppress(StateError):  # SQLite has done it already where the disk is full
                self.execute("rollback")

    # -- statements

    def execute(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        try:
            return self.database.execute(sql, values)
        except SQLITE_ERRORS as error:
            raise _explained(error, self.path) from error

    def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        try:
            self.database.executemany(sql, rows)
        except SQLITE_ERRORS as error:
            raise _explained(error, self.path) from error

    def rows(self, sql: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        return self._fetch(sql, values)

    def one(self, sql: str, *values: object) -> tuple | None:  # type: ignore[type-arg]
        return next(iter(self._fetch(sql, values)), None)

    def among(self, sql: str, values: Iterable[int]) -> list[tuple]:  # type: ignore[type-arg]
        """`sql` holds one `?` that stands for a set of integers: `... in (select value from json_each(?))`."""
        return self._fetch(sql, (repr(list(values)),))

    def _fetch(self, sql: str, values: Sequence[object]) -> list[tuple]:  # type: ignore[type-arg]
        found = self.execute(sql, values)
        try:
            return found.fetchall()
        except SQLITE_ERRORS as error:  # a damaged page may only show when its rows are fetched
            raise _explained(error, self.path) from error

    def damaged(self, what: str) -> StateError:
        """A value in the database is not what was stored there."""
        return StateDamaged(f"{self.path} is damaged: {what} cannot be read", hint=REBUILD)

    # -- small facts

    def meta(self, name: str) -> str | None:
        row = self.one("select value from meta where name = ?", name)
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str | int) -> None:
        self.execute("insert or replace into meta values(?, ?)", (name, str(value)))

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter that `status` shows."""
        if by:
            self.execute(
                "insert into counter values(?, ?) on conflict(name) do update set value = value + excluded.value",
                (name, by),
            )

    def report_problem(self, area: str, subject: str, text: str, hint: str = "") -> None:
        self.execute(
            "insert into problem values(?, ?, ?, ?, ?) on conflict(area, subject) do update set text = excluded.text,"
            " hint = excluded.hint",
            (area, subject, text, hint, self.clock()),
        )

    def clear_problem(self, area: str, subject: str) -> None:
        self.clear_problems(area, [subject])

    def clear_problems(self, area: str, subjects: Sequence[str]) -> None:
        self.execute(
            "delete from problem where area = ? and subject in (select value from json_each(?))",
            (area, json.dumps(subjects)),
        )

    def problems(self) -> list[Problem]:
        return [Problem(*row) for row in self.rows("select * from problem order by area, subject")]


def _open(path: Path) -> sqlite3.Connection:
    try:
        _make_private(path)
        return _connect(path)
    except SQLITE_ERRORS as error:
        raise _explained(error, path) from error
    except OSError as error:
        raise StateError(
            f"cannot open the state in {path.parent}: {error.strerror}", hint="check that the folder is writable"
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    connected = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=PATIENCE_S)
    with closed_on_error(connected) as database:
        for pragma in (
            "journal_mode = wal",
            "synchronous = full",  # NORMAL loses every commit since the last checkpoint on a power cut
            "fullfsync = on",  # on macOS fsync alone leaves what was written in the drive's cache
            "checkpoint_fullfsync = on",
            "secure_delete = on",  # a withdrawn body must not survive in free pages
            "cache_size = -16000",
            "temp_store = memory",
            "wal_autocheckpoint = 4000",
        ):
            database.execute(f"pragma {pragma}")
        _migrate(database, path)
    return connected


def _make_private(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("pragma user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise StateError(
            f"{path} was written by a newer memferry (state version {version}, this one knows {SCHEMA_VERSION})",
            hint="upgrade memferry",
        )
    if 0 < version < SCHEMA_VERSION:
        raise StateDamaged(f"{path} was written by an earlier memferry (state version {version})", hint=REBUILD)
    if not version:
        database.executescript(f"begin immediate; {SCHEMA} pragma user_version = {SCHEMA_VERSION}; commit;")


def is_as_made(database: sqlite3.Connection) -> bool:
    """Whether the tables are word by word what they were made as; another memferry's are not judged. A flipped bit may
    leave others, in which SQLite finds nothing wrong."""
    (version,) = database.execute("pragma user_version").fetchone()
    with contextlib.closing(sqlite3.connect(":memory:")) as made:
        made.executescript(SCHEMA)
        return version != SCHEMA_VERSION or _tables(database) == _tables(made)


def _tables(database: sqlite3.Connection) -> set[tuple[str, str]]:
    """And indexes, but for SQLite's own."""
    return set(database.execute("select name, sql from sqlite_schema where name not like 'sqlite\\_%' escape '\\'"))


_DAMAGED = ("malformed", "not a database", "no such column", "no such table")


def _explained(error: Exception, path: Path) -> StateError:
    text = said(error)
    if "locked" in text:
        return StateError(f"{path} is in use by another program", hint="wait for it, or stop it, and try again")
    if "full" in text:
        return StateError(f"no space left for {path}", hint="free some disk space; nothing is lost, sync again after")
    if any(sign in text for sign in _DAMAGED):
        return StateDamaged(f"{path} is damaged ({text})", hint=REBUILD)
    return StateError(f"{path}: {text}", hint="run `memferry doctor`")


class StateDamaged(StateError):
    """The database file itself is broken; it can be rebuilt."""
