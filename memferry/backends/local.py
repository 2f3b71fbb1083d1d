"""A store in a folder of this computer: a backup disk, a synchronised folder, a network share."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from memferry import durable
from memferry.backends import names
from memferry.backends.base import Entry, Probe, Room
from memferry.backends.encryption.keys import Keys
from memferry.backends.vault import backend
from memferry.backends.vault.backend import Vault
from memferry.durable import Folder
from memferry.errors import (
    AlreadyExists,
    BackendError,
    ConfigError,
    NotFound,
    TargetRefused,
    TransientError,
    VersionMismatch,
)
from memferry.model import Identity

MAX_DEPTH = 16
MAX_NAMES = 200_000
"""So many objects may lie in one folder; a vault has tens."""


class LocalStore:
    """A `Store`, `Measured`, `Rooted` and `Probed`. `path`: made (0700) by the first put; the folder above it must
    exist, because where it does not, a disk is not mounted. Below it no link is ever followed.

    A version is size, mtime in nanoseconds and inode: every put writes a new file with a time of its own, so an equal
    version means that nobody has put since. One writer per key: comparing and replacing are two steps.
    Temps that a crash left are not entries, and cleared away by the first put into their folder; where other machines
    write too, only after a day.
    """

    def __init__(self, path: Path, *, name: str = "") -> None:
        self._path = path
        self._name = name
        self._closed = self._was_there = False
        self._swept: set[str] = set()
        self._kept: set[str] = set()
        self._last_ns = 0

    def make_way(self) -> None:
        """See `Rooted`."""
        with self._explained(""):
            durable.make_folder(self._path.parent)

    # -- Store

    def put(self, key: str, value: bytes, *, if_version: str | None) -> str:
        """See `Store`."""
        self._check(key)
        with self._explained(key), self._folder_of(key, create=True) as (folder, name):
            self._sweep(folder, key.rpartition("/")[0])
            if _is_new(folder, name, value, if_version):
                self._write(folder, name, value, replace=if_version is not None)
            else:
                folder.sync()  # it may be there since a crash ago
            return _version(folder.stat(name))

    def get(self, key: str, *, at_most: int | None = None) -> bytes:
        """See `Store`."""
        self._check(key)
        with self._explained(key), self._folder_of(key) as (folder, name), folder.reading(name) as file:
            return file.read(-1 if at_most is None else at_most)

    def delete(self, key: str, *, if_version: str) -> None:
        """See `Store`."""
        self._check(key)
        with suppress(NotFound), self._explained(key), self._folder_of(key) as (folder, name):
            if _version(_lstat(folder, name)) != if_version:
                raise VersionMismatch(f"{key} changed meanwhile", backend=self._name, key=key)
            folder.remove(name)

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """See `Store`. Links and pipes are listed, but cannot be got."""
        self._refuse_closed()
        return self._entries(prefix)

    def _entries(self, prefix: str) -> Iterator[Entry]:
        with self._explained(""):
            if self._is_there():
                with self._root() as root:
                    yield from self._walk(root, "", prefix)

    def close(self) -> None:
        """See `Store`."""
        self._closed = True

    def room(self) -> Room:
        """See `Measured`."""
        self._refuse_closed()
        with self._explained(""):
            usage = shutil.disk_usage(self._path if self._is_there() else self._path.parent)
        return Room(usage.free, usage.total)

    def probe(self) -> Iterator[Probe]:
        """See `Probed`."""
        self._refuse_closed()
        there = [path for path in (self._path / names.MACHINES, self._path, self._path.parent) if path.is_dir()]
        if not there:
            return  # what is asked next says so
        try:
            with durable.explained(there[0]), Folder.open(there[0]) as folder:
                folder.try_writing()
        except BackendError as error:
            yield Probe("folder", False, f"nothing can be written there: {error}", error.hint)

    # -- ways to a folder

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ValueError(f"the store {self._path} is closed")

    def _check(self, key: str) -> None:
        self._refuse_closed()
        names.check_key(key)

    def _is_there(self) -> bool:
        if not self._path.parent.is_dir():
            raise TransientError(
                f"{self._path.parent} is not there",
                backend=self._name,
                hint="mount its disk, or correct the path of the backend",
            )
        return self._path.exists()

    @contextmanager
    def _root(self, *, create: bool = False) -> Iterator[Folder]:
        if not self._is_there() and create:
            self._make_root()
        elif create and "" not in self._kept:
            with Folder.open(self._path.parent) as above:
                self._keep(above, "")
        with Folder.open(self._path) as root:
            self._was_there = True
            yield root

    def _make_root(self) -> None:
        if self._was_there:
            raise TransientError(
                f"{self._path} is gone, though it was there", backend=self._name, hint="mount its disk"
            )
        with Folder.open(self._path.parent) as parent, parent.sub(self._path.name, create=True):
            self._kept.add("")

    @contextmanager
    def _folder_of(self, key: str, *, create: bool = False) -> Iterator[tuple[Folder, str]]:
        *folders, name = key.split("/")
        with self._root(create=create) as root:
            folder = root
            try:
                for depth, part in enumerate(folders):
                    folder, above = folder.sub(part, create=create), folder
                    if create:
                        self._keep(above, "/".join(folders[: depth + 1]))
                    if above is not root:
                        above.close()
                yield folder, name
            finally:
                if folder is not root:
                    folder.close()

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        path = self._path / key
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound(f"there is no {path}", backend=self._name, key=key) from error
        except FileExistsError as error:
            raise AlreadyExists(f"{path} exists with other content", backend=self._name, key=key) from error
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise TargetRefused(
                    f"{path} is not a file, or lies behind a link",
                    backend=self._name,
                    key=key,
                    hint="remove it by hand",
                ) from error
            failure = durable.failure(error, path)
            failure.backend, failure.key = self._name, key
            raise failure from error

    # -- writing

    def _write(self, folder: Folder, name: str, value: bytes, *, replace: bool) -> None:
        with folder.writing(name, replace=replace, mtime_ns=self._now_ns()) as file:
            file.write(value)

    def _now_ns(self) -> int:
        """Later than the last one by what every common file system can tell apart."""
        self._last_ns = max(time.time_ns(), self._last_ns + 1000)
        return self._last_ns

    def _keep(self, above: Folder, where: str) -> None:
        """Once for each folder (`where`: its key): a crash may have come between making and syncing it."""
        if where not in self._kept:
            above.sync()
            self._kept.add(where)

    def _sweep(self, folder: Folder, where: str) -> None:
        """Once in each folder (`where`: its key): what is half-written was left by a crash, where this machine writes
        alone; elsewhere what is old was."""
        if where in self._swept:
            return
        for name in filter(durable.is_temp, folder.names()):
            with suppress(FileNotFoundError):
                if not names.is_shared(where) or names.is_abandoned(folder.stat(name).st_mtime, time.time()):
                    folder.remove(name)
        self._swept.add(where)

    # -- listing

    def _walk(self, folder: Folder, above: str, prefix: str) -> Iterator[Entry]:
        """In order of whole keys, in which `a.b` comes before `a/b`."""
        if above.count("/") > MAX_DEPTH:
            raise TargetRefused(f"{folder.path} lies too deep to be memferry's", backend=self._name, hint="remove it")
        found = [(key, stat_) for name in self._names(folder) for key, stat_ in _found(folder, name, above, prefix)]
        for key, stat_ in sorted(found, key=lambda pair: pair[0]):
            if not key.endswith("/"):
                yield Entry(key, _version(stat_), stat_.st_size)
            else:
                with self._opened(folder, key) as inner:
                    yield from self._walk(inner, key, prefix) if inner else ()

    def _names(self, folder: Folder) -> list[str]:
        found = [name for name in folder.names() if not durable.is_temp(name)]
        if len(found) > MAX_NAMES:
            raise TargetRefused(
                f"{folder.path} holds {len(found)} objects",
                backend=self._name,
                hint="memferry writes tens: look what fills it",
            )
        return found

    @contextmanager
    def _opened(self, folder: Folder, key: str) -> Iterator[Folder | None]:
        """None: it is gone, or it is the file system's own lost+found."""
        try:
            inner = folder.sub(key.split("/")[-2])
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            if key != names.LOST or error.errno not in (errno.EACCES, errno.EPERM):
                raise
            yield None
            return
        with inner:
            yield inner


