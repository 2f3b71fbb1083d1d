"""From a question to the records that answer it: candidates, their scores, one list, one hit a record."""

from __future__ import annotations

import contextlib
import datetime
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from heapq import nlargest
from typing import Any, NamedTuple, Self

from memferry.config import Recall
from memferry.errors import ConfigError, EmbedderBroken
from memferry.recall import rank
from memferry.recall.base import CORE, Passage, Scores, Tier
from memferry.recall.expected import asks_for_something
from memferry.recall.fuse import fuse
from memferry.recall.kept_here import Name
from memferry.recall.layout import HELD_FROM, PASSAGE_BITS
from memferry.recall.lookup import Filters, Found, Reader
from memferry.recall.marks import Marker, snippet, words_in
from memferry.recall.passages import LONGEST, split
from memferry.recall.words import has_cjk, terms

CANDIDATES = 100
"""From full text, to be reranked."""
NEIGHBOURS = 50
"""From vectors."""
NEIGHBOURS_TO_FILTER = 2000
"""From vectors, where filters let through only some: they are not known there. What a very narrow filter lets through
is found by its words."""


class Wanted(NamedTuple):
    """What to search for."""

    query: str
    limit: int = 10
    filters: Filters = Filters()


class Hit(NamedTuple):
    """One record. `score`: 0..1, and what its content, its importance and its age add; only the order means something
    between two questions. `origins`: ids of the machines that hold this version. `held`: it never leaves this machine.
    `why`: what the score is made of, and the words that matched."""

    key: str
    space: str
    text: str
    snippet: str
    score: float
    file: str
    type: str | None
    tags: tuple[str, ...]
    ts: str | None
    scope: str | None
    sensitivity: str | None
    machine: str
    origins: tuple[str, ...]
    held: bool
    why: Mapping[str, Any]


class Answers(NamedTuple):
    """`notices`: what was not as it should be, such as a model that could not be loaded."""

    hits: list[Hit]
    notices: tuple[str, ...] = ()


