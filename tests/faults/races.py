"""B30: an entry becomes private while it is on its way: what is not sent yet stays, what was sent goes."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias
from unittest import mock

import zstandard

from memferry import config
from memferry.agent.commands import verbs
from memferry.agent.intake import storing
from memferry.agent.scope import Scope
from memferry.agent.service import Agent, opened
from memferry.agent.state.journal import unseal
from memferry.backends.base import Backend, Finding, Receipt, Refill, Repaired, Verifiable
from memferry.backends.wrappers import Wrapper
from memferry.errors import AccessDenied, TransientError
from memferry.model import Sealed
from tests.canary.search import folder, home, search
from tests.canary.traces import Traces
from tests.faults import oracle
from tests.faults.bar import Result, Trial, bar
from tests.faults.far import TOOLS, far_away
from tests.faults.lines import Book, joined
from tests.faults.machine import Machine, said

Flip: TypeAlias = Callable[[], None]
Way: TypeAlias = Callable[[Path, bytes, bytes], None]
AGENT = "settle_ms: 0"
LAST_SEQ = 1 << 53


class Witness(Wrapper):
    """A backend that keeps what it was given, and where something can happen: `before` and `behind` each call are done
    once."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.sent: list[str] = []
        self.before: Flip | None = None
        self.behind: Flip | None = None
        self.refusing = False

    def repair(self, findings: Sequence[Finding], refill: Refill) -> Sequence[Repaired]:
        """See `Verifiable`."""
        assert isinstance(self._backend, Verifiable)
        self.sent += [_text(sealed) for sealed in refill.sealed(1, LAST_SEQ)]
        return self._backend.repair(findings, refill)

    def deliver(self, batch: Sequence[Sealed]) -> Receipt:
        """See `Backend`."""
        self.before, act = None, self.before
        if act is not None:
            act()
        self.sent.append("".join(map(_text, batch)))
        if self.refusing:
            refused = (op.seq for sealed in batch for op in unseal(sealed))
            return Receipt(batch[-1].last, dict.fromkeys(refused, "refused on purpose"))
        receipt = self._backend.deliver(batch)
        self.behind, act = None, self.behind
        if act is not None:
            act()
        return receipt


def _text(sealed: Sealed) -> str:
    return zstandard.ZstdDecompressor().decompress(sealed.frame, max_output_size=sealed.raw_bytes).decode()


# -- when it happens


@dataclass
class Stage:
    """An open agent, and the backend that sees what it sends."""

    agent: Agent
    witness: Witness
    vault: Path
    identities: Callable[[], oracle.Identities]

    def segments(self) -> list[Path]:
        """As they lie in the vault."""
        return sorted(self.vault.glob("machines/*/segments/*"))

    def read(self) -> None:
        self.agent.ingest_all(Scope())

    def deliver(self) -> None:
        self.agent.deliver()

    def push(self) -> None:
        verbs.perform(self.agent, "push", {})


def while_queued(stage: Stage, flip: Flip) -> None:
    stage.read()
    flip()
    stage.deliver()


def behind_the_verdict(stage: Stage, flip: Flip) -> None:
    """It is judged public, and private before that is stored."""
    with _once(storing, "judge", flip):
        stage.push()


def while_it_is_taken_from_the_queue(stage: Stage, flip: Flip) -> None:
    """And before it is looked at again."""
    with _once(stage.agent.journal, "after", flip):
        stage.push()


def between_two_tries(stage: Stage, flip: Flip) -> None:
    """Of which nothing has arrived."""

    def fail() -> None:
        flip()
        raise TransientError("no answer")

    stage.witness.before = fail
    stage.push()


def while_the_backend_rests(stage: Stage, flip: Flip) -> None:
    def fail() -> None:
        raise AccessDenied("not now")

    stage.witness.before = fail
    stage.push()
    flip()
    stage.deliver()


def while_it_waits_refused(stage: Stage, flip: Flip) -> None:
    """Alone, to be tried once more later."""
    stage.witness.refusing = True
    stage.push()
    stage.witness.refusing = False
    flip()
    with stage.agent.state.transaction():
        stage.agent.state.execute("update refused set next_attempt_at = 0")
    stage.deliver()


def as_it_is_sent(stage: Stage, flip: Flip) -> None:
    stage.witness.before = flip
    stage.push()


def when_its_answer_was_lost(stage: Stage, flip: Flip) -> None:
    """So it has arrived, and nobody knows."""

    def lose() -> None:
        flip()
        raise TransientError("no answer")

    stage.witness.behind = lose
    stage.push()


def behind_it_all(stage: Stage, flip: Flip) -> None:
    stage.push()
    flip()


def before_a_repair(stage: Stage, flip: Flip) -> None:
    """The vault has lost what was sent."""
    stage.push()
    for segment in stage.segments():
        segment.unlink()
    flip()
    verbs.perform(stage.agent, "verify", {"repair": True})


@contextlib.contextmanager
def _once(owner: object, name: str, flip: Flip) -> Iterator[None]:
    """`flip` happens behind the first call of that function."""
    honest = getattr(owner, name)
    pending = [flip]

    def call(*arguments: object, **named: object) -> object:
        result = honest(*arguments, **named)
        if pending:
            pending.pop()()
        return result

    with mock.patch.object(owner, name, call):
        yield


class Moment(NamedTuple):
    """When an entry becomes private. `left`: how many batches are on their way by then; in none behind them it may
    be."""

    happens: Callable[[Stage, Flip], None]
    left: int = 0


