"""recall without an index: all topics, the entries of one, or those with words of a query."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from memferry.cli.command import Answer
from memferry.cli.learn import configured, home
from memferry.cli.output import count, problem, rows
from memferry.errors import ConfigError
from memferry.memory import access, finding, names, topics, where
from memferry.memory.finding import Found
from memferry.memory.records import is_private
from memferry.memory.topics import DAY_S, Pick, Ranked, Summary
from memferry.memory.where import Home
from memferry.recall.lookup import Filters
from memferry.values import iso


def answer(arguments: Namespace, filters: Filters, shown: int) -> Answer:
    """What a recall of topics shows. `shown`: how many entries where nobody says how many."""
    if arguments.topic is None:
        return overview(arguments, filters)
    if arguments.query:
        raise ConfigError("--topic and a QUERY do not go together", hint="leave out one of them")
    return of_topic(arguments, filters, arguments.limit or shown)


def overview(arguments: Namespace, filters: Filters) -> Answer:
    """Every topic of every space, or of one; where not every entry is asked for, those that have some."""
    now = time.time()
    partly = arguments.shareable or any(filters._replace(space=None))
    found = [
        _summary(one, kept, now)
        for kept in homes_of(arguments)
        for one in topics.overview(kept.folder, now, _pick(arguments, filters, kept))
        if one.entries or not partly or (one.problem and not arguments.shareable)
    ][: arguments.limit]
    nothing = "nothing found" if partly else "nothing was learned yet; see `memferry learn --help`"
    return Answer({"topics": found}, _overview(found, nothing), int(any(one["problem"] for one in found)))


def of_topic(arguments: Namespace, filters: Filters, limit: int) -> Answer:
    """The entries of one topic, best first; those that are shown were accessed."""
    now = time.time()
    kept = home_with(arguments)
    shown = topics.ranked(kept.folder, arguments.topic, now, _pick(arguments, filters, kept))[:limit]
    ids = {one.entry["id"] for one in shown if type(one.entry.get("id")) is str}
    if ids:
        access.count(kept.folder, ids, now)
    document = {"topic": arguments.topic, "space": kept.space, "entries": [_entry(one) for one in shown]}
    return Answer(document, _lines(shown) if shown else ["nothing found"])


def hits(arguments: Namespace, filters: Filters, limit: int) -> list[dict[str, Any]]:
    """Entries with words of the query, for where there is no index; told as the index tells of records."""
    kept = home(arguments)
    found = finding.find(kept.folder, " ".join(arguments.query), time.time(), _pick(arguments, filters, kept))
    return [_hit(hit, number) for number, hit in enumerate(found[:limit], 1)]


def _hit(hit: Found, number: int) -> dict[str, Any]:
    record = hit.one.record
    return {
        "key": record.key,
        "space": None,
        "text": hit.text,
        "snippet": hit.snippet,
        "score": hit.score,
        "file": record.source.file,
        "type": record.type,
        "tags": list(record.tags),
        "ts": record.ts,
        "scope": finding.scope_of(record),
        "sensitivity": finding.sensitivity_of(record),
        "machine": None,
        "origins": [],
        "held": is_private(record),
        "why": {
            "matched": hit.matched,
            "matched_before": (),
            "scores": {"words": hit.score},
            "ranks": {"words": number},
        },
    }


def _pick(arguments: Namespace, filters: Filters, kept: Home) -> Pick:
    """Which entries are asked for."""
    may_be_shown = _shareable(arguments, kept) if arguments.shareable else topics.everything
    return lambda found: [one for one in may_be_shown(found) if finding.fits(filters, one)]


def _shareable(arguments: Namespace, kept: Home) -> Pick:
    from memferry.agent.commands import shareable

    settings = configured(arguments)
    if settings is None or kept.space is None:
        return shareable.judged(kept.folder, settings)
    return shareable.cleared(settings, kept.space)


def home_with(arguments: Namespace) -> Home:
    """The folder that has the topic; where several have, as for learning."""
    names.check(arguments.topic)
    having = [one for one in homes_of(arguments) if (one.folder / names.file_of(one.folder, arguments.topic)).exists()]
    return having[0] if len(having) == 1 else home(arguments)


def homes_of(arguments: Namespace) -> Sequence[Home]:
    """Every folder of topics that the arguments leave."""
    settings = configured(arguments)
    if arguments.space is None and settings is not None and (found := where.homes(settings)):
        return found
    return [where.home(settings, Path.cwd(), arguments.space)]


def _summary(one: Summary, kept: Home, now: float) -> dict[str, Any]:
    return {
        "topic": one.topic,
        "space": kept.space,
        "folder": str(kept.folder),
        "entries": one.entries,
        "private": one.private,
        "newest": None if one.newest is None else iso(one.newest),
        "stale_days": None if one.newest is None else round(max(0.0, now - one.newest) / DAY_S, 1),
        "fading": one.fading,
        "problem": one.problem,
    }


def _overview(found: Sequence[Mapping[str, Any]], nothing: str) -> Iterator[str]:
    if not found:
        yield nothing
    table = [
        (one["space"] or one["folder"], one["topic"], count(one["entries"], "entry"), _state(one))
        for one in found
        if not one["problem"]
    ]
    if table:
        yield from rows(table)
    for one in found:
        if one["problem"]:
            yield from problem(one["problem"], "repair it, or move it away")


def _state(one: Mapping[str, Any]) -> str:
    parts = [f"newest {one['newest'][:10]}" if one["newest"] else "undated"]
    if one["private"]:
        parts.append(f"{one['private']:,} private")
    if one["fading"]:
        parts.append(f"{one['fading']:,} not recalled for 30 days: `memferry digest --topic {one['topic']}`")
    return ", ".join(parts)


def _entry(one: Ranked) -> dict[str, Any]:
    last = {"last_accessed": iso(one.access.last)} if one.access.last is not None else {}
    return {**one.entry, "access_count": one.access.times, **last, "effective_importance": round(one.effective, 4)}


def _lines(shown: Sequence[Ranked]) -> Iterator[str]:
    for one in shown:
        tags = "".join(f" #{tag}" for tag in one.record.tags)
        private = " · private" if is_private(one.record) else ""
        yield f"{one.effective:.2f} · {one.entry.get('type', '-')}{private} · {one.entry.get('id', '-')}{tags}"
        yield f"    {one.entry.get('content', '')}"
