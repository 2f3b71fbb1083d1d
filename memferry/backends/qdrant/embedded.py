"""The engine in this process: a shard in a folder for each collection.

Measured hazards: writes are not synced one by one; so `flush` comes before anything is acknowledged. `optimize` keeps
every thread of the process waiting (13.5 s at 100,000 points); it is never called: without it a search of 100,000
points takes 6 ms. Those of opening a shard: `shards`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import qdrant_edge as edge

from memferry import durable
from memferry.backends.base import Capacity, Probe
from memferry.backends.qdrant import rewriting
from memferry.backends.qdrant.engine import INDEXES, PAGE, Collection, Point, Stored, Vector, paged
from memferry.backends.qdrant.points import Payload
from memferry.backends.qdrant.shards import CONFIG_FILE, Shards, size_of

PURGE_REST = 9


class Embedded:
    """An `Engine` below `path`, which is made (0700) with the first write; the folder above it must exist, for where
    it does not, a disk is not mounted. One thread at a time. `clock`: seconds, monotonic."""

    def __init__(self, path: Path, *, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._shards = Shards(path, name)
        self._clock = clock
        self._purge_at = 0.0

    # -- collections

    def look(self, collection: str) -> Collection | None:
        """See `Engine`."""
        if (shard := self._shards.opened(collection)) is None:
            return None
        with self._shards.explained(collection):
            points = shard.count(edge.CountRequest(exact=True))
        return Collection(self._shards.sizes(collection), points)

    def create(self, collection: str, vector: Vector) -> None:
        """See `Engine`. What a crash left of an earlier attempt is cleared away: nothing was acknowledged of it."""
        self._shards.lock()
        self._shards.refuse_full()
        folder = self._path / collection
        with durable.explained(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
        params = edge.EdgeVectorParams(vector.size, edge.Distance.Cosine)
        with self._shards.explained(collection):
            shard = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors={vector.name: params}))
            shard.flush()
        self._shards.open[collection] = shard
        with durable.explained(folder):
            rewriting.sync(self._path)

    def add_vector(self, collection: str, vector: Vector) -> None:
        """See `Engine`."""
        with self._shards.explained(collection):
            self._shards.of(collection).update(
                edge.UpdateOperation.create_dense_vector(vector.name, vector.size, edge.Distance.Cosine)
            )

    def quantize(self, collection: str) -> None:
        """See `Engine`: it would take an `optimize`."""

    def index(self, collection: str) -> None:
        """See `Engine`."""
        shard = self._shards.of(collection)
        with self._shards.explained(collection):
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
        shard = self._shards.of(collection)
        with self._shards.explained(collection):
            records = [one for page in paged(ids) for one in shard.retrieve(list(page), True, False)]
        return {str(one.id): one.payload or {} for one in records}

    def put(self, collection: str, vector: str, points: Sequence[Point]) -> None:
        """See `Engine`."""
        self._shards.refuse_full()
        with self._shards.explained(collection):
            made = [edge.Point(one.id, {vector: list(one.vector)}, one.payload) for one in points]
        self._update(collection, edge.UpdateOperation.upsert_points(made))

    def add_vectors(self, collection: str, vector: str, points: Sequence[Point]) -> None:
        """See `Engine`."""
        self._shards.refuse_full()
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
        with self._shards.explained(collection):
            found = self._shards.of(collection).count(edge.CountRequest(exact=True, filter=doomed))
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
        self._shards.refuse_full(size_of(self._path / collection))
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
        shard, sizes = self._shards.of(collection), self._shards.sizes(collection)
        with self._shards.explained(collection):
            rewriting.copy(self._path, collection, shard, sizes)
            self._shards.open.pop(collection).close()
        rewriting.exchange(self._path, collection)

    def scroll(self, collection: str, home: str, *, without: str | None = None) -> Iterator[Stored]:
        """See `Engine`."""
        wanted = edge.Filter(
            must=[edge.FieldCondition("metadata.home", match=edge.MatchValue(home))],
            must_not=[edge.HasVectorCondition(without)] if without else None,
        )
        shard, offset = self._shards.of(collection), None
        while True:
            request = edge.ScrollRequest(offset, PAGE, wanted, with_payload=True, with_vector=False)
            with self._shards.explained(collection):
                page, offset = shard.scroll(request)
            yield from (Stored(str(one.id), one.payload or {}) for one in page)
            if offset is None:
                return

    def flush(self) -> None:
        """See `Engine`."""
        for collection, shard in self._shards.open.items():
            with self._shards.explained(collection):
                shard.flush()

    def _update(self, collection: str, operation: edge.UpdateOperation) -> None:
        with self._shards.explained(collection):
            self._shards.of(collection).update(operation)

    # -- the folder

    def capacity(self, collections: Sequence[str]) -> Capacity:
        """See `Engine`. Bytes are those of the folder, which is looked at without the lock; points are told only of
        what is open here."""
        with durable.explained(self._path):
            used = size_of(self._path)
            usage = shutil.disk_usage(self._path if self._path.exists() else self._path.parent)
        points = None
        if self._shards.locked or self._shards.holder() is None:
            points = sum(found.points for name in collections if (found := self.look(name)) is not None)
        return Capacity(used, usage.free, usage.total, points)

    def probe(self) -> Iterator[Probe]:
        """See `Engine`."""
        if not self._path.parent.is_dir():
            yield Probe("folder", False, f"{self._path.parent} is not there", "mount its disk, or correct `path`")
            return
        used = self._shards.holder()
        yield Probe(
            "folder", True, f"{self._path}, {f'in use by {used}' if used and not self._shards.locked else 'free'}"
        )

    def close(self) -> None:
        """See `Engine`."""
        self._shards.close()
