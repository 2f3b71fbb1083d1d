"""What a record itself adds to its score: what it holds, how important it is, and how new. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from heapq import nlargest
from typing import NamedTuple

from memferry.config import Recall
from memferry.recall.expected import holds_what_is_asked
from memferry.recall.words import named
from memferry.values import seconds

NAMED = 0.2
"""Added for each word of its head that the question names. A question says whom, when or what it is about; a record by
or about that is a better answer than one that mentions it. Chosen on five conversations of LoCoMo: between 0.15 and 0.3
every tier is within 0.01 of its best, and the other five agree (docs/adr/0011-recall.md)."""
MOST_NAMED = 3
EXPECTED = 0.15
"""Added where the question asks for a number, a time, a place or a reason, and the passage has one. From 0.05 to 0.15
every tier gains in MRR, on both halves of LoCoMo and on Chinese questions that are no test (docs/adr/0011-recall.md).
"""

LASTING = frozenset({"decision", "lesson"})
DECAY_PER_DAY = 0.01 / 7


class Facts(NamedTuple):
    """Of one record. `used`: when it was used last, else written; times in ISO format.
    `head`: title, speaker and date."""

    type: str | None
    ts: str | None
    importance: float | None
    used: str | None
    head: str = ""


def effective_importance(facts: Facts, now: datetime.datetime) -> float | None:
    """Its own with what its uses add, less 0.01 for every week without use; decisions and lessons keep theirs."""
    if facts.importance is None:
        return None
    days = 0.0 if facts.type in LASTING else age_days(facts.used, now) or 0.0
    return min(1.0, max(0.0, facts.importance - DECAY_PER_DAY * days))


def age_days(ts: str | None, now: datetime.datetime) -> float | None:
    """None: it does not say when, or not so that it can be read."""
    at = seconds(ts)
    return None if at is None else max(0.0, (now.timestamp() - at) / 86_400)


def by_passage(query: str, passage: str) -> dict[str, float]:
    """What the passage adds that fits best, by name; at most EXPECTED."""
    return {"expected": EXPECTED} if holds_what_is_asked(query, passage) else {}


def contenders(scores: Mapping[int, float], limit: int) -> list[int]:
    """Ids that can be among the best `limit` if EXPECTED is added to some: the others need not be looked at."""
    least = nlargest(limit, scores.values())[-1] if scores else 0.0
    return [id_ for id_, score in scores.items() if score >= least - EXPECTED]


def additions(query: str, facts: Facts, settings: Recall, now: datetime.datetime) -> dict[str, float]:
    """What is added to a score of 0..1, by name; nothing where the question names nothing of its head, a factor is off
    or the record does not say."""
    found: dict[str, float] = {}
    if words := named(query, facts.head):
        found["named"] = NAMED * min(words, MOST_NAMED)
    if settings.importance and (importance := effective_importance(facts, now)) is not None:
        found["importance"] = settings.importance * importance
    if settings.recency and (days := age_days(facts.ts, now)) is not None:
        found["recency"] = settings.recency * 0.5 ** (days / settings.recency_days)
    return found
