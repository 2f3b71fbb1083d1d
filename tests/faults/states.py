"""B5, B6: a damaged state, and too many agents on one."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from memferry.agent.lock import holder
from tests.faults import oracle
from tests.faults.bar import Trial, bar
from tests.faults.lines import Book, joined
from tests.faults.machine import Machine, said, until

FAULTS = ("flip", "truncate", "zero", "delete")
PARTS = ("space", "state", "vault", "logs")
WORKERS = 2
STARTS = 10
REFUSED = 3
LATE_S = 2.0
SLOWER = 3
"""On a busy machine: so many times as long as `memferry status` takes in the same moment."""


# -- B5


@bar("B5", "a damaged state: a flipped bit, truncated, zeroed, deleted")
def damaged_state(trial: Trial) -> None:
    def several(worker: int) -> None:
        machine, book = _pushed(trial.folder(f"worker-{worker}"), trial.seed)
        for name in PARTS:
            shutil.copytree(machine.base / name, machine.base / "kept" / name)
        for number in range(worker, trial.pick(50, 1000), WORKERS):
            _damage_one(trial, machine, book, number)
            trial.result.n += 1

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(several, range(WORKERS)))


def _pushed(base: Path, seed: int) -> tuple[Machine, Book]:
    machine, book = Machine(base), Book(seed)
    for number in range(3):
        (machine.space / f"ledger-{number}.jsonl").write_bytes(joined(book.next(60)))
    answer = machine.push()
    if answer.code:
        raise RuntimeError(f"the undisturbed push: {said(answer)}")
    return machine, book


def _damage_one(trial: Trial, machine: Machine, book: Book, number: int) -> None:
    """Everything as it was kept, then a fault, three new entries and a push."""
    for name in PARTS:
        shutil.rmtree(machine.base / name)
        shutil.copytree(machine.base / "kept" / name, machine.base / name)
    what = f"case {number}: {_damage(machine.state, random.Random(f'{trial.seed}/B5/{number}'))}"
    mine = Book(trial.seed, 10_000 + 10 * number, set(book.public), set(book.private))
    with open(machine.space / "ledger-0.jsonl", "ab") as ledger:
        ledger.write(joined(mine.next(3)))
    answer = machine.push()
    trial.result.expect(answer.code in (0, 1, 4), f"{what}: {said(answer)}")
    content = oracle.read_vault(machine.vault)
    trial.result.expect(book.public <= content.bodies.keys(), f"{what}: something was taken out of the vault")
    if answer.code:
        trial.result.expect("state" in answer.err, f"{what}: refused without naming the state: {said(answer)}")
        repaired = machine.call("doctor", "--rebuild")  # the named way out
        answer = machine.push()
        trial.result.expect(answer.code == 0, f"{what}: after `doctor --rebuild` ({repaired.code}): {said(answer)}")
    machine.judge(trial.result, mine.public, mine, what)


def _damage(state: Path, chance: random.Random) -> str:
    """Hurt one file of the state; says how."""
    files = [path for path in oracle.files(state) if path.name.startswith("state.db") and path.stat().st_size]
    path, fault = chance.choice(files), chance.choice(FAULTS)
    size = path.stat().st_size
    at = chance.randrange(size)
    if fault == "delete":
        path.unlink()
    elif fault == "truncate":
        os.truncate(path, at)
    else:
        content = bytearray(path.read_bytes())
        if fault == "flip":
            content[at] ^= 1 << chance.randrange(8)
        else:
            content[:] = bytes(size)
        path.write_bytes(content)
    return f"{fault} {path.name} at {at} of {size}"


# -- B6


@bar("B6", "ten starts on one state directory, and its holder killed")
def two_agents(trial: Trial) -> None:
    machine, book = Machine(trial.folder("b6")), Book(trial.seed)
    freed = 0.0
    for number in range(trial.pick(3, 100)):
        (machine.space / f"ledger-{number}.jsonl").write_bytes(joined(book.next(5)))
        freed = max(freed, _race(trial, machine, f"round {number}"))
        trial.result.n += 1
    trial.result.notes.append(f"the lock was free {freed:.3f} s after a kill at most")
    trial.result.expect(freed <= 1, f"the lock was free only after {freed:.1f} s")
    answer = machine.push()
    trial.result.expect(answer.code == 0, f"the push after it: {said(answer)}")
    machine.judge(trial.result, book.public, book, "after all rounds")


def _timed(machine: Machine, command: str) -> tuple[int, float]:
    """Its exit code and seconds."""
    started = time.monotonic()
    code = machine.spawn(command).wait(timeout=30)
    return code, time.monotonic() - started


def _race(trial: Trial, machine: Machine, what: str) -> float:
    """Start ten at once: one may stay, and an eleventh goes. Returns the seconds from a kill to a free lock."""
    processes = [machine.spawn("run") for _ in range(STARTS)]
    until(lambda: _alive(processes) <= 1 and holder(machine.state), f"{what}: nine to give up", 60)
    winners = [process for process in processes if process.poll() is None]
    codes = sorted(process.returncode for process in processes if process.returncode is not None)
    trial.result.expect(len(winners) == 1 and codes == [REFUSED] * (STARTS - 1), f"{what}: exit codes {codes}")
    late, seconds = _timed(machine, "run")
    soon = max(LATE_S, SLOWER * _timed(machine, "status")[1])
    trial.result.expect(late == REFUSED and seconds <= soon, f"{what}: one more ended with {late} in {seconds:.1f} s")
    for process in winners:
        process.kill()
        process.wait()
    killed = time.monotonic()
    until(lambda: holder(machine.state) is None, f"{what}: the lock to be free")
    return time.monotonic() - killed


def _alive(processes: list[subprocess.Popen[str]]) -> int:
    return sum(process.poll() is None for process in processes)
