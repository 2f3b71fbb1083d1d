"""Local writes that survive a crash and a power cut, and never follow a link.

One way is used everywhere: a temp file beside the target, write, flush, fsync, close, rename, fsync of the folder.
After a failed fsync the kernel may drop the pages and call the next one a success, so the temp is thrown away and
the descriptor never synced again (https://wiki.postgresql.org/wiki/Fsync_Errors).
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from memferry import windows
from memferry.errors import AccessDenied, BackendError, InvalidValue, QuotaExceeded, TransientError
from memferry.filelock import NO_SUCH_SYNC, sync_file, turns

_TEMP = r"\.memferry-[0-9a-f]{16}\.tmp"  # compiled when it is first used: not every command needs it
_NO_HARD_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_EXTEND = _READ | os.O_RDWR
_HOLD = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_DIRECTORY", 0)
PATIENCE_S = 1.0
"""For whoever has a file open that is to be replaced or removed, on Windows."""
_WINDOWS_ACCESS_DENIED = 5  # also what replacing a file is told that somebody has open
_WINDOWS_BUSY = {32, 33}  # ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION: a virus scanner looks at the file
_WINDOWS_LINKS = {0xA000000C, 0xA0000003}  # IO_REPARSE_TAG_SYMLINK, IO_REPARSE_TAG_MOUNT_POINT


def is_temp(name: str) -> bool:
    """Whether a file of this name is a write under way, or one that a crash left behind."""
    return re.fullmatch(_TEMP, name) is not None


def failure(error: OSError, path: object) -> BackendError:
    """The error that says what to do about `error`, which happened at `path`."""
    reason = f"{path}: {error.strerror or error}"
    if getattr(error, "winerror", None) in _WINDOWS_BUSY:
        return TransientError(reason, hint=f"another program holds {path}; memferry will try again")
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return QuotaExceeded(reason, hint=f"free some space on the disk of {path}")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return AccessDenied(reason, hint=f"let this user write to {path}")
        case errno.ELOOP | errno.ENOTDIR:
            return AccessDenied(reason, hint=f"a link or a file lies in the way at {path}; memferry follows no links")
        case errno.ENAMETOOLONG | errno.EFBIG:
            return InvalidValue(reason, hint=f"the file system of {path} cannot take this")
        case _:
            return TransientError(reason, hint=f"look at {path}; memferry will try again")


@contextmanager
def explained(path: object) -> Iterator[None]:
    """Raise what `failure` makes of an OSError in the block."""
    try:
        yield
    except OSError as error:
        raise failure(error, path) from error


class Folder:
    """A folder held open, so that a link swapped in later leads no write elsewhere. Methods raise plain OSErrors.

    Windows cannot hold a folder open by descriptor: there every step goes by path, after a look for links.
    Owns its descriptor; close it, or use it in a `with`.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def open(cls, path: Path) -> Folder:
        """The folder at `path`, which may be a link: where to start is the user's choice."""
        if sys.platform == "win32":
            path = path.resolve(strict=True)
            if not path.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
            return cls(path, None)
        return cls(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY))

    def sub(self, name: str, *, create: bool = False) -> Folder:
        """The folder `name` in this one; a link is an OSError. `create`: make it durably (0700) if it is missing."""
        if create:
            with suppress(FileExistsError):
                os.mkdir(self.at(name), 0o700, dir_fd=self.descriptor)
                self.sync()
        if self.descriptor is not None:
            return Folder(self.path / name, os.open(name, _HOLD, dir_fd=self.descriptor))
        if not stat.S_ISDIR(self.stat(name).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self.path / name))
        return Folder(self.path / name, None)

    def at(self, name: str) -> str:
        """How to name a file of this folder in an `os` call that is given `dir_fd=self.descriptor`."""
        return name if self.descriptor is not None else windows.extended(str(self.path / name))

    def names(self) -> list[str]:
        """What lies in the folder, unsorted."""
        return os.listdir(self.at("") if self.descriptor is None else self.descriptor)

    def stat(self, name: str) -> os.stat_result:
        """Of the thing itself: a link is not followed, and is no folder even where it leads to one."""
        found = os.stat(self.at(name), dir_fd=self.descriptor, follow_symlinks=False)
        if getattr(found, "st_reparse_tag", 0) in _WINDOWS_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self.path / name))
        return found

    def reading(self, name: str) -> BinaryIO:
        """An open regular file; anything else (a link, a pipe, a folder) is an OSError."""
        if self.descriptor is None:
            self.stat(name)
        if sys.platform == "win32":
            descriptor = windows.open_beside_others(self.at(name))
        else:
            descriptor = os.open(name, _READ, dir_fd=self.descriptor)
        try:
            _require_regular(descriptor, self.path / name)
        except OSError:
            os.close(descriptor)
            raise
        return os.fdopen(descriptor, "rb")

    @contextmanager
    def writing(
        self, name: str, *, replace: bool, mtime_ns: int | None = None, check: Callable[[], None] = lambda: None
    ) -> Iterator[BinaryIO]:
        """A file to write to, which is durably `name` once the block ends, and nothing if the block raises.

        `replace=False`: FileExistsError if there is something under that name by then. `check`: called when all is on
        the disk, which may take long, and just before it gets its name; it gets none if that raises.
        """
        temp = _temp()
        try:
            with os.fdopen(self._create(temp), "wb") as draft:
                yield draft
                draft.flush()
                if sys.platform != "win32":
                    self._stamp(temp, mtime_ns)
                sync_file(draft.fileno())
            if sys.platform == "win32":  # there closing stamps the file once more
                self._stamp(temp, mtime_ns)
            check()
            self._publish(temp, name, replace)
        except BaseException:
            with suppress(OSError):
                os.unlink(self.at(temp), dir_fd=self.descriptor)
            raise
        self.sync()

    def extend(self, name: str, at: int, content: bytes) -> None:
        """Durably make `content` what follows byte `at` of a regular file (0600 if it is new); what lay there is cut
        off. Nothing follows if it raises. Where the file has another name too, what is there keeps what it has.

        For ledgers, which grow: readers may see the end of one half-written, as they do whenever an agent writes it.
        """
        with suppress(FileNotFoundError):
            if self.stat(name).st_nlink > 1:
                self._part(name)
        descriptor = os.open(self.at(name), _EXTEND | os.O_CREAT, 0o600, dir_fd=self.descriptor)
        try:
            _require_regular(descriptor, self.path / name)
            if os.fstat(descriptor).st_size < at:
                raise OSError(errno.EBUSY, "somebody cut the file off just now", str(self.path / name))
            try:
                _replace_end(descriptor, at, content)
                sync_file(descriptor)
            except OSError:
                os.ftruncate(descriptor, at)
                raise
        finally:
            os.close(descriptor)
        self.sync()

    def _part(self, name: str) -> None:
        import shutil  # with compression behind it: `status` needs none

        with self.writing(name, replace=True) as draft, self.reading(name) as before:
            shutil.copyfileobj(before, draft)

    def try_writing(self) -> None:
        """Make a temp file and remove it: the OSError says what hinders."""
        temp = _temp()
        os.close(self._create(temp))
        os.unlink(self.at(temp), dir_fd=self.descriptor)

    def _create(self, temp: str) -> int:
        return os.open(self.at(temp), _WRITE, 0o600, dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        """Durably; what is gone already is an OSError."""
        _patiently(lambda: self.stat(name), lambda: os.unlink(self.at(name), dir_fd=self.descriptor))
        self.sync()

    def sync(self) -> None:
        """Make what was renamed, made and removed here durable. Nothing to do on Windows and on some network disks."""
        if self.descriptor is None:
            return
        try:
            sync_file(self.descriptor)
        except OSError as error:
            if error.errno not in NO_SUCH_SYNC:
                raise

    def close(self) -> None:
        """Release the descriptor."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _stamp(self, temp: str, mtime_ns: int | None) -> None:
        if mtime_ns is not None:
            os.utime(self.at(temp), ns=(mtime_ns, mtime_ns), dir_fd=self.descriptor)

    def _publish(self, temp: str, name: str, replace: bool) -> None:
        here = self.descriptor
        if replace:
            replacing = partial(os.replace, self.at(temp), self.at(name), src_dir_fd=here, dst_dir_fd=here)
            _patiently(lambda: self.stat(name), replacing)
        elif sys.platform == "win32":
            os.rename(self.at(temp), self.at(name))  # refuses an existing target there
        else:
            self._link(temp, name)

    def _link(self, temp: str, name: str) -> None:
        here = self.descriptor
        try:
            os.link(temp, name, src_dir_fd=here, dst_dir_fd=here, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            self._rename_if_absent(temp, name)
        else:
            os.unlink(temp, dir_fd=here)

    def _rename_if_absent(self, temp: str, name: str) -> None:
        """For disks without hard links (exFAT): a look, then a rename. Safe with one writer per name, as everywhere
        here."""
        with suppress(FileNotFoundError):
            self.stat(name)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.path / name))
        os.rename(temp, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)


def make_folder(path: Path) -> None:
    """Durably, with all above it that are missing (0700). Plain OSErrors."""
    if not path.is_dir():
        make_folder(path.parent)
        with Folder.open(path.parent) as above, above.sub(path.name, create=True):
            pass


def _patiently(look: Callable[[], os.stat_result], do: Callable[[], object]) -> None:
    """`do` replaces or removes the file that `look` tells of, which Windows refuses while somebody has it open: a
    search, a virus scanner, the agent itself, mostly for a moment. Given up where it was written meanwhile: what was
    decided may not hold any more. Then the error is that somebody holds it, which passes."""
    seen = None
    for _ in turns(PATIENCE_S):
        try:
            do()
            return
        except PermissionError as error:
            now = _state(look) if getattr(error, "winerror", None) in {*_WINDOWS_BUSY, _WINDOWS_ACCESS_DENIED} else None
            if now is None:
                raise
            refused = error
        if seen not in (None, now):
            break
        seen = now
    refused.winerror = min(_WINDOWS_BUSY)  # type: ignore[attr-defined,unused-ignore]
    raise refused


def _state(look: Callable[[], os.stat_result]) -> tuple[int, int, int] | None:
    """None: it is not there, or nobody may write it."""
    with suppress(OSError):
        found = look()
        if found.st_mode & stat.S_IWRITE:
            return found.st_ino, found.st_size, found.st_mtime_ns
    return None


def _require_regular(descriptor: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.ELOOP, "not a regular file", str(path))


def _replace_end(descriptor: int, at: int, content: bytes) -> None:
    os.ftruncate(descriptor, at)
    os.lseek(descriptor, at, os.SEEK_SET)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _temp() -> str:
    return f".memferry-{os.urandom(8).hex()}.tmp"


def write_whole(path: Path, content: bytes) -> None:
    """For what nobody needs after a crash: whole or not at all, 0600, and not synced. Plain OSErrors."""
    draft = path.with_name(f"{path.name}.draft")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
        file.write(content)
    _patiently(path.lstat, lambda: draft.replace(path))


def write_durably(path: Path, content: bytes) -> None:
    """Durably make `content` the whole content of `path` (0600): afterwards it is the old one or the new one, never
    a part."""
    with explained(path), Folder.open(path.parent) as folder, folder.writing(path.name, replace=True) as file:
        file.write(content)
