"""The other machines of one backend, as far as they were met: their names, the newest head seen, what was applied."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Sequence

from memferry.agent.state.database import State
from memferry.backends.base import MachineLog
from memferry.errors import Damaged, TargetRefused
from memferry.model import Identity

_SAFE_NAME = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._ -]{0,62}[A-Za-z0-9_-])?")


class Peers:
    """`backend`: its name in the configuration."""

    def __init__(self, state: State, backend: str, me: Identity) -> None:
        self._state = state
        self._backend = backend
        self._me = me
        self._names = {me.id: me.name}

    def introduce(self, logs: Sequence[MachineLog]) -> list[MachineLog]:
        """Those of others, under names that no two share: they become part of file names here, and come from there."""
        others = _named_apart([log for log in logs if log.id != self._me.id], self._me.name)
        self._names |= {log.id: log.name for log in others}
        return others

    def name_of(self, machine: str) -> str:
        """Its id where no name is known."""
        if machine not in self._names:
            row = self._state.one("select name from peer where machine = ?", machine)
            self._names[machine] = row[0] if row else machine
        return self._names[machine]

    def meet(self, log: MachineLog) -> int:
        """The last seq applied. Raises Damaged for a head older than the newest one seen."""
        row = self._state.one(
            "select sequence, sha256, applied from peer where backend = ? and machine = ?", self._backend, log.id
        )
        if row is None:
            return 0
        sequence, sha256, applied = row
        if log.head.sequence < sequence or (log.head.sequence == sequence and log.head.sha256 != sha256):
            raise Damaged(
                "rolled-back",
                f"the log of machine {log.name} in {self._backend} went back from head {sequence}"
                f" to {log.head.sequence}: nothing of it was applied",
                backend=self._backend,
            )
        return int(applied)

    def mending(self, machine: str, error: TargetRefused) -> str:
        """What to do about a log that was refused: what is damaged in it, only the machine that wrote it has whole."""
        if not isinstance(error, Damaged):
            return error.hint
        name = self.name_of(machine)
        mend = f"run `memferry verify --backend {self._backend} --repair` on {name}"
        if error.problem != "missing-head":
            return mend
        return f"{mend}; if it is gone for good: `memferry machines adopt {name} --gone`, with keys `revoke {name}`"

    # -- inside a transaction of the state

    def remember(self, log: MachineLog, applied: int) -> None:
        """Its head, and that it was applied up to this seq at least."""
        head = log.head
        self._state.execute(
            "insert into peer values(?, ?, ?, ?, ?, ?, ?) on conflict(backend, machine) do update set"
            " name = excluded.name, sequence = excluded.sequence, sha256 = excluded.sha256,"
            " last_seq = excluded.last_seq, applied = max(applied, excluded.applied)",
            (self._backend, log.id, log.name, head.sequence, head.sha256, head.last_seq, applied),
        )

    def go_on_from(self, log: MachineLog, applied: int) -> None:
        """Its head, and that the next pull begins behind this seq, also where more was applied."""
        self.remember(log, applied)
        self._state.execute(
            "update peer set applied = ? where backend = ? and machine = ?", (applied, self._backend, log.id)
        )

    def forget(self, machine: str) -> None:
        """Expect no log of it any more."""
        self._state.execute("delete from peer where backend = ? and machine = ?", (self._backend, machine))
        self.withdraw_complaint(machine)

    def start_over_for(self, spaces: Collection[str]) -> None:
        """What was passed over because its space was not there is wanted now; what is known changes nothing."""
        before = set(json.loads(self._state.meta("spaces pulled") or "[]"))
        if before == set(spaces):
            return
        if not before >= set(spaces):
            self._state.execute("update peer set applied = 0")
        self._state.set_meta("spaces pulled", json.dumps(sorted(spaces)))

    def start_over(self) -> None:
        """The backend lies elsewhere: nothing was seen there, nor missed. The names stay, for files are called by
        them."""
        prefix = f"{self._backend}/"
        self._state.execute(
            "delete from problem where area = 'log' and substr(subject, 1, ?) = ?", (len(prefix), prefix)
        )
        self._state.execute(
            "update peer set sequence = 0, sha256 = '', last_seq = 0, applied = 0 where backend = ?", (self._backend,)
        )

    def complain(self, machine: str, text: str, hint: str, *, about: str = "") -> None:
        """`status` shows it until it is withdrawn. `about`: a part of the log; empty for all of it."""
        self._state.report_problem("log", self._subject(machine, about), f"{self.name_of(machine)}: {text}", hint)

    def withdraw_complaint(self, machine: str, *, about: str = "") -> None:
        self._state.clear_problem("log", self._subject(machine, about))

    def _subject(self, machine: str, about: str) -> str:
        return "/".join(part for part in (self._backend, machine, about) if part)


def _named_apart(logs: Sequence[MachineLog], mine: str) -> list[MachineLog]:
    taken = Counter(log.name.lower() for log in logs) + Counter([mine.lower()])
    return [log._replace(name=_name(log, alone=taken[log.name.lower()] == 1)) for log in logs]


def _name(log: MachineLog, *, alone: bool) -> str:
    if not _SAFE_NAME.fullmatch(log.name):
        return log.id
    return log.name if alone else f"{log.name}-{log.id[:4]}"
