"""A file that one process holds: a lock that the kernel keeps, and gives back at once when its holder dies."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from memferry.filelock import FLAGS, taken, try_lock, turns

PATIENCE_S = 0.1
_LONGEST_NOTE = 4096
_STOP = "taskkill /PID" if sys.platform == "win32" else "kill"


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
        for _ in turns(PATIENCE_S, self._sleep):
            self._descriptor = taken(self._path)
            if self._descriptor is not None:
                _write(self._descriptor, json.dumps({"pid": os.getpid(), "purpose": self._purpose}).encode())
                return True
        return False

    def release(self) -> None:
        """Somebody else may take it."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            try:
                os.ftruncate(descriptor, 0)
            finally:
                os.close(descriptor)


def holder(path: Path) -> Holder | None:
    """Who holds the lock at `path` now, None when nobody does. Takes nothing away from anybody. Plain OSErrors."""
    try:
        descriptor = os.open(path, os.O_RDONLY | FLAGS)
    except FileNotFoundError:
        return None
    try:
        if try_lock(descriptor, shared=True):
            return None
        return _read(descriptor)
    finally:
        os.close(descriptor)


def how_to_stop(other: Holder) -> str:
    """What to run, as the end of a sentence; nothing where its process is not known."""
    return f" with `{_STOP} {other.pid}`" if other.pid else ""


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
