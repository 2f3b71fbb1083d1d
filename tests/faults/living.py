"""B30 against a service: entries become private at random moments while it delivers, over SSH and to a folder."""

from __future__ import annotations

import contextlib
import heapq
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import zstandard

from tests.backends.samples import unpacked
from tests.canary.search import folder, home, search
from tests.canary.traces import Traces
from tests.faults import oracle
from tests.faults.bar import Result, Trial, bar, meanwhile
from tests.faults.far import TOOLS, Far, far_away
from tests.faults.lines import Book
from tests.faults.machine import ANSWERS, Machine, said, until
from tests.faults.races import GROWN, WAYS, Course, Way, canary, flipped, in_place

AGENT = "scan_interval_s: 1\n  settle_ms: 20"
PLAIN = "\n  plain: {type: local, path: plain, encryption: none}"
LATEST_S = 0.8
"""How long after an entry was written it becomes private, at most: before it is read, while it is sent, and after."""
PAUSE_S = 0.08
GRACE_S = 1.0
"""What was private on the disk for longer must not be in a segment that was written then; where the computer is busy,
for longer still: SLOWER times what the observer ever had to wait for its turn."""
SLOWER = 3
POLL_S = 0.02
QUIET_S = 60.0
CLEARED_S = 15.0


class Flip(NamedTuple):
    """An entry that becomes private at a monotonic time."""

    due: float
    number: int
    path: Path
    line: str
    way: Way


class Segment(NamedTuple):
    """What a vault held, and when that was written, in seconds since the epoch."""

    vault: str
    written: float
    text: str


@dataclass
class Observer:
    """Reads every segment that appears in a vault. `seen`: those that could be read before they were replaced;
    `longest_s`: from one look to the next."""

    machine: Machine
    vaults: tuple[Path, ...]
    stop: threading.Event = field(default_factory=threading.Event)
    seen: dict[Path, Segment] = field(default_factory=dict)
    longest_s: float = 0.0

    def watch(self) -> None:
        before = time.monotonic()
        while not self.stop.wait(POLL_S):
            now = time.monotonic()
            self.longest_s, before = max(self.longest_s, now - before), now
            self.look()

    @property
    def grace_s(self) -> float:
        return GRACE_S + SLOWER * self.longest_s

    def look(self) -> None:
        for vault in self.vaults:
            for path in vault.glob("machines/*/segments/*"):
                if path not in self.seen and (found := self._read(vault, path)) is not None:
                    self.seen[path] = found

    def _read(self, vault: Path, path: Path) -> Segment | None:
        try:
            text = unpacked(oracle.opened(path, self.machine.identities)).decode()
            return Segment(vault.name, path.stat().st_mtime, text)
        except (OSError, ValueError, zstandard.ZstdError):
            return None  # it is being written, or was replaced


@bar("B30-service", "entries become private at random moments while a service delivers", tools=TOOLS)
def service(trial: Trial) -> None:
    with far_away(trial.folder("server")) as far:
        machine = far.machine(trial.folder("ant"), agent=AGENT, more=PLAIN)
        plain = machine.base / "plain"
        course = Course(machine.space, Book(trial.seed), random.Random(trial.seed))
        observer = Observer(machine, (far.vault, plain))
        flips: dict[str, float] = {}
        with machine.running(), meanwhile(observer.watch, observer.stop):
            for line in _lived(far, course, trial.pick(20, 2_000)):
                flips[canary(line)] = time.time()
            flips[canary(_once_sent(course, plain))] = time.time()
            _await_quiet(trial.result, machine, observer.vaults, course)
            observer.look()
        _judge_segments(trial.result, observer, flips)
        _judge_places(trial.result, machine, observer.vaults, course)


