"""One instance per state directory: a lock that the kernel keeps, and gives back at once when its holder dies."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from memferry.errors import StateError, StateLocked
from memferry.filelock import FLAGS, names, try_lock

LOCK_FILE = "lock"
_ATTEMPTS = 6
_PAUSE_S = 0.02
_LONGEST_NOTE = 4096
_STOP = "taskkill /PID" if sys.platform == "win32" else "kill"


class Holder(NamedTuple):
    """Who holds a state directory: for messages only, the lock is the truth. `pid` 0: not known yet."""

    pid: int
    purpose: str


class StateLock:
    """A context manager: inside, this process alone holds `directory`, which is made (0700) when missing.

    `purpose`: what for, in one word, for the others' message. Not for use from several threads. Entering raises
    StateLocked when another instance holds it (after 0.1 s, so that a `holder()` just looking is no obstacle) and
    StateError when the directory cannot be used.
    """

    def __init__(self, directory: Path, purpose: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._directory = directory
        self._purpose = purpose
        self._sleep = sleep
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = self._take()
            _write(self._descriptor, json.dumps({"pid": os.getpid(), "purpose": self._purpose}).encode())
        except OSError as error:
            self._release()
            raise _unusable(self._directory, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _take(self) -> int:
        path = self._directory / LOCK_FILE
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(_PAUSE_S)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | FLAGS, 0o600)
            if try_lock(descriptor, shared=False) and names(path, descriptor):
                return descriptor
            os.close(descriptor)
        raise _locked(self._directory)

    def _release(self) -> None:
        """The file stays: removing it would let two instances lock two files of one name."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            try:
                os.ftruncate(descriptor, 0)
            finally:
                os.close(descriptor)


def holder(directory: Path) -> Holder | None:
    """Who holds the state now, None when nobody does. Takes nothing away from anybody. Raises StateError."""
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDONLY | FLAGS)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(directory, error) from error
    try:
        if try_lock(descriptor, shared=True):
            return None
        return _read(descriptor)
    finally:
        os.close(descriptor)


def _unusable(directory: Path, error: OSError) -> StateError:
    return StateError(
        f"the state directory {directory} cannot be used: {error.strerror}",
        hint="check its owner, its permissions and the free space, or set `state` in the configuration",
    )


def _locked(directory: Path) -> StateLocked:
    other = holder(directory) or Holder(0, "")
    who = f"memferry {other.purpose}".strip() + (f" (process {other.pid})" if other.pid else "")
    return StateLocked(
        f"{who} holds the state directory {directory}",
        hint="wait until it has finished, or stop it" + (f" with `{_STOP} {other.pid}`" if other.pid else ""),
    )


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
