"""The model tier of recall: what a worker finds near a question, and how it orders candidates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memferry.recall.base import Passage, Scores, Tier
from memferry.recall.embed import wire
from memferry.recall.embed.child import Worker

TOKENS_WEIGHT = 2.0
"""Tuned with `NEAREST_WEIGHT` on five of ten conversations; the other five agree (docs/recall.md)."""
NEAREST_WEIGHT = 0.25
COSINE_WEIGHT = 1.0
"""A model without token states orders the candidates by its vectors alone."""
LEAST_KNOWN = 0.5


class ByModel:
    """A `Nearest` and a `Reranker`. `stores`: files of vectors, with or without that of the held records; they need not
    be there yet."""

    def __init__(self, worker: Worker, stores: Sequence[Path]) -> None:
        self._worker = worker
        self._stores = [str(path) for path in stores]

    def nearest(self, query: str, limit: int) -> Scores:
        """See `Nearest`. EmbedderBroken."""
        found = self._worker.call(wire.Nearest(self._stores, query, limit), wire.Scored)
        return dict(zip(found.ids, found.scores, strict=True))

    def scores(self, query: str, passages: Sequence[Passage]) -> Sequence[float]:
        """See `Reranker`. Nothing while most of the passages have no vectors yet; the few that have none count as
        neither good nor bad."""
        ids = [passage.id for passage in passages]
        answer = self._worker.call(wire.Compare(self._stores, query, ids), wire.Scored)
        found = dict(zip(answer.ids, answer.scores, strict=True))
        if len(found) < max(1.0, LEAST_KNOWN * len(ids)):
            return ()
        usual = sorted(found.values())[len(found) // 2]
        return [found.get(id_, usual) for id_ in ids]


def model_tier(worker: Worker, stores: Sequence[Path]) -> Tier:
    """Recall with a model. EmbedderBroken: it cannot be loaded."""
    found = ByModel(worker, stores)
    if worker.described.tokens:
        return Tier("model", found, TOKENS_WEIGHT, (found,), NEAREST_WEIGHT)
    return Tier("model", found, COSINE_WEIGHT, (found,), 0.0)
