"""B1, B15, B18, B19, B21 and B26 on Qdrant: the engine in the process that dies, and a server that fails.

The server is the double of tests/backends/qdrant_double.py: its interface, its faults, in memory.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import qdrant_edge as edge

from memferry.agent.commands import carry, verify
from memferry.agent.sending.deliver import MAX_ATTEMPTS
from memferry.agent.service import Agent, opened
from memferry.config import load
from tests.backends.qdrant_double import Double, serving
from tests.canary.search import Piece, folder, home, search
from tests.canary.traces import Traces
from tests.faults import oracle
from tests.faults.bar import Result, Trial, bar
from tests.faults.crashes import appending, killed
from tests.faults.lines import Book, joined
from tests.faults.machine import Machine, said

COLLECTION = "memory"
PAGE = 1000
HOUR_S = 3600.0
KEY = "a-key-that-must-not-show-5b1f"


def texts(lines: Iterable[str]) -> set[str]:
    """What the index should say of these entries."""
    return {json.loads(line)["text"] for line in lines}


def documents_of(double: Double) -> Counter[str]:
    kept = double.collections.get(COLLECTION)
    return Counter(one.payload["document"] for one in kept.points.values()) if kept else Counter()


def documents_in(hub: Path) -> Counter[str]:
    """Of the shard itself; memferry's code has no part in it."""
    shard, offset, found = edge.EdgeShard.load(str(hub / COLLECTION)), None, Counter[str]()
    while True:
        page, offset = shard.scroll(edge.ScrollRequest(offset, PAGE, None, with_payload=True, with_vector=False))
        found.update(str((one.payload or {})["document"]) for one in page)
        if offset is None:
            shard.close()
            return found


def judge(result: Result, found: Counter[str], expected: set[str], written: Collection[str], what: str) -> None:
    lost, doubled = len(expected - found.keys()), found.total() - len(found)
    torn = len(found.keys() - set(written))
    result.lost += lost
    result.doubled += doubled
    result.torn += torn
    if lost or doubled or torn:
        result.failures.append(f"{what}: lost={lost} doubled={doubled} torn={torn} of {len(expected)}")


def check_private(result: Result, book: Book, machine: Machine, sent: bytes = b"") -> None:
    """Nowhere in the index, in what a server was sent, in the state and in the logs."""
    index = [  # the engine makes its files large in advance
        Piece(path.name, path.read_bytes().translate(None, b"\0")) for path in oracle.files(machine.vault)
    ]
    places = [home(machine.state), folder(machine.logs), [Piece("what was sent", sent)], index]
    found = search(Traces(book.private), places)
    result.leaked += len(found)
    result.expect(not found, f"private entries left traces: {', '.join(map(str, found[:3]))}")
    shown = [path for path in oracle.files(machine.logs) if KEY.encode() in path.read_bytes()]
    result.expect(not shown, f"the key of the server is in {shown}")


@contextmanager
def server(trial: Trial, name: str) -> Iterator[tuple[Double, Machine]]:
    double = Double()
    double.key = KEY
    base = trial.folder(name)
    (base / "key").write_text(KEY)
    with serving(double) as url:
        settings = f"{{type: qdrant, url: '{url}', api_key: 'file:key', timeout_s: 20}}"
        yield double, Machine(base, backend=settings, agent="settle_ms: 0")
        trial.result.expect(not double.strange, f"the server was asked for what it does not know: {double.strange[:3]}")


def contents(double: Double) -> bytes:
    """All that a server holds, and all that it was asked."""
    kept = {name: [one.payload for one in each.points.values()] for name, each in double.collections.items()}
    return json.dumps([kept, double.requests], ensure_ascii=False).encode()


@contextmanager
def at_work(machine: Machine) -> Iterator[Agent]:
    """The agent in this process, which is quicker than a process of its own for each command."""
    with opened(load({}, file=str(machine.config)), "bar") as agent:
        yield agent


