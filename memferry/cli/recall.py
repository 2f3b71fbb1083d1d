"""recall."""

from __future__ import annotations

import re
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memferry.cli.command import Answer, Command, ask, is_configured
from memferry.errors import ConfigError

_AGO = re.compile(r"(\d{1,4})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 24 * 7}
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?")


def _describe(parser: ArgumentParser) -> None:
    parser.add_argument("query", metavar="QUERY", nargs="*", help="words to look for; none: an overview of topics")
    parser.add_argument("--topic", metavar="TOPIC", help="the entries of this topic, best first")
    parser.add_argument("--limit", metavar="N", type=int, default=10, help="at most so many answers (default 10)")
    parser.add_argument("--space", metavar="NAME", help="only from this space")
    parser.add_argument("--type", metavar="TYPE", help="only records of this type, e.g. decision")
    parser.add_argument("--tag", metavar="TAG", help="only records with this tag")
    parser.add_argument("--since", metavar="TIME", help="only newer ones: 2026-11-01, 12h, 7d or 2w")


def _recall(arguments: Namespace) -> Answer:
    if arguments.limit < 1:
        raise ConfigError("--limit must be 1 or more", hint="see `memferry recall --help`")
    if (answer := _of_topics(arguments)) is not None:
        return answer
    wanted = {
        "query": " ".join(arguments.query),
        "limit": arguments.limit,
        "space": arguments.space,
        "type": arguments.type,
        "tag": arguments.tag,
        "since": arguments.since and since(arguments.since),
    }
    hits = ask(arguments, "recall", wanted)["hits"]
    return Answer(hits, _found(hits))


def _of_topics(arguments: Namespace) -> Answer | None:
    """What needs no index: all topics, one of them, or a query where nothing is configured."""
    if arguments.query and arguments.topic is None and is_configured(arguments):
        return None
    from memferry.cli import topics

    return topics.answer(arguments)


def since(text: str, now: float | None = None) -> str:
    """A date or time as records have it (ISO, UTC), from one like it, or from `12h`, `7d`, `2w` before `now`."""
    import datetime

    if ago := _AGO.fullmatch(text):
        start = datetime.datetime.fromtimestamp(time.time() if now is None else now, datetime.UTC)
        at = start - datetime.timedelta(hours=int(ago[1]) * _HOURS[ago[2]])
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        if _DATE.fullmatch(text):
            at = datetime.datetime.fromisoformat(text)
            return text if at.tzinfo is None else at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        pass
    raise ConfigError(f"--since {text} is no time", hint="use a date like 2026-11-01, or 12h, 7d, 2w")


def _found(hits: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not hits:
        yield "nothing found"
    for hit in hits:
        where = " · ".join(filter(None, (hit["space"], hit["file"], hit["type"], (hit["ts"] or "")[:10], hit["key"])))
        yield where
        yield f"    {hit['snippet']}"


COMMANDS = {
    "recall": Command(
        "Searches everything that was carried, here and from other machines, best first. Any of the words may match.\n"
        "Without a query: the topics that agents learned about; with --topic, the entries of one, best first.",
        (
            "memferry recall",
            "memferry recall --topic deploy",
            "memferry recall webhook retry",
            "memferry recall rate limit --type decision --since 30d --json",
        ),
        _describe,
        _recall,
    ),
}
