"""What each backend has acknowledged, and whether it is worth a try now. One row a backend, in the state."""

from __future__ import annotations

import json
import random
from typing import NamedTuple

from memferry.agent.state.database import State
from memferry.agent.state.place import ACKNOWLEDGED
from memferry.backends.base import HeadSeen
from memferry.backends.wrappers import Backoff, Breaker
from memferry.errors import BackendError, TransientError

AWAY = "away"
"""In the state: the backends that could not be reached when last tried, as a JSON list."""


class Checkpoint(NamedTuple):
    """What a backend has acknowledged. `through`: every seq up to it; `attempted`: may have arrived; `breaker`: whether
    it is worth a try, times since 1970."""

    backend: str
    through: int
    attempted: int
    head: HeadSeen | None
    breaker: Breaker


class Checkpoints:
    """Read anywhere; change them inside a transaction of the state, except where it says otherwise."""

    def __init__(self, state: State, backoff: Backoff, random: random.Random) -> None:
        self._state = state
        self._random = random
        self.backoff = backoff
        self._away: set[str] = set(json.loads(state.meta(AWAY) or "[]"))

    def of(self, backend: str) -> Checkpoint:
        row = self._state.one(
            "select through, attempted, head, failures, next_attempt_at from checkpoint where backend = ?", backend
        )
        if row is None:
            return Checkpoint(backend, 0, 0, None, Breaker())
        through, attempted, head, failures, next_at = row
        try:
            seen = HeadSeen(*json.loads(head)) if head else None
        except (ValueError, TypeError) as error:
            raise self._state.damaged(f"the checkpoint of {backend}") from error
        return Checkpoint(backend, through, attempted, seen, Breaker(failures, self._believed(next_at)))

    def _believed(self, next_at: float) -> float:
        """A clock that was set back must not make a backend rest for the length of the jump."""
        return next_at if next_at - self._state.clock() <= self.backoff.cap_s else 0.0

    def update(self, backend: str, assignments: str, *values: object) -> None:
        self._state.execute("insert or ignore into checkpoint(backend) values(?)", (backend,))
        self._state.execute(f"update checkpoint set {assignments} where backend = ?", (*values, backend))

    def start_over(self, backend: str, head: HeadSeen | None) -> None:
        """It lies elsewhere, where this machine's log ends with `head`, if it has one there. What was wrong with the
        other place is no news of this one."""
        before = self.of(backend).through
        through = min(before, head.last_seq) if head else 0
        elsewhere = max(before, int(self._state.meta(ACKNOWLEDGED) or 0))
        self._state.set_meta(ACKNOWLEDGED, elsewhere)
        self.update(
            backend, "through = ?, head = ?, failures = 0, next_attempt_at = 0, error = null, hint = null",
            through, json.dumps(head) if head else None,
        )  # fmt: skip
        if head is None:
            self.update(backend, "acknowledged_at = null")
            self._state.execute("delete from refused where backend = ?", (backend,))
        self._note_away(backend, False)
        for area in ("backend", "pull", "verify"):
            self._state.clear_problem(area, backend)

    # -- when to try

    def due(self, backend: str, last_seq: int) -> bool:
        """Whether there is something to send, up to `last_seq`, and now is the time to try."""
        now = self._state.clock()
        checkpoint = self.of(backend)
        if not checkpoint.breaker.allows(now):
            return False
        return checkpoint.through < last_seq or bool(self.refused(backend, now))

    def is_away(self, backend: str) -> bool:
        """Whether it could not be reached when last tried, and rests: nothing is to be asked of it yet.

        One that could be reached but would take nothing (it is full, say) is not away: it can be pulled from.
        """
        return backend in self._away and not self.of(backend).breaker.allows(self._state.clock())

    def refused(self, backend: str, now: float) -> list[int]:
        """The seqs of operations that it would not take, and that are to be tried again by now."""
        return [
            seq
            for seq, next_at in self._state.rows(
                "select seq, next_attempt_at from refused where backend = ? and not parked order by seq", backend
            )
            if self._believed(next_at) <= now
        ]

    # -- failing and recovering; in transactions of their own

    def failed(self, backend: str, error: BackendError) -> None:
        """It rests, longer with every failure in a row; `status` shows since when, and until when."""
        breaker = self.of(backend).breaker.after_failure(self._state.clock(), self.backoff, self._random)
        with self._state.transaction():
            self._note_away(backend, isinstance(error, TransientError))
            self.update(
                backend, "failures = ?, next_attempt_at = ?, error = ?, hint = ?",
                breaker.failures, breaker.rests_until, str(error), error.hint,
            )  # fmt: skip
            self._state.count(f"backend {backend} failures")
            self._state.report_problem("backend", backend, str(error), error.hint)

    def recovered(self, backend: str) -> None:
        """The first success ends the rest and the bad news."""
        shown = self._state.one("select 1 from problem where area = 'backend' and subject = ?", backend)
        if shown or self.of(backend).breaker.failures:
            with self._state.transaction():
                self._note_away(backend, False)
                self.update(backend, "failures = 0, next_attempt_at = 0, error = null, hint = null")
                self._state.clear_problem("backend", backend)

    def idle(self, backend: str) -> None:
        """Nothing is left to send there, so nothing was asked of it: whether it is still away nobody knows."""
        if backend not in self._away:
            self.recovered(backend)

    def pulled(self, backend: str) -> None:
        """It could be read. That ends its being away; a delivery that failed for another reason goes on resting."""
        if backend in self._away:
            self.recovered(backend)
        if self._state.one("select 1 from problem where area = 'pull' and subject = ?", backend):
            with self._state.transaction():
                self._state.clear_problem("pull", backend)

    def not_pulled(self, backend: str, error: BackendError) -> None:
        """One that is away rests, as after a delivery; anything else `status` shows until a pull succeeds."""
        if isinstance(error, TransientError):
            self.failed(backend, error)
            return
        with self._state.transaction():
            self._state.report_problem("pull", backend, str(error), error.hint)

    def _note_away(self, backend: str, away: bool) -> None:
        (self._away.add if away else self._away.discard)(backend)
        self._state.set_meta(AWAY, json.dumps(sorted(self._away)))