def pushed(trial: Trial, agent: Agent, what: str) -> None:
    error = carry.push(agent, {})["backends"]["vault"]["error"]
    trial.result.expect(error is None, f"{what}: {error}")


def findings(agent: Agent, *, repair: bool = False) -> list[dict[str, str]]:
    (report,) = verify.verify(agent, {"repair": repair})["backends"]
    found: list[dict[str, str]] = report["findings"]
    return found


def expect_whole(trial: Trial, double: Double, machine: Machine, expected: set[str], what: str) -> None:
    with at_work(machine) as agent:
        trial.result.expect(not findings(agent), f"{what}: verify has findings")
    judge(trial.result, documents_of(double), expected, expected, what)


# -- B1


@bar("B1-Qdrant", "kill -9 at random points, the engine in the process that dies")
def killed_at_random(trial: Trial) -> None:
    base = trial.folder("b1")
    machine = Machine(base, vault="hub", backend=f"{{type: qdrant, path: '{base / 'hub'}'}}")
    book, chance = Book(trial.seed), random.Random(f"{trial.seed}/B1-Qdrant")
    entries, kills = trial.pick(1000, 50_000), trial.pick(5, 500)
    with appending(machine.space, book, chance, entries, kills):
        for number in range(kills):
            code = killed(machine, ("run", "push")[number % 2], chance.uniform(0.3, 1.6))
            trial.result.expect(code in (0, -9), f"start {number} ended with {code}")
            trial.result.n += 1
    answer = machine.push()
    trial.result.expect(answer.code == 0, f"the last push: {said(answer)}")
    verified = machine.call("verify", "--json")
    trial.result.expect(verified.code == 0, f"verify: {said(verified)}")
    judge(trial.result, documents_in(machine.vault), texts(book.public), texts(book.public), f"after {kills} kills")
    check_private(trial.result, book, machine)


# -- B15


@bar("B15-Qdrant", "the answer is lost after the server has committed")
def answers_lost(trial: Trial) -> None:
    uploads, cuts = trial.pick(60, 10_000), trial.pick(20, 1100)
    chance, book = random.Random(f"{trial.seed}/B15-Qdrant"), Book(trial.seed)
    chosen = set(chance.sample(range(uploads), cuts))
    with server(trial, "b15") as (double, machine):
        for first in range(0, uploads, 20):
            with at_work(machine) as agent:
                for number in range(first, first + 20):
                    if number in chosen:
                        double.fail("lost reply", on=chance.choice(["/points", ""]), after=chance.randrange(2))
                    with open(machine.space / "ledger.jsonl", "ab") as file:
                        file.write(joined(book.next(chance.randint(1, 5))))
                    pushed(trial, agent, f"upload {number}")
        trial.result.n = cuts - len(double.due)
        double.due.clear()
        expect_whole(trial, double, machine, texts(book.public), f"after {cuts} cuts")
        check_private(trial.result, book, machine, contents(double))


# -- B18


@bar("B18-Qdrant", "one entry in many that the server refuses for ever")
def poison(trial: Trial) -> None:
    book = Book(trial.seed)
    lines = book.next(trial.pick(1000, 10_000))
    poisoned = random.Random(trial.seed).choice(sorted(book.public))
    ledger = "ledger.jsonl"
    with server(trial, "b18") as (double, machine):
        double.poison = json.loads(poisoned)["text"]
        (machine.space / ledger).write_bytes(joined(lines))
        with at_work(machine) as agent:
            started = agent.state.clock()
            for hour in range(MAX_ATTEMPTS + 2):
                agent.state.clock = partial(float, started + hour * HOUR_S)
                pushed(trial, agent, f"hour {hour}")
        with open(machine.space / ledger, "ab") as file:
            file.write(joined(book.next(10)))
        with at_work(machine) as agent:
            pushed(trial, agent, "after a restart")
        trial.result.n += 1
        (backend,) = machine.status()["backends"]
        trial.result.expect((backend["parked"], backend["waiting"]) == (1, 0), f"status: {backend}")
        attempts = [one["attempts"] for one in backend["parked_operations"]]
        trial.result.expect(attempts == [MAX_ATTEMPTS], f"parked after {attempts} attempts")
        expect_whole(trial, double, machine, texts(book.public - {poisoned}), "the others")
        check_private(trial.result, book, machine, contents(double))


