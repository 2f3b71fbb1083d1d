"""The folder in which the engine keeps its shards: who may open one, how much room there is, and what it means when the
engine fails.

Only one process may have a shard open, and a second one that only tries breaks the first one's next flush; so a lock of
our own is taken before every open. Files are mapped into memory, so a disk that is full at a write ends the whole
process with SIGBUS; so nothing is written where there is little room left. Both measured.
"""

from __future__ import annotations

import errno
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import qdrant_edge as edge

from memferry import durable, filelock
from memferry.backends.qdrant import rewriting
from memferry.errors import BackendError, InvalidValue, QuotaExceeded, TargetRefused, TransientError
from memferry.filelock import FileLock, Holder

LOCK_FILE = "lock"
ROOM_BYTES = 256 << 20
"""So much must be free before a write; several times what a page of points and a flush can take."""
CONFIG_FILE = "edge_config.json"

_NEVER = re.compile(
    r"dimension error|not existing vector name|failed to parse|already exists with different", re.IGNORECASE
)
_FULL_CODES, _DENIED_CODES = {"win32": ("39|112", "5|19"), "darwin": ("28|69", "1|13|30")}.get(
    sys.platform, ("28|122", "1|13|30")
)
_FULL = re.compile(rf"no space left|os error (?:{_FULL_CODES})\b|disk quota", re.IGNORECASE)
_DENIED = re.compile(rf"permission denied|read-only file system|os error (?:{_DENIED_CODES})\b", re.IGNORECASE)
_DAMAGED = re.compile(r"deserialize|corrupt|checksum|inconsistent", re.IGNORECASE)


class Shards:
    """One folder below `path` for each collection; `name`: the backend's. `open`: those that are, by collection;
    `locked`: no other process has any, which holds while one is open here."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._lock = FileLock(path / LOCK_FILE, "qdrant")
        self.locked = False
        self.open: dict[str, edge.EdgeShard] = {}

    # -- opening and closing

    def opened(self, collection: str) -> edge.EdgeShard | None:
        """A collection's; None: there is none. The lock first: a shard that another process has open breaks by being
        looked at."""
        if collection in self.open:
            return self.open[collection]
        folder = self._path / collection
        if not (folder / CONFIG_FILE).exists() and not rewriting.is_under_way(self._path, collection):
            return None
        self.lock()
        with self.explained(collection):
            self.open[collection] = edge.EdgeShard.load(str(folder))
        return self.open[collection]

    def of(self, collection: str) -> edge.EdgeShard:
        """A collection's. Raises TransientError where it is gone."""
        shard = self.opened(collection)
        if shard is None:
            raise TransientError(
                f"{self._path / collection} is gone", backend=self._name, hint="it is made anew with the next delivery"
            )
        return shard

    def lock(self) -> None:
        """Before anything is opened; what a crash left half done is mended. Raises TransientError: another has it."""
        if self.locked:
            return
        if not self._path.parent.is_dir():
            raise TransientError(
                f"{self._path.parent} is not there", backend=self._name, hint="mount its disk, or correct `path`"
            )
        with durable.explained(self._path):
            with suppress(FileExistsError):
                self._path.mkdir(mode=0o700)
            self.locked = self._lock.take()
            if self.locked:
                rewriting.mend(self._path)
        if not self.locked:
            other = self.holder() or Holder(0, "")
            raise TransientError(
                f"{self._path} is in use by {other}", backend=self._name,
                hint=f"one process at a time: wait until it has finished, or stop it{filelock.how_to_stop(other)}",
            )  # fmt: skip

    def holder(self) -> Holder | None:
        """Who has them open, here or elsewhere; the lock is left alone."""
        with durable.explained(self._path):
            return filelock.holder(self._path / LOCK_FILE)

    def close(self) -> None:
        """All of them, and let others have them."""
        try:
            while self.open:
                collection, shard = self.open.popitem()
                with self.explained(collection):
                    shard.close()
        finally:
            self.locked = False
            self._lock.release()

    # -- the folder

    def refuse_full(self, more: int = 0) -> None:
        """Raise QuotaExceeded where a write might not fit. `more`: bytes that are needed beyond the usual."""
        with durable.explained(self._path):
            free = shutil.disk_usage(self._path).free
        if free < ROOM_BYTES + more:
            raise QuotaExceeded(
                f"{self._path} has {free >> 20} MB of room, and the engine needs {ROOM_BYTES + more >> 20}",
                backend=self._name, hint="free some space on its disk",
            )  # fmt: skip

    def sizes(self, collection: str) -> Mapping[str, int]:
        """Of vectors, by their name, as the engine writes them down; its own answers leave them out."""
        path = self._path / collection / CONFIG_FILE
        with durable.explained(path):
            data = path.read_bytes()
        try:
            return {name: one.size for name, one in msgspec.json.decode(data, type=_Config).vectors.items()}
        except msgspec.MsgspecError as error:
            raise self._failure(collection, "its configuration is damaged: corrupt") from error

    # -- what goes wrong

    @contextmanager
    def explained(self, collection: str) -> Iterator[None]:
        """The engine raises plain Exceptions, told apart by their words alone."""
        try:
            yield
        except BackendError:
            raise
        except (ValueError, TypeError, OverflowError) as error:
            raise self._never(collection) from error
        except Exception as error:
            raise self._failure(collection, str(error)) from error

    def _never(self, collection: str) -> BackendError:
        text = f"{self._path / collection} cannot take a point"
        return InvalidValue(text, backend=self._name, hint="`memferry status` names its operation")

    def _failure(self, collection: str, said: str) -> BackendError:
        """The error that says what to do about what the engine `said`, which may quote a record and is not shown."""
        where = self._path / collection
        if _FULL.search(said):
            failure: BackendError = durable.failure(OSError(errno.ENOSPC, "no space left on the device"), where)
        elif _DENIED.search(said):
            failure = durable.failure(OSError(errno.EACCES, "permission denied"), where)
        elif _NEVER.search(said):
            failure = self._never(collection)
        elif _DAMAGED.search(said):
            hint = f"move {where} away: it is filled again from the journal by `memferry verify --repair`"
            failure = TargetRefused(f"{where} is damaged", hint=hint)
        else:
            failure = TransientError(
                f"the engine cannot use {where}", hint="check the free space; memferry will try again"
            )
        failure.backend = self._name
        return failure


class _VectorConfig(msgspec.Struct):
    size: int


class _Config(msgspec.Struct):
    """What the engine writes down of a collection."""

    vectors: dict[str, _VectorConfig] = {}


def size_of(folder: Path) -> int:
    """Bytes on its disk."""
    return sum(map(_size, folder.rglob("*")))


def _size(path: Path) -> int:
    """Bytes of a file on its disk, which is less than its length where it was made large in advance; it may be gone by
    now."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return 0
    blocks: int | None = getattr(found, "st_blocks", None)  # Windows has none
    return 0 if stat.S_ISDIR(found.st_mode) else found.st_size if blocks is None else 512 * blocks
