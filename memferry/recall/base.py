"""What the parts of recall promise each other: full text and vectors find candidates, a reranker orders them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

Scores: TypeAlias = Mapping[int, float]
"""Passage id -> score; higher is better. Only the order and the distances inside one list mean something."""


class Passage(NamedTuple):
    """A stretch of a record, as it is searched. `id`: never used again for another text, and different in the part for
    held records. `text`: with the record's title, speaker and date in front. `before`: the end of the record before it
    in the same file, if there is one."""

    id: int
    text: str
    before: str = ""


class Reranker(Protocol):
    """Compares a question with each of some passages."""

    def scores(self, query: str, passages: Sequence[Passage]) -> Sequence[float]:
        """One score a passage, in order; empty where it has nothing to say about this question."""
        ...


class Nearest(Protocol):
    """Finds passages by meaning, also those that share no word with the question."""

    def nearest(self, query: str, limit: int) -> Scores:
        """At most `limit` passages; ids that the index no longer knows are passed over by the caller."""
        ...


class Tier(NamedTuple):
    """How candidates are found and ordered. `nearest`: beside full text, whose weight is 1 in the fusion.
    `reranker_weight_cjk`: for questions in Chinese, Japanese and Korean."""

    name: str
    reranker: Reranker | None = None
    reranker_weight: float = 1.0
    reranker_weight_cjk: float = 1.0
    nearest: Sequence[Nearest] = ()
    nearest_weight: float = 1.0


CORE = Tier("core")
