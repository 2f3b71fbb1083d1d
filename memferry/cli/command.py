"""What every command of the command line is made of."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from memferry import config

if TYPE_CHECKING:
    from memferry.config import Config


class Answer(NamedTuple):
    """What a command found out. `document`: for --json; `lines`: the same for people."""

    document: object
    lines: Iterable[str]
    exit_code: int = 0


class Command(NamedTuple):
    """One command. `purpose`: a paragraph for its help; `examples`: command lines."""

    purpose: str
    examples: Sequence[str]
    describe: Callable[[ArgumentParser], None]
    perform: Callable[[Namespace], Answer]


def configured(arguments: Namespace) -> Config:
    """The configuration that the arguments and the environment name."""
    return config.load(os.environ, file=arguments.config, state=arguments.state)


def ask(arguments: Namespace, command: str, values: dict[str, Any]) -> dict[str, Any]:
    """Perform a command of the agent, or have the running service do it; shows progress meanwhile."""
    from memferry.agent import commands
    from memferry.cli import logs
    from memferry.cli.progress import Progress

    settings = configured(arguments)
    logs.configure(arguments.verbose)
    with Progress(sys.stderr, command) as progress:
        return commands.ask(settings, command, values, progress=progress)


def add_backends(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--backend", dest="backends", metavar="NAME", action="append", default=[], help="only this backend (repeatable)"
    )


def add_dry_run(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="show what would happen and change nothing")
