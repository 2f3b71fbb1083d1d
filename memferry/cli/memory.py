"""`memferry memory VERB` and `memoryctl VERB`: the life cycle of a `.memory` tree, for agents.

The answer is one JSON document, with `ok` always; what goes wrong is `{"ok": false, "error": ...}` and exit code 1. It
starts fast, since agents call it all the time: only what a verb needs is imported.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from argparse import REMAINDER, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from importlib import import_module
from json import JSONEncoder
from typing import TYPE_CHECKING, Any, NoReturn

from memferry.cli.memory_verbs import VERBS, VerbSpec
from memferry.errors import MemferryError, MemoryRefused, place
from memferry.memory.lifecycle.turn import Memory, reason

if TYPE_CHECKING:
    from memferry.cli.command import Answer, Command

DEFAULT_ROOT = ".memory"
FAILED = 1
AS_COMMAND = "memferry memory"
ALONE = "memoryctl"
_ACTIONS_OF_AGENDA = ("add", "list", "close", "update")


def main(argv: Sequence[str] | None = None, program: str = ALONE) -> int:
    """Perform a verb as this process's only work; by itself the entry point of `memoryctl`."""
    gc.disable()  # a verb makes no cycles worth looking for, and looking costs a large one a tenth
    exit_code = run(sys.argv[1:] if argv is None else argv, program)
    sys.stderr.flush()
    if "threading" not in sys.modules:
        os._exit(exit_code)  # nothing is open: without Python's own winding up an answer comes a tenth sooner
    return exit_code


def run(argv: Sequence[str], program: str = AS_COMMAND) -> int:
    """Perform a verb, print its answer, and return the exit code."""
    document = perform(argv, program)
    _print(document)
    return 0 if document["ok"] else FAILED


def perform(argv: Sequence[str], program: str, *, now: Callable[[], float] = time.time) -> dict[str, Any]:
    """The answer to `VERB FLAG...`."""
    try:
        return _performed(argv, program, now)
    except MemferryError as error:
        return {"ok": False, "error": str(error)} | ({"hint": error.hint} if error.hint else {})
    except OSError as error:
        return {"ok": False, "error": reason(error)}
    except KeyboardInterrupt:
        return {"ok": False, "error": "interrupted"}
    except Exception as error:  # noqa: BLE001  # the edge: a traceback could show content
        return {"ok": False, "error": f"fault: {type(error).__name__} at {place(error)}"}


def _performed(argv: Sequence[str], program: str, now: Callable[[], float]) -> dict[str, Any]:
    argv = _without_common(argv)
    name = argv[0] if argv else ""
    if name in ("", "-h", "--help"):
        sys.stdout.write(overview(program))
        raise SystemExit(0 if name else FAILED)
    if name not in VERBS:
        raise _unknown(name, program)
    verb = VERBS[name]
    asked = _parser(name, verb, program).parse_args(argv[1:])
    action = _action(name, asked, program)
    module, _, function = verb.performers[action].partition(":")
    work = getattr(import_module(f"memferry.memory.lifecycle.{module}"), function)
    memory = Memory(asked.root, now=now)
    if verb.reads_only:
        return {"ok": True} | memory.look(work, asked)
    answer = {"ok": True, "dry_run": asked.dry_run}
    if verb.in_slices:
        from memferry.memory.lifecycle import slices

        return answer | slices.perform(memory, work, asked, dry_run=asked.dry_run)
    return answer | memory.perform(work, asked, dry_run=asked.dry_run)


def _action(name: str, asked: Namespace, program: str) -> str:
    """Which of a verb's actions is asked for."""
    if name == "agenda":
        given = [action for action in _ACTIONS_OF_AGENDA if getattr(asked, action)]
        if len(given) != 1:
            raise MemoryRefused(
                "agenda requires exactly one action: --add, --list, --close, or --update",
                hint=f"see `{program} agenda --help`",
            )
        return given[0]
    action: str = getattr(asked, "action", "")
    if name == "lease" and action != "list":
        for flag, value in (("--instance-id", asked.instance_id), ("--key", asked.key)):
            if not value:
                raise MemoryRefused(f"{flag} is required for acquire/release", hint=f"see `{program} lease --help`")
    return action if action in VERBS[name].performers else ""


