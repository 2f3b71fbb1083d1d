"""What every command of the command line is made of."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
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


def is_configured(arguments: Namespace) -> bool:
    """Whether somebody named a configuration, or there is one where it is looked for."""
    named = arguments.config or os.environ.get("MEMFERRY_CONFIG")
    return bool(named) or os.path.exists(config.locate(os.environ))


def configured_quickly(arguments: Namespace) -> Config:
    """The same, without a parser where it can be had."""
    return config.load_quickly(os.environ, file=arguments.config, state=arguments.state)


def ask(
    arguments: Namespace, command: str, values: dict[str, Any], *, patience_s: float = 600.0
) -> dict[str, Any]:  # fmt: skip
    """Perform a command of the agent, or have the running service do it; shows progress meanwhile."""
    from memferry.agent.commands import verbs
    from memferry.cli import logs
    from memferry.cli.progress import Progress

    settings = configured_quickly(arguments)
    logs.configure(arguments.verbose)
    keyless = _without_recovery_key(settings)
    with Progress(sys.stderr, command) as progress:
        answer = verbs.ask(settings, command, values, progress=progress, patience_s=patience_s)
    for name in keyless - _without_recovery_key(settings):
        _show_recovery_key(settings, name)
    return answer


def _without_recovery_key(settings: Config) -> set[str]:
    """The backends of which this machine keeps no recovery key."""
    from memferry.backends.encryption.keys import Keys

    keys = Keys(settings.state)
    return {name for name in settings.backends if not keys.has_recovery(name)}


def _show_recovery_key(settings: Config, name: str) -> None:
    """A vault was just made: to whoever sits there, and to nothing that could keep it."""
    from memferry.backends.encryption.keys import Keys

    if sys.stderr.isatty():
        print(f"recovery key of {name}, write it down: {Keys(settings.state).recovery(name)}", file=sys.stderr)


def absolute(path: str) -> str:
    """A path as it was typed here: a running service has another working directory."""
    return os.path.abspath(os.path.expanduser(path))


MOST_DIGITS = 9


def number_from(least: int) -> Callable[[str], int]:
    """A type of argument: a whole number of at least so much, and none that some part cannot take."""

    def number(text: str) -> int:
        if not text.isdecimal() or len(text) > MOST_DIGITS or int(text) < least:
            raise ArgumentTypeError(f"must be a whole number, {least} or more, of at most {MOST_DIGITS} digits")
        return int(text)

    return number


def add_backends(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--backend", dest="backends", metavar="NAME", action="append", default=[], help="only this backend (repeatable)"
    )


def add_dry_run(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="show what would happen, change nothing")