MOMENTS = (
    Moment(while_queued),
    Moment(behind_the_verdict),
    Moment(while_it_is_taken_from_the_queue),
    Moment(between_two_tries),
    Moment(while_the_backend_rests),
    Moment(while_it_waits_refused),
    Moment(as_it_is_sent, left=1),
    Moment(when_its_answer_was_lost),
    Moment(behind_it_all),
    Moment(before_a_repair),
)


# -- how it happens


def in_place(path: Path, old: bytes, new: bytes) -> None:
    """Of the same length, so that nothing else changes its place."""
    assert len(old) == len(new)
    with path.open("r+b") as file:
        file.seek(path.read_bytes().index(old))
        file.write(new)


def by_rename(path: Path, old: bytes, new: bytes) -> None:
    """As editors save."""
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes().replace(old, new))
    os.replace(other, path)


def and_it_grows(path: Path, old: bytes, new: bytes) -> None:
    """So that it looks like a ledger that only grew."""
    in_place(path, old, new)
    with path.open("ab") as file:
        file.write(b'{"id": "more", "visibility": "project", "text": "x"}\n')


def under_another_name(path: Path, old: bytes, new: bytes) -> None:
    """The file is moved away, and changed there."""
    other = path.with_name(f"moved-{path.name}")
    os.replace(path, other)
    in_place(other, old, new)


def in_another_file(path: Path, old: bytes, new: bytes) -> None:
    """The line goes from one ledger into another one."""
    path.write_bytes(path.read_bytes().replace(old + b"\n", b""))
    with path.with_name(f"other-{path.name}").open("ab") as file:
        file.write(new + b"\n")


WAYS: Sequence[Way] = (in_place, by_rename, and_it_grows, under_another_name, in_another_file)


# -- the races


@dataclass
class Course:
    """A ledger in which one entry after the other becomes private. `private`: those that did, as they were and are."""

    space: Path
    book: Book
    chance: random.Random
    lines: list[str] = field(default_factory=list)
    number: int = 0
    private: set[str] = field(default_factory=set)

    def next(self) -> tuple[Path, str]:
        """A few more entries, and the one of them that will be private."""
        new = self.book.next(3, private=False)
        self.number += 1
        path = self.space / f"ledger-{self.number}.jsonl"
        path.write_bytes(joined(new))
        doomed = self.chance.choice(new)
        self.private |= {doomed, flipped(doomed)}
        self.book.public.discard(doomed)
        return path, doomed


def flipped(line: str) -> str:
    return line.replace('"project"', '"private"')


def canary(line: str) -> str:
    return str(json.loads(line)["text"]).split()[-1]


@bar("B30", "an entry becomes private while it is on its way", tools=TOOLS)
def races(trial: Trial) -> None:
    ways = WAYS if trial.size == "full" else WAYS[:2]
    for heat in range(trial.pick(1, 40)):
        _race(trial, Machine(trial.folder(f"disk-{heat}"), agent=AGENT), trial.pick(1, 4), "disk", WAYS)
    for heat in range(trial.pick(1, 10)):
        with far_away(trial.folder(f"server-{heat}")) as far:
            machine = far.machine(trial.folder(f"ssh-{heat}"), agent=AGENT)
            _race(trial, machine, trial.pick(1, 4), "SSH", ways)


def _race(trial: Trial, machine: Machine, rounds: int, where: str, ways: Sequence[Way]) -> None:
    course = Course(machine.space, Book(trial.seed), random.Random(f"{trial.seed}/{machine.base.name}"))
    for _ in range(rounds):
        with _staged(machine) as stage:
            for moment, way in itertools.product(MOMENTS, ways):
                _race_once(trial.result, stage, course, moment, way, f"{where}, {way.__name__}")
    answer = machine.push()
    trial.result.expect(answer.code == 0, f"{where}: the last push: {said(answer)}")
    leaks = search(Traces(course.private), [folder(machine.vault), home(machine.state)], machine.identities)
    trial.result.leaked += len(leaks)
    trial.result.failures += sorted({str(leak) for leak in leaks})[:10]
    machine.compare(trial.result, course.book.public, course.book.public | {GROWN}, f"{where}: afterwards")


GROWN = '{"id": "more", "visibility": "project", "text": "x"}'


@contextlib.contextmanager
def _staged(machine: Machine) -> Iterator[Stage]:
    with opened(config.load({}, file=str(machine.config)), "bar") as agent:
        with agent.backend("vault") as backend:
            witness = Witness(backend)
        agent.connections._open["vault"] = witness
        with mock.patch.object(agent.connections, "close_backends"):  # a repair would be seen by nobody
            yield Stage(agent, witness, machine.vault, lambda: machine.identities)


def _race_once(result: Result, stage: Stage, course: Course, moment: Moment, way: Way, what: str) -> None:
    what = f"{moment.happens.__name__}, {what}"
    path, doomed = course.next()
    moments: list[int] = []

    def flip() -> None:
        way(path, doomed.encode(), flipped(doomed).encode())
        moments.append(len(stage.witness.sent))

    stage.witness.sent.clear()
    moment.happens(stage, flip)
    result.n += 1
    result.expect(len(moments) == 1, f"{what}: it did not happen")
    late = stage.witness.sent[sum(moments) + moment.left :]
    result.leaked += _count(result, late, canary(doomed), f"{what}: sent, although it was private")
    stage.witness.sent.clear()
    stage.push()
    result.leaked += _count(result, stage.witness.sent, canary(doomed), f"{what}: sent by the next sync")
    left = oracle.read_vault(stage.vault, stage.identities()).bodies
    result.leaked += _count(result, list(left), canary(doomed), f"{what}: still there after the next sync")


def _count(result: Result, sent: Sequence[str], canary: str, what: str) -> int:
    found = sum(canary in text for text in sent)
    result.expect(not found, what)
    return found
