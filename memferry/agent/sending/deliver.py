"""From the journal to one backend: send what lies beyond its checkpoint, and move the checkpoint when it says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from memferry.agent.sending.audit import Audit
from memferry.agent.state.checkpoints import Checkpoint, Checkpoints
from memferry.agent.state.database import State
from memferry.agent.state.journal import Journal
from memferry.backends.base import Backend, Headed, Receipt
from memferry.backends.wrappers import Retry
from memferry.errors import BackendError, ForkedLog, TransientError
from memferry.model import Sealed

MAX_ATTEMPTS = 8
FIRST_BYTES = 1 << 20
LEAST_BYTES = 64 << 10
MOST_BYTES = 8 << 20


class Delivered(NamedTuple):
    """One backend's share of a sync: its checkpoint `before` and `after`, `sent` operations, `refused` in this run,
    `error` and `hint` where it could not be reached, with the `exit_code` that this means."""

    before: int
    after: int
    sent: int
    refused: int
    error: str | None = None
    hint: str = ""
    exit_code: int = 0


class _Gone(NamedTuple):
    """Operations of one batch."""

    sent: int
    refused: int


class Pace:
    """How many bytes are sent at once: what goes in about a second, so that what becomes private meanwhile has not
    left yet, and a line that crawls is not asked for too much."""

    def __init__(self) -> None:
        self.size_bytes = FIRST_BYTES

    def took(self, seconds: float) -> None:
        """The last one went."""
        if seconds < 0.5:
            self.size_bytes = min(2 * self.size_bytes, MOST_BYTES)
        elif seconds > 1:
            self.failed()

    def failed(self) -> None:
        """The last one did not."""
        self.size_bytes = max(self.size_bytes // 2, LEAST_BYTES)


class Delivery:
    """Sends to one backend. A refused operation is tried again later and parked after 8 attempts;
    it never holds up the others.

    `look`: called before every try with the first and the last seq that are about to be sent. It reads what changed
    since they were queued and returns whether anything did: then they are taken from the journal anew.
    """

    def __init__(
        self, state: State, journal: Journal, backend: Backend, checkpoints: Checkpoints, retry: Retry, pace: Pace,
        look: Callable[[int, int], bool], audit: Audit,
    ) -> None:  # fmt: skip
        self._state = state
        self._journal = journal
        self._backend = backend
        self._checkpoints = checkpoints
        self._retry = retry
        self._pace = pace
        self._look = look
        self._audit = audit
        self._answered = False

    @property
    def checkpoint(self) -> Checkpoint:
        return self._checkpoints.of(self._backend.name)

    def run(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Delivered:
        """Send everything due. A backend that fails is left for later; nothing is lost by it."""
        before, goal, sent, refused = self.checkpoint.through, self._journal.last_seq, 0, 0
        try:
            while self.checkpoint.through < self._beyond(goal) and (gone := self._retry(self._send_next)):
                sent += gone.sent
                refused += gone.refused
                progress(self.checkpoint.through, self._journal.last_seq)
            refused += self._retry(self._send_refused)
        except ForkedLog:
            raise
        except BackendError as error:
            self._checkpoints.failed(self._backend.name, error)
            return Delivered(before, self.checkpoint.through, sent, refused, str(error), error.hint, error.exit_code)
        (self._checkpoints.recovered if self._answered else self._checkpoints.idle)(self._backend.name)
        return Delivered(before, self.checkpoint.through, sent, refused)

    def _beyond(self, goal: int) -> int:
        """What was queued when it began, and all that was withdrawn since: not what a busy writer keeps adding."""
        row = self._state.one("select max(last) from journal where first > ? and retracts != '[]'", goal)
        return max(goal, row[0] or 0) if row else goal

    # -- sending

    def _send_next(self) -> _Gone | None:
        batch = self._next()
        if batch and self._look(batch[0].first, batch[-1].last):
            batch = self._next()
        return self._send(batch) if batch else None

    def _next(self) -> list[Sealed]:
        return self._journal.after(self.checkpoint.through, self._pace.size_bytes)

    def _send(self, batch: Sequence[Sealed]) -> _Gone:
        """Before a byte leaves it is on record that it may have left: what is withdrawn later is then retracted."""
        last = max(batch[-1].last, self.checkpoint.through)
        with self._state.transaction():
            self._update("attempted = max(attempted, ?)", last)
        receipt = self._deliver(batch)
        with self._state.transaction():
            self._update("through = max(through, ?), acknowledged_at = ?", receipt.through, self._state.clock())
            self.remember_head()
            self._refuse(receipt.refused)
        return _Gone(sum(sealed.count for sealed in batch), len(receipt.refused))

    def _deliver(self, batch: Sequence[Sealed]) -> Receipt:
        """On record before and after, whatever happens in between."""
        self._audit.note("sending", self._backend.name, batch)
        start = self._retry.clock()
        try:
            receipt = self._backend.deliver(batch)
        except BackendError as error:
            if isinstance(error, TransientError):
                self._pace.failed()
            self._audit.note("failed", self._backend.name, batch)
            raise
        self._answered = True
        self._pace.took(self._retry.clock() - start)
        self._audit.note("acknowledged", self._backend.name, batch, tuple(receipt.refused))
        return receipt

    def remember_head(self) -> None:
        """The newest head of our log there, as the backend now knows it: what a rollback is measured against."""
        if isinstance(self._backend, Headed) and (head := self._backend.head_seen()) is not None:
            self._update("head = ?", json.dumps(head))

    def _send_refused(self) -> int:
        seqs = self._checkpoints.refused(self._backend.name, self._state.clock())
        for seq in seqs:
            self._look(seq, seq)
        batch = [sealed for seq in seqs for sealed in self._journal.only(seq)]
        with self._state.transaction():  # those withdrawn since are no longer anyone's business
            gone = set(seqs) - {sealed.first for sealed in batch}
            self._forget_refused(gone)
        if not batch:
            return 0
        receipt = self._deliver(batch)
        with self._state.transaction():
            self._forget_refused(set(seqs) - set(receipt.refused))
            self._refuse(receipt.refused)
        return len(receipt.refused)

    # -- what a backend cannot take

    def _refuse(self, refused: Mapping[int, str]) -> None:
        now = self._state.clock()
        for seq, reason in refused.items():
            row = self._state.one("select attempts from refused where backend = ? and seq = ?", self._backend.name, seq)
            attempts = (row[0] if row else 0) + 1
            wait = self._checkpoints.backoff.delay(attempts, self._retry.random)
            self._state.execute(
                "insert or replace into refused values(?, ?, ?, ?, ?, ?)",
                (self._backend.name, seq, attempts, now + wait, reason, attempts >= MAX_ATTEMPTS),
            )
        self._state.count("refused by a backend", len(refused))

    def _forget_refused(self, seqs: set[int]) -> None:
        self._state.execute_many(
            "delete from refused where backend = ? and seq = ?", ((self._backend.name, seq) for seq in seqs)
        )

    def _update(self, assignments: str, *values: object) -> None:
        self._checkpoints.update(self._backend.name, assignments, *values)
