"""A bar: a fault, tried n times, and what it may cost: nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

Size: TypeAlias = Literal["small", "full"]


@dataclass
class Result:
    """What a bar came to. `n`: how often the fault was tried. `failures`: in words, with enough to try each again."""

    bar: str
    size: Size
    seed: int
    n: int = 0
    lost: int = 0
    doubled: int = 0
    torn: int = 0
    leaked: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return self.n > 0 and not (self.lost or self.doubled or self.torn or self.leaked or self.failures)

    def expect(self, holds: object, failure: str) -> None:
        if not holds:
            self.failures.append(failure)

    def __str__(self) -> str:
        head = (
            f"{self.bar:6} {'ok  ' if self.passed else 'FAIL'} size={self.size} seed={self.seed} n={self.n} "
            f"lost={self.lost} doubled={self.doubled} torn={self.torn} leaked={self.leaked} seconds={self.seconds:.1f}"
        )
        return "\n".join(
            [head, *(f"     note: {note}" for note in self.notes), *(f"     {one}" for one in self.failures)]
        )


@dataclass(frozen=True)
class Trial:
    """Where and how large a bar is tried."""

    base: Path
    size: Size
    seed: int
    result: Result

    def pick(self, small: int, full: int) -> int:
        return full if self.size == "full" else small

    def folder(self, name: str) -> Path:
        path = self.base / name
        path.mkdir(parents=True)
        return path


Body: TypeAlias = Callable[[Trial], None]


@dataclass(frozen=True)
class Bar:
    name: str
    title: str
    body: Body
    tools: tuple[str, ...] = ()
    forbidden: Callable[[], str] = str
    """Why it cannot be tried here, whatever is installed; empty where it can."""

    def missing(self) -> list[str]:
        return [tool for tool in self.tools if shutil.which(tool) is None]

    def run(self, base: Path, size: Size, seed: int) -> Result:
        result = Result(self.name, size, seed)
        started = time.monotonic()
        try:
            self.body(Trial(base, size, seed, result))
        except (TimeoutError, RuntimeError, subprocess.TimeoutExpired) as error:
            result.failures.append(f"gave up: {error}")
        result.seconds = time.monotonic() - started
        return result


BARS: dict[str, Bar] = {}


def by_number(name: str) -> tuple[int, str]:
    """For sorting: `B2`, `B10`, then `B10-SSH`, the same fault elsewhere."""
    number, _, where = name.removeprefix("B").partition("-")
    return int(number), where


def bar(
    name: str, title: str, *, tools: tuple[str, ...] = (), forbidden: Callable[[], str] = str
) -> Callable[[Body], Body]:
    """Enter a function in the list of bars."""

    def enter(body: Body) -> Body:
        BARS[name] = Bar(name, title, body, tools, forbidden)
        return body

    return enter


def usable() -> bool:
    """Whether this system has what the faults are made of: signals, inotify, /proc."""
    return sys.platform == "linux"


@contextmanager
def meanwhile(work: Callable[[], None], stop: threading.Event) -> Iterator[None]:
    """`work` goes on in a thread while the block runs; then `stop` is set, and it is waited for."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def cleaned(path: Path) -> Iterator[Path]:
    """A folder that is gone afterwards, whatever modes the faults left in it."""
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        for folder, _, _ in os.walk(path):
            os.chmod(folder, 0o700)
        shutil.rmtree(path, ignore_errors=True)
