"""Locks that the kernel keeps, and gives back at once when their holder dies; and bytes that survive a power cut."""

from __future__ import annotations

import errno
import os
import sys

NO_SUCH_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF})


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
