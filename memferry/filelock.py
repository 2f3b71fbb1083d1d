"""Locks that the kernel keeps, and gives back at once when their holder dies; and bytes that survive a power cut."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

NO_SUCH_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.ENOTTY})
FIRST_PAUSE_S = 0.001
LONGEST_PAUSE_S = 0.1
LOOK_S = 0.1
_LONGEST_NOTE = 4096
_STOP = "taskkill /PID" if sys.platform == "win32" else "kill"


def turns(patience_s: float, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """One for each try at a lock, with growing pauses between. The last one comes after `patience_s`; there are two at
    least, however late it has become.

    A kernel could wake who waits by itself, but then a holder that is stopped stops everybody, and nobody who waits
    could notice that another one has served it.
    """
    end = time.monotonic() + patience_s
    pause_s = FIRST_PAUSE_S
    is_last = False
    yield
    while not is_last:
        is_last = time.monotonic() >= end
        sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
        yield


def opened(path: str | os.PathLike[str]) -> int:
    """The descriptor of a lock's file, which is made when it is missing and stays for good: removing it would let two
    processes lock two files of one name."""
    return os.open(path, os.O_RDWR | os.O_CREAT | FLAGS, 0o600)


def taken(path: str | os.PathLike[str]) -> int | None:
    """A descriptor that holds the lock until it is closed; None: somebody else has it."""
    descriptor = opened(path)
    if is_taken(path, descriptor):
        return descriptor
    os.close(descriptor)
    return None


def awaited(path: str | os.PathLike[str], patience_s: float, sleep: Callable[[float], None] = time.sleep) -> int | None:
    """As `taken`, but whoever has it is given so long to let go of it."""
    return next((one for _ in turns(patience_s, sleep) if (one := taken(path)) is not None), None)


def is_taken(path: str | os.PathLike[str], descriptor: int) -> bool:
    """Whether the lock of an open file is held by this descriptor now."""
    return try_lock(descriptor, shared=False) and names(path, descriptor)


def names(path: str | os.PathLike[str], descriptor: int) -> bool:
    """Whether `path` still names the file that was opened: somebody may have removed or replaced it since."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


# -- who holds it


class Holder(NamedTuple):
    """Who holds a lock: for messages only, the lock is the truth. `pid` 0: not known yet."""

    pid: int
    purpose: str

    def __str__(self) -> str:
        return f"memferry {self.purpose}".strip() + (f" (process {self.pid})" if self.pid else "")


class FileLock:
    """A lock on `path`, whose folder is there. `purpose`: what for, in one word, for the others' message. Not for use
    from several threads. Methods raise plain OSErrors."""

    def __init__(
        self, path: str | os.PathLike[str], purpose: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._path = path
        self._purpose = purpose
        self._sleep = sleep
        self._descriptor: int | None = None

    def take(self) -> bool:
        """False: another process holds it, and did so for 0.1 s; a `holder()` just looking is no obstacle."""
        self._descriptor = awaited(self._path, LOOK_S, self._sleep)
        if self._descriptor is None:
            return False
        _write(self._descriptor, json.dumps({"pid": os.getpid(), "purpose": self._purpose}).encode())
        return True

    def release(self) -> None:
        """Somebody else may take it."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            try:
                os.ftruncate(descriptor, 0)
            finally:
                os.close(descriptor)


def holder(path: str | os.PathLike[str]) -> Holder | None:
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


# -- what each system has for it


if sys.platform == "win32":
    import msvcrt

    FLAGS = os.O_BINARY | os.O_NOINHERIT
    _BEYOND = 1 << 30  # a locked byte cannot be read by others, so it lies behind the note

    def try_lock(descriptor: int, *, shared: bool) -> bool:
        """There is no shared lock there: looking takes the lock until the descriptor is closed."""
        os.lseek(descriptor, _BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW

    def try_lock(descriptor: int, *, shared: bool) -> bool:
        """Take the lock of an open file, or say that somebody else has it."""
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


if sys.platform == "darwin":

    def sync_file(descriptor: int) -> None:
        """There fsync alone leaves the data in the drive's cache (man 2 fsync). Disks that cannot do more (exFAT, SMB)
        say so each in its own way."""
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
                raise
            os.fsync(descriptor)

else:

    def sync_file(descriptor: int) -> None:
        """Make what was written durable."""
        os.fsync(descriptor)
