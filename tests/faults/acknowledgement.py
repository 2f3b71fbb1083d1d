"""B15: the server has done what it was asked, and the line breaks before its answer arrives."""

from __future__ import annotations

import random
from pathlib import Path

from memferry import config
from memferry.agent.commands import verbs
from memferry.agent.service import Agent, opened
from tests.faults.bar import Result, Trial, bar
from tests.faults.far import TOOLS, Far, far_away
from tests.faults.lines import Book, joined
from tests.faults.machine import Machine, said

REPLIES = 18
"""A push waits for about as many. A cut that is still due when the next one is asked for is not made."""
AT_ONCE = 50
"""Uploads of one process; the next one has nothing but the state."""
WITHDRAWN = 0.05
"""The share of uploads before which an entry that was sent becomes private."""


@bar("B15", "the answer is lost after the server has committed", tools=TOOLS)
def answers_lost(trial: Trial) -> None:
    uploads, cuts = trial.pick(100, 10_000), trial.pick(33, 1100)
    with far_away(trial.folder("server")) as far:
        machine = far.machine(trial.folder("b15"), agent="settle_ms: 0")
        source = _Source(machine.space / "ledger.jsonl", trial.seed)
        chance = random.Random(f"{trial.seed}/B15")
        chosen = set(chance.sample(range(uploads), cuts))
        for first in range(0, uploads, AT_ONCE):
            with opened(config.load({}, file=str(machine.config)), "bar") as agent:
                for number in range(first, min(first + AT_ONCE, uploads)):
                    source.change(chance)
                    if number in chosen:
                        far.proxy.cut_reply(chance.randint(1, REPLIES))
                    _push(trial.result, agent, number)
        far.proxy.heal()
        _judge(trial.result, far, machine, source.book)
        trial.result.n = far.proxy.cuts
        trial.result.notes.append(f"{far.proxy.cuts} cuts in {uploads} uploads, {far.proxy.replies} replies")


class _Source:
    """A ledger in which entries are added, and some turn private."""

    def __init__(self, path: Path, seed: int) -> None:
        self.book = Book(seed)
        self._path = path
        self._lines: list[str] = []

    def change(self, chance: random.Random) -> None:
        if chance.random() < WITHDRAWN:
            self._withdraw_one(chance)
        new = self.book.next(chance.randrange(1, 4))
        self._lines += new
        with self._path.open("ab") as ledger:
            ledger.write(joined(new))

    def _withdraw_one(self, chance: random.Random) -> None:
        sent = [at for at, one in enumerate(self._lines) if one in self.book.public]
        if not sent:
            return
        at = chance.choice(sent)
        doomed = self._lines[at]
        self._lines[at] = doomed.replace('"project"', '"private"')
        self.book.public.discard(doomed)
        self.book.private |= {doomed, self._lines[at]}
        with self._path.open("r+b") as ledger:  # the hardest way to notice: in place, and then it grows
            ledger.write(joined(self._lines))


def _push(result: Result, agent: Agent, number: int) -> None:
    """A single cut is made good by the next attempt, within the same push."""
    error = verbs.perform(agent, "push", {})["backends"]["vault"]["error"]
    result.expect(error is None, f"upload {number}: {error}")


def _judge(result: Result, far: Far, machine: Machine, book: Book) -> None:
    machine.judge(result, book.public, book, "after the uploads")
    verified = machine.call("verify", "--json")
    result.expect(verified.code == 0, f"verify: {said(verified)}")
    far.check_tidy(result, machine)
