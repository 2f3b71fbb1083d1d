"""Folding a machine's log to what each of its files showed last. Deterministic; the only I/O is a scratch database,
so that a log of a million records needs no memory to speak of.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, assert_never

from memferry.model import Note, Op, Place, Put, Retract, Settle, Sighting

_SCHEMA = """
pragma journal_mode = off; pragma synchronous = off; pragma locking_mode = exclusive; pragma cache_size = -16000;
create table file(id integer primary key, space text not null, name text not null, format text not null default '',
    mtime_ns int, frame text, gone int not null default 0, unique(space, name));
create table version(seq integer primary key, file int not null, key text not null, format text not null,
    size int not null, body blob not null, redacted int not null);
create table shown(file int, position int, seq int not null, primary key(file, position)) without rowid;
"""

_GONE_BUT_SHOWN_ELSEWHERE = """
select file.id from file where gone and not exists (
    select 1 from shown mine join version using(seq) where mine.file = file.id and not exists (
        select 1 from shown other join file live on live.id = other.file
        where other.seq = mine.seq and not live.gone))
"""

_ASIDE = """
create table aside as
select old.seq, file.space, file.name, old.format from version old join file on file.id = old.file
where not exists (select 1 from shown where shown.seq = old.seq) and not exists (
    select 1 from version new join file its on its.id = new.file
    where new.key = old.key and its.space = file.space and new.seq > old.seq and new.size >= old.size)
"""


class File(NamedTuple):
    """A file as its log left it. `records`: how many versions it shows. `mtime_ns`: None if no note told.
    `frame`: the bytes around a JSON array's entries (before, between, after). `gone`: it had vanished."""

    id: int
    space: str
    name: str
    format: str
    mtime_ns: int | None
    frame: tuple[str, str, str] | None
    gone: bool
    records: int


class Layouts:
    """The files of one machine. `machine`: its id; what its own log retracts is dropped. `path`: of the scratch
    database, by default in memory. Owns its connection; close it."""

    def __init__(self, path: Path | str = ":memory:", *, machine: str = "") -> None:
        self._machine = machine
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._db.execute("begin")
        self._present: set[int] = set()
        self._known: set[int] = set()
        self._file = lru_cache(maxsize=1024)(self._find_file)

    def apply(self, op: Op) -> None:
        """The next operation; seqs ascend."""
        match op:
            case Put():
                self._put(op)
            case Place():
                self._show(self._file(op.space, op.file), op.position, op.put)
            case Note():
                self._note(op)
            case Retract():
                mine = ((seq,) for machine, seq in op.ops if machine == self._machine)
                self._db.executemany("delete from version where seq = ?", mine)
            case Settle() | Sighting():
                """They tell other machines which version is current, and change no file of this one."""
            case _:
                assert_never(op)

    def files(self) -> Iterator[File]:
        """Those that are or were there, by space and name; but not a file that is gone, if all it showed is shown by
        others, as after a rotation."""
        self._index()
        moved = {id_ for (id_,) in self._db.execute(_GONE_BUT_SHOWN_ELSEWHERE)}
        count = "(select count(*) from shown join version using(seq) where shown.file = file.id)"
        for row in self._db.execute(
            f"select id, space, name, format, mtime_ns, frame, gone, {count} from file order by space, name"
        ):
            id_, space, name, format_, mtime_ns, frame, gone, records = row
            if id_ not in moved:
                around = tuple(json.loads(frame)) if frame else None
                yield File(id_, space, name, format_, mtime_ns, around, bool(gone), records)

    def redacted(self, files: Sequence[int]) -> int:
        """How many of the versions that these files show are without something that only their machine has."""
        shown = "select seq from shown where file in (select value from json_each(?))"
        sql = f"select count(*) from version where redacted and seq in ({shown})"
        return int(self._db.execute(sql, (json.dumps(files),)).fetchone()[0])

    def bodies(self, file: int) -> Iterator[bytes]:
        """What a file shows, in order. `file`: its id."""
        sql = "select body from shown join version using(seq) where shown.file = ? order by position"
        return (body for (body,) in self._db.execute(sql, (file,)))

    def set_aside(self, space: Callable[[str], str], name: Callable[[str, str, int], str]) -> None:
        """Show in files of their own what no file shows any more: lines that a rewrite removed, and versions that were
        replaced only by shorter ones. One that a longer one of the same key replaced was an edit.

        `space`: theirs, from the one they lay in; `name`: theirs, from file, format and seq. Call when all is applied.
        """
        self._index()
        self._db.execute("create index version_by_key on version(key, seq)")
        self._db.execute(_ASIDE)
        for seq, was_in, file, format_ in self._db.execute("select seq, space, name, format from aside order by seq"):
            kept = self._file(space(was_in), name(file, format_, seq))
            self._db.execute("update file set format = ?, mtime_ns = 0 where id = ?", (format_, kept))
            self._show(kept, seq, seq)

    def move(self, file: int, space: str, name: str) -> None:
        """Have a file restored under another name."""
        self._db.execute("update file set space = ?, name = ? where id = ?", (space, name, file))

    def close(self) -> None:
        """Close the scratch database."""
        self._db.close()

    def _index(self) -> None:
        self._db.execute("create index if not exists shown_by_seq on shown(seq)")

    def _put(self, put: Put) -> None:
        file = self._file(put.space, put.file)
        body = put.body.encode()
        row = (put.seq, file, put.key, put.format, len(body), body, put.redacted)
        self._db.execute("insert or replace into version values(?, ?, ?, ?, ?, ?, ?)", row)
        self._db.execute(
            "update file set format = ?, gone = 0 where id = ? and (format = '' or gone)", (put.format, file)
        )
        self._show(file, put.position, put.seq)

    def _show(self, file: int, position: int, seq: int) -> None:
        if file not in self._present:
            self._db.execute("update file set gone = 0 where id = ?", (file,))
            self._present.add(file)
        self._db.execute("insert or replace into shown values(?, ?, ?)", (file, position, seq))

    def _note(self, note: Note) -> None:
        if note.was is not None:
            self._rename(note.space, note.was, note.file)
        file = self._file(note.space, note.file)
        self._present.discard(file)
        self._known.discard(file)
        if note.keep is not None:
            self._db.execute("delete from shown where file = ? and position >= ?", (file, note.keep))
        frame = json.dumps(note.frame) if note.frame is not None else None
        self._db.execute(
            "update file set gone = ?, mtime_ns = coalesce(?, mtime_ns), frame = coalesce(?, frame),"
            " format = coalesce(nullif(?, ''), format) where id = ?",
            (note.gone, note.mtime_ns, frame, note.format, file),
        )

    def _rename(self, space: str, was: str, name: str) -> None:
        """What lay under the new name is shown no more."""
        file, displaced = self._file(space, was), self._file(space, name)
        if file == displaced:
            return
        self._present.discard(displaced)
        self._known.discard(displaced)
        self._db.execute("delete from shown where file = ?", (displaced,))
        self._db.execute("update version set file = ? where file = ?", (file, displaced))
        self._db.execute("delete from file where id = ?", (displaced,))
        self._db.execute("update file set name = ? where id = ?", (name, file))
        self._file.cache_clear()

    def _find_file(self, space: str, name: str) -> int:
        self._db.execute("insert or ignore into file(space, name) values(?, ?)", (space, name))
        (found,) = self._db.execute("select id from file where space = ? and name = ?", (space, name)).fetchone()
        return int(found)
