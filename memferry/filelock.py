"""Locks that the kernel keeps, and gives back at once when their holder dies; and bytes that survive a power cut."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator

NO_SUCH_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF})
FIRST_PAUSE_S = 0.001
LONGEST_PAUSE_S = 0.1


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


def is_taken(path: str | os.PathLike[str], descriptor: int) -> bool:
    """Whether the lock of an open file is held by this descriptor now."""
    return try_lock(descriptor, shared=False) and names(path, descriptor)


def names(path: str | os.PathLike[str], descriptor: int) -> bool:
    """Whether `path` still names the file that was opened: somebody may have removed or replaced it since."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


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
        """There fsync alone leaves the data in the drive's cache (man 2 fsync)."""
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in NO_SUCH_SYNC:
                raise
            os.fsync(descriptor)

else:

    def sync_file(descriptor: int) -> None:
        """Make what was written durable."""
        os.fsync(descriptor)