def _lived(far: Far, course: Course, count: int) -> Iterator[str]:
    """Writes entries and makes some of them private, each at a random moment; gives what has just become private. The
    line is cut at times, so that entries wait."""
    chance = course.chance
    pending: list[Flip] = []
    for number in range(count):
        path, line = course.next()
        due = time.monotonic() + chance.uniform(0, LATEST_S)
        heapq.heappush(pending, Flip(due, number, path, line, chance.choice(WAYS)))
        if chance.random() < 0.1:
            far.proxy.reset()
        until_s = time.monotonic() + chance.uniform(0, PAUSE_S)
        yield from _flipped_until(pending, until_s)
    yield from _flipped_until(pending, float("inf"))


def _flipped_until(pending: list[Flip], until_s: float) -> Iterator[str]:
    """Those of `pending` that are due by then, each at its time; then rests until then."""
    while pending and pending[0].due < until_s:
        flip = heapq.heappop(pending)
        _sleep_until(flip.due)
        flip.way(flip.path, flip.line.encode(), flipped(flip.line).encode())
        yield flip.line
    if pending:
        _sleep_until(until_s)


def _sleep_until(due: float) -> None:
    """The moment is what is tried: nothing is waited for."""
    time.sleep(max(0.0, due - time.monotonic()))


def _once_sent(course: Course, vault: Path) -> str:
    """One more entry, which becomes private when it is in that vault: however fast the service is, one was sent."""
    path, line = course.next()
    until(lambda: line in oracle.read_vault(vault).bodies, f"{vault.name} to have one entry", QUIET_S)
    in_place(path, line.encode(), flipped(line).encode())
    return line


def _await_quiet(result: Result, machine: Machine, vaults: tuple[Path, ...], course: Course) -> None:
    """Until everything public has arrived; by then, or soon after, nothing private is left."""
    for vault in vaults:
        until(partial(_has_all, machine, vault, course), f"{vault.name} to have it all", QUIET_S)
    for vault in vaults:
        gone = partial(_is_clear, machine, vault, course)
        with contextlib.suppress(TimeoutError):
            until(gone, f"{vault.name} to have nothing private", CLEARED_S)
        result.expect(gone(), f"{vault.name}: what became private is still there")


def _has_all(machine: Machine, vault: Path, course: Course) -> bool:
    return oracle.settled(vault, course.book.public, _keys(machine, vault))


def _is_clear(machine: Machine, vault: Path, course: Course) -> bool:
    return course.private.isdisjoint(oracle.read_vault(vault, _keys(machine, vault)).bodies)


def _keys(machine: Machine, vault: Path) -> oracle.Identities:
    return machine.identities if vault.name == "vault" else ()


def _judge_segments(result: Result, observer: Observer, flips: dict[str, float]) -> None:
    """Nothing was written into a vault that had been private for a while."""
    early = set()
    for segment in observer.seen.values():
        for mark, when in flips.items():
            if mark in segment.text:
                early.add(mark)
                late = segment.written - when
                result.leaked += late > observer.grace_s
                what = f"{segment.vault}: written {late:.1f} s after it had become private"
                result.expect(late <= observer.grace_s, what)
    result.n = len(flips)
    result.notes.append(
        f"{len(early)} of {len(flips)} were in a vault for a moment; {len(observer.seen)} segments read;"
        f" the grace was {observer.grace_s:.2f} s"
    )


def _judge_places(result: Result, machine: Machine, vaults: tuple[Path, ...], course: Course) -> None:
    """One more sync, and no byte of it is left anywhere; in the index that is at home, with the next question."""
    for command in (("push", "--json"), ("recall", "--shareable", "entry")):
        answer = machine.call(*command)
        result.expect(answer.code == 0, f"the last {command[0]}: {said(answer)}")
    places = [*(folder(vault) for vault in vaults), home(machine.state), folder(machine.logs, passing=(ANSWERS,))]
    leaks = search(Traces(course.private), places, machine.identities)
    result.leaked += len(leaks)
    result.failures += sorted({str(leak) for leak in leaks})[:10]
    for vault in vaults:
        content = oracle.read_vault(vault, _keys(machine, vault))
        count = oracle.compare(content, course.book.public, course.book.public | {GROWN})
        result.lost += count.lost
        result.doubled += count.doubled
        result.torn += count.torn
        result.expect(not any(count), f"{vault.name}: {count}")