def _unknown(name: str, program: str) -> MemoryRefused:
    from difflib import get_close_matches

    near = get_close_matches(name, VERBS, n=1)
    return MemoryRefused(
        f"there is no verb {name!r}", hint=f"did you mean {near[0]!r}?" if near else f"see `{program} --help`"
    )


def _print(document: dict[str, Any]) -> None:
    plain = (sys.stdout.encoding or "ascii").lower() not in ("utf-8", "utf8")
    sys.stdout.write(JSONEncoder(ensure_ascii=plain, indent=2).encode(document) + "\n")
    sys.stdout.flush()


# -- arguments


def _without_common(argv: Sequence[str]) -> list[str]:
    """Less what every command of memferry takes, and no verb has a use for. Not left to argparse: a verb's flags may be
    shortened, and some would be ambiguous then."""
    kept, words = [], list(argv)
    while words:
        word = words.pop(0)
        if word in ("--config", "--state") and words and not words[0].startswith("-"):
            words.pop(0)
        elif word not in ("--json", "--verbose", "-v", "-vv") and not word.startswith(("--config=", "--state=")):
            kept.append(word)
    return kept


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise MemoryRefused(message, hint=f"see `{self.prog} --help`")


class _Help(RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100, max_help_position=32)


def _parser(name: str, verb: VerbSpec, program: str) -> ArgumentParser:
    examples = "\n".join(f"  {program} {example}" for example in verb.examples)
    parser = _Parser(
        prog=f"{program} {name}",
        description=f"{verb.summary[0].upper()}{verb.summary[1:]}.",
        epilog=f"examples:\n{examples}\n\nThe answer is JSON: `ok`, and `error` where it is false (exit code 1).",
        formatter_class=_Help,
    )
    root = os.environ.get("MEMORY_ROOT") or DEFAULT_ROOT
    for flag, settings in verb.flags:
        parser.add_argument(flag, **settings)
    parser.add_argument("--root", default=root, metavar="DIR", help="the tree (MEMORY_ROOT, else .memory)")
    return parser


def overview(program: str) -> str:
    """The verbs, each with a line."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name.ljust(width)}  {verb.summary}" for name, verb in VERBS.items())
    return (
        f"usage: {program} VERB ...\n\nThe life cycle of a `.memory` tree. Every answer is JSON.\n\n"
        f"{verbs}\n\n`{program} VERB --help` shows its flags and an example.\n"
        f'example: {program} capture --scope project:atlas --summary "The importer drops empty rows"\n'
    )


# -- as a command among others


def _describe(parser: ArgumentParser) -> None:
    parser.add_argument("verb", metavar="VERB", nargs="?", default="", help=f"one of: {', '.join(VERBS)}")
    parser.add_argument("flags", metavar="FLAG", nargs=REMAINDER, help="of the verb")


def _perform_as_command(arguments: Namespace) -> Answer:
    from memferry.cli.command import Answer

    document = perform([arguments.verb, *arguments.flags], AS_COMMAND)
    return Answer(document, JSONEncoder(indent=2).encode(document).split("\n"), 0 if document["ok"] else FAILED)


def __getattr__(name: str) -> dict[str, Command]:
    """`COMMANDS`, which needs what `memoryctl` does not."""
    if name != "COMMANDS":
        raise AttributeError(name)
    from memferry.cli.command import Command

    return {
        "memory": Command(
            "The life cycle of a `.memory` tree: capture, distill, publish, reduce, lease, what keeps it in\n"
            "order. Every answer is JSON. `memoryctl VERB` is the same.",
            [
                'memferry memory capture --scope project:atlas --summary "The importer drops empty rows"',
                "memferry memory attach --project atlas",
                "memferry memory capture --help",
            ],
            _describe,
            _perform_as_command,
        )
    }
