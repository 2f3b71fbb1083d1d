"""Finding entries where there is no index: by filters, and by the words of a question."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from memferry.errors import MemferryError
from memferry.memory import names, topics
from memferry.memory.topics import Pick, Ranked, entry_of
from memferry.model import Put, Record
from memferry.recall.lookup import Filters
from memferry.recall.marks import Marker, snippet, words_in
from memferry.recall.prose import SCOPES, SENSITIVITIES, first, text_of
from memferry.recall.search import asked_of
from memferry.values import seconds


class Found(NamedTuple):
    """`score`: the share of the question's words that stand in it, 0 to 1; `matched`: which."""

    one: Ranked
    text: str
    snippet: str
    matched: tuple[str, ...]
    score: float


def fits(filters: Filters, record: Record) -> bool:
    """Whether the index would let it through; in which space it is, and on which machine, is not looked at."""
    said = {"type": record.type, "scope": scope_of(record), "sensitivity": sensitivity_of(record)}
    alike = all(getattr(filters, name) in (None, value) for name, value in said.items())
    return alike and filters.tag in (None, *record.tags) and _lies_between(filters, seconds(record.ts))


def scope_of(record: Record) -> str | None:
    return first(entry_of(record), SCOPES)


def sensitivity_of(record: Record) -> str | None:
    """Also where it is called visibility."""
    return first(entry_of(record), SENSITIVITIES)


def _lies_between(filters: Filters, at: float | None) -> bool:
    since, until = seconds(filters.since), seconds(filters.until)
    if at is None:
        return since is until is None
    return (since is None or at >= since) and (until is None or at < until + 1)


def find(folder: Path, query: str, now: float, pick: Pick) -> list[Found]:
    """Entries of all topics with words of `query`, the best first. Raises ConfigError for one without a word."""
    asked = asked_of(query)
    entries = list(_entries(folder, now, pick))
    said = [(text, "\n".join([f"{topic}: {text}", *one.record.tags])) for topic, one, text in entries]
    with closing(Marker()) as marker:
        own, *marked = marker.mark(asked, [query, *(words for _, words in said)])
    most = max(1, len(words_in(own)))
    found = [
        Found(one, text, snippet(shown), words, min(1.0, round(len(words) / most, 4)))
        for (_, one, text), shown in zip(entries, marked, strict=True)
        if (words := words_in(shown))
    ]
    return sorted(found, key=lambda hit: (-hit.score, -hit.one.effective))


def _entries(folder: Path, now: float, pick: Pick) -> Iterator[tuple[str, Ranked, str]]:
    for file in topics.files(folder):
        topic = file.removesuffix(names.SUFFIX)
        with suppress(MemferryError):  # the overview names what cannot be read
            for one in topics.ranked(folder, topic, now, pick):
                yield topic, one, _text(one.record)


def _text(record: Record) -> str:
    """What a person would read of it."""
    file, body = record.source.file, record.body.decode()
    return text_of(Put(0, "", "", record.key, file, record.start, "", record.source.format, body))
