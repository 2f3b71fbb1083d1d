"""The engine in this process: a shard in a folder for each collection.

Measured hazards: only one process may have a shard open, and a second one that only tries breaks the first one's next
flush; so a lock of our own is taken before every open. Writes are not synced one by one; so `flush` comes before
anything is acknowledged. `optimize` keeps every thread of the process waiting (13.5 s at 100,000 points); it is never
called: without it a search of 100,000 points takes 6 ms. Its files are mapped into memory, so a disk that is full at a
write ends the whole process with SIGBUS; so nothing is written where there is little room left.
"""

from __future__ import annotations

import errno
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import qdrant_edge as edge

from memferry import durable, locks
from memferry.backends.base import Capacity, Probe
from memferry.backends.qdrant import rewriting
from memferry.backends.qdrant.engine import INDEXES, PAGE, Collection, Point, Stored, Vector, paged
from memferry.backends.qdrant.points import Payload
from memferry.errors import BackendError, InvalidValue, QuotaExceeded, TargetRefused, TransientError
from memferry.locks import FileLock, Holder

LOCK_FILE = "lock"
PURGE_REST = 9
ROOM_BYTES = 256 << 20
"""So much must be free before a write; several times what a page of points and a flush can take."""
CONFIG_FILE = "edge_config.json"

_NEVER = re.compile(
    r"dimension error|not existing vector name|failed to parse|already exists with different", re.IGNORECASE
)
_FULL = re.compile(r"no space left|os error 28\b|os error 122\b|disk quota", re.IGNORECASE)
_DENIED = re.compile(r"permission denied|read-only file system|os error (?:13|30)\b", re.IGNORECASE)
_DAMAGED = re.compile(r"deserialize|corrupt|checksum|inconsistent", re.IGNORECASE)


