"""Learning: one more entry in a topic's file, durably, however many learn at once.

Who finds the topic in use leaves the entry in its inbox and waits. Whoever has the topic next writes all that waits in
one go: a hundred writers then cost one rewrite of the file, not a hundred. Nothing is acknowledged before it lies in
the file itself, so the inbox need not be durable, and an entry that a crash left there is taken along by the next.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from memferry.durable import explained
from memferry.errors import ConfigError
from memferry.memory import arrays, locks
from memferry.memory.arrays import Array, Entry, Stamp
from memferry.memory.names import SUFFIX

REMEMBERED = 1000


class Topic(NamedTuple):
    """One file of entries: `folder`/`file`, which may not be there yet."""

    folder: Path
    file: str

    @property
    def path(self) -> Path:
        return self.folder / self.file

    @property
    def name(self) -> str:
        return self.file.removesuffix(SUFFIX)

    @property
    def lock(self) -> Path:
        return locks.lock_of(self.path)

    @property
    def gate(self) -> Path:
        return locks.gate_of(self.path)

    @property
    def inbox(self) -> Path:
        return locks.beside(self.folder, f"{self.file}.inbox")


def add(topic: Topic, entry: Entry) -> None:
    """Keep `entry`: when this returns it lies in the topic's file, and when it raises MemferryError it does not."""
    mine = _Mine(entry["id"], _body(entry))
    with explained(topic.path):
        topic.folder.mkdir(parents=True, exist_ok=True)
        with locks.held(topic.inbox) as inbox:
            _leave(inbox, mine)
        try:
            _see_to(topic, mine)
        except BaseException:
            with locks.held(topic.inbox) as inbox:
                _clear(inbox, {mine.body})
            raise


class _Note(NamedTuple):
    """What a writer leaves in the lock's file. `taken`: ids it and those before it took in, where whoever waits reads
    that there is nothing left to do. `stamp`, `end`: the array as it left it, and where the next entry goes: while
    nobody else wrote it, it need not be parsed again."""

    taken: list[str]
    stamp: Stamp | None = None
    end: int = 0


class _Mine(NamedTuple):
    """`body`: the entry as one line of UTF-8."""

    id: str
    body: bytes


def _see_to(topic: Topic, mine: _Mine) -> None:
    """Until somebody has taken it in: another writer, or this one."""
    for _ in locks.waiting(topic.path):
        if not locks.is_free(topic.gate):
            continue
        with locks.tried(topic.lock) as lock:
            note = _read_note(lock.descriptor)
            if mine.id in note.taken:
                return
            if lock.is_mine:
                left = _take_in(topic, mine, note)
                locks.replace(lock.descriptor, json.dumps(left).encode())
                return


def _read_note(lock: int) -> _Note:
    """An empty one where it is damaged, or being written: it only saves work."""
    with suppress(ValueError, TypeError):
        taken, stamp, end = json.loads(locks.content(lock))
        return _Note([str(one) for one in taken], tuple(stamp), int(end))
    return _Note([])


def _take_in(topic: Topic, mine: _Mine, note: _Note) -> _Note:
    """Everything that waits, this one for sure."""
    with locks.held(topic.inbox) as inbox:
        waiting = {entry_id: body for body in _lines(inbox) if (entry_id := _id(body))} | {mine.id: mine.body}
    ends: list[int] = []
    stamp = arrays.edit(topic.path, partial(_with_those, topic.path, waiting, note, ends))
    with locks.held(topic.inbox) as inbox:
        _clear(inbox, set(waiting.values()))
    return _Note([*note.taken, *waiting][-REMEMBERED:], stamp, ends[-1])


def _with_those(
    path: Path, waiting: Mapping[str, bytes], note: _Note, ends: list[int], content: bytes, stamp: Stamp | None
) -> bytes:
    if stamp is not None and stamp == note.stamp and content[note.end :].strip() == b"]":
        array, fresh = Array(content, note.end, False), list(waiting.values())
    else:
        array, present = arrays.parse(content, path)
        there = {entry.get("id") for entry in present if type(entry.get("id")) is str}
        fresh = [body for entry_id, body in waiting.items() if entry_id not in there]
    made = array.with_entries(fresh) if fresh else array
    ends.append(made.end)
    return made.content if fresh else content


def _body(entry: Entry) -> bytes:
    try:
        return arrays.body(entry)
    except UnicodeEncodeError as error:
        raise ConfigError("this is not UTF-8 text", hint="give the content and the rest as UTF-8") from error


# -- the inbox: a line for each entry that waits


def _leave(inbox: int, mine: _Mine) -> None:
    """A half line that a crash left goes: nobody was told that it is kept."""
    present = locks.content(inbox)
    os.ftruncate(inbox, present.rfind(b"\n") + 1)
    os.lseek(inbox, 0, os.SEEK_END)
    locks.write(inbox, mine.body + b"\n")


def _lines(inbox: int) -> list[bytes]:
    return locks.content(inbox).split(b"\n")[:-1]


def _clear(inbox: int, bodies: Collection[bytes]) -> None:
    locks.replace(inbox, b"".join(line + b"\n" for line in _lines(inbox) if line not in bodies))


def _id(body: bytes) -> str | None:
    """None for what a crash or a hand left there."""
    with suppress(ValueError, TypeError, KeyError):
        return str(json.loads(body)["id"])
    return None
