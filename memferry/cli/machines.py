"""machines and join: who takes part in a vault, and who has its keys."""

from __future__ import annotations

import sys
import time
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memferry.cli import piped
from memferry.cli.command import Answer, Command, absolute, ask, configured
from memferry.cli.output import problem, rows
from memferry.errors import ConfigError

if TYPE_CHECKING:
    from memferry.config import Config

ACTIONS = ("list", "invite", "join", "revoke", "recovery", "adopt")


def _describe_machines(parser: ArgumentParser) -> None:
    parser.add_argument(
        "action", metavar="ACTION", nargs="?", default="list", choices=ACTIONS, help="one of: " + ", ".join(ACTIONS)
    )
    parser.add_argument("machine", metavar="NAME", nargs="?", help="revoke, adopt: the machine's name or id")
    parser.add_argument("--gone", action="store_true", help="adopt: confirms that the machine will never write again")
    _add_choices(parser)


def _describe_join(parser: ArgumentParser) -> None:
    parser.add_argument("machine", nargs="?", help=SUPPRESS)  # a code typed there is refused without being shown
    _add_choices(parser)


def _add_choices(parser: ArgumentParser) -> None:
    parser.add_argument("--backend", metavar="NAME", help="which backend (default: the only encrypted one)")
    parser.add_argument("--file", metavar="FILE", help="write the code or key to this file, or read it from there")
    parser.add_argument("--recovery", action="store_true", help="join: use the recovery key instead of a code")


def _machines(arguments: Namespace) -> Answer:
    if arguments.machine is not None and arguments.action not in ("revoke", "adopt"):
        raise _not_an_argument()
    performers = {
        "list": _list, "invite": _invite, "join": _join, "revoke": _revoke, "recovery": _recovery, "adopt": _adopt,
    }  # fmt: skip
    return performers[arguments.action](arguments)


# -- list, revoke, adopt


def _list(arguments: Namespace) -> Answer:
    backends = [arguments.backend] if arguments.backend else []
    report = ask(arguments, "machines", {"backends": backends})
    return Answer(report, _listed(report["backends"]), report["exit_code"])


def _listed(backends: list[Mapping[str, Any]]) -> Iterator[str]:
    for backend in backends:
        if "error" in backend:
            yield from problem(f"{backend['backend']}: {backend['error']}", backend["hint"])
            continue
        if backend.get("index"):
            yield f"{backend['backend']}: an index, which tells of no machines"
            continue
        keys = f", keys {backend['fingerprint']} (generation {backend['generation']})" if backend["fingerprint"] else ""
        yield f"{backend['backend']}: encryption {backend['encryption']}{keys}"
        yield from rows(map(_row, backend["machines"]), "  ")
        if not backend["machines"] and not backend["refused"]:
            yield "  no machine has written there yet"
        for one in backend["refused"]:
            yield from problem(f"{one['name']}: {one['error']}", one["hint"])
        if backend["recovery_key_to_write_down"]:
            yield from problem("its recovery key was not written down yet", "memferry machines recovery")


def _row(machine: Mapping[str, Any]) -> tuple[str, ...]:
    told = {"this": "this one", "adopted": "gone, looked after by this one", "revoked": "revoked"}
    marks = [mark for name, mark in told.items() if machine[name]]
    at = f"head {machine['sequence']:,}, through {machine['last_seq']:,}" if machine["sequence"] else "no log yet"
    keys = f"generation {machine['generation']}" if machine["generation"] else "-"
    return machine["name"], machine["id"], at, keys, ", ".join(marks)


def _revoke(arguments: Namespace) -> Answer:
    if not arguments.machine:
        raise ConfigError("which machine is to be revoked?", hint="memferry machines revoke NAME")
    _, name = _encrypted(arguments)
    report = ask(arguments, "revoke", {"backend": name, "machine": arguments.machine})
    lines = [
        f"{report['revoked']} has no keys of {name} any more (generation {report['generation']})",
        f"keys {report['fingerprint']}, held by {', '.join(report['members'])}",
        "each other machine writes its log anew with them when it next delivers",
    ]
    return Answer(report, lines, report["exit_code"])


def _adopt(arguments: Namespace) -> Answer:
    name = arguments.machine
    if not name:
        raise ConfigError("which machine is gone?", hint="memferry machines adopt NAME --gone")
    if not arguments.gone:
        why = "its log would be rewritten from here, and no two machines may write one log"
        raise ConfigError(f"is {name} gone for good? {why}", hint=f"if it is: memferry machines adopt {name} --gone")
    report = ask(arguments, "adopt", {"machine": name, "backends": [arguments.backend] if arguments.backend else []})
    return Answer(report, _adopted(name, report), report["exit_code"])


def _adopted(name: str, report: Mapping[str, Any]) -> Iterator[str]:
    if report["backends"]:
        yield f"this machine looks after the log of {name} in {', '.join(report['backends'])} from now on"
        yield "what is withdrawn leaves it, as it leaves this machine's own; the rest stays"
    if report["lost"]:
        yield f"the log of {name} in {', '.join(report['lost'])} is gone, and no longer expected"


