"""An engine at a server, a cluster or a cloud, over REST or gRPC."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence

from qdrant_client import QdrantClient, models

from memferry.backends.base import Capacity, Probe
from memferry.backends.qdrant.engine import INDEXES, PAGE, Collection, Point, Stored, Vector, paged
from memferry.backends.qdrant.errors import explained
from memferry.backends.qdrant.points import Payload
from memferry.backends.qdrant.settings import Settings
from memferry.errors import AuthFailed, BackendError, ConfigError, TargetRefused, TransientError


class Server:
    """An `Engine`. `name`: of the backend, for errors. Connects with the first call. One thread at a time."""

    def __init__(self, settings: Settings, *, name: str) -> None:
        self._settings = settings
        self._name = name
        self._where = str(settings.url)
        self._client = _client(settings, name)

    # -- collections

    def look(self, collection: str) -> Collection | None:
        """See `Engine`."""
        with explained(self._name, self._where):
            if not self._client.collection_exists(collection):
                return None
            found = self._client.get_collection(collection)
        vectors = found.config.params.vectors
        if not isinstance(vectors, dict):
            vectors = {}  # one without a name, which is of no use here
        sizes = {name: params.size for name, params in vectors.items()}
        return Collection(sizes, found.points_count or 0, found.config.quantization_config is not None)

    def create(self, collection: str, vector: Vector) -> None:
        """See `Engine`."""
        try:
            with explained(self._name, self._where):
                self._client.create_collection(
                    collection,
                    vectors_config={vector.name: _params(vector)},
                    shard_number=self._settings.shards,
                    replication_factor=self._settings.replicas,
                    on_disk_payload=True,
                )
        except BackendError:
            if self.look(collection) is None:  # else another machine was a moment faster
                raise

    def add_vector(self, collection: str, vector: Vector) -> None:
        """See `Engine`. TargetRefused where the server is too old for it."""
        config = models.DenseVectorConfig(size=vector.size, distance=models.Distance.COSINE)
        try:
            with explained(self._name, self._where):
                self._client.create_vector_name(collection, vector.name, models.DenseVectorNameConfig(dense=config))
        except TransientError:
            raise
        except BackendError as error:
            raise TargetRefused(
                f"{self._where} cannot add the vector {vector.name} to {collection}", backend=self._name,
                hint="update the server (1.18), or set another `collection`: it is filled from the journal",
            ) from error  # fmt: skip

    def quantize(self, collection: str) -> None:
        """See `Engine`."""
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
        with explained(self._name, self._where):
            self._client.update_collection(collection, quantization_config=models.ScalarQuantization(scalar=scalar))

    def index(self, collection: str) -> None:
        """See `Engine`."""
        with explained(self._name, self._where):
            there = self._client.get_collection(collection).payload_schema
            for field in INDEXES.keys() - there.keys():
                self._client.create_payload_index(
                    collection, field, field_schema=models.PayloadSchemaType(INDEXES[field]), wait=True
                )

    def collections(self) -> Sequence[str]:
        """See `Engine`."""
        with explained(self._name, self._where):
            return sorted(one.name for one in self._client.get_collections().collections)

    # -- points

    def get(self, collection: str, ids: Sequence[str]) -> Mapping[str, Payload]:
        """See `Engine`."""
        found: dict[str, Payload] = {}
        for page in paged(ids):
            with explained(self._name, self._where):
                records = self._client.retrieve(collection, list(page), with_payload=True, with_vectors=False)
            found |= {str(one.id): one.payload or {} for one in records}
        return found

    def put(self, collection: str, vector: str, points: Sequence[Point]) -> None:
        """See `Engine`."""
        with explained(self._name, self._where):
            made = [
                models.PointStruct(id=one.id, payload=one.payload, vector={vector: list(one.vector)}) for one in points
            ]
            self._client.upsert(collection, made, wait=True)

    def add_vectors(self, collection: str, vector: str, points: Sequence[Point]) -> None:
        """See `Engine`."""
        made = [models.PointVectors(id=one.id, vector={vector: list(one.vector)}) for one in points]
        with explained(self._name, self._where):
            self._client.update_vectors(collection, made, wait=True)

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """See `Engine`."""
        for page in paged(ids):
            with explained(self._name, self._where):
                self._client.delete(collection, models.PointIdsList(points=list(page)), wait=True)

    def withdraw(self, collection: str, machine: str, seqs: Sequence[int]) -> None:
        """See `Engine`."""
        doomed = models.Filter(
            must=[
                models.FieldCondition(key="metadata.machine", match=models.MatchValue(value=machine)),
                models.FieldCondition(key="metadata.seq", match=models.MatchAny(any=list(seqs))),
            ]
        )
        with explained(self._name, self._where):
            self._client.delete(collection, models.FilterSelector(filter=doomed), wait=True)

    def purge(self, collection: str) -> bool:
        """See `Engine`: a server does that in its own time."""
        return False

    def scroll(self, collection: str, home: str, *, without: str | None = None) -> Iterator[Stored]:
        """See `Engine`."""
        wanted = models.Filter(
            must=[models.FieldCondition(key="metadata.home", match=models.MatchValue(value=home))],
            must_not=[models.HasVectorCondition(has_vector=without)] if without else None,
        )
        offset = None
        while True:
            with explained(self._name, self._where):
                page, offset = self._client.scroll(
                    collection, wanted, limit=PAGE, offset=offset, with_payload=True, with_vectors=False
                )
            yield from (Stored(str(one.id), one.payload or {}) for one in page)
            if offset is None:
                return

    def flush(self) -> None:
        """See `Engine`: every change has waited until it was applied."""

    # -- the server

    def capacity(self, collections: Sequence[str]) -> Capacity:
        """See `Engine`. A server tells its points, and neither bytes nor room."""
        with explained(self._name, self._where):
            counts = [self._client.count(name, exact=True).count for name in collections]
        return Capacity(None, None, None, sum(counts))

    def probe(self) -> Iterator[Probe]:
        """See `Engine`."""
        try:
            with explained(self._name, self._where):
                version = self._client.info().version
            yield Probe("server", True, f"{self._where}, Qdrant {version}")
            found = self.collections()
            yield Probe("key", True, f"lets us in; {len(found)} collections")
        except BackendError as error:
            yield Probe("server", False, str(error), error.hint)

    def close(self) -> None:
        """See `Engine`."""
        self._client.close()


def _params(vector: Vector) -> models.VectorParams:
    return models.VectorParams(size=vector.size, distance=models.Distance.COSINE)


def _client(settings: Settings, name: str) -> QdrantClient:
    """It asks for nothing yet. Its own warning about a key without TLS is for other computers, which are refused.
    AuthFailed where the key is not where it should be: the other backends go on."""
    try:
        key = settings.api_key.reveal() if settings.api_key else None
    except ConfigError as error:
        raise AuthFailed(f"there is no key for {settings.url}: {error}", backend=name, hint=error.hint) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return QdrantClient(
            url=settings.url, api_key=key, prefer_grpc=settings.grpc, timeout=math.ceil(settings.timeout_s),
            check_compatibility=False,
        )  # fmt: skip
