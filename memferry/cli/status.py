"""status: answers like a shell command, so only what it needs is imported."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from memferry.cli.command import Answer, Command, configured_quickly
from memferry.cli.output import count, moment, problem, rows, shares


def _describe(parser: ArgumentParser) -> None:
    """Nothing but what every command takes."""


def _status(arguments: Namespace) -> Answer:
    from memferry.agent.commands.status import status

    found: dict[str, Any] = status(configured_quickly(arguments))
    troubled = bool(found["problems"]) if found["state"] == "new" else found["state"] != "ok"
    return Answer(found, _lines(found), int(troubled))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    if found["state"] == "new":
        yield f"nothing has been carried yet; run `memferry push` ({found['config']})"
        yield from _notices(found)
        yield from rows((f"entries {one['space']}", ", ".join(_learned(one))) for one in found["memory"])
        yield from _troubles(found)
        return
    yield from rows(_facts(found))
    yield from _notices(found)
    yield from _troubles(found)


def _notices(found: Mapping[str, Any]) -> Iterator[str]:
    for one in found["notices"]:
        yield f"  {moment(one['since'])}: {one['text']}"


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    service = found["service"]
    running = f"running, watching by {service.get('watching', 'scans')}" if service["running"] else "not running"
    yield "memferry", f"{found['state']} · machine {found['machine']['name']} · service {running}"
    for space in found["spaces"]:
        yield f"space {space['name']}", ", ".join(_space(space))
    for space in found["former_spaces"]:
        yield f"space {space['name']}", ", ".join(_former(space))
    for one in found["memory"]:
        yield f"entries {one['space']}", ", ".join(_learned(one))
    for backend in found["backends"]:
        yield f"backend {backend['name']}", ", ".join(_backend(backend))
    yield "held", shares(found["held"]) or "nothing"
    if found["conflicts"]:
        yield "conflicts", f"{count(found['conflicts'], 'version')} lost but kept; see `memferry conflicts`"
    if found["counters"]:
        yield "counted", ", ".join(f"{name} {number:,}" for name, number in found["counters"].items())


def _space(space: Mapping[str, Any]) -> Iterator[str]:
    yield count(space["files"], "file")
    if space["gone"]:
        yield f"{space['gone']:,} gone (kept in the backends)"
    if space["to_read_again"]:
        yield f"{space['to_read_again']:,} to be read again"
    if space["held"]:
        yield f"{count(space['held'], 'record')} held"


def _former(space: Mapping[str, Any]) -> Iterator[str]:
    yield "not configured any more"
    if space["records"]:
        where = f"still in {', '.join(space['backends'])}" if space["backends"] else "stored"
        forget = f"memferry forget {space['name']}/ --accept-deletions"
        yield f"{count(space['records'], 'record')} of it {where} (`{forget}` withdraws them)"
    if space["held"]:
        yield f"{count(space['held'], 'record')} held"


def _learned(memory: Mapping[str, Any]) -> Iterator[str]:
    yield f"{count(memory['entries'], 'entry')} in {count(memory['topics'], 'topic')}"
    if memory["private"]:
        yield f"{memory['private']:,} private"
    if memory["newest"]:
        yield f"newest {moment(memory['newest'])}"
    if memory["fading"]:
        yield f"{memory['fading']:,} not recalled for 30 days: see `memferry recall`"
    yield from memory["problems"]


def _backend(backend: Mapping[str, Any]) -> Iterator[str]:
    last = backend["acknowledged_at"]
    if backend["moved"]:
        yield "it lies elsewhere now: the next push looks what is missing there"
        return
    yield (
        f"{backend['waiting']:,} waiting"
        if backend["waiting"]
        else "everything acknowledged"
        if last
        else "nothing yet"
    )
    if last:
        yield f"last {moment(last)}"
    if backend["failures"]:
        yield f"failing since {moment(backend['failing_since'])}, next try {moment(backend['next_attempt_at'])}"
    if backend["refused"]:
        yield f"{backend['refused']:,} refused, tried again"
    if backend["parked"]:
        yield f"{backend['parked']:,} parked"
    if backend["recovery_key_to_write_down"]:
        yield "recovery key not written down yet: `memferry machines recovery`"


def _troubles(found: Mapping[str, Any]) -> Iterator[str]:
    for one in found["problems"]:
        yield from problem(f"{one['area']} {one['subject']}: {one['text']}", one["hint"])
    unseen = found["problems_total"] - len(found["problems"])
    if unseen > 0:
        yield f"  ... and {unseen:,} more"


COMMANDS = {
    "status": Command(
        "Shows what every backend has acknowledged, what is waiting, what is held by which rule, and every\n"
        "unsolved problem with its next step. Every number is counted from what was acknowledged. Exit code\n"
        "1: there is a problem; a file that was merely skipped, such as a link, is none.",
        ("memferry status", "memferry status --json"),
        _describe,
        _status,
    )
}
