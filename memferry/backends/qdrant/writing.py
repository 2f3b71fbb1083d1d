"""Bringing collections in line with operations. Whatever was done already is seen, and not done again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from memferry.backends.qdrant.engine import PAGE, Collection, Engine, Point, Stored, Vector
from memferry.backends.qdrant.points import DOCUMENT, Draft, Drawing, chunks_of, in_context, is_newer, metadata_of
from memferry.embedder import Embedder
from memferry.errors import EmbedderBroken, InvalidValue, TargetRefused, TransientError
from memferry.model import Identity, Put, Retract

SURELY_NOT_ALL = 8
"""When none of more than so many points is taken, it is not the points' fault."""
SEQS_AT_ONCE = 1000


class _Record(NamedTuple):
    """A version to store, and its points."""

    put: Put
    drafts: Sequence[Draft]


class Writer:
    """Writes what one machine has to tell. `collection_of`: the collection of a space. `engine`: opened when it
    is needed. `name`: of the backend, for errors. One thread at a time."""

    def __init__(
        self,
        engine: Callable[[], Engine],
        drawing: Drawing,
        me: Identity,
        embedder: Callable[[], Embedder],
        collection_of: Callable[[str], str],
        *,
        name: str,
    ) -> None:
        self._engine_of = engine
        self._drawing = drawing
        self._me = me
        self._embedder = embedder
        self._collection_of = collection_of
        self._name = name
        self._ready: set[str] = set()

    @property
    def _engine(self) -> Engine:
        return self._engine_of()

    # -- collections

    def forget(self) -> None:
        """Look at everything again: something went wrong."""
        self._ready.clear()

    def settle(self, collection: str) -> None:
        """Make what is missing of a collection. TargetRefused where it cannot be used."""
        if collection in self._ready:
            return
        vector, found = self.vector(), self._engine.look(collection)
        if found is None:
            self._engine.create(collection, vector)
        elif vector.name not in found.vectors:
            self._engine.add_vector(collection, vector)
        else:
            self._refuse_other_size(collection, vector, found)
        self._engine.index(collection)
        self._ready.add(collection)

    def vector(self) -> Vector:
        """Named as the official MCP server for Qdrant does."""
        model = self._model().model
        return Vector(f"fast-{model.name.rpartition('/')[2].lower()}", model.dimensions)

    def _refuse_other_size(self, collection: str, vector: Vector, found: Collection) -> None:
        size = found.vectors[vector.name]
        if size != vector.size:
            raise TargetRefused(
                f"{vector.name} in the collection {collection} has {size} dimensions, the model {vector.size}",
                backend=self._name, key=collection, hint="set another `collection`, or the model that it was made with",
            )  # fmt: skip

    def _model(self) -> Embedder:
        try:
            return self._embedder()
        except EmbedderBroken as error:
            raise self._without_vectors(error) from error

    def _without_vectors(self, error: EmbedderBroken) -> TransientError:
        return TransientError(f"no vectors can be made: {error}", backend=self._name, hint=error.hint)

    # -- records

    def store(self, puts: Iterable[Put]) -> dict[int, str]:
        """These versions, unless later ones are there. Returns the seqs of those that are not taken, and why."""
        refused: dict[int, str] = {}
        for collection, records in self._grouped(puts):
            self.settle(collection)
            refused |= self._store(collection, records)
        return refused

    def _grouped(self, puts: Iterable[Put]) -> Iterator[tuple[str, Sequence[_Record]]]:
        """About a page of points each, of one collection; of several versions of a record the last."""
        groups: dict[str, dict[tuple[str, str], _Record]] = {}
        sizes: Counter[str] = Counter()
        for put in puts:
            collection = self._collection_of(put.space)
            record = _Record(put, self._drawing.points(put))
            groups.setdefault(collection, {})[put.space, put.key] = record
            sizes[collection] += len(record.drafts)
            if sizes[collection] >= PAGE:
                yield collection, list(groups.pop(collection).values())
                del sizes[collection]
        yield from ((collection, list(group.values())) for collection, group in groups.items())

    def _store(self, collection: str, records: Sequence[_Record]) -> dict[int, str]:
        there = self._engine.get(collection, [draft.id for record in records for draft in record.drafts])
        due = [record for record in records if not is_newer(there.get(record.drafts[0].id, {}), record.put, self._me)]
        stale = [id_ for record in due for id_ in self._beyond(record, there.get(record.drafts[0].id))]
        if stale:
            self._engine.delete(collection, stale)
        changed = [
            (record.put.seq, draft)
            for record in due
            for draft in record.drafts
            if there.get(draft.id) != draft.payload
        ]  # fmt: skip
        refused: dict[int, str] = {}
        for start in range(0, len(changed), PAGE):
            refused |= self._put(collection, changed[start : start + PAGE])
        return refused

    def _beyond(self, record: _Record, there: Mapping[str, object] | None) -> Sequence[str]:
        """Points of an earlier version that was longer."""
        before = chunks_of(there) if there else 0
        return self._drawing.ids(record.put.space, record.put.key, range(len(record.drafts), before))

    def _put(self, collection: str, drafts: Sequence[tuple[int, Draft]]) -> dict[int, str]:
        rows = self._embed([draft.text for _, draft in drafts])
        points = [(seq, Point(draft.id, draft.payload, row)) for (seq, draft), row in zip(drafts, rows, strict=True)]
        refused, error = self._offer(collection, points)
        if error is not None and len(refused) == len({seq for seq, _ in points}) > SURELY_NOT_ALL:
            raise error
        return refused

    def _offer(
        self, collection: str, points: Sequence[tuple[int, Point]]
    ) -> tuple[dict[int, str], InvalidValue | None]:
        """Halves what is not taken until the culprit stands alone."""
        try:
            self._engine.put(collection, self.vector().name, [point for _, point in points])
        except InvalidValue as error:
            if len(points) == 1:
                return {points[0][0]: str(error)}, error
            half = len(points) // 2
            first, second = self._offer(collection, points[:half]), self._offer(collection, points[half:])
            return first[0] | second[0], first[1] or second[1]
        return {}, None

    def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        try:
            rows: list[list[float]] = self._model().embed_documents(texts).tolist()
        except EmbedderBroken as error:
            raise self._without_vectors(error) from error
        return rows

    # -- withdrawing

    def withdraw(self, retracts: Iterable[Retract]) -> None:
        """Of any machine: an index can be written by all of them, and no point must wait for its owner."""
        for collection, machine, seqs in _by_owner(retracts, self._collection_of):
            if self._engine.look(collection) is None:
                continue
            for start in range(0, len(seqs), SEQS_AT_ONCE):
                self._engine.withdraw(collection, machine, seqs[start : start + SEQS_AT_ONCE])

    # -- vectors of another model

    def revector(self, collection: str, text_of: Callable[[Stored], str]) -> int:
        """Give a page of points the vector they have none of; returns how many there were. The one they have stays, so
        what searches by it finds them."""
        self.settle(collection)
        vector = self.vector().name
        page = list(islice(self._engine.scroll(collection, self._drawing.home, without=vector), PAGE))
        if page:
            rows = self._embed([text_of(one) for one in page])
            points = [Point(one.id, one.payload, row) for one, row in zip(page, rows, strict=True)]
            self._engine.add_vectors(collection, vector, points)
        return len(page)


def text_in(stored: Stored) -> str | None:
    """What a point's vector is made of; None: its payload holds no text."""
    piece, metadata = stored.payload.get(DOCUMENT), metadata_of(stored.payload)
    if not isinstance(piece, str):
        return None
    return in_context(piece, metadata.get("type"), metadata.get("ts"), metadata.get("file"))


def _by_owner(
    retracts: Iterable[Retract], collection_of: Callable[[str], str]
) -> Iterator[tuple[str, str, Sequence[int]]]:
    found: dict[tuple[str, str], list[int]] = {}
    for retract in retracts:
        for machine, seq in retract.ops:
            found.setdefault((collection_of(retract.space), machine), []).append(seq)
    return ((collection, machine, seqs) for (collection, machine), seqs in found.items())