def open_backend(name: str, settings: Mapping[str, object], me: Identity, keys: Keys) -> Vault:
    """The backend of type `local`. Settings: `path`, absolute or from `~`; `encryption`, by default none. ConfigError
    if they say something else."""
    path = settings.get("path")
    if not isinstance(path, str) or not path:
        raise ConfigError(
            f"backend {name}: path is missing", hint=f"backends: {{{name}: {{type: local, path: ~/backup/memferry}}}}"
        )
    if unknown := sorted(set(settings) - {"path", "type", "encryption"}):
        hint = "a local backend has `path` and `encryption`"
        raise ConfigError(f"backend {name}: unknown setting {unknown[0]}", hint=hint)
    folder = Path(path).expanduser()
    if not folder.is_absolute():
        raise ConfigError(f"backend {name}: path {path} is not absolute", hint="begin it with / or ~")
    return backend.opened(LocalStore(folder, name=name), settings, me, keys, name=name, encryption="none")


def _is_new(folder: Folder, name: str, value: bytes, if_version: str | None) -> bool:
    """Whether `value` is to be written; False: it is there. Raises where the precondition does not hold."""
    try:
        there = _lstat(folder, name)
    except FileNotFoundError as error:
        if if_version is None:
            return True
        raise VersionMismatch(f"{name} is gone", key=name) from error
    if if_version is not None and _version(there) == if_version:
        return True
    if there.st_size == len(value) and stat.S_ISREG(there.st_mode):
        with folder.reading(name) as file:
            if file.read() == value:
                return False
    if if_version is None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
    raise VersionMismatch(f"{name} changed meanwhile", key=name)


def _found(folder: Folder, name: str, above: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    with suppress(FileNotFoundError):
        there = _lstat(folder, name)
        key = above + name + ("/" if stat.S_ISDIR(there.st_mode) else "")
        if key.startswith(prefix) or (key.endswith("/") and prefix.startswith(key)):
            yield key, there


def _lstat(folder: Folder, name: str) -> os.stat_result:
    return os.stat(folder.at(name), dir_fd=folder.descriptor, follow_symlinks=False)


def _version(found: os.stat_result) -> str:
    return f"{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ino:x}"