# -- secrets


def _invite(arguments: Namespace) -> Answer:
    from memferry.agent.commands import machines

    settings, name = _encrypted(arguments)
    _refuse_json_without_file(arguments)
    code = machines.invite(settings, name, time.time())
    lines = _handed_over(arguments, code, "code")
    advice = f"within a day, on the new machine: memferry machines join --backend {name}"
    return Answer({"backend": name, "file": arguments.file, "lifetime_s": 86400}, [*lines, advice])


def _recovery(arguments: Namespace) -> Answer:
    from memferry.backends.encryption.keys import Keys

    settings, name = _encrypted(arguments)
    _refuse_json_without_file(arguments)
    keys = Keys(settings.state)
    secret = keys.recovery(name)
    if secret is None:
        hint = "it was shown before, or the vault was made on another machine; whoever wrote it down has it"
        raise ConfigError(f"this machine does not keep the recovery key of {name}", hint=hint)

    def shown() -> Iterator[str]:
        yield from _handed_over(arguments, secret, "recovery key")
        sys.stdout.flush()
        keys.forget_recovery(name)  # not before it was shown
        yield "write it down and keep it away from this machine: it opens the vault, and it is not shown again"

    lines = list(shown()) if arguments.file else shown()
    return Answer({"backend": name, "file": arguments.file}, lines)


def _join(arguments: Namespace) -> Answer:
    from memferry.agent.commands import machines
    from memferry.cli import logs
    from memferry.cli.progress import Progress

    if arguments.machine is not None:
        raise _not_an_argument()
    settings, name = _encrypted(arguments)
    logs.configure(arguments.verbose)
    secret = _given(arguments, "recovery key" if arguments.recovery else "code")
    with Progress(sys.stderr, "join") as progress:
        if arguments.recovery:
            report = machines.recover(settings, name, secret, progress=progress)
        else:
            report = machines.join(settings, name, secret, time.time(), progress=progress)
    lines = [
        f"{report['machine']} has the keys of {name} now: {report['fingerprint']}",
        "compare that with `memferry machines` on another machine",
    ]
    return Answer(report, lines)


def _encrypted(arguments: Namespace) -> tuple[Config, str]:
    from memferry.agent.commands import machines

    settings = configured(arguments)
    return settings, machines.encrypted(settings, arguments.backend)


def _handed_over(arguments: Namespace, secret: str, what: str) -> list[str]:
    """Lines for people, with the secret unless it went to a file."""
    if not arguments.file:
        return [secret]
    from memferry.durable import write_durably

    path = Path(absolute(arguments.file))
    write_durably(path, f"{secret}\n".encode())
    return [f"wrote the {what} to {path}"]


def _given(arguments: Namespace, what: str) -> str:
    """A secret from a file, from standard input, or typed without being shown."""
    if arguments.file:
        text = _content(Path(arguments.file).expanduser())
    elif sys.stdin.isatty():
        from getpass import getpass

        text = getpass(f"{what}: ", stream=sys.stderr)
    else:
        text = piped.text(1 << 16)
    lines = [line.strip() for line in text.split("\n")]
    found = next((line for line in lines if line and not line.startswith("#")), None)
    if found is None:
        raise ConfigError(f"there is no {what} on standard input", hint="type it, or name a file with --file")
    return found


def _content(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read", hint="name the file that holds the code or key") from error


def _refuse_json_without_file(arguments: Namespace) -> None:
    if arguments.json and not arguments.file:
        raise ConfigError("a secret is not printed as JSON", hint="add --file FILE: it is written there (0600)")


def _not_an_argument() -> ConfigError:
    hint = "leave it out: it is asked for, or read from standard input or --file; arguments are seen by other users"
    return ConfigError("a code or key is never an argument", hint=hint)


_PURPOSE = (
    "Lists the machines of every backend, and the fingerprint of its keys, which is the same on all.\n\n"
    "  invite    shows a code, once, that admits one machine to an encrypted vault within a day\n"
    "  join      gets the keys with such a code, or with --recovery\n"
    "  revoke    gives new keys to all machines but one\n"
    "  recovery  shows the recovery key of a vault that was made here, once\n"
    "  adopt     takes over the log of a machine that is gone for good, to remove what is withdrawn\n\n"
    "Codes and keys are typed, or read from standard input or --file; they are never arguments."
)

COMMANDS = {
    "machines": Command(
        _PURPOSE,
        (
            "memferry machines",
            "memferry machines invite --backend vault",
            "memferry machines join --backend vault --file code.txt",
            "memferry machines revoke old-laptop",
            "memferry machines recovery --file recovery.txt",
            "memferry machines adopt old-laptop --gone",
        ),
        _describe_machines,
        _machines,
    ),
    "join": Command(
        "Gets the keys of an encrypted vault, with the code that `memferry machines invite` showed on another\n"
        "machine, or with the recovery key. The same as `memferry machines join`.",
        ("memferry join", "memferry join --recovery --file recovery.txt"),
        _describe_join,
        _join,
    ),
}
