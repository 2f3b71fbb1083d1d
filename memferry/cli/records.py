"""explain, forget, conflicts and recall."""

from __future__ import annotations

import os
import re
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memferry.cli.command import Answer, Command, add_dry_run, ask
from memferry.cli.output import count, moment, problem, rows
from memferry.errors import ConfigError

_AGO = re.compile(r"(\d{1,4})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 24 * 7}
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?")


# -- explain


def _describe_explain(parser: ArgumentParser) -> None:
    parser.add_argument("target", metavar="PATH|KEY", help="a file, space/file, or a record's key")


def _explain(arguments: Namespace) -> Answer:
    target = arguments.target
    if os.path.exists(target):
        target = os.path.abspath(target)  # a running service has another working directory
    report = ask(arguments, "explain", {"target": target})
    return Answer(report, _explained(report["answers"]))


def _explained(answers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in answers:
        at = "" if one["at"] is None else f" at {one['at']:,}"
        rule = f" ({one['rule']})" if one["rule"] else ""
        yield f"{one['subject']}{at}: {one['verdict']}{rule}: {one['reason']}"


# -- forget


def _describe_forget(parser: ArgumentParser) -> None:
    parser.add_argument("targets", metavar="KEY|SPACE/FILE", nargs="+", help="a record's key, or a whole file")
    add_dry_run(parser)


def _forget(arguments: Namespace) -> Answer:
    report = ask(arguments, "forget", {"targets": arguments.targets, "dry_run": arguments.dry_run})
    return Answer(report, _forgotten(report), report["exit_code"])


def _forgotten(report: Mapping[str, Any]) -> Iterator[str]:
    verb = "would withdraw" if report["dry_run"] else "withdrew"
    yield f"{verb} {count(report['withdrawn'], 'record')}"
    for name, backend in report["backends"].items():
        if backend["error"]:
            yield from problem(f"{name}: {backend['error']}", "it is withdrawn there by the next sync that reaches it")
        else:
            yield f"  gone from {name}"


# -- conflicts


def _describe_conflicts(parser: ArgumentParser) -> None:
    parser.add_argument("action", metavar="resolve", nargs="?", choices=["resolve"], help="settle one")
    parser.add_argument(
        "target", metavar="N|SPACE/FILE", nargs="?", help="which: its number in the list, its file, or a record's key"
    )
    parser.add_argument(
        "--keep",
        metavar="current|other|FILE",
        default="current",
        help="what is to be current: what is now (default), the other version as its copy says, or a file's content",
    )


def _conflicts(arguments: Namespace) -> Answer:
    if arguments.action is None:
        report = ask(arguments, "conflicts", {})
        return Answer(report, _listed(report["conflicts"]))
    if arguments.target is None:
        raise ConfigError("conflicts resolve: which one?", hint="give its number; `memferry conflicts` lists them")
    keep = arguments.keep
    if keep not in ("current", "other"):
        keep = os.path.abspath(os.path.expanduser(keep))  # a running service has another working directory
    report = ask(arguments, "conflicts", {"resolve": arguments.target, "keep": keep})
    return Answer(report, _resolved(report), report["exit_code"])


def _resolved(report: Mapping[str, Any]) -> Iterator[str]:
    done = report["resolved"]
    yield f"settled {done['space']}/{done['file']}: keeps {done['keep']}; {count(report['left'], 'conflict')} left"
    for name, backend in report["backends"].items():
        if backend["error"]:
            yield from problem(f"{name}: {backend['error']}", "the other machines hear of it by the next sync")


def _listed(conflicts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not conflicts:
        yield "no conflicts"
    table = (
        (str(one["name"]), f"{one['space']}/{one['file']}", one["key"], *_sides(one), _kept(one)) for one in conflicts
    )
    yield from rows(table)


def _sides(conflict: Mapping[str, Any]) -> tuple[str, str]:
    current = conflict["current"]
    now = f"current: {current['machine']} {moment(current['time'])}" if current else "current: withdrawn"
    return now, f"other: {conflict['machine']} {moment(conflict['time'])}"


def _kept(conflict: Mapping[str, Any]) -> str:
    return f"kept as {conflict['copy']}" if conflict["copy"] else "kept in the state; --json shows it"


# -- recall


def _describe_recall(parser: ArgumentParser) -> None:
    parser.add_argument("query", metavar="QUERY", nargs="+", help="words to look for")
    parser.add_argument("--limit", metavar="N", type=int, default=10, help="at most so many answers (default 10)")
    parser.add_argument("--space", metavar="NAME", help="only from this space")
    parser.add_argument("--type", metavar="TYPE", help="only records of this type, e.g. decision")
    parser.add_argument("--tag", metavar="TAG", help="only records with this tag")
    parser.add_argument("--since", metavar="TIME", help="only newer ones: 2026-11-01, 12h, 7d or 2w")


def _recall(arguments: Namespace) -> Answer:
    if arguments.limit < 1:
        raise ConfigError("--limit must be 1 or more", hint="see `memferry recall --help`")
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
    "explain": Command(
        "Tells which rule decided about a file or a record, and why.",
        ("memferry explain ~/notes/salaries.md", "memferry explain evt-20261121021416-a39d5cde"),
        _describe_explain,
        _explain,
    ),
    "forget": Command(
        "Withdraws records everywhere: their bytes leave the vaults, and other machines drop them at their next pull.\n"
        "They stay away although they still stand in their files.",
        ("memferry forget fac-20261121021416-bbb0b81a", "memferry forget notes/old-plan.md --dry-run"),
        _describe_forget,
        _forget,
    ),
    "conflicts": Command(
        "Lists the versions that lost against another machine's: who wrote which when, and where that is kept.\n"
        "`resolve` settles one, here and at the next pull on every machine.",
        ("memferry conflicts", "memferry conflicts resolve 1", "memferry conflicts resolve notes/plan.md --keep other"),
        _describe_conflicts,
        _conflicts,
    ),
    "recall": Command(
        "Searches everything that was carried, here and from other machines, best first. Any of the words may match.",
        ("memferry recall webhook retry", "memferry recall rate limit --type decision --since 30d --json"),
        _describe_recall,
        _recall,
    ),
}
