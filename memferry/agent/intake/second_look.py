"""Copies of something private that was read after them, found before anything of the same scan is sent.

What was stored before is found again by a few places of its texts, which not every copy has. What was stored in this
scan is at hand, so it is compared once more with all that is held by now, as if that had been read first.
"""

from __future__ import annotations

from memferry.agent.intake.holding import Holding
from memferry.agent.intake.work import Work
from memferry.agent.state.journal import unseal
from memferry.model import Put
from memferry.policies.base import Held
from memferry.policies.chain import judge


class SecondLook:
    """Of one scan of one space. That it is due stands in the state, so a crash or a halt does not prevent it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._state = work.state
        self._holding = Holding(work)
        self._name = f"second look {work.tree.name}"
        self._first = work.journal.last_seq + 1

    def note(self) -> None:
        """Inside the transaction in which something was held: whatever was stored so far is to be compared with it."""
        if self._work.catalog.has_learned():
            due = self._state.meta(self._name)
            first = min(self._first, int(due.split()[0])) if due else self._first
            self._state.set_meta(self._name, f"{first} {self._work.journal.last_seq}")

    def take(self) -> None:
        """What is held now may be repeated in turn."""
        while due := self._state.meta(self._name):
            first, last = map(int, due.split())
            with self._state.transaction():
                self._state.execute("delete from meta where name = ?", (self._name,))
                self._look(first, last)
                if self._work.catalog.has_learned():
                    self._state.set_meta(self._name, due)

    def _look(self, first: int, last: int) -> None:
        work = self._work
        for sealed in work.journal.sealed(first, last):
            stored = [op for op in unseal(sealed) if isinstance(op, Put) and op.space == work.tree.name]
            puts = [put for put in stored if first <= put.seq <= last]
            verdicts = judge(list(map(self._holding.stored, puts)), work.catalog, work.fingerprint, ())
            held = [put for put, one in zip(puts, verdicts, strict=True) if isinstance(one, Held)]
            self._holding.hold_if_derived(list(map(self._holding.id_of, held)))
