"""B7, B8, B9: lines that come in parts, and files that are not what they were, with and without events."""

from __future__ import annotations

import contextlib
import gzip
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.faults.bar import Trial, bar
from tests.faults.identity import SCENARIOS
from tests.faults.lines import Book
from tests.faults.machine import ROOT, Machine, said

DEAF = ("-m", "tests.faults.launch", "deaf")
LYING = ("-m", "tests.faults.launch", "lying")
HEARING = ("-m", "memferry")


# -- B7


@bar("B7", "lines in fragments, with kills of the agent and of the writer")
def partial_lines(trial: Trial) -> None:
    _fragments(trial, "b7", HEARING, trial.pick(2000, 100_000), trial.pick(6, 100))


def _fragments(trial: Trial, name: str, launcher: Sequence[str], lines: int, kills: int) -> None:
    machine, book = Machine(trial.folder(name)), Book(trial.seed)
    ledger = machine.space / "ledger.jsonl"
    chance = random.Random(f"{trial.seed}/{name}")
    with _agent_killed(trial, machine, launcher, chance, kills):
        _write_with_kills(trial, ledger, book, chance, lines, kills)
    expected = book.cleared(_present(machine.space))
    with machine.running(launcher=launcher):
        arrived = machine.await_content(expected, "the last lines")
    trial.result.expect(arrived, f"{name}: not all lines came within 30 s of quiet")
    answer = machine.push()
    trial.result.expect(answer.code in (0, 1), f"{name}: the last push: {said(answer)}")
    machine.judge(trial.result, expected, book, name)
    machine.check_restore(trial.result, book, name)
    trial.result.notes.append(f"{name}: {len(expected)} lines expected, {lines} begun")


def _write_with_kills(trial: Trial, ledger: Path, book: Book, chance: random.Random, lines: int, kills: int) -> None:
    """Writers, each killed somewhere but for the last. One in two behind a kill begins on a new line."""
    share = lines // (kills + 1)
    for number in range(kills + 1):
        first = number * share
        book.next(share)
        if number and chance.random() < 0.5:
            with open(ledger, "ab") as file:
                file.write(b"\n")
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.writer", str(ledger), str(book.seed), str(first), str(share), "0.05"],
            cwd=ROOT,
        )
        try:
            writer.wait(timeout=None if number == kills else chance.uniform(0.1, 0.6))
        except subprocess.TimeoutExpired:
            writer.kill()
            writer.wait()
            trial.result.n += 1


@contextlib.contextmanager
def _agent_killed(
    trial: Trial, machine: Machine, launcher: Sequence[str], chance: random.Random, kills: int
) -> Iterator[None]:
    """Meanwhile an agent runs, is killed, runs again."""
    delays = [chance.uniform(0.2, 1.5) for _ in range(kills)]

    def live_and_die() -> None:
        for delay in delays:
            process = machine.spawn("run", launcher=launcher)
            time.sleep(delay)
            trial.result.expect(process.poll() is None, f"the agent ended by itself with {process.returncode}")
            process.kill()
            process.wait()
            trial.result.n += 1

    thread = threading.Thread(target=live_and_die)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _present(space: Path) -> set[str]:
    """All whole lines of all ledgers."""
    lines: set[str] = set()
    for path in space.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        if path.name.endswith(".jsonl"):
            lines.update(path.read_bytes().decode().split("\n")[:-1])
        elif path.name.endswith(".jsonl.gz"):
            lines.update(gzip.decompress(path.read_bytes()).decode().split("\n")[:-1])
    return lines


# -- B8


@bar("B8", "fourteen ways in which a file is not the file it was")
def file_identity(trial: Trial) -> None:
    for number in range(trial.pick(1, 20)):
        seed = trial.seed + number
        _down(trial, f"b8-down-{number}", seed)
        _up(trial, f"b8-up-{number}", seed, HEARING)


def _down(trial: Trial, name: str, seed: int) -> None:
    """The agent looks only between the acts."""
    machine, book = Machine(trial.folder(name)), Book(seed)

    def look(_: set[str]) -> None:
        answer = machine.push()
        trial.result.expect(answer.code == 0, f"{name}: {said(answer)}")

    expected = _play(machine, book, look)
    _judge_identity(trial, machine, book, expected, name)


def _up(trial: Trial, name: str, seed: int, launcher: Sequence[str]) -> None:
    """The agent runs all the time; an act begins when the one before has arrived."""
    machine, book = Machine(trial.folder(name)), Book(seed)
    slowest = 0.0

    def look(expected: set[str]) -> None:
        nonlocal slowest
        started = time.monotonic()
        arrived = machine.await_content(expected, "an act to arrive", 20)
        slowest = max(slowest, time.monotonic() - started)
        trial.result.expect(arrived, f"{name}: an act had not arrived after 20 s")

    with machine.running(launcher=launcher):
        expected = _play(machine, book, look)
    answer = machine.push()
    trial.result.expect(answer.code == 0, f"{name}: the last push: {said(answer)}")
    trial.result.notes.append(f"{name}: an act arrived within {slowest:.1f} s")
    _judge_identity(trial, machine, book, expected, name)


def _play(machine: Machine, book: Book, look: Callable[[set[str]], None]) -> set[str]:
    """All scenarios side by side, act by act. Returns every public line that a scan could see."""
    stories = []
    for number, scenario in enumerate(SCENARIOS):
        folder = machine.space / f"s{number:02}"
        folder.mkdir(exist_ok=True)
        stories.append(scenario.story(folder, book))
    expected: set[str] = set()
    while stories:
        stories = [story for story in stories if next(story, story) is not story]
        expected |= book.cleared(_present(machine.space))
        look(expected)
    return expected


def _judge_identity(trial: Trial, machine: Machine, book: Book, expected: set[str], name: str) -> None:
    trial.result.n += len(SCENARIOS)
    machine.judge(trial.result, expected, book, name)
    machine.check_restore(trial.result, book, name)
    counted = machine.status()["counters"].get("possible gaps", 0)
    wanted = sum(scenario.gap for scenario in SCENARIOS)
    trial.result.expect(counted >= wanted, f"{name}: {counted} possible gaps in status, {wanted} were made")


# -- B9


@bar("B9", "B7 and B8 without events, and with a watcher that swallows half of them")
def without_events(trial: Trial) -> None:
    for name, launcher in (("deaf", DEAF), ("lying", LYING)):
        _fragments(trial, f"b9-{name}-lines", launcher, trial.pick(600, 100_000), trial.pick(2, 100))
        for number in range(trial.pick(1, 20)):
            _up(trial, f"b9-{name}-{number}", trial.seed + number, launcher)
