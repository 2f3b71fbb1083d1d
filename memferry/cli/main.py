"""The entry point: reads the arguments, performs one command, shows its answer or its error."""

from __future__ import annotations

import errno
import os
import re
import sys
from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NoReturn, TextIO

from memferry import __version__
from memferry.cli.command import Command
from memferry.cli.output import safe
from memferry.errors import ConfigError, MemferryError, told

COMMANDS = {
    "init": ("init", "find memory on this machine and write a configuration"),
    "run": ("run", "watch and deliver, and pull now and then, until stopped"),
    "service": ("service", "run it in the background: install, uninstall, start, stop, status, logs"),
    "push": ("sync", "read what changed and deliver it"),
    "pull": ("sync", "fetch what other machines wrote"),
    "sync-memory": ("sync", "push and pull, with a full report"),
    "status": ("status", "what is carried, held, waiting or wrong"),
    "restore": ("vaults", "get a machine's files back"),
    "verify": ("vaults", "check what the backends hold, and repair it"),
    "explain": ("records", "why a file or a record is carried or held"),
    "held": ("held", "what stays at home; decide about it"),
    "policy": ("policy", "try the rules on a file or a text, or check them"),
    "audit": ("policy", "what left this machine, when, and where to"),
    "forget": ("records", "withdraw records everywhere"),
    "conflicts": ("records", "versions that lost against another machine's"),
    "learn": ("learn", "keep what an agent learned"),
    "digest": ("digest", "condense a topic: merge what says the same, drop what nobody recalls"),
    "undo": ("digest", "undo the last digest of a topic"),
    "recall": ("recall", "search this machine's memory and what came from the others"),
    "memory": ("memory", "the life cycle of a `.memory` tree: capture, distill, publish, reduce, lease, ..."),
    "machines": ("machines", "which machines take part, and which have the keys of an encrypted vault"),
    "join": ("machines", "get the keys of an encrypted vault"),
    "doctor": ("doctor", "find out what is wrong with this installation"),
}
"""Name -> its module in this package, and one line of help."""

EXIT_CODES = (
    "exit codes: 0 all done (held records are normal), 1 something needs your attention and is named,\n"
    "2 usage or configuration, 3 another instance is at work here, 4 a target was refused,\n"
    "70 a bug in memferry, 130 interrupted"
)
INTERRUPTED = 130


def main() -> int:
    """Perform this process's command line and return its exit code."""
    exit_code = run(sys.argv[1:])
    try:
        sys.stderr.flush()
    except OSError:  # nobody reads it any more
        _silence(sys.stderr)
    if "threading" not in sys.modules:
        # Nothing runs beside and nothing is open: without Python's own winding up `status` is an eighth faster.
        os._exit(exit_code)
    return exit_code


def run(argv: Sequence[str]) -> int:
    """Perform the command line `argv`, show its answer or its error, and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may not fit the terminal's charset
    try:
        return _guarded(argv)
    except OSError as error:  # whoever read this has seen enough
        if not _is_closed_pipe(error):
            raise
        _silence(sys.stdout)
        return MemferryError.exit_code


def _silence(stream: TextIO) -> None:
    """Or the interpreter complains while it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_closed_pipe(error: Exception) -> bool:
    """Windows says of it that an argument is wrong, and says so again."""
    if sys.platform != "win32" or not isinstance(error, OSError) or error.errno != errno.EINVAL:
        return isinstance(error, BrokenPipeError)
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


def _guarded(argv: Sequence[str]) -> int:
    try:
        return _perform(argv)
    except KeyboardInterrupt:
        return _complain(argv, "interrupted", "nothing is lost: the next sync goes on from here", INTERRUPTED)
    except Exception as error:  # the edge: a traceback could show content
        if _is_closed_pipe(error):
            raise
        shown = told(error)
        return _complain(argv, str(shown), shown.hint, shown.exit_code)


