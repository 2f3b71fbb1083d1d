"""Asking a running service: a request is a file in its state directory, the answer another one beside it."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from memferry.agent.lock import LOCK_FILE, holder
from memferry.durable import write_whole

log = logging.getLogger(__name__)

FOLDER = "requests"
SERVICE = "run"
POLL_S = 0.02


def ring(
    directory: Path, command: str, arguments: dict[str, object], *, configuration: str = "", timeout_s: float = 600.0,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, object] | None:  # fmt: skip
    """Ask the service that holds `directory` and wait for its answer; None: no service is there, or it went away.
    `configuration`: the text of whoever asks."""
    held = holder(directory)
    if held is None or held.purpose != SERVICE:
        return None
    name = secrets.token_hex(8)
    question, answer = directory / FOLDER / f"{name}.ask", directory / FOLDER / f"{name}.answer"
    _place(question, {"command": command, "arguments": arguments, "configuration": configuration})
    deadline = time.monotonic() + timeout_s
    try:
        while time.monotonic() < deadline:
            if answer.exists():
                reply: dict[str, object] = json.loads(answer.read_bytes())
                return reply
            if (now := holder(directory)) is None or now.purpose != SERVICE:
                return None
            sleep(POLL_S)
        return None
    finally:
        question.unlink(missing_ok=True)
        answer.unlink(missing_ok=True)


def leave(directory: Path, command: str) -> None:
    """Ask the service that holds `directory` for something without waiting for it."""
    _place(directory / FOLDER / f"{secrets.token_hex(8)}.ask", {"command": command, "arguments": {}, "answer": False})


class Request(NamedTuple):
    """What somebody asks for, and how to answer. `configuration`: by which, as text; "": by any."""

    command: str
    arguments: dict[str, object]
    answer: Callable[[dict[str, object]], None]
    configuration: str = ""


def asked(directory: Path) -> Iterator[Request]:
    """Requests that wait, oldest first."""
    folder = directory / FOLDER
    if not folder.is_dir():
        return
    for question in sorted(folder.glob("*.ask"), key=_asked_at):
        try:
            request = json.loads(question.read_bytes())
        except OSError:
            continue
        except (ValueError, RecursionError):
            request = None
        question.unlink(missing_ok=True)
        match request:
            case {"command": str(command), "arguments": dict(arguments), "answer": False}:
                yield Request(command, arguments, _unheard)
            case {"command": str(command), "arguments": dict(arguments)}:
                answer = partial(_answer, question.with_suffix(".answer"))
                yield Request(command, arguments, answer, str(request.get("configuration", "")))


def clear(directory: Path) -> None:
    """Remove what was asked of an earlier service: whoever asks this one saw that it holds the lock."""
    since = (directory / LOCK_FILE).stat().st_mtime_ns
    for path in (directory / FOLDER).iterdir():
        if _asked_at(path) < since:
            path.unlink(missing_ok=True)


def _asked_at(path: Path) -> int:
    """0 where whoever asked has given up meanwhile."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _answer(path: Path, content: dict[str, object]) -> None:
    """Where it cannot be written, whoever asked gives up in the end: no reason for others to go without a service."""
    try:
        _place(path, content)
    except OSError as error:
        log.warning("a command cannot be answered: %s", error.strerror or error)


def _unheard(answer: dict[str, object]) -> None:
    """Nobody waits."""


def _place(path: Path, content: dict[str, object]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, json.dumps(content).encode())
