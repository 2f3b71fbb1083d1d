"""restore and verify."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from memferry.cli.command import Answer, Command, absolute, add_backends, ask
from memferry.cli.output import count, more, problem, size

SHOWN = 20


def _describe_restore(parser: ArgumentParser) -> None:
    parser.add_argument("--machine", metavar="NAME", required=True, help="whose files: the machine's name or id")
    parser.add_argument("--to", metavar="DIR", required=True, help="where to write them: an empty or new folder")
    parser.add_argument("--backend", metavar="NAME", help="from this backend (default: the first that has them)")


def _restore(arguments: Namespace) -> Answer:
    to = absolute(arguments.to)
    wanted = {"machine": arguments.machine, "to": to, "backend": arguments.backend}
    report = ask(arguments, "restore", wanted)
    return Answer(report, _restored(report), report["exit_code"])


def _restored(report: Mapping[str, Any]) -> Iterator[str]:
    files = f"{count(report['files'], 'file')}, {count(report['records'], 'record')}, {size(report['bytes'])}"
    yield f"restored {files} of {report['machine']} from {report['backend']} to {report['to']}"
    if report["kept_aside"]:
        yield f"{count(report['kept_aside'], 'older version')} that no file shows any more: in .memferry-kept/ there"
    if report["redacted"]:
        yield f"{count(report['redacted'], 'record')} as redacted: the originals never left the machine that wrote them"
    if report["others"]:
        yield f"as {report['machine']} wrote them; `memferry pull` brings what other machines changed since"
    for one in report["left_out"][:SHOWN]:
        yield from problem(f"left out {one['file']}: {one['reason']}", one["next_step"])
    yield from more(len(report["left_out"]) - SHOWN)


def _describe_verify(parser: ArgumentParser) -> None:
    add_backends(parser)
    parser.add_argument("--repair", action="store_true", help="repair what can be, from this machine's own journal")


def _verify(arguments: Namespace) -> Answer:
    report = ask(arguments, "verify", {"backends": arguments.backends, "repair": arguments.repair})
    lines = [line for backend in report["backends"] for line in _verified(backend)]
    lines = lines or [
        *problem("no backend is configured, so there is nothing to verify", "add one to the configuration")
    ]
    return Answer(report, lines, report["exit_code"])


def _verified(backend: Mapping[str, Any]) -> Iterator[str]:
    name, findings = backend["backend"], backend["findings"]
    if backend["error"]:
        yield from problem(f"{name}: {backend['error']}", backend["hint"])
        return
    yield f"{name}: {count(len(findings), 'finding') if findings else 'intact'}"
    for finding in (backend["repaired"] or findings)[:SHOWN]:
        done = "repaired: " if finding.get("done") else ""
        whose = f" (of {finding['name']})" if finding["name"] else ""
        yield from problem(f"{finding['problem']} {finding['object']}{whose}: {done}{finding['detail']}", "")
    yield from more(len(findings) - SHOWN)
    if findings and not backend["repaired"]:
        yield f"    run `memferry verify --backend {name} --repair`"


COMMANDS = {
    "restore": Command(
        "Writes a machine's files into a folder as they were, with their times, minus the records that were\n"
        "held. Versions that are in no file any more are put beside them.",
        (
            "memferry restore --machine laptop --to ~/restored",
            "memferry restore --machine laptop --to x --backend vault",
        ),
        _describe_restore,
        _restore,
    ),
    "verify": Command(
        "Reads everything in the backends, compares it with the heads, and the heads with those this machine\n"
        "has seen: finds what was removed, changed, truncated, added, reordered or rolled back. Writes only\n"
        "with --repair.",
        ("memferry verify", "memferry verify --backend vault --repair"),
        _describe_verify,
        _verify,
    ),
}
