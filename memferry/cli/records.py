"""explain, forget and conflicts."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memferry.cli.command import Answer, Command, absolute, add_dry_run, ask
from memferry.cli.output import count, moment, more, problem, rows, unreached
from memferry.errors import ConfigError

SHOWN_TARGETS = 50

# -- explain


def _describe_explain(parser: ArgumentParser) -> None:
    parser.add_argument("target", metavar="PATH|KEY", help="a file, space/file, or a record's key")


def _explain(arguments: Namespace) -> Answer:
    target = arguments.target
    report = ask(arguments, "explain", {"target": absolute(target) if os.path.exists(target) else target})
    return Answer(report, _explained(report["answers"]))


def _explained(answers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in answers:
        at = "" if one["at"] is None else f" at {one['at']:,}"
        rule = f" ({one['rule']})" if one["rule"] else ""
        yield f"{one['subject']}{at}: {one['verdict']}{rule}: {one['reason']}"


# -- forget


def _describe_forget(parser: ArgumentParser) -> None:
    parser.add_argument("targets", metavar="KEY|SPACE/FILE", nargs="+", help="a record's key, or a whole file")
    parser.add_argument(
        "--accept-deletions",
        action="store_true",
        help="forget all of a space that is no longer configured: that is intended",
    )
    parser.add_argument("--undo", action="store_true", help="carry what was forgotten again, where a file still has it")
    add_dry_run(parser)


def _forget(arguments: Namespace) -> Answer:
    wanted = {name: getattr(arguments, name) for name in ("undo", "dry_run", "accept_deletions")}
    wanted["targets"] = [os.path.expanduser(target) for target in arguments.targets]
    report = ask(arguments, "forget", wanted)
    return Answer(report, _forgotten(report), report["exit_code"])


def _forgotten(report: Mapping[str, Any]) -> Iterator[str]:
    undone = "carried_again" in report
    verbs = (("carries", "would carry") if undone else ("withdrew", "would withdraw"))[report["dry_run"]]
    yield f"{verbs} {count(report['carried_again' if undone else 'withdrawn'], 'record')}{' again' if undone else ''}"
    if report["dry_run"]:
        yield from _listed_targets(report.get("targets", ()))
    for name, backend in report["backends"].items():
        if backend["error"]:
            yield from problem(f"{name}: {backend['error']}", "the next sync that reaches it does the same there")
        else:
            yield f"  {'up to date: ' if undone else 'gone from '}{name}"


def _listed_targets(targets: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A document is named by its file alone."""
    yield from rows(
        [(f"{one['space']}/{one['file']}", "" if one["key"] in (None, one["file"]) else one["key"]) for one in targets][
            :SHOWN_TARGETS
        ],
        "  ",
    )
    yield from more(len(targets) - SHOWN_TARGETS)


# -- conflicts


def _describe_conflicts(parser: ArgumentParser) -> None:
    parser.add_argument("action", metavar="resolve", nargs="?", choices=["resolve"], help="settle a conflict")
    parser.add_argument(
        "target",
        metavar="N|SPACE/FILE",
        nargs="?",
        help="which one: its number in the list, its file, or the record's key",
    )
    parser.add_argument(
        "--keep",
        metavar="current|other|FILE",
        default="current",
        help="which version wins: the current one (default), the other one as it is in its copy, or a file's content",
    )


def _conflicts(arguments: Namespace) -> Answer:
    if arguments.action is None:
        report = ask(arguments, "conflicts", {})
        return Answer(report, _listed(report["conflicts"]))
    if arguments.target is None:
        raise ConfigError("conflicts resolve: which one?", hint="give its number; `memferry conflicts` lists them")
    keep = arguments.keep
    if keep not in ("current", "other"):
        keep = absolute(keep)
    report = ask(arguments, "conflicts", {"resolve": arguments.target, "keep": keep})
    return Answer(report, _resolved(report), report["exit_code"])


def _resolved(report: Mapping[str, Any]) -> Iterator[str]:
    done = report["resolved"]
    yield f"settled {done['space']}/{done['file']}: keeps {done['keep']}; {count(report['left'], 'conflict')} left"
    yield from unreached(report["backends"], "the other machines hear of it by the next sync")


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


COMMANDS = {
    "explain": Command(
        "Says which rule decided about a file or a record, and why.",
        ("memferry explain ~/notes/salaries.md", "memferry explain evt-20261121021416-a39d5cde"),
        _describe_explain,
        _explain,
    ),
    "forget": Command(
        "Withdraws records everywhere: their bytes are removed from the vaults, and other machines drop them\n"
        "at their next pull. They are not carried again, although your files still have them.",
        (
            "memferry forget fac-20261121021416-bbb0b81a",
            "memferry forget notes/old-plan.md --dry-run",
            "memferry forget old-space/ --accept-deletions",
            "memferry forget fac-20261121021416-bbb0b81a --undo",
        ),
        _describe_forget,
        _forget,
    ),
    "conflicts": Command(
        "Lists the versions that lost against another machine's: who wrote them, when, and where they are\n"
        "kept. `resolve` settles a conflict: here, and at the next pull on every other machine.",
        ("memferry conflicts", "memferry conflicts resolve 1", "memferry conflicts resolve notes/plan.md --keep other"),
        _describe_conflicts,
        _conflicts,
    ),
}
