"""Every command that an open agent performs, by name: here, or in the running service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from memferry.agent import doorbell
from memferry.agent.commands import carry, explain, forget, held, index, machines, resolve, restore, verify
from memferry.agent.intake.gate import RESTART
from memferry.agent.recovery import heirs
from memferry.agent.report import Report
from memferry.agent.service import Agent, opened
from memferry.config import Config, say_the_same
from memferry.errors import ConfigError
from memferry.progress import Progress, silent

COMMANDS: Mapping[str, Callable[[Agent, Mapping[str, Any]], Report]] = {
    "answering": index.answering,
    "push": carry.push,
    "pull": carry.pull,
    "sync-memory": carry.sync_memory,
    "verify": verify.verify,
    "forget": forget.forget,
    "explain": explain.explain,
    "held": held.held,
    "conflicts": resolve.conflicts,
    "index": index.index,
    "restore": restore.restore,
    "machines": machines.machines,
    "revoke": machines.revoke,
    "adopt": heirs.adopt,
}

OF_ANY = frozenset({"answering", "index"})
"""What is the same under any configuration: recall goes on."""


def ask(
    config: Config, command: str, arguments: Report, *, progress: Progress = silent, patience_s: float = 600.0
) -> Report:
    """Do it here, or have the running service do it: the answer is the same. Raises StateLocked when another
    command is at work, or the service for longer than `patience_s`."""
    reply = doorbell.ring(config.state, command, arguments, configuration=config.text, timeout_s=patience_s)
    if reply is None:
        with opened(config, command, progress=progress) as agent:
            return perform(agent, command, arguments)
    if "error" in reply:
        raise _Relayed(reply)
    result: Report = reply["result"]  # type: ignore[assignment]
    return result


class _Relayed(ConfigError):
    """An error that the service met, with its own exit code."""

    def __init__(self, reply: Mapping[str, object]) -> None:
        super().__init__(str(reply["error"]), hint=str(reply["hint"]))
        self.exit_code = int(str(reply["exit_code"]))


def perform(agent: Agent, command: str, arguments: Mapping[str, Any]) -> Report:
    """One command by name. `arguments`: plain values, as they come out of JSON. Raises ConfigError for a command that
    another version of memferry asks for."""
    if command not in COMMANDS:
        raise ConfigError(f"this memferry knows no {command!r}", hint="the service is an older one: restart it")
    _require_text(arguments)
    return COMMANDS[command](agent, arguments)


def require_configuration(agent: Agent, command: str, text: str) -> None:
    """Raises ConfigError where this agent would do what was asked by another configuration than whoever asked has."""
    if text and command not in OF_ANY and not say_the_same(text, agent.config.text):
        raise ConfigError("the service runs with another configuration", hint=RESTART)


def _require_text(arguments: Mapping[str, Any]) -> None:
    """Nothing that memferry knows has a name that is not UTF-8, but for a folder that it shall write into."""
    given = (value for name, value in arguments.items() if name != "to")
    for word in (word for value in given for word in (value if isinstance(value, list) else [value])):
        if isinstance(word, str) and not _is_utf8(word):
            shown = word.encode("utf-8", "backslashreplace").decode()
            raise ConfigError(f"{shown} is not UTF-8", hint="what is called like that is not carried: rename it")


def _is_utf8(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