class Embedded:
    """An `Engine` below `path`, which is made (0700) with the first write; the folder above it must exist, for where
    it does not, a disk is not mounted. Holds the lock while a shard is open. One thread at a time.
    `clock`: seconds, monotonic."""

    def __init__(self, path: Path, *, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._purge_at = 0.0
        self._name = name
        self._lock = FileLock(path / LOCK_FILE, "qdrant")
        self._locked = False
        self._shards: dict[str, edge.EdgeShard] = {}

    # -- collections

    def look(self, collection: str) -> Collection | None:
        """See `Engine`."""
        if (shard := self._open(collection)) is None:
            return None
        with self._explained(collection):
            points = shard.count(edge.CountRequest(exact=True))
        return Collection(self._sizes(collection), points)

    def create(self, collection: str, vector: Vector) -> None:
        """See `Engine`. What a crash left of an earlier attempt is cleared away: nothing was acknowledged of it."""
        self._take_lock()
        self._refuse_full()
        folder = self._path / collection
        with durable.explained(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
        params = edge.EdgeVectorParams(vector.size, edge.Distance.Cosine)
        with self._explained(collection):
            shard = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors={vector.name: params}))
            shard.flush()
        self._shards[collection] = shard
        with durable.explained(folder):
            rewriting.sync(self._path)

    def add_vector(self, collection: str, vector: Vector) -> None:
        """See `Engine`."""
        with self._explained(collection):
            self._shard(collection).update(
                edge.UpdateOperation.create_dense_vector(vector.name, vector.size, edge.Distance.Cosine)
            )

    def quantize(self, collection: str) -> None:
        """See `Engine`: it would take an `optimize`."""

    def index(self, collection: str) -> None:
        """See `Engine`."""
        shard = self._shard(collection)
        with self._explained(collection):
            there = shard.info().payload_schema
            for field in INDEXES.keys() - there.keys():
                shard.update(edge.UpdateOperation.create_field_index(field, rewriting.SCHEMAS[INDEXES[field]]))

    def collections(self) -> Sequence[str]:
        """See `Engine`."""
        with durable.explained(self._path):
            try:
                found = [one.parent.name for one in self._path.glob(f"*/{CONFIG_FILE}")]
                return sorted(name for name in found if not name.startswith("."))
            except FileNotFoundError:
                return []

    # -- points

    def get(self, collection: str, ids: Sequence[str]) -> Mapping[str, Payload]:
        """See `Engine`."""
        shard = self._shard(collection)
        with self._explained(collection):
            records = [one for page in paged(ids) for one in shard.retrieve(list(page), True, False)]
        return {str(one.id): one.payload or {} for one in records}

    def put(self, collection: str, vector: str, points: Sequence[Point]) -> None:
        """See `Engine`."""
        self._refuse_full()
        with self._explained(collection):
            made = [edge.Point(one.id, {vector: list(one.vector)}, one.payload) for one in points]
        self._update(collection, edge.UpdateOperation.upsert_points(made))

    def add_vectors(self, collection: str, vector: str, points: Sequence[Point]) -> None:
        """See `Engine`."""
        self._refuse_full()
        made = [edge.PointVectors(one.id, {vector: list(one.vector)}) for one in points]
        self._update(collection, edge.UpdateOperation.update_vectors(made))

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """See `Engine`."""
        self._update(collection, edge.UpdateOperation.delete_points(list(ids)))

    def withdraw(self, collection: str, machine: str, seqs: Sequence[int]) -> None:
        """See `Engine`."""
        doomed = edge.Filter(
            must=[
                edge.FieldCondition("metadata.machine", match=edge.MatchValue(machine)),
                edge.FieldCondition("metadata.seq", match=edge.MatchAny(list(seqs))),
            ]
        )
        with self._explained(collection):
            found = self._shard(collection).count(edge.CountRequest(exact=True, filter=doomed))
        if found:
            self._mark(collection)
            self._update(collection, edge.UpdateOperation.delete_points_by_filter(doomed))

    def purge(self, collection: str) -> bool:
        """See `Engine`. The shard is written anew: a point that is deleted stays in the engine's files otherwise. At
        once the first time, then for at most a tenth of the time."""
        if not rewriting.is_marked(self._path, collection):
            return False
        if (began := self._clock()) < self._purge_at:
            return True
        self._refuse_full(_size_of(self._path / collection))
        with durable.explained(self._path / collection):
            self._rewrite(collection)
            rewriting.unmark(self._path, collection)
        now = self._clock()
        self._purge_at = now + PURGE_REST * (now - began)
        return False

    def _mark(self, collection: str) -> None:
        """Before anything is removed: a crash must not forget that its bytes are to go."""
        with durable.explained(self._path):
            rewriting.mark(self._path, collection)

    def _rewrite(self, collection: str) -> None:
        shard, sizes = self._shard(collection), self._sizes(collection)
        with self._explained(collection):
            rewriting.copy(self._path, collection, shard, sizes)
            self._shards.pop(collection).close()
        rewriting.exchange(self._path, collection)

    def scroll(self, collection: str, home: str, *, without: str | None = None) -> Iterator[Stored]:
        """See `Engine`."""
        wanted = edge.Filter(
            must=[edge.FieldCondition("metadata.home", match=edge.MatchValue(home))],
            must_not=[edge.HasVectorCondition(without)] if without else None,
        )
        shard, offset = self._shard(collection), None
        while True:
            request = edge.ScrollRequest(offset, PAGE, wanted, with_payload=True, with_vector=False)
            with self._explained(collection):
                page, offset = shard.scroll(request)
            yield from (Stored(str(one.id), one.payload or {}) for one in page)
            if offset is None:
                return

    def flush(self) -> None:
        """See `Engine`."""
        for collection, shard in self._shards.items():
            with self._explained(collection):
                shard.flush()

    # -- the folder

    def capacity(self, collections: Sequence[str]) -> Capacity:
        """See `Engine`. Bytes are those of the folder, which is looked at without the lock; points are told only of
        what is open here."""
        with durable.explained(self._path):
            used = _size_of(self._path)
            usage = shutil.disk_usage(self._path if self._path.exists() else self._path.parent)
        points = None
        if self._locked or self._holder() is None:
            points = sum(found.points for name in collections if (found := self.look(name)) is not None)
        return Capacity(used, usage.free, usage.total, points)

    def probe(self) -> Iterator[Probe]:
        """See `Engine`."""
        if not self._path.parent.is_dir():
            yield Probe("folder", False, f"{self._path.parent} is not there", "mount its disk, or correct `path`")
            return
        used = self._holder()
        yield Probe("folder", True, f"{self._path}, {f'in use by {used}' if used and not self._locked else 'free'}")

    def close(self) -> None:
        """See `Engine`."""
        try:
            while self._shards:
                collection, shard = self._shards.popitem()
                with self._explained(collection):
                    shard.close()
        finally:
            self._locked = False
            self._lock.release()

    # -- opening

    def _shard(self, collection: str) -> edge.EdgeShard:
        shard = self._open(collection)
        if shard is None:
            raise TransientError(
                f"{self._path / collection} is gone", backend=self._name, hint="it is made anew with the next delivery"
            )
        return shard

    def _open(self, collection: str) -> edge.EdgeShard | None:
        """None: there is none. The lock first: a shard that another process has open breaks by being looked at."""
        if collection in self._shards:
            return self._shards[collection]
        folder = self._path / collection
        if not (folder / CONFIG_FILE).exists() and not rewriting.is_under_way(self._path, collection):
            return None
        self._take_lock()
        with self._explained(collection):
            self._shards[collection] = edge.EdgeShard.load(str(folder))
        return self._shards[collection]

    def _take_lock(self) -> None:
        if self._locked:
            return
        if not self._path.parent.is_dir():
            raise TransientError(
                f"{self._path.parent} is not there", backend=self._name, hint="mount its disk, or correct `path`"
            )
        with durable.explained(self._path):
            with suppress(FileExistsError):
                self._path.mkdir(mode=0o700)
            self._locked = self._lock.take()
            if self._locked:
                rewriting.mend(self._path)
        if not self._locked:
            other = self._holder() or Holder(0, "")
            raise TransientError(
                f"{self._path} is in use by {other}", backend=self._name,
                hint=f"one process at a time: wait until it has finished, or stop it{locks.how_to_stop(other)}",
            )  # fmt: skip

    def _refuse_full(self, more: int = 0) -> None:
        """`more`: bytes that are needed beyond the usual."""
        with durable.explained(self._path):
            free = shutil.disk_usage(self._path).free
        if free < ROOM_BYTES + more:
            raise QuotaExceeded(
                f"{self._path} has {free >> 20} MB of room, and the engine needs {ROOM_BYTES + more >> 20}",
                backend=self._name, hint="free some space on its disk",
            )  # fmt: skip

    def _holder(self) -> Holder | None:
        with durable.explained(self._path):
            return locks.holder(self._path / LOCK_FILE)

    def _sizes(self, collection: str) -> Mapping[str, int]:
        """As the engine writes them down; its own answers leave them out."""
        path = self._path / collection / CONFIG_FILE
        with durable.explained(path):
            data = path.read_bytes()
        try:
            return {name: one.size for name, one in msgspec.json.decode(data, type=_Config).vectors.items()}
        except msgspec.MsgspecError as error:
            raise self._failure(collection, "its configuration is damaged: corrupt") from error

    # -- what goes wrong

    def _update(self, collection: str, operation: edge.UpdateOperation) -> None:
        with self._explained(collection):
            self._shard(collection).update(operation)

    @contextmanager
    def _explained(self, collection: str) -> Iterator[None]:
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
                f"the engine cannot use {where}", hint="see the free space; memferry will try again"
            )
        failure.backend = self._name
        return failure


class _VectorConfig(msgspec.Struct):
    size: int


class _Config(msgspec.Struct):
    """What the engine writes down of a collection."""

    vectors: dict[str, _VectorConfig] = {}


def _size_of(folder: Path) -> int:
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