def _perform(argv: Sequence[str]) -> int:
    if not argv:
        parser(argv).print_help(sys.stderr)
        return ConfigError.exit_code
    arguments, unknown = parser(argv).parse_known_args(argv)
    if unknown:
        raise ConfigError(
            f"there is no argument {' '.join(unknown)}", hint=f"see `memferry {arguments.command} --help`"
        )
    answer = command(arguments.command).perform(arguments)
    if arguments.json:
        _print_json(answer.document)
    else:
        for line in answer.lines:
            print(safe(line))
    sys.stdout.flush()
    return answer.exit_code


def _complain(argv: Sequence[str], message: str, hint: str, exit_code: int) -> int:
    print(safe(f"memferry: {message}"), file=sys.stderr)
    if hint:
        print(safe(f"  {hint}"), file=sys.stderr)
    if "--json" in argv:
        _print_json({"error": message, "hint": hint, "exit_code": exit_code})
    return exit_code


def _print_json(document: object) -> None:
    import json

    plain = (sys.stdout.encoding or "ascii").lower() not in ("utf-8", "utf8")
    print(json.dumps(document, ensure_ascii=plain, indent=2, default=str), flush=True)


# -- arguments


class Help(RawDescriptionHelpFormatter):
    """Of one width: argparse makes a formatter for every argument, and asking the terminal takes its time."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100)


class Parser(ArgumentParser):
    """Complains as everything else does."""

    def error(self, message: str) -> NoReturn:
        hint = f"see `{self.prog} --help`"
        if unknown := re.match(r"argument COMMAND: invalid choice: '(.*?)'", message):
            from difflib import get_close_matches

            near = get_close_matches(unknown[1], COMMANDS, n=1)
            raise ConfigError(
                f"there is no command {unknown[1]!r}", hint=f"did you mean {near[0]!r}?" if near else hint
            )
        raise ConfigError(message, hint=hint)


def parser(argv: Sequence[str] = ()) -> Parser:
    """The whole grammar. Only commands that `argv` names are described in full, since that means importing them."""
    top = Parser(
        prog="memferry",
        description="Carries an AI agent's memory off the machine that wrote it, and back.",
        epilog=f"example: memferry init && memferry sync-memory\n\n{EXIT_CODES}",
        formatter_class=Help,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"memferry {__version__}")
    _add_common(top, None)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, prog=top.prog)
    named = [name for name in COMMANDS if name in argv]
    for name in named or COMMANDS:
        summary = COMMANDS[name][1]
        if name in named:
            _describe(commands.add_parser(name, **_help(command(name), summary)), command(name))
        else:
            commands.add_parser(name, help=summary)
    return top


def command(name: str) -> Command:
    """The command of this name, its module imported."""
    module = import_module(f"memferry.cli.{COMMANDS[name][0]}")
    found: Command = module.COMMANDS[name]
    return found


def _help(what: Command, summary: str) -> dict[str, Any]:
    examples = "\n".join(f"  {example}" for example in what.examples)
    return {
        "help": summary,
        "description": what.purpose,
        "epilog": f"examples:\n{examples}\n\n{EXIT_CODES}",
        "formatter_class": Help,
        "allow_abbrev": False,
    }


def _describe(target: ArgumentParser, what: Command) -> None:
    what.describe(target)
    _add_common(target, SUPPRESS)  # said before the command, it must not be undone by a default behind it


def _add_common(target: ArgumentParser, default: Any) -> None:
    group = target.add_argument_group("everywhere")
    group.add_argument("--config", metavar="FILE", default=default, help="the configuration (else MEMFERRY_CONFIG)")
    group.add_argument("--state", metavar="DIR", default=default, help="the state directory (else MEMFERRY_STATE)")
    group.add_argument("--json", action="store_true", default=default or False, help="print one JSON document")
    group.add_argument(
        "-v", "--verbose", action="count", default=default or 0, help="say more on stderr; -vv even more"
    )
