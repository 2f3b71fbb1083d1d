"""The local full-text index: built behind the sync from machines' logs, a cache that can be made again at any time.

```
entry     every machine's newest version of each record; `current`: the one that is shown, and the only one in `words`
words     FTS5 over passages, rowid = entry << 16 | number; without a copy of the text, so what goes out is said again
```

With each record that says who speaks its predecessor in the same file is indexed too (`before`, a column that counts
half): an answer repeats little of the question before it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from memferry.looking import closed_on_error
from memferry.model import Op, Put, Retract
from memferry.recall import segments
from memferry.recall.layout import HELD_FROM as HELD_FROM
from memferry.recall.layout import PASSAGE_BITS as PASSAGE_BITS
from memferry.recall.layout import REBUILD as REBUILD
from memferry.recall.layout import VERSION as VERSION
from memferry.recall.layout import context_of as context_of
from memferry.recall.layout import explained as explained
from memferry.recall.passages import LONGEST, passages
from memferry.recall.prose import Prose, prose
from memferry.recall.words import prepared
from memferry.values import seconds

BATCH = 2000

SCHEMA = """
create table position(machine text primary key, seq integer not null) without rowid;
create table entry(id integer primary key autoincrement, machine text not null, seq integer not null,
  space text not null, key text not null, file text not null, place integer not null, before integer,
  current integer not null, hlc text not null, digest text not null, type text, tags text not null, ts text, at real,
  scope text, sensitivity text, importance real, used text, head text not null, text text not null);
