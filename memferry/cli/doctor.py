"""doctor: what is wrong with this installation."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from memferry.cli.command import Answer, Command, configured

if TYPE_CHECKING:
    from memferry.agent.commands.doctor import Check


def _describe(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--rebuild", action="store_true", help="set a damaged state aside, and rebuild it from files and backends"
    )


def _doctor(arguments: Namespace) -> Answer:
    from memferry.agent.commands.doctor import doctor
    from memferry.cli import logs

    settings = configured(arguments)
    logs.configure(arguments.verbose)
    checks = doctor(settings, rebuild=arguments.rebuild)
    good = all(check.good for check in checks)
    document = {"good": good, "checks": [check._asdict() for check in checks]}
    return Answer(document, _lines(checks), int(not good))


def _lines(checks: Sequence[Check]) -> Iterator[str]:
    for check in checks:
        yield f"{'ok ' if check.good else '!! '} {check.what}: {check.finding}"
        if check.hint:
            yield f"    {check.hint}"


COMMANDS = {
    "doctor": Command(
        "Checks the state, the rules, the spaces and the backends, and says what to do where something is wrong.\n"
        "Changes nothing, except with --rebuild. Exit code 1: something is wrong.",
        ("memferry doctor", "memferry doctor --rebuild"),
        _describe,
        _doctor,
    )
}