# -- B19


@bar("B19-Qdrant", "ten syncs without a change, then one without a state")
def idempotence(trial: Trial) -> None:
    book = Book(trial.seed)
    with server(trial, "b19") as (double, machine):
        (machine.space / "ledger.jsonl").write_bytes(joined(book.next(trial.pick(500, 20_000))))
        with at_work(machine) as agent:
            pushed(trial, agent, "the first push")
        ids, written = set(double.collections[COLLECTION].points), double.changes
        for number in range(10):
            with at_work(machine) as agent:
                pushed(trial, agent, f"push {number}")
            trial.result.expect(double.changes == written, f"push {number} without a change wrote something")
            trial.result.n += 1
        machine.lose_state()
        for when in ("without a state", "once more"):
            with at_work(machine) as agent:
                pushed(trial, agent, f"push {when}")
            now = set(double.collections[COLLECTION].points)
            trial.result.expect(now == ids, f"push {when}: {len(now - ids)} new ids, {len(ids - now)} are gone")
            trial.result.n += 1
        expect_whole(trial, double, machine, texts(book.public), "without a state")


# -- B21


@bar("B21-Qdrant", "a server forgets what it has acknowledged; verify names it and repairs it")
def writes_lost(trial: Trial) -> None:
    book, chance = Book(trial.seed), random.Random(f"{trial.seed}/B21-Qdrant")
    with server(trial, "b21") as (double, machine):
        for number in range(trial.pick(5, 50)):
            with open(machine.space / "ledger.jsonl", "ab") as file:
                file.write(joined(book.next(100)))
            with at_work(machine) as agent:
                pushed(trial, agent, f"push {number}")
                missing = _lost(double, chance.randint(1, 150))
                named = {one["object"].rpartition("/")[2] for one in findings(agent)}
                trial.result.expect(named == missing, f"cut {number}: {len(named)} of {len(missing)} are named")
                findings(agent, repair=True)
                trial.result.expect(not findings(agent), f"cut {number}: something is left")
            trial.result.n += 1
        expect_whole(trial, double, machine, texts(book.public), "after the repairs")


def _lost(double: Double, count: int) -> set[str]:
    before = set(double.collections[COLLECTION].points)
    double.lose(count)
    return before - set(double.collections[COLLECTION].points)


# -- B26


@bar("B26-Qdrant", "entries that lie in the index are withdrawn, with kills")
def withdrawn(trial: Trial) -> None:
    book, chance = Book(trial.seed), random.Random(f"{trial.seed}/B26-Qdrant")
    doomed, kills = trial.pick(100, 1000), trial.pick(4, 100)
    with server(trial, "b26") as (double, machine):
        ledger = machine.space / "ledger.jsonl"
        lines = book.next(3 * doomed)
        ledger.write_bytes(joined(lines))
        with at_work(machine) as agent:
            pushed(trial, agent, "the first push")
        flipped = set(chance.sample(sorted(book.public), doomed))
        private = [one.replace('"project"', '"private"') if one in flipped else one for one in lines]
        ledger.write_bytes(joined(private))
        for _ in range(kills):
            killed(machine, "push", chance.uniform(0.2, 1.2))
            trial.result.n += 1
        with at_work(machine) as agent:
            pushed(trial, agent, "the last push")
        expect_whole(trial, double, machine, texts(book.public - flipped), f"after {kills} kills")
        sent = contents(double)
        trial.result.leaked += sum(text.encode() in sent for text in texts(flipped))
