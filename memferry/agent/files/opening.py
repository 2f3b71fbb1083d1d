"""Opening a file of a space so that no link, pipe or device between or behind the names can lead elsewhere."""

from __future__ import annotations

import errno
import os
import stat as modes
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from memferry import windows
from memferry.agent.files.scan import Stat, stat_of
from memferry.errors import MemferryError, SpaceMissing

SPLIT_IT = "split it, or name it in .memferryignore"
_FORBIDDEN = frozenset("\0\\:" if sys.platform == "win32" else "\0")


class Unreadable(MemferryError):
    """This file cannot be read now; `reason` ends the sentence that `file` begins. `gone`: it is not there any more."""

    def __init__(self, file: str, reason: str, *, gone: bool = False, hint: str = "") -> None:
        super().__init__(f"{file} {reason}", hint=hint)
        self.file = file
        self.reason = reason
        self.gone = gone


def open_regular(root: Path, file: str) -> int:
    """A descriptor for reading, not inherited by child processes; the caller closes it.

    `file`: path below `root`, `/`-separated. The root itself may be a link, nothing below it may. Each component is
    opened relative to the one before, so swapping a folder for a link meanwhile leads nowhere.
    Raises Unreadable; SpaceMissing when the root is not there.
    """
    parts = file.split("/")
    if not all(map(_is_name, parts)):
        raise Unreadable(file, "is not a path inside the space")
    descriptor = _open(root, file, parts)
    if not modes.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable(file, "is not a regular file")
    return descriptor


def _is_name(part: str) -> bool:
    return part not in ("", ".", "..") and not _FORBIDDEN.intersection(part)


@contextmanager
def opened(root: Path, file: str) -> Iterator[tuple[int, Stat]]:
    """`open_regular` with its stat at that moment; closed at the end of the block. An OSError in the block, where it is
    read, becomes Unreadable: a bad sector, or a server that is gone, is news of this file alone."""
    descriptor = open_regular(root, file)
    try:
        yield descriptor, stat_of(os.fstat(descriptor))
    except OSError as error:
        raise _explained(file, error) from error
    finally:
        os.close(descriptor)


def read_stable(
    root: Path, file: str, limit_bytes: int, *, quiet_s: float = 0.0, now: Callable[[], float] = time.time
) -> tuple[bytes, Stat] | None:
    """The whole file; None when somebody is writing it: look again later.

    It is taken only when its stat before and after the read agree. `quiet_s`: also not when it changed less than
    so many seconds ago, which keeps the parts of a slow rewrite away where no parser would notice.
    Raises Unreadable, also for more than `limit_bytes`.
    """
    with opened(root, file) as (descriptor, before):
        if before.size > limit_bytes:
            raise Unreadable(file, f"is larger than {limit_bytes:,} bytes", hint=SPLIT_IT)
        if 0 <= now() - _changed_ns(before) / 1e9 < quiet_s:
            return None
        content = _read_all(descriptor, before.size)
        after = stat_of(os.fstat(descriptor))
        return (content, before) if before == after and len(content) == before.size else None


def _read_all(descriptor: int, size: int) -> bytes:
    """Up to one byte more than `size`, so that growth shows."""
    parts = []
    left = size + 1
    while left > 0 and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


if sys.platform == "win32":

    def read_at(descriptor: int, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file. One thread per descriptor."""
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)

    def _changed_ns(found: Stat) -> int:
        return found.mtime_ns  # ctime is the time of creation there

    def _open(root: Path, file: str, parts: list[str]) -> int:
        """No descriptor-relative calls there: what was opened must be called what was asked for."""
        base = os.path.realpath(root)
        if not os.path.isdir(base):
            raise SpaceMissing(f"{root} is not there", hint="mount its disk or check the path in the configuration")
        path = "\\".join((windows.extended(base).rstrip("\\"), *parts))
        try:
            descriptor = windows.open_beside_others(path)
        except OSError as error:
            raise _explained(file, error) from error
        try:
            if os.path.normcase(windows.name_of(descriptor)) != os.path.normcase(path):
                raise Unreadable(file, "is a link or lies behind one")
        except OSError as error:
            os.close(descriptor)
            raise _explained(file, error) from error
        except Unreadable:
            os.close(descriptor)
            raise
        return descriptor

else:
    _FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
    _FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

    def read_at(descriptor: int, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file."""
        return os.pread(descriptor, size, offset)

    def _changed_ns(found: Stat) -> int:
        return found.ctime_ns  # unlike mtime no program can set it

    def _open(root: Path, file: str, parts: list[str]) -> int:
        try:
            folder = os.open(root, _FOLDER)
        except OSError as error:
            hint = "mount its disk or check the path in the configuration"
            raise SpaceMissing(f"{root} cannot be read: {error.strerror}", hint=hint) from error
        try:
            for part in parts[:-1]:
                inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            # Asked first, because opening a pipe or a tape has effects of its own.
            kind = modes.S_IFMT(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode)
            if kind != modes.S_IFREG:
                raise Unreadable(file, "is a link" if kind == modes.S_IFLNK else "is not a regular file")
            return os.open(parts[-1], _FILE, dir_fd=folder)
        except OSError as error:
            raise _explained(file, error) from error
        finally:
            os.close(folder)


def _explained(file: str, error: OSError) -> Unreadable:
    if error.errno == errno.ENOENT:
        return Unreadable(file, "is not there any more", gone=True)
    if error.errno in (errno.ELOOP, errno.EMLINK):
        return Unreadable(file, "is a link")
    if error.errno == errno.ENOTDIR:
        return Unreadable(file, "lies behind a link or a file")
    if error.errno == errno.ENXIO:
        return Unreadable(file, "is not a regular file")
    return Unreadable(file, f"cannot be read: {error.strerror}")
