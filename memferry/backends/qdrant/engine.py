"""What a vector engine does for the backend, whether it is a server or lives in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from memferry.backends.base import Capacity, Probe
from memferry.backends.qdrant.points import Payload

INDEXES: Mapping[str, str] = {
    "metadata.home": "keyword",
    "metadata.machine": "keyword",
    "metadata.seq": "integer",
    "metadata.space": "keyword",
    "metadata.type": "keyword",
    "metadata.tags": "keyword",
    "metadata.origin": "keyword",
    "metadata.ts": "datetime",
}
"""Fields of the payload that are searched by, and how."""

PAGE = 256
"""Points in one request."""


class Vector(NamedTuple):
    """A named vector of a collection, compared by cosine."""

    name: str
    size: int


class Point(NamedTuple):
    """One point as it is stored. `vector`: under the name that the collection has for its model."""

    id: str
    payload: Payload
    vector: Sequence[float]


class Stored(NamedTuple):
    """One point as it was found."""

    id: str
    payload: Payload


class Collection(NamedTuple):
    """What there is of a collection. `vectors`: sizes by name; `quantized` None: this engine never does that."""

    vectors: Mapping[str, int]
    points: int
    quantized: bool | None = None


class Engine(Protocol):
    """Collections of points. Any call may be repeated after a lost reply. What a call has done is durable when it
    returns, or once `flush` has. BackendErrors only."""

    def look(self, collection: str) -> Collection | None:
        """None: there is no such collection."""
        ...

    def create(self, collection: str, vector: Vector) -> None:
        """Make it. It may have been made meanwhile."""
        ...

    def add_vector(self, collection: str, vector: Vector) -> None:
        """One more named vector, which no point has yet."""
        ...

    def quantize(self, collection: str) -> None:
        """Search it by vectors of a byte per dimension, which the engine makes in its own time."""
        ...

    def index(self, collection: str) -> None:
        """See to it that all `INDEXES` are there."""
        ...

    def get(self, collection: str, ids: Sequence[str]) -> Mapping[str, Payload]:
        """The payloads of those that are there."""
        ...

    def put(self, collection: str, vector: str, points: Sequence[Point]) -> None:
        """Store them, in the place of any with the same ids. InvalidValue if it can never take one of them: then none
        was stored, or some."""
        ...

    def add_vectors(self, collection: str, vector: str, points: Sequence[Point]) -> None:
        """Give points that are there another vector, beside those they have."""
        ...

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Remove those that are there."""
        ...

    def withdraw(self, collection: str, machine: str, seqs: Sequence[int]) -> None:
        """Remove the points of these operations."""
        ...

    def purge(self, collection: str) -> bool:
        """See to it that what was withdrawn is gone from its files, too, where that is for us to do. True: that is
        still to be done, a little later."""
        ...

    def scroll(self, collection: str, home: str, *, without: str | None = None) -> Iterator[Stored]:
        """All points of an installation; `without`: only those that have no vector of this name."""
        ...

    def collections(self) -> Sequence[str]:
        """The names of all that are there."""
        ...

    def flush(self) -> None:
        """See `Engine`."""
        ...

    def capacity(self, collections: Sequence[str]) -> Capacity:
        """How full it is."""
        ...

    def probe(self) -> Iterator[Probe]:
        """See `Probed`."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


def paged(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """In requests of a size that every server takes."""
    return (ids[start : start + PAGE] for start in range(0, len(ids), PAGE))