class Searcher:
    """Asks one or several parts of the index as if they were one. Whoever made it closes it, and with it `readers`.

    Without the part for held records nothing of those is looked at. `kept`: which of the records are to be left out.
    """

    def __init__(
        self, readers: Sequence[Reader], tier: Tier = CORE, settings: Recall = Recall(),  # noqa: B008  # frozen
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC), *,
        kept: Callable[[Collection[Name]], Collection[Name]] | None = None,
    ) -> None:  # fmt: skip
        self._readers = readers
        self._tier = tier
        self._settings = settings
        self._now = now
        self._kept = kept
        self._marker = Marker()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._marker.close()
        for reader in self._readers:
            reader.close()

    def search(self, wanted: Wanted) -> Answers:
        """Best first. Raises ConfigError for a query without a word."""
        asked = asked_of(wanted.query)
        with contextlib.ExitStack() as seen:
            for reader in self._readers:
                seen.enter_context(reader.snapshot())
            return self._answers(wanted, asked)

    def _answers(self, wanted: Wanted, asked: Sequence[str]) -> Answers:
        full = self._by_words(asked, wanted.filters)
        notices: tuple[str, ...] = ()
        lists: dict[str, tuple[Scores, float]] = {"words": (full, 1.0)}
        try:
            lists |= self._by_meaning(wanted, full)
        except EmbedderBroken as error:  # full text still answers
            notices = (f"{error}; this is full text alone",)
        fused = self._without_kept(fuse(lists.values()))
        return Answers(self._hits(wanted, asked, fused, {name: scores for name, (scores, _) in lists.items()}), notices)

    # -- candidates

    def _by_words(self, asked: Sequence[str], filters: Filters) -> dict[int, float]:
        found: dict[int, float] = {}
        for reader in self._readers:
            found |= reader.candidates(asked, filters, CANDIDATES)
        if len(found) <= CANDIDATES:
            return found
        return {id_: found[id_] for id_ in nlargest(CANDIDATES, found, key=found.__getitem__)}

    def _by_meaning(self, wanted: Wanted, full: Scores) -> dict[str, tuple[Scores, float]]:
        near = self._near(wanted)
        found: dict[str, tuple[Scores, float]] = {"vectors": (near, self._tier.nearest_weight)} if near else {}
        if self._tier.reranker is not None and (full or near):
            passages = [one for reader in self._readers for one in reader.passages([*dict.fromkeys([*full, *near])])]
            scores = self._tier.reranker.scores(wanted.query, passages)
            if scores:
                compared = {one.id: float(score) for one, score in zip(passages, scores, strict=True)}
                tier = self._tier
                weight = tier.reranker_weight_cjk if has_cjk(wanted.query) else tier.reranker_weight
                found["meaning"] = (compared, weight)
        return found

    def _near(self, wanted: Wanted) -> dict[int, float]:
        near: dict[int, float] = {}
        limit = NEIGHBOURS_TO_FILTER if any(wanted.filters) else NEIGHBOURS
        for nearest in self._tier.nearest:
            near |= self._admitted(nearest.nearest(wanted.query, limit), wanted.filters)
        return {id_: near[id_] for id_ in nlargest(NEIGHBOURS, near, key=near.__getitem__)}

    def _admitted(self, near: Scores, filters: Filters) -> dict[int, float]:
        known: set[int] = set().union(*(reader.admitted(near, filters) for reader in self._readers))
        return {id_: score for id_, score in near.items() if id_ in known}

    def _without_kept(self, fused: Scores) -> Scores:
        if self._kept is None or not fused:
            return fused
        ids = {id_ >> PASSAGE_BITS for id_ in fused}
        names = {id_: name for reader in self._readers for id_, name in reader.names(ids).items()}
        kept = self._kept({*names.values()})
        return {id_: score for id_, score in fused.items() if names.get(id_ >> PASSAGE_BITS) not in kept}

    # -- hits

    def _hits(
        self, wanted: Wanted, asked: Sequence[str], fused: Scores, parts: Mapping[str, Scores]
    ) -> list[Hit]:  # fmt: skip
        best: dict[int, int] = {}
        for _, id_ in sorted(zip(fused.values(), fused, strict=True), reverse=True):
            best.setdefault(id_ >> PASSAGE_BITS, id_)
        added = self._added(wanted.query, best)
        total = {id_: fused[best[id_]] + sum(further.values()) for id_, further in added.items()}
        contenders = rank.contenders(total, wanted.limit) if asks_for_something(wanted.query) else ()
        for id_, text in self._texts(contenders).items():
            found = rank.by_passage(wanted.query, _passage(text, best[id_]))
            added[id_] |= found
            total[id_] += sum(found.values())
        chosen = nlargest(wanted.limit, zip(total.values(), total, strict=True))
        records = self._found([id_ for _, id_ in chosen])
        marked = self._marked(asked, [records[id_].passage(best[id_]) for _, id_ in chosen])
        places = {name: sorted(scores.values()) for name, scores in parts.items()}
        return [
            _hit(records[id_], score, own, _why(best[id_], parts, places, added[id_], words_in(own), previous))
            for (score, id_), (own, previous) in zip(chosen, marked, strict=True)
        ]

    def _added(self, query: str, ids: Iterable[int]) -> dict[int, dict[str, float]]:
        """What records add to their scores, by name."""
        now = self._now()
        return {
            id_: rank.additions(query, facts, self._settings, now)
            for reader in self._readers
            for id_, facts in reader.facts(ids).items()
        }

    def _texts(self, ids: Sequence[int]) -> dict[int, str]:
        if not ids:
            return {}
        return {id_: text for reader in self._readers for id_, text in reader.texts(ids).items()}

    def _found(self, ids: Sequence[int]) -> dict[int, Found]:
        return {id_: found for reader in self._readers for id_, found in reader.found(ids).items()}

    def _marked(
        self, asked: Sequence[str], passages: Sequence[Passage]
    ) -> list[tuple[str, tuple[str, ...]]]:  # fmt: skip
        """For each passage its text with what matched marked, and what matched in the record before it."""
        texts = [one.text for one in passages] + [one.before for one in passages]
        marked, count = self._marker.mark(asked, texts), len(passages)
        return [(own, words_in(before)) for own, before in zip(marked[:count], marked[count:], strict=True)]


def asked_of(query: str) -> list[str]:
    """The terms of a question. Raises ConfigError where there is none."""
    if asked := terms(query):
        return asked
    raise ConfigError("there is no word to look for", hint="ask for at least one word")


def _passage(text: str, id_: int) -> str:
    """The words of a passage, without the head that all of a record's have."""
    return text if len(text) <= LONGEST else split(text)[id_ & ((1 << PASSAGE_BITS) - 1)]


def _why(
    id_: int, parts: Mapping[str, Scores], places: Mapping[str, Sequence[float]], added: Mapping[str, float],
    own: Sequence[str], before: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """`places`: the scores of each part, the least first."""
    scores = {name: round(found[id_], 4) for name, found in parts.items() if id_ in found}
    return {
        "matched": own,
        "matched_before": tuple(word for word in before if word not in own),
        "scores": scores | {name: round(value, 4) for name, value in added.items()},
        "ranks": {
            name: 1 + len(found) - bisect_right(places[name], found[id_])
            for name, found in parts.items()
            if id_ in found
        },
    }


def _hit(record: Found, score: float, marked: str, why: Mapping[str, Any]) -> Hit:
    return Hit(
        record.key, record.space, record.text, snippet(marked), round(score, 4), record.file, record.type, record.tags,
        record.ts, record.scope, record.sensitivity, record.machine, record.origins, record.id >= HELD_FROM, why,
    )  # fmt: skip
