"""A file that one process holds: a lock that the kernel keeps, and gives back at once when its holder dies."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_ATTEMPTS = 6
_PAUSE_S = 0.02
_LONGEST_NOTE = 4096


class Holder(NamedTuple):
    """Who holds a lock: for messages only, the lock is the truth. `pid` 0: not known yet."""

    pid: int
    purpose: str

    def __str__(self) -> str:
        return f"memferry {self.purpose}".strip() + (f" (process {self.pid})" if self.pid else "")


class FileLock:
    """A lock on `path`, whose folder is there. `purpose`: what for, in one word, for the others' message. Not for use
    from several threads. Methods raise plain OSErrors."""

    def __init__(self, path: Path, purpose: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._path = path
        self._purpose = purpose
        self._sleep = sleep
        self._descriptor: int | None = None

    def take(self) -> bool:
        """False: another process holds it, and did so for 0.1 s; a `holder()` just looking is no obstacle."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(_PAUSE_S)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
            if _try_lock(descriptor, shared=False) and _is(self._path, descriptor):
                self._descriptor = descriptor
                _write(descriptor, json.dumps({"pid": os.getpid(), "purpose": self._purpose}).encode())
                return True
            os.close(descriptor)
        return False

    def release(self) -> None:
        """The file stays: removing it would let two processes lock two files of one name."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            try:
                os.ftruncate(descriptor, 0)
            finally:
                os.close(descriptor)


def holder(path: Path) -> Holder | None:
    """Who holds the lock at `path` now, None when nobody does. Takes nothing away from anybody. Plain OSErrors."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return None
    try:
        if _try_lock(descriptor, shared=True):
            return None
        return _read(descriptor)
    finally:
        os.close(descriptor)


def how_to_stop(other: Holder) -> str:
    """What to run, as the end of a sentence; nothing where its process is not known."""
    return f" with `{_STOP} {other.pid}`" if other.pid else ""


def _is(path: Path, descriptor: int) -> bool:
    """Whether `path` still names the file that was opened."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write(descriptor: int, note: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, note)


def _read(descriptor: int) -> Holder:
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        note = json.loads(os.read(descriptor, _LONGEST_NOTE))
        return Holder(int(note["pid"]), str(note["purpose"]))
    except (ValueError, TypeError, KeyError):
        return Holder(0, "")


if sys.platform == "win32":
    import msvcrt

    _FLAGS = os.O_BINARY | os.O_NOINHERIT
    _STOP = "taskkill /PID"
    _BEYOND = 1 << 30  # a locked byte cannot be read by others, so it lies behind the note

    def _try_lock(descriptor: int, *, shared: bool) -> bool:
        """There is no shared lock there: looking takes the lock until the descriptor is closed."""
        os.lseek(descriptor, _BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    _FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW
    _STOP = "kill"

    def _try_lock(descriptor: int, *, shared: bool) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
