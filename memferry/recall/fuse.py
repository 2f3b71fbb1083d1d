"""Several scored lists into one. Pure.

Reciprocal ranks with k = 60 forget how much better the first is than the tenth; that adds nothing to full text alone
and hurts where one list is weak. Scores that are scaled to 0..1 keep it (docs/adr/0011-recall.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from memferry.recall.base import Scores


def fuse(lists: Iterable[tuple[Scores, float]]) -> dict[int, float]:
    """Each list scaled to 0..1, times its weight, added up; 0..1 again. What a list lacks counts as its last."""
    scaled = [(_scaled(scores), weight) for scores, weight in lists if scores and weight]
    if len(scaled) == 1:
        return scaled[0][0]
    total = sum(weight for _, weight in scaled)
    ids = dict.fromkeys(chain.from_iterable(scores for scores, _ in scaled))
    return {id_: sum(weight * scores.get(id_, 0.0) for scores, weight in scaled) / total for id_ in ids}


def _scaled(scores: Scores) -> dict[int, float]:
    """All alike: all of them count as best."""
    low, high = min(scores.values()), max(scores.values())
    if high == low:
        return dict.fromkeys(scores, 1.0)
    return {id_: (score - low) / (high - low) for id_, score in scores.items()}
