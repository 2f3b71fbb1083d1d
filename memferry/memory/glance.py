"""How much was learned, for `status`: a topic is read again only when its file, or a count, changed since."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from memferry.memory import access, topics
from memferry.memory.access import Counts
from memferry.memory.topics import Summary
from memferry.memory.where import Home

MEMO = "topics.json"
"""In the state directory: what every topic came to when it was last read."""


class Glance(NamedTuple):
    """A space of entries. `newest`: seconds since 1970; `fading`: entries that nobody recalled for 30 days; `problems`:
    topics that cannot be read, and why."""

    space: str
    topics: int
    entries: int
    private: int
    newest: float | None
    fading: int
    problems: tuple[str, ...]


def glance(homes: Iterable[Home], memo: Path, now: float) -> list[Glance]:
    """Every space at a glance. `memo`: where to keep what topics came to; it may be missing or damaged."""
    known = _remembered(memo)
    met: dict[str, Any] = {}
    found = [_of_space(home, known, met, now) for home in homes]
    if met != known:
        with suppress(OSError):
            memo.write_text(json.dumps(met), "utf-8")
    return found


def _of_space(home: Home, known: Mapping[str, Any], met: dict[str, Any], now: float) -> Glance:
    counted = [_stamp(file) for file in access.files(home.folder)]
    counts: Counts | None = None
    summaries = []
    for name in topics.files(home.folder):
        path = home.folder / name
        stamp = [_stamp(path), *counted]
        summary = _still(known.get(str(path)), stamp, now)
        if summary is None:
            counts = access.totals(home.folder) if counts is None else counts
            summary = topics.summary(path, counts, now)
        met[str(path)] = [stamp, list(summary)]
        summaries.append(summary)
    return _summed(str(home.space), summaries)


def _summed(space: str, summaries: list[Summary]) -> Glance:
    return Glance(
        space,
        len(summaries),
        sum(one.entries for one in summaries),
        sum(one.private for one in summaries),
        max((one.newest for one in summaries if one.newest is not None), default=None),
        sum(one.fading for one in summaries),
        tuple(one.problem for one in summaries if one.problem),
    )


def _still(remembered: Any, stamp: object, now: float) -> Summary | None:
    """What a topic came to, if nothing changed and nothing began to fade since."""
    with suppress(ValueError, TypeError):
        seen, fields = remembered
        summary = Summary(*fields)
        if seen == stamp and (summary.fades_at is None or now < summary.fades_at):
            return summary
    return None


def _stamp(path: Path) -> list[int]:
    try:
        found = os.stat(path)
    except OSError:
        return []
    return [found.st_ino, found.st_size, found.st_mtime_ns]


def _remembered(memo: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(memo.read_text("utf-8"))
        if type(found) is dict:
            return found
    return {}
