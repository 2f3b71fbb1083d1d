"""What a pull makes of other machines' clocks, and of its own among them. Why it is so: docs/adr/0007-clocks.md."""

from __future__ import annotations

from collections.abc import Sequence

from memferry.agent.pulling.here import Here
from memferry.agent.state import clock
from memferry.backends.base import MachineLog
from memferry.model import Op, Sighting

_UNITS = (("days", 86_400), ("hours", 3_600), ("minutes", 60))

SET_CLOCK = "set that machine's clock right; it then says by itself when its operations were written"
SET_OWN_CLOCK = "set it right; until then its newest versions count as older than they are"


class Clocks:
    """Hears what every log says while one pull takes it in, and judges once all have spoken. Call inside a transaction
    of the state. `ahead`: names of the machines whose clock is, once judged."""

    def __init__(self, here: Here) -> None:
        self._state = here.state
        self._journal = here.journal
        self._received = here.received
        self._me = here.me
        self._sightable: dict[str, tuple[MachineLog, int, str]] = {}
        self.ahead: list[str] = []

    def hear(self, log: MachineLog, ops: Sequence[Op]) -> None:
        """A clock that is ahead is not followed; one that is not may not be fallen behind of."""
        if not ops:
            return
        wall, behind = self._journal.wall, self._journal.is_behind
        believed = [op.hlc for op in ops if behind or not clock.is_ahead(op.hlc, wall)]
        if believed:
            self._journal.hear(max(believed))
        ahead = [op for op in ops if clock.is_ahead(op.hlc, wall)]
        if ahead and not behind:
            self._sightable[log.id] = (log, ahead[-1].seq, ahead[-1].hlc)
        self._received.remember_newest(log, ops[-1].hlc)

    def judge(self) -> None:
        """Before anything is merged: what claims to be written later than now was written now at the latest."""
        wall, newest = self._journal.wall, self._received.newest()
        outvoted = clock.outvoted((hlc for _, _, hlc in newest), wall)
        self._tell_own(self._journal.is_behind or outvoted)
        for _, name, hlc in newest:
            if clock.is_ahead(hlc, wall) and not outvoted and not self._journal.is_behind:
                self._tell(name, clock.ahead_by_s(hlc, wall))
            else:
                self._state.clear_problem("clock", name)
        for log, through, hlc in () if outvoted else self._sightable.values():
            self._sight(log, through, hlc, wall)

    def _tell_own(self, behind: bool) -> None:
        if not behind:
            self._state.clear_problem("clock", self._me.name)
            return
        text = "the clock of this machine is behind those of the others"
        self._state.report_problem("clock", self._me.name, text, SET_OWN_CLOCK)

    def _sight(self, log: MachineLog, through: int, hlc: str, wall: str) -> None:
        if not clock.is_ahead(clock.effective(log.id, through, hlc, self._received.sightings), wall):
            return  # it was put right, or somebody else said so before
        sighting = Sighting(*self._journal.next(), log.id, through)
        self._journal.append_ops([sighting])
        self._received.see(sighting)
        self._state.count("clocks ahead")

    def _tell(self, name: str, ahead_by_s: float) -> None:
        self.ahead.append(name)
        text = f"the clock of machine {name} is {_lasting(ahead_by_s)} ahead"
        self._state.report_problem("clock", name, text, SET_CLOCK)


def _lasting(seconds: float) -> str:
    """In the unit in which one would say it."""
    unit, length_s = next((one for one in _UNITS if seconds >= 2 * one[1]), _UNITS[-1])
    return f"{seconds / length_s:,.0f} {unit}"
