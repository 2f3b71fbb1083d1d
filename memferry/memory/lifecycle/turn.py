"""One command's turn in a tree: it reads the index, plans what to write, and writes all of that at the end."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

from memferry.errors import MemoryRefused
from memferry.memory import locks
from memferry.memory.lifecycle import clock, founding, ledgers
from memferry.memory.lifecycle.records import Fields, Who, event, line
from memferry.memory.lifecycle.words import compact
from memferry.values import iso

if TYPE_CHECKING:
    from argparse import Namespace

    from memferry.memory.lifecycle.index import Index

_ORDER = ("views", "projects", "coordination", "streams", "bus", "governance", "_meta")
"""What is written first. After a crash a record may be there that nothing says was made; it is found and not made
again. The other way round it would be missing for ever."""

_SHORTEST_QUOTE = 16


class Turn:
    """Inside, no other command writes in the tree. `ts`: when it began; `founded`: what of the tree was made for it;
    `keeps`: it is no rehearsal; `afterwards`: done when the ledgers are written; `notices`: what was met that stops
    nothing, and that the answer tells."""

    def __init__(self, root: str, *, seconds: float, token: Callable[[], str], clock: int | None, keep: bool) -> None:
        self.root = root
        self.seconds = seconds
        self.ts = iso(seconds)
        self._token = token
        self._clock = clock
        self.keeps = keep
        self._index: Index | None = None
        self._lines: dict[str, list[bytes]] = {}
        self._texts: dict[str, str] = {}
        self.founded: dict[str, list[str]] = {}
        self.afterwards: list[Callable[[], object]] = []
        self.notices: list[str] = []

    # -- reading

    @property
    def index(self) -> Index:
        """What the ledgers say, up to now."""
        if self._index is None:
            from memferry.memory.lifecycle.index import Index

            self._index = Index(self.root, keep=self.keeps)
        return self._index

    def path(self, file: str) -> str:
        """How the user names a file of the tree."""
        return f"{self.root}/{file}"

    def text(self, file: str) -> str:
        """A whole text, "" where there is none."""
        try:
            with open(os.path.join(self.root, *file.split("/")), encoding="utf-8") as opened:
                return opened.read()
        except FileNotFoundError:
            return ""
        except UnicodeDecodeError:
            raise MemoryRefused(f"{self.path(file)} is not UTF-8", hint="repair or remove it") from None

    def refuse_damage(self, *prefixes: str) -> None:
        """Raise for the first line under these paths that cannot be read: it may say what decides."""
        for path, number, reason in self.index.rows("select path, line, reason from damaged order by path, line"):
            if path.startswith(prefixes):
                self.pass_or_refuse(path, number, reason)

    def pass_or_refuse(self, file: str, number: int, problem: str) -> None:
        """Half a line decides nothing, for whoever wrote it came no further: it is passed over and named. What else
        cannot be read is refused. `number` 0: the whole file."""
        where = f"{self.path(file)} line {number}" if number else self.path(file)
        if problem != ledgers.HALF:
            raise MemoryRefused(
                f"{where}: {problem}", hint="repair or remove it; `memferry memory validate` names all of them"
            )
        self.notices.append(f"{where}: {problem}; it was passed over, repair or remove it")

    def names_private(self, ids: Sequence[str]) -> bool:
        """Whether one of these is the id of a private event, object or conflict."""
        records, conflicts = "select 1 from hidden where id = ?", "select 1 from conflicts where private and id = ?"
        return any(self.index.one(records, id_) or self.index.one(conflicts, id_) for id_ in ids)

    def quotes_private(self, text: str) -> bool:
        """Whether a text repeats what a private event or object says."""
        wanted = _folded(text)
        if len(wanted) < _SHORTEST_QUOTE:
            return False
        hidden = self.index.db.execute("select text from hidden")
        return any(len(said := _folded(row[0])) >= _SHORTEST_QUOTE and said in wanted for row in hidden)

    # -- planning

    def new_id(self, prefix: str) -> str:
        """`evt-20261121100000-5f0c9e1b`."""
        return f"{prefix}-{compact(self.ts)}-{self._token()}"

    def tick(self) -> int:
        """The next number of Lamport's clock."""
        if self._clock is None:
            self._clock = 0
            self._clock = max(self._clock, self.index.one("select value from facts where name = 'clock'") or 0)
        self._clock += 1
        return self._clock

    def event(self, type_: str, who: Who, payload: Fields, *, ts: str = "", refs: tuple[str, ...] = ()) -> Fields:
        """A new event, not yet written."""
        id_ = self.new_id("evt")
        return event(type_, who, payload, event_id=id_, ts=ts or self.ts, lc=self.tick(), refs=refs)

    def append(self, file: str, fields: Fields) -> None:
        """Plan one more line of a ledger."""
        self._lines.setdefault(file, []).append(line(fields))

    def replace(self, file: str, text: str) -> None:
        """Plan the whole of a text."""
        self._texts[file] = text

    # -- doing

    def commit(self) -> int:
        """Write what was planned; answers Lamport's clock, 0 where it did not move. Raises OSError."""
        for file in sorted(self._lines, key=lambda name: _ORDER.index(name.partition("/")[0])):
            if ledgers.append(self.root, file, self._lines[file]):
                self.notices.append(f"{self.path(file)}: a crash had left half a line at its end; it was ended there")
        for file, text in self._texts.items():
            self.write_text(file, text)
        for work in self.afterwards:
            work()
        if self._index is not None and self.keeps:
            self._clock = max(self._clock or 0, self._index.one("select value from facts where name = 'clock'") or 0)
            self._index.follow()
        return self._clock or 0

    def refresh(self) -> None:
        """Let the index know what was just written."""
        if self.keeps:
            self.index.follow()

    def write_text(self, file: str, text: str) -> None:
        """Durably, now."""
        self.write_bytes(file, text.encode())

    def write_bytes(self, file: str, content: bytes) -> None:
        """Durably, now."""
        from pathlib import Path

        from memferry.durable import write_durably

        target = Path(self.root, *file.split("/"))
        ledgers.make_folders(str(target.parent))
        write_durably(target, content)

    def answered(self, document: Fields) -> Fields:
        """With what there is to notice."""
        return document | {"notices": self.notices} if self.notices else document

    def close(self) -> None:
        """Give the index back."""
        if self._index is not None:
            self._index.close()


