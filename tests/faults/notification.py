"""B12, B13, B14: events that are lost, late, or never come."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.faults.bar import Trial, bar
from tests.faults.lines import Book, joined
from tests.faults.machine import Machine, until

DYING = ("-m", "tests.faults.launch", "dying")
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
POLLING_S = 5.0
STRACE = ("strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null")
LIMITS = {
    "watches": (*STRACE, "--trace=inotify_add_watch", "--inject=inotify_add_watch:error=ENOSPC"),
    "instances": (*STRACE, "--trace=inotify_init,inotify_init1", "--inject=inotify_init,inotify_init1:error=EMFILE"),
}


@bar("B12", "more events than the kernel's queue holds, while the agent is stopped")
def overflow(trial: Trial) -> None:
    for number in range(trial.pick(1, 10)):
        machine, book = Machine(trial.folder(f"b12-{number}")), Book(trial.seed + number)
        ledgers = [machine.space / f"ledger-{one}.jsonl" for one in range(2)]
        for ledger in ledgers:
            ledger.write_bytes(joined(book.next(1)))
        with machine.running() as process:
            os.kill(process.pid, signal.SIGSTOP)
            _burst(machine.space, ledgers, book, trial.pick(300, 20_000))
            os.kill(process.pid, signal.SIGCONT)
            resumed = time.monotonic()
            arrived = machine.await_content(book.public, "the burst", trial.pick(40, 600))
            trial.result.notes.append(f"all there {time.monotonic() - resumed:.1f} s after SIGCONT")
            trial.result.expect(arrived, f"run {number}: the burst did not arrive")
            until(partial(_overflowed, machine), "the overflow to be counted", 10)
        trial.result.n += 1
        machine.judge(trial.result, book.public, book, f"run {number}")


def _overflowed(machine: Machine) -> bool:
    return bool(machine.status()["counters"].get("watch overflows"))


def _burst(space: Path, ledgers: Sequence[Path], book: Book, files: int) -> None:
    """New files, and enough appends, by turns so that no two events are one, to fill the queue."""
    appends = int(QUEUE.read_text()) + 2000
    for number in range(files):
        (space / f"new-{number:05}.jsonl").write_bytes(joined(book.next(1)))
    descriptors = [os.open(ledger, os.O_WRONLY | os.O_APPEND) for ledger in ledgers]
    for number in range(appends):
        os.write(descriptors[number % len(descriptors)], joined(book.next(1)))
    for descriptor in descriptors:
        os.close(descriptor)


@bar("B13", "folders that are filled before they can be watched")
def new_folders(trial: Trial) -> None:
    for number in range(trial.pick(2, 10)):
        machine, book = Machine(trial.folder(f"b13-{number}")), Book(trial.seed + number)
        with machine.running():
            folder = machine.space
            for depth in range(trial.pick(40, 200)):
                folder = folder / f"d{depth}"
                folder.mkdir()
                for file in range(trial.pick(5, 20)):
                    (folder / f"f{file}.jsonl").write_bytes(joined(book.next(1)))
            arrived = machine.await_content(book.public, "all files", 30)
            trial.result.expect(arrived, f"run {number}: files were missed for 30 s")
        trial.result.n += 1
        machine.judge(trial.result, book.public, book, f"run {number}")


@bar("B14", "no watches to be had, and a watcher that dies", tools=("strace",))
def no_watches(trial: Trial) -> None:
    for round_ in range(trial.pick(1, 10)):
        for limit, prefix in LIMITS.items():
            machine, book = Machine(trial.folder(f"b14-{limit}-{round_}")), Book(trial.seed)
            with machine.running(prefix=prefix):
                _carries_on(trial, machine, book, limit)
                problems = [one["text"] for one in machine.status()["problems"] if one["area"] == "watch"]
                trial.result.expect(problems, f"{limit}: status does not say that nothing is watched")
            _check_warnings(trial, machine, limit)
        machine, book = Machine(trial.folder(f"b14-dying-{round_}")), Book(trial.seed)
        with machine.running(launcher=DYING) as process:
            _carries_on(trial, machine, book, "dying")
            trial.result.expect(process.poll() is None, "dying: the agent ended with its watcher")


def _carries_on(trial: Trial, machine: Machine, book: Book, what: str) -> None:
    ledger = machine.space / "ledger.jsonl"
    for _ in range(3):
        with open(ledger, "ab") as file:
            file.write(joined(book.next(20)))
        started = time.monotonic()
        arrived = machine.await_content(book.public, f"{what}: lines", 30)
        seconds = time.monotonic() - started
        trial.result.expect(arrived and seconds <= POLLING_S + 10, f"{what}: lines took {seconds:.1f} s")
    trial.result.n += 1
    machine.judge(trial.result, book.public, book, what)


def _check_warnings(trial: Trial, machine: Machine, what: str) -> None:
    log = (machine.logs / "background.log").read_text()
    warnings = [one for one in log.split("\n") if "limit" in one]
    trial.result.expect(len(warnings) == 1, f"{what}: {len(warnings)} warnings instead of one: {warnings[:3]}")
