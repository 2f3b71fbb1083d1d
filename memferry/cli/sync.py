"""push, pull and sync-memory."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memferry.cli.command import Answer, Command, add_backends, add_dry_run, ask
from memferry.cli.output import count, more, problem, rows, shares, size

SHOWN_FILES = 10
SHOWN_RECORDS = 5

Report = Mapping[str, Any]


# -- arguments


def _describe_push(parser: ArgumentParser) -> None:
    add_backends(parser)
    _add_only(parser)
    add_dry_run(parser)
    _add_accept_deletions(parser)


def _describe_pull(parser: ArgumentParser) -> None:
    add_backends(parser)
    add_dry_run(parser)


def _describe_sync_memory(parser: ArgumentParser) -> None:
    add_backends(parser)
    parser.add_argument(
        "--scope",
        dest="contents",
        metavar="SCOPE",
        choices=("all", "insights-only", "campaigns-only"),
        help="all (default); for brand memory also insights-only or campaigns-only",
    )
    _add_only(parser)
    parser.add_argument(
        "--exclude",
        metavar="PATTERN",
        action="append",
        default=[],
        help="leave out files like these, as in .gitignore (repeatable)",
    )
    parser.add_argument(
        "--tag",
        dest="tags",
        metavar="TAG",
        action="append",
        default=[],
        help="add this tag to what is stored (repeatable)",
    )
    parser.add_argument("--content-type", dest="type", metavar="TYPE", help="store records under this type")
    parser.add_argument("--force", action="store_true", help="read every file again from the start")
    add_dry_run(parser)
    _add_accept_deletions(parser)


def _add_only(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--only", metavar="NAME", action="append", default=[], help="only this space, format or space/file (repeatable)"
    )


def _add_accept_deletions(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--accept-deletions",
        action="store_true",
        help="go on although most of a space is gone: that is intended",
    )


# -- performing


def _push(arguments: Namespace) -> Answer:
    report = ask(arguments, "push", _scope(arguments))
    return Answer(report, _carried(report), report["exit_code"])


def _sync_memory(arguments: Namespace) -> Answer:
    report = ask(arguments, "sync-memory", _scope(arguments))
    return Answer(report, [*_carried(report), *_pulled(report["pulled"], report["dry_run"])], report["exit_code"])


def _pull(arguments: Namespace) -> Answer:
    report = ask(arguments, "pull", {"dry_run": arguments.dry_run, "backends": arguments.backends})
    lines = [*_pulled(report["backends"], report["dry_run"]), *_passed_over(report["passed_over"])]
    if not report["backends"]:
        lines += problem("no backend is configured, so there is nothing to pull from", "add one to the configuration")
    return Answer(report, [*lines, *_halted(report["halted"])], report["exit_code"])


def _scope(arguments: Namespace) -> dict[str, Any]:
    names = ("contents", "only", "exclude", "tags", "type", "force", "dry_run", "accept_deletions", "backends")
    given = vars(arguments)
    return {name: given[name] for name in names if given.get(name)}


# -- for people


def _carried(report: Report) -> Iterator[str]:
    yield from rows(_counts(report))
    reasons = sorted(report["held"]["reasons"], key=lambda one: (-one["count"], one["rule"]))
    yield from rows(((f"{one['count']:,}", one["rule"], one["reason"]) for one in reasons), "  ")
    yield from _named("excluded", report["excluded"])
    yield from _named("skipped", report["skipped"])
    for name, backend in report["backends"].items():
        yield from _backend(name, backend)
    yield from _troubles(report)
    yield from _next(report["next_sync"])


def _counts(report: Report) -> Iterator[tuple[str, str]]:
    verb = "to carry" if not report["backends"] else "would carry" if report["dry_run"] else "carried"
    yield verb, f"{report['new']:,} new, {report['modified']:,} modified, {report['unchanged']:,} unchanged"
    if report["duplicates"]["total"]:
        yield "duplicates", f"{report['duplicates']['total']:,}: {report['duplicates']['reason']}"
    withdrawn = {name: report[name] for name in ("removed", "withdrawn", "forgotten") if report[name]}
    if withdrawn:
        yield "withdrawn", shares(withdrawn)
    files = report["files"]
    yield "read", f"{len(files['read']):,} of {count(files['seen'], 'file')}, {size(files['read_bytes'])}"
    yield "held", count(report["held"]["total"], "record")


def _named(what: str, reasons: Mapping[str, str]) -> Iterator[str]:
    """Some of the files, each with its reason."""
    if not reasons:
        return
    yield f"{what}  {count(len(reasons), 'file')}"
    yield from rows(list(reasons.items())[:SHOWN_FILES], "  ")
    yield from more(len(reasons) - SHOWN_FILES)


def _backend(name: str, backend: Report) -> Iterator[str]:
    at = backend["checkpoint"]
    if "would_send_bytes" in backend:
        yield f"to {name}: {size(backend['would_send_bytes'])} would be sent, from checkpoint {at['from']:,}"
        return
    moved = f"checkpoint {at['from']:,} -> {at['to']:,}"
    yield f"to {name}: {count(backend['sent'], 'operation')} sent, {moved}{_room(backend)}"
    stored = backend["stored"]
    yield from rows(map(_record, stored[:SHOWN_RECORDS]), "  ")
    if len(stored) > SHOWN_RECORDS:
        yield "  ... and more; see --json"


def _record(stored: Report) -> tuple[str, ...]:
    return stored["type"] or "-", stored["storage_id"], " ".join(f"#{tag}" for tag in stored["tags"]), stored["excerpt"]


def _room(backend: Report) -> str:
    capacity = backend["capacity"] or {}
    names = {"used_bytes": "used", "free_bytes": "free"}
    facts = [f"{size(capacity[name])} {word}" for name, word in names.items() if capacity.get(name) is not None]
    if capacity.get("points") is not None:
        facts.append(f"{capacity['points']} points")
    if capacity.get("used_percent") is not None:
        facts.append(f"disk {capacity['used_percent']} % full")
    return f" ({', '.join(facts)})" if facts else ""


def _troubles(report: Report) -> Iterator[str]:
    if not report["backends"]:
        hint = "what was read waits in the journal: add a backend to the configuration"
        yield from problem("no backend is configured, so nothing was carried anywhere", hint)
    for one in report["failed"]:
        yield from problem(f"{one['file']}: {one['reason']}", one["next_step"])
    yield from _halted(report["halted"])
    if report["gaps"]:
        yield from problem(f"{count(report['gaps'], 'file')} may have lost lines between two looks", "")
    for name, backend in report["backends"].items():
        if backend.get("error"):
            yield from problem(f"{name}: {backend['error']}", backend["hint"])
        if backend.get("refused"):
            yield from problem(f"{name} refused {count(backend['refused'], 'record')}", "see `memferry status`")
        if backend.get("capacity") and backend["capacity"]["alert"]:
            yield from problem(f"{name} is {backend['capacity']['used_percent']} % full", "free some space there")


def _halted(spaces: Sequence[str]) -> Iterator[str]:
    for text in spaces:
        yield from problem(f"halted: {text}", "see `memferry status`")


def _next(next_sync: Report) -> Iterator[str]:
    if next_sync:
        yield f"next sync: about {size(next_sync['estimated_bytes'])}, suggested at {next_sync['suggested_at']}"


def _pulled(backends: Mapping[str, Report], dry_run: bool) -> Iterator[str]:
    for name, pulled in backends.items():
        if "machines" not in pulled:
            yield from problem(f"{name}: {pulled['error']}", pulled["hint"])
            continue
        yield from _taken(name, pulled, "would take" if dry_run else "took")
        yield from _touched(pulled["edits"], everything=dry_run)
        yield from _doubtful(name, pulled)


def _passed_over(spaces: Sequence[Report]) -> Iterator[str]:
    for one in spaces:
        yield from problem(f"space {one['space']} was passed over: {one['path']} is not there", one["next_step"])


def _taken(name: str, pulled: Report, verb: str) -> Iterator[str]:
    if not any(pulled[name] for name in ("taken", "withdrawn", "edits")):
        yield f"from {name}: nothing new from other machines"
        return
    yield f"from {name}: {verb} {count(pulled['taken'], 'record')} of {', '.join(pulled['machines'])}"
    if pulled["withdrawn"]:
        yield f"  {count(pulled['withdrawn'], 'record')} withdrawn elsewhere"


def _touched(edits: Sequence[Report], *, everything: bool) -> Iterator[str]:
    """Each file and how; all of them where that was asked for."""
    shown = edits if everything else edits[:SHOWN_FILES]
    yield from rows(((one["how"], one["file"]) for one in shown), "  ")
    yield from more(len(edits) - len(shown))


def _doubtful(name: str, pulled: Report) -> Iterator[str]:
    """What a person should look at."""
    if pulled["conflicts"]:
        conflicts = count(pulled["conflicts"], "conflict")
        yield from problem(f"{conflicts}: both versions are kept", "see `memferry conflicts`")
    for one in pulled["failed"]:
        yield from problem(f"{one['file']}: {one['reason']}", "the next pull tries again")
    for one in pulled["refused"]:
        yield from problem(f"{name}: {one['error']}", one["hint"])
    if pulled["strange"]:
        strange = count(pulled["strange"], "operation")
        yield from problem(f"{name}: {strange} that no memferry writes, left out", "see `memferry status`")
    for machine in pulled["ahead"]:
        yield from problem(f"the clock of machine {machine} is ahead", "set it right; see `memferry status`")


COMMANDS = {
    "push": Command(
        "Reads what changed in every space, keeps back what is private, and delivers the rest until every\n"
        "backend has acknowledged it.",
        ("memferry push", "memferry push --dry-run --json", "memferry push --backend vault"),
        _describe_push,
        _push,
    ),
    "pull": Command(
        "Fetches what other machines wrote to the same backends. Their ledger lines go to files of their own,\n"
        "entries merge by id, and where two machines changed the same record, both versions are kept. --dry-\n"
        "run shows every file it would touch, and how: new, grows, shrinks, replaced, conflict copy, removed.",
        ("memferry pull", "memferry pull --dry-run"),
        _describe_pull,
        _pull,
    ),
    "sync-memory": Command(
        "Pushes, then pulls, then reports: what was new, modified or unchanged, what was held and by which\n"
        "rule, what was left out, what was stored where and under which id, how full each target is, and when\n"
        "to sync next.",
        (
            "memferry sync-memory",
            "memferry sync-memory --only atlas --exclude 'drafts/**' --tag release --json",
            "memferry sync-memory --scope insights-only --tag q4",
            "memferry sync-memory --force --dry-run",
        ),
        _describe_sync_memory,
        _sync_memory,
    ),
}