Verb: TypeAlias = "Callable[[Turn, Namespace], Fields]"
"""Plans what was asked, and answers the document to show. Raises MemoryRefused; then nothing is written."""


class Memory:
    """A tree and how its time and its random numbers come about. `token`: eight random hexadecimal digits."""

    def __init__(
        self, root: str, *, now: Callable[[], float] = time.time, token: Callable[[], str] | None = None
    ) -> None:
        self.root = root.rstrip("/") or "/"
        self._lock = os.path.join(self.root, "index", "lock")
        self._now = now
        self._token = token or _random

    def perform(self, verb: Verb, asked: Namespace, *, dry_run: bool = False) -> dict[str, Any]:
        """Do what was asked and answer. A tree that is not there is made, unless the verb refuses."""
        self._refuse_file()
        if dry_run or not os.path.isdir(self.root):
            document = self._rehearse(verb, asked)
            if dry_run:
                return document
        founded = founding.found(self.root)
        with locks.held(self._lock) as lock:
            turn = self._turn(clock.noted(lock), keep=True)
            turn.founded = founded
            try:
                document = verb(turn, asked)
                if latest := turn.commit():
                    clock.note(lock, latest)
            finally:
                turn.close()
        return turn.answered(document)

    def _rehearse(self, verb: Verb, asked: Namespace) -> Fields:
        """The same, without writing anything anywhere."""
        with self._existing_lock() as lock:
            turn = self._turn(None if lock is None else clock.noted(lock), keep=False)
            turn.founded = founding.missing(self.root)
            try:
                return turn.answered(verb(turn, asked))
            finally:
                turn.close()

    def look(self, verb: Verb, asked: Namespace) -> Fields:
        """Perform a verb that writes nothing, also where nothing can be written. Only a tree that memferry writes in
        has an index that is brought up to date by it."""
        if os.path.isdir(self.root) and not os.access(self._lock, os.W_OK):
            return self._rehearse(verb, asked)
        return self.perform(verb, asked)

    def _turn(self, latest: int | None, *, keep: bool) -> Turn:
        return Turn(self.root, seconds=self._now(), token=self._token, clock=latest, keep=keep)

    def _existing_lock(self) -> AbstractContextManager[int | None]:
        return locks.held(self._lock) if os.access(self._lock, os.W_OK) else nullcontext()

    def _refuse_file(self) -> None:
        if os.path.lexists(self.root) and not os.path.isdir(self.root):
            raise MemoryRefused(
                f"{self.root} is a file, not a folder: no memory can be there", hint="name a folder with --root"
            )


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _random() -> str:
    return os.urandom(4).hex()


def reason(error: OSError) -> str:
    """What went wrong, and with which file."""
    what = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _FULL:
        what += " (free some space)"
    return f"{error.filename}: {what}" if error.filename else what


_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
