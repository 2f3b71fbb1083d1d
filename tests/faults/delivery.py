"""B18, B19: an entry that no backend will take, and a sync of what is there already."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path

from memferry.agent.scope import Scope
from memferry.agent.sending.deliver import MAX_ATTEMPTS
from memferry.agent.service import Agent, opened
from memferry.backends.faulty import Fault, FaultyBackend
from memferry.config import load
from tests.backends.samples import unpacked
from tests.faults import oracle
from tests.faults.bar import Trial, bar
from tests.faults.lines import Book, joined
from tests.faults.machine import Machine, said

HOUR_S = 3600.0


# -- B18


@bar("B18", "one entry in many that a backend refuses for ever")
def poison(trial: Trial) -> None:
    machine, book = Machine(trial.folder("b18")), Book(trial.seed)
    lines = book.next(trial.pick(2000, 10_000))
    ledger = machine.space / "ledger.jsonl"
    ledger.write_bytes(joined(lines))
    poisoned = random.Random(trial.seed).choice(sorted(book.public))
    others = book.public - {poisoned}
    config = load({}, file=str(machine.config))
    with opened(config, "push") as agent:
        seq = _ingest(agent, poisoned)
        attempts = _deliver_until_parked(agent, seq)
    trial.result.n += 1
    trial.result.expect(attempts == MAX_ATTEMPTS, f"parked after {attempts} attempts")
    _check_parked(trial, machine, "after the last attempt")
    machine.judge(trial.result, others, book, "the others")
    with open(ledger, "ab") as file:
        file.write(joined(book.next(10)))
    with opened(config, "push") as agent:
        agent.ingest_all(Scope())
        _deliver(agent, seq)
    _check_parked(trial, machine, "after a restart")
    machine.judge(trial.result, book.public - {poisoned}, book, "those that came later")


def _ingest(agent: Agent, poisoned: str) -> int:
    """Everything into the journal; returns the seq of the entry that will be refused."""
    agent.ingest_all(Scope())
    sealed = agent.journal.sealed(1, agent.journal.last_seq)
    operations = (json.loads(one) for batch in sealed for one in unpacked(batch.frame).split(b"\n")[:-1])
    return next(int(one["seq"]) for one in operations if one.get("body") == poisoned)


def _deliver(agent: Agent, seq: int) -> int:
    """One delivery; returns how many operations were refused."""
    with agent.backend("vault") as backend:
        return agent.dispatch.delivery(FaultyBackend(backend, Fault(None), {seq})).run().refused


def _deliver_until_parked(agent: Agent, seq: int) -> int:
    """Deliver once an hour, by the agent's clock, until nothing is tried any more. Returns the attempts."""
    started, attempts = agent.state.clock(), 0
    for hour in range(3 * MAX_ATTEMPTS):
        agent.state.clock = partial(float, started + hour * HOUR_S)
        attempts += _deliver(agent, seq)
    return attempts


def _check_parked(trial: Trial, machine: Machine, when: str) -> None:
    (backend,) = machine.status()["backends"]
    trial.result.expect(backend["parked"] == 1, f"{when}: status shows {backend['parked']} parked entries")
    trial.result.expect(backend["waiting"] == 0, f"{when}: {backend['waiting']} operations wait behind it")


# -- B19


@bar("B19", "ten syncs without a change, then one without a state")
def idempotence(trial: Trial) -> None:
    machine, book = Machine(trial.folder("b19")), Book(trial.seed)
    _fill(machine.space, book, trial.pick(500, 20_000))
    answer = machine.push()
    trial.result.expect(answer.code == 0, f"the first push: {said(answer)}")
    machine.judge(trial.result, book.public, book, "the first push")
    first = oracle.fingerprint(machine.vault)
    for number in range(10):
        answer = machine.push()
        trial.result.expect(answer.code == 0, f"push {number}: {said(answer)}")
        trial.result.expect(
            oracle.fingerprint(machine.vault) == first, f"push {number} without a change wrote something"
        )
        trial.result.n += 1
    machine.lose_state()
    for when in ("without a state", "once more"):
        answer = machine.push()
        trial.result.expect(answer.code == 0, f"push {when}: {said(answer)}")
        rewritten = [name for name, was in first.items() if oracle.fingerprint(machine.vault).get(name) != was]
        trial.result.expect(not rewritten, f"push {when} rewrote {rewritten}")
        machine.judge(trial.result, book.public, book, f"push {when}")
        trial.result.n += 1
    machine.check_restore(trial.result, book, "after the state was lost")


def _fill(space: Path, book: Book, entries: int) -> None:
    """Ledgers, one line twice, an array and documents."""
    for number in range(5):
        (space / f"ledger-{number}.jsonl").write_bytes(joined(book.next(entries // 5)))
    twice = book.next(3, private=False)
    (space / "copies.jsonl").write_bytes(joined([*twice, *twice]))
    array = book.next(10, private=False)
    (space / "entries.json").write_text("[\n  " + ",\n  ".join(array) + "\n]\n")
    for number, one in enumerate(book.next(3, private=False)):
        page = f"# page {number}\n\n{json.loads(one)['text']}\n"
        (space / f"page-{number}.md").write_text(page)
        book.public.remove(one)
        book.public.add(page)
