"""One machine under test: its files, its state, a vault, and memferry as separate processes that can be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from memferry.agent.lock import holder
from memferry.agent.recovery.identity import SECRET_FILE
from tests.faults import oracle
from tests.faults.bar import Result
from tests.faults.lines import Book
from tests.support import NAMELESS

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300.0
POLL_S = 0.05
SETTINGS = "scan_interval_s: 1\n  settle_ms: 200"


LAUNCHER: Sequence[str] = ("-m", "memferry")
"""What is tried as `python LAUNCHER ...`; mutants are launched by another one."""


ANSWERS = "answers.log"
"""Among the logs: what commands printed for their user."""


class Answer(NamedTuple):
    """What a command printed, and its exit code (negative: the signal that ended it)."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


class Machine:
    """Below `base`: `space`, `state`, `vault`, `logs` and a configuration. `agent`: lines of its `agent` section;
    `vault`: another place for it, which `backend`, its settings in YAML, must then lead to."""

    def __init__(
        self,
        base: Path,
        *,
        name: str = "ant",
        agent: str = SETTINGS,
        vault: str | Path = "vault",
        backend: str = "",
    ) -> None:
        self.name = name
        self.base = base
        self.verbose: Sequence[str] = ()
        self.space, self.state, self.vault, self.logs = (base / name for name in ("space", "state", vault, "logs"))
        self.config = base / "memferry.yaml"
        self.space.mkdir(parents=True)
        self.logs.mkdir()
        self.config.write_text(
            f"machine: {name}\nstate: state\nspaces:\n  - {{name: notes, path: space}}\n"
            f"backends:\n  vault: {backend or f'{{type: local, path: {vault}}}'}\nagent:\n  {agent}\n"
            "recall: {tier: core}\npolicy: {secrets: own}\n"  # a model and an engine take their time to load
        )

    # -- memferry

    def command(self, *arguments: str, prefix: Sequence[str] = (), launcher: Sequence[str] = ()) -> list[str]:
        launched = launcher or LAUNCHER
        return [*prefix, sys.executable, *launched, "--config", str(self.config), *self.verbose, *arguments]

    def spawn(self, *arguments: str, **how: Sequence[str]) -> subprocess.Popen[str]:
        """A process in the background. What it says goes to the logs, which the canary oracle reads; what a command
        answers, should it come to its end, is for its user alone."""
        with open(self.logs / "background.log", "a") as log, open(self.logs / ANSWERS, "a") as answers:
            return subprocess.Popen(
                self.command(*arguments, **how), cwd=ROOT, env=_environment(), stdout=answers, stderr=log, text=True
            )

    def call(self, *arguments: str, timeout_s: float = TIMEOUT_S, **how: Sequence[str]) -> Answer:
        done = subprocess.run(
            self.command(*arguments, **how), cwd=ROOT, env=_environment(), capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip
        with open(self.logs / "calls.log", "a") as log:
            log.write(done.stderr)
        with open(self.logs / ANSWERS, "a") as log:
            log.write(done.stdout if arguments[0] != "explain" else "")
        return Answer(done.returncode, done.stdout, done.stderr)

    def push(self, *arguments: str, timeout_s: float = TIMEOUT_S) -> Answer:
        return self.call("push", "--json", *arguments, timeout_s=timeout_s)

    def lose_state(self) -> None:
        """All of it; but for the secret where that alone tells who this is."""
        known = (self.state / SECRET_FILE).read_bytes()
        shutil.rmtree(self.state)
        if NAMELESS:
            self.state.mkdir(mode=0o700)
            (self.state / SECRET_FILE).write_bytes(known)

    def status(self) -> dict[str, Any]:
        return self.call("status", "--json").document

    def backend(self) -> dict[str, Any]:
        """What `status` says of the first backend."""
        found: dict[str, Any] = self.status()["backends"][0]
        return found

    @contextmanager
    def running(self, **how: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        """The service, watching; ended politely unless it ended before."""
        process = self.spawn("run", **how)
        try:
            until(lambda: self.serves() or process.poll() is not None, "the service to start")
            if process.poll() is not None:
                raise RuntimeError(f"the service ended at once with {process.returncode}")
            yield process
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGCONT)
                self.end(process)

    def end(self, process: subprocess.Popen[str]) -> None:
        held = holder(self.state)
        for pid in {process.pid, held.pid if held else process.pid}:  # behind strace, the service is its child
            os.kill(pid, signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def serves(self) -> bool:
        """Whether the service has its first scan behind it: it then says how it watches."""
        held = holder(self.state)
        if held is None or held.purpose != "run":
            return False
        answer = self.call("status", "--json")
        return answer.code in (0, 1) and bool(answer.document.get("service", {}).get("watching"))

    # -- what came of it

    @property
    def identities(self) -> oracle.Identities:
        """What opens the vault; nothing if it is not encrypted."""
        return oracle.identities(self.state)

    def await_content(self, expected: set[str], what: str, timeout_s: float = 30.0) -> bool:
        """Wait until all of `expected` is in the vault; False if that did not happen in time."""
        try:
            until(lambda: oracle.settled(self.vault, expected, self.identities), what, timeout_s)
        except TimeoutError:
            return False
        return True

    def judge(self, result: Result, expected: set[str], book: Book, what: str, *, closed: bool = True) -> None:
        """Both oracles; adds to `result`. `closed` False: the state could not write its last changes into its file,
        which may hold what is overwritten at the next start; then it is not searched."""
        self.compare(result, expected, book.public, what)
        state = self.state if closed else None
        leaked = oracle.leaks(book.private, self.vault, state, self.logs, self.identities)
        result.leaked += len(leaked)
        result.expect(not leaked, f"{what}: leaked={len(leaked)}: {'; '.join(map(str, leaked[:4]))}")

    def compare(self, result: Result, expected: set[str], written: set[str], what: str) -> None:
        """The content oracle alone."""
        content = oracle.read_vault(self.vault, self.identities)
        count = oracle.compare(content, expected, written)
        result.lost += count.lost
        result.doubled += count.doubled
        result.torn += count.torn
        result.expect(not any(count), f"{what}: {count} {' '.join(content.problems[:2])}")

    def check_restore(self, result: Result, book: Book, what: str) -> None:
        """Every ledger that is there comes back byte for byte, but for what is held."""
        to = self.base / f"restored-{len(list(self.base.glob('restored-*')))}"
        answer = self.call("restore", "--machine", self.name, "--to", str(to), "--json")
        result.expect(answer.code == 0, f"{what}: restore ended with {answer.code}: {answer.err.strip()}")
        for ledger in sorted(self.space.rglob("*.jsonl")):
            if ledger.is_symlink():
                continue
            whole = ledger.read_bytes().decode().split("\n")[:-1]
            wanted = [one for one in whole if one in book.public or not one]
            found = _restored(to, ledger.relative_to(self.space))
            result.expect(
                found == wanted,
                f"{what}: {ledger.name} came back with {len(found)} lines instead of {len(wanted)}"
                f"{' in another order' if sorted(found) == sorted(wanted) else ''}",
            )


def _restored(to: Path, file: Path) -> list[str]:
    """The lines of one restored file, wherever in the target its space lies."""
    for place in (to / file, to / "notes" / file):
        if place.is_file():
            return place.read_bytes().decode().split("\n")[:-1]
    return []


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEMFERRY_")}
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    return kept | {"PYTHONPATH": path}


def until(holds: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
    """Wait for a condition. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(POLL_S)


def said(answer: Answer) -> str:
    """A short form of what a command answered, for a failure."""
    return f"exit {answer.code}: {(answer.err or answer.out).strip()[-200:]}"
