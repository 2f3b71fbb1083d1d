"""The programs under the clock: memferry as a user has it, and what it is compared with. Linux and macOS."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).resolve().parent.parent
STOP_S = 20.0


class Ran(NamedTuple):
    """A finished program. `peak_bytes`: its largest resident size."""

    output: str
    seconds: float
    cpu_s: float
    peak_bytes: int


class Failed(Exception):
    """A program under the clock did not succeed; says which and what it wrote."""


class Program(NamedTuple):
    """An interpreter that has memferry, and the environment to run it in."""

    python: Path
    environment: Mapping[str, str]

    def memferry(self, config: Path, *arguments: str, core: int | None = None) -> Ran:
        """One command. `core`: keep it on this one."""
        return timed([*self.command(config), *arguments], self.environment, core=core)

    def command(self, config: Path) -> list[str]:
        return [str(self.python), "-m", "memferry", "--config", str(config)]

    def script(self, name: str, *arguments: object, core: int | None = None) -> dict[str, Any]:
        """A script of this folder in a process of its own, and the JSON that it prints."""
        script = str(ROOT / "bench" / name)
        ran = timed([str(self.python), script, *map(str, arguments)], self.environment, core=core)
        found: dict[str, Any] = json.loads(ran.output)
        return found


def given(python: Path) -> Program:
    """An interpreter that has memferry's dependencies; memferry itself comes from this source tree."""
    return Program(python, _environment() | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"})


def installed(folder: Path) -> Program:
    """A fresh virtual environment with memferry installed and compiled, as `pip install` leaves it."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    ran = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{ROOT}[ssh]"],
        env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if ran.returncode:
        raise Failed(f"memferry could not be installed: {ran.stdout.strip()}")
    return Program(python, _environment())


def timed(command: Sequence[str], environment: Mapping[str, str] | None = None, *, core: int | None = None) -> Ran:
    """Run it to its end. A child's peak counts from this process's size on, so keep this process small."""
    started = time.perf_counter()
    with _kept_on(core):
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        with child.stdout as pipe:
            output = pipe.read()
        _, status, usage = os.wait4(child.pid, 0)
    except BaseException:  # told to stop: the child must not go on in a folder that is removed
        child.kill()
        child.wait()
        raise
    seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise Failed(f"{' '.join(command)} ended with {child.returncode}: {output.strip()[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Ran(output, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)


def one_core() -> int | None:
    """A core to keep a program on; None where that cannot be done (macOS)."""
    return max(os.sched_getaffinity(0)) if sys.platform == "linux" else None


@contextlib.contextmanager
def _kept_on(core: int | None) -> Iterator[None]:
    """What is started meanwhile stays on this core."""
    if core is None or sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Service:
    """`memferry run` in the background while the block lasts."""

    def __init__(self, program: Program, config: Path, log: Path) -> None:
        self._command = [*program.command(config), "run"]
        self._environment = program.environment
        self._log = log

    def __enter__(self) -> Self:
        with open(self._log, "wb") as log:
            self._child = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def check(self) -> None:
        """Failed if it is not running."""
        if self._child.poll() is not None:
            raise Failed(f"memferry run ended with {self._child.returncode}: {self._log.read_text()[-2000:]}")

    def cpu_s(self) -> float:
        """Processor time used so far, of all its threads. Linux."""
        self.check()
        return cpu_s(self.pid)

    def resident_bytes(self) -> int:
        """Its size in memory now. Linux."""
        return resident_bytes(self.pid)

    @property
    def pid(self) -> int:
        return self._child.pid


def cpu_s(pid: int) -> float:
    """Processor time that a process has used so far. Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """The size of a process in memory. Linux."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _environment() -> dict[str, str]:
    """This one, but imports may be compiled, and no other configuration counts."""
    dropped = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH"}
    return {
        name: value for name, value in os.environ.items() if name not in dropped and not name.startswith("MEMFERRY_")
    }