create index entry_of_seq on entry(seq); -- short and mostly ascending; a machine is looked at then
create index entry_of_key on entry(key);
create index entry_of_file on entry(file);
create index entry_before on entry(before) where before <> id - 1; -- the others need none
"""


class _Entry(NamedTuple):
    id: int
    machine: str
    before: int | None
    current: bool
    hlc: str
    digest: str
    tags: str
    head: str
    text: str


class _End(msgspec.Struct, frozen=True, gc=False):
    """The last record of a file."""

    id: int
    place: int
    context: str


_COLUMNS = ", ".join(_Entry._fields)
_STORED = (
    "id", "machine", "seq", "space", "key", "file", "place", "before", "current", "hlc", "digest", "type", "tags", "ts",
    "at", "scope", "sensitivity", "importance", "used", "head", "text",
)  # fmt: skip
_TAGS = _STORED.index("tags")
_AT_ONCE = 40
"""Rows of one statement: SQLite took no more than 999 values before 3.32."""
_NOWHERE = -2
_UNFIT = (ValueError, ArithmeticError, RecursionError)
"""What a value raises that SQLite or a reader of it cannot hold: half of a surrogate pair, a number without end."""


class Index:
    """The connection that adds; many others may read beside it (`reading`). Whoever opens it closes it.

    `held`: the part for records that stay at home. What is taken out is gone from the file when the call returns.
    `wiped`: how often something was. `left_out`: operations that could not be stored, since it was opened. The
    `application_id` of the file is random: an index made again is told by it.
    """

    def __init__(self, path: Path, *, held: bool = False) -> None:
        self.path = path
        self.wiped = 0
        self.left_out = 0
        self._held = held
        self._settled = False
        self._first = HELD_FROM if held else 1
        self._database = _open(path, self._first)

    def close(self) -> None:
        self._database.close()

    @property
    def is_new(self) -> bool:
        """Nothing was ever put into it: there was none, or one of another memferry."""
        with explained(self.path):
            return self._next_id() == self._first

    def position(self, machine: str) -> int:
        """The last seq of a machine's log that is in the index."""
        with explained(self.path):
            row = self._database.execute("select seq from position where machine = ?", (machine,)).fetchone()
        return row[0] if row else 0

    def digests(self, machine: str, seqs: Iterable[int]) -> dict[int, str]:
        """Hex digests of what is here of a machine, by seq."""
        sql = "select seq, digest from entry where machine = ? and seq in (select value from json_each(?))"
        with explained(self.path):
            return dict(self._database.execute(sql, (machine, json.dumps(list(seqs)))))

    def reached(self, machine: str, seq: int) -> None:
        """There is nothing more up to `seq`: what was there is withdrawn."""
        with self._transaction():
            self._database.execute("insert or replace into position values(?, ?)", (machine, seq))

    def add(self, machine: str, ops: Iterable[Op]) -> int:
        """Take in operations of a machine's log in order; returns how many. Committed batch by batch."""
        count = 0
        withdrew = False
        for batch in _batched(ops):
            withdrew |= self._add_batch(machine, batch)
            count += len(batch)
        if withdrew:
            self._wipe()
        return count

    def drop(self, machine: str, seqs: Iterable[int]) -> None:
        """Withdrawn before anybody else knew of them."""
        with self._transaction():
            withdrew = self._withdraw((machine, seq) for seq in seqs)
        if withdrew:
            self._wipe()

    def settle(self) -> bool:
        """A little of the work that can wait, and makes questions faster; whether there is more."""
        if self._settled:
            return False
        with explained(self.path):
            self._settled = not segments.merge(self._database)
        return not self._settled

    # -- operations

    def _add_batch(self, machine: str, batch: Sequence[Op]) -> bool:
        """Whether something was withdrawn. One operation that cannot be stored takes no other with it."""
        try:
            with self._transaction():
                withdrew = self._take(machine, batch)
                self._database.execute("insert or replace into position values(?, ?)", (machine, batch[-1].seq))
            return withdrew
        except _UNFIT:
            half = len(batch) // 2
            if half:
                return self._add_batch(machine, batch[:half]) | self._add_batch(machine, batch[half:])
            self.left_out += 1
            self.reached(machine, batch[0].seq)
            return False

    def _take(self, machine: str, ops: Sequence[Op]) -> bool:
        """Whether something was withdrawn. Records that are met for the first time, as most are, go in together."""
        known = self._known({op.key for op in ops if isinstance(op, Put)})
        fresh: list[Put] = []
        withdrew = False
        for op in ops:
            if isinstance(op, Put) and op.key not in known:
                known.add(op.key)
                fresh.append(op)
            elif isinstance(op, Put | Retract):
                self._add_fresh(machine, fresh)
                fresh = []
                if isinstance(op, Put):
                    self._put(machine, op)
                else:
                    withdrew |= self._withdraw(op.ops)
        self._add_fresh(machine, fresh)
        return withdrew

    def _known(self, keys: Collection[str]) -> set[str]:
        sql = "select key from entry where key in (select value from json_each(?))"
        return {row[0] for row in self._database.execute(sql, (json.dumps(list(keys)),))}

    def _add_fresh(self, machine: str, puts: Sequence[Put]) -> None:
        """Records under keys that nobody has used yet."""
        if not puts:
            return
        ends: dict[tuple[str, str], _End] = {}
        rows = []
        words: list[tuple[int, str, str]] = []
        for id_, op in enumerate(puts, self._next_id()):
            said, file = prose(op), (op.space, op.file)
            end = ends.get(file) or self._end(machine, op)
            before, context = (end.id, end.context) if self._goes_on(end, op, said) else (None, "")
            row = _row(id_, machine, op, said, before, current=1)
            rows.append(row)
            words += _words(id_, context, said.head, said.body, row[_TAGS])
            ends[file] = _End(id_, op.position, context_of(said.head, said.body))
        self._insert(rows)
        self._database.executemany("insert into words(rowid, text, before) values(?, ?, ?)", words)

    def _insert(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows as `_STORED` says. What none of them has is not named: the sqlite3 module takes longer for None than for
        a text. And several in one statement, for each has its own costs."""
        given = [at for at in range(len(_STORED)) if any(row[at] is not None for row in rows)]
        names, one = ", ".join(_STORED[at] for at in given), f"({', '.join('?' * len(given))})"
        chosen = map(itemgetter(*given), rows)
        while part := list(islice(chosen, _AT_ONCE)):
            sql = f"insert into entry({names}) values {', '.join([one] * len(part))}"
            self._database.execute(sql, list(chain.from_iterable(part)))

    def _put(self, machine: str, op: Put) -> None:
        versions = self._all("key = ? and space = ?", op.key, op.space)
        mine = next((one for one in versions if one.machine == machine), None)
        if mine is not None and mine.hlc > op.hlc:
            return
        said = prose(op)
        before = mine.before if mine is not None else self._predecessor(machine, op, said)
        if mine is not None:
            self._remove(mine)
        id_ = self._next_id()
        self._insert([_row(id_, machine, op, said, before, current=0)])
        if mine is not None:
            self._follow(mine.id, id_)
        self._elect(op.space, op.key)

    def _next_id(self) -> int:
        (last,) = self._database.execute("select seq from sqlite_sequence where name = 'entry'").fetchone()
        return int(last) + 1

    def _predecessor(self, machine: str, op: Put, said: Prose) -> int | None:
        """The record right before in the same file, if it is known."""
        end = self._end(machine, op)
        return end.id if self._goes_on(end, op, said) else None

    def _goes_on(self, end: _End, op: Put, said: Prose) -> bool:
        """Of what is held only some lines of a file are known, by their offsets."""
        follows = end.place < op.position if self._held else end.place == op.position - 1
        return said.spoken and end.place >= 0 and follows

    def _end(self, machine: str, op: Put) -> _End:
        """What was added last of an operation's file."""
        row = self._database.execute(
            "select id, place, head, text from entry where file = ? and machine = ? and space = ?"
            " order by id desc limit 1",
            (op.file, machine, op.space),
        ).fetchone()
        return _End(row[0], row[1], context_of(row[2], row[3])) if row else _End(0, _NOWHERE, "")

    def _withdraw(self, ops: Iterable[tuple[str, int]]) -> bool:
        """Whether anything was there to be taken out."""
        found = False
        for machine, seq in ops:
            for entry in self._all("machine = ? and seq = ?", machine, seq):
                found = True
                space, key = self._database.execute("select space, key from entry where id = ?", (entry.id,)).fetchone()
                self._remove(entry)
                self._follow(entry.id, entry.before)
                self._elect(space, key)
        return found

    def _remove(self, entry: _Entry) -> None:
        """Out of both tables, and out of the passages of those that follow it, which then wait for `_follow`."""
        for one in (entry, *self._followers(entry.id)):
            self._hide(one)
        self._database.execute("delete from entry where id = ?", (entry.id,))

    def _follow(self, gone: int, heir: int | None) -> None:
        """What followed an entry follows another, or nothing."""
        for one in self._followers(gone):
            self._database.execute("update entry set before = ? where id = ?", (heir, one.id))
            if one.current:
                self._index(one._replace(before=heir))

    def _followers(self, id_: int) -> list[_Entry]:
        """Mostly the next entry, else found by the index of those that follow another."""
        return self._all("id = ? and before = id - 1", id_ + 1) + self._all("before = ? and before <> id - 1", id_)

    # -- which version is shown

    def _elect(self, space: str, key: str) -> None:
        """The latest version of a record is current, whichever machine wrote it; the same content needs no change."""
        versions = self._all("key = ? and space = ?", key, space)
        latest = max(versions, key=lambda one: (one.hlc, one.machine), default=None)
        shown = [one for one in versions if one.current]
        if latest is None or any(one.digest == latest.digest for one in shown):
            return
        for one in shown:
            self._hide(one)
            self._database.execute("update entry set current = 0 where id = ?", (one.id,))
        self._show(latest)

    def _show(self, entry: _Entry) -> None:
        self._database.execute("update entry set current = 1 where id = ?", (entry.id,))
        self._index(entry)

    def _index(self, entry: _Entry) -> None:
        self._database.executemany("insert into words(rowid, text, before) values(?, ?, ?)", self._rows(entry))

    def _hide(self, entry: _Entry) -> None:
        if entry.current:
            rows = self._rows(entry)
            self._database.executemany("insert into words(words, rowid, text, before) values('delete', ?, ?, ?)", rows)

    def _rows(self, entry: _Entry) -> list[tuple[int, str, str]]:
        """What FTS5 was, or will be, given for an entry: it must be told the same words again to forget them."""
        sql = "select head, text from entry where id = ?"
        row = self._database.execute(sql, (entry.before,)).fetchone() if entry.before is not None else None
        return _words(entry.id, context_of(*row) if row else "", entry.head, entry.text, entry.tags)

    def _all(self, condition: str, *values: object) -> list[_Entry]:
        return [
            _Entry(*row) for row in self._database.execute(f"select {_COLUMNS} from entry where {condition}", values)
        ]

    # -- the file

    def _wipe(self) -> None:
        """What was withdrawn must not survive in old segments of FTS5, in free pages or in the log."""
        self.wiped += 1
        with explained(self.path):
            self._database.execute("insert into words(words) values('optimize')")
            self._database.execute("pragma wal_checkpoint(truncate)")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with explained(self.path):
            self._settled = False
            self._database.execute("begin immediate")
            with self._database:
                yield


def _row(id_: int, machine: str, op: Put, said: Prose, before: int | None, *, current: int) -> tuple[Any, ...]:
    """As `_STORED` says."""
    tags = "\n".join(("", *op.tags, "")) if op.tags else "\n"
    return (
        id_, machine, op.seq, op.space, op.key, op.file, op.position, before, current, op.hlc, op.digest, op.type, tags,
        op.ts, seconds(op.ts), said.scope, said.sensitivity, said.importance, said.used, said.head, said.body,
    )  # fmt: skip


def _words(id_: int, context: str, head: str, text: str, tags: str) -> list[tuple[int, str, str]]:
    """Rows of `words`: the first passage has the record before it."""
    if len(text) <= LONGEST:  # as nearly always: in half the time
        said = f"{head}: {text}{tags}" if head else text + tags
        return [(id_ << PASSAGE_BITS, prepared(said), prepared(context))]
    first, *more = passages(head, text)
    rows = [(id_ << PASSAGE_BITS, prepared(first + tags), prepared(context))]
    if more:
        rows += [(id_ << PASSAGE_BITS | number, prepared(one + tags), "") for number, one in enumerate(more, 1)]
    return rows


def remove(path: Path) -> None:
    """The index and its log, whatever state they are in."""
    with explained(path):
        path.unlink(missing_ok=True)
        _remove_log(path)


def replace(path: Path, draft: Path) -> None:
    """Put a closed index that was made beside `path` in its place. Who has the old one open goes on with that."""
    with explained(path):
        _remove_log(path)  # nobody may take it for the new one's
        draft.replace(path)


def _remove_log(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _open(path: Path, first: int) -> sqlite3.Connection:
    with explained(path):
        database = connect(path)
        (version,) = database.execute("pragma user_version").fetchone()
        if version not in (0, VERSION):  # of another memferry: a cache is not worth a migration
            database.close()
            remove(path)
            database = connect(path)
            version = 0
        if not version:
            number = int.from_bytes(os.urandom(4), "big") >> 1  # it takes 31 bits
            database.executescript(
                f"begin immediate; {SCHEMA} {segments.CREATE} insert into sqlite_sequence values('entry', {first - 1});"
                f" pragma application_id = {number}; pragma user_version = {VERSION}; commit;"
            )
    return database


def connect(path: Path) -> sqlite3.Connection:
    """A database of recall, made where there is none: a cache that this user alone may read, and that forgets well."""
    path.touch(mode=0o600)
    connected = sqlite3.connect(path, isolation_level=None, timeout=10)
    with closed_on_error(connected) as database:
        for pragma in (
            "journal_mode = wal",
            "synchronous = normal",  # a cache: a power cut may cost it its newest entries
            "secure_delete = on",
            "cache_size = -8000",
        ):
            database.execute(f"pragma {pragma}")
    return connected


def _batched(ops: Iterable[Op]) -> Iterator[list[Op]]:
    rest = iter(ops)
    while batch := list(islice(rest, BATCH)):
        yield batch
