"""Running the programs by which a service manager is told what to do."""

from __future__ import annotations

import subprocess
from collections import deque
from pathlib import Path
from typing import NamedTuple

from memferry.errors import SupervisorError

TIMEOUT_S = 90.0
"""Stopping a service takes as long as the work that it is amid, at most what its description grants."""

BY_HAND = "`memferry run` does the same in the foreground, under whatever starts programs here"


class Ran(NamedTuple):
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str


def call(*command: str) -> Ran:
    """Run a program to its end. Raises SupervisorError where it is not there or does not end."""
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", stdin=subprocess.DEVNULL,
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise SupervisorError(f"there is no {command[0]} here", hint=BY_HAND) from error
    except subprocess.TimeoutExpired as error:
        raise SupervisorError(
            f"`{' '.join(command)}` did not end in {TIMEOUT_S:.0f} s", hint="try it by hand"
        ) from error
    return Ran(done.returncode, done.stdout, done.stderr)


def require(*command: str) -> Ran:
    """Run a program that must succeed. Raises SupervisorError with what it said."""
    ran = call(*command)
    if ran.code:
        said = (ran.err or ran.out).strip().replace("\n", "; ")
        raise SupervisorError(f"`{' '.join(command)}` failed: {said or f'exit code {ran.code}'}", hint=BY_HAND)
    return ran


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log file; none if there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=lines)]
    except FileNotFoundError:
        return []
