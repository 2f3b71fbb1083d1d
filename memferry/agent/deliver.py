"""From the journal to one backend: send what lies beyond its checkpoint, and move the checkpoint when it says so."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from memferry.agent.audit import Audit
from memferry.agent.checkpoints import Checkpoint, Checkpoints
from memferry.agent.journal import Journal
from memferry.agent.state import State
from memferry.backends.base import Backend, Receipt
from memferry.errors import BackendError, ForkedLog
from memferry.model import Sealed

MAX_ATTEMPTS = 8


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


class Delivery:
    """Sends to one backend. A refused operation is tried again later and parked after 8 attempts;
    it never holds up the others."""

    def __init__(
        self, state: State, journal: Journal, backend: Backend, checkpoints: Checkpoints, random: random.Random,
        audit: Audit,
    ) -> None:  # fmt: skip
        self._state = state
        self._journal = journal
        self._backend = backend
        self._checkpoints = checkpoints
        self._random = random
        self._audit = audit

    @property
    def checkpoint(self) -> Checkpoint:
        return self._checkpoints.of(self._backend.name)

    def run(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Delivered:
        """Send everything due. A backend that fails is left for later; nothing is lost by it."""
        before, sent, refused = self.checkpoint.through, 0, 0
        try:
            while batch := self._journal.after(self.checkpoint.through):
                refused += self._send(batch)
                sent += sum(sealed.count for sealed in batch)
                progress(batch[-1].last, self._journal.last_seq)
            refused += self._send_refused()
        except ForkedLog:
            raise
        except BackendError as error:
            self._checkpoints.failed(self._backend.name, error)
            return Delivered(before, self.checkpoint.through, sent, refused, str(error), error.hint, error.exit_code)
        self._checkpoints.recovered(self._backend.name)
        return Delivered(before, self.checkpoint.through, sent, refused)

    # -- sending

    def _send(self, batch: Sequence[Sealed]) -> int:
        """Before a byte leaves it is on record that it may have left: what is withdrawn later is then retracted."""
        last = max(batch[-1].last, self.checkpoint.through)
        with self._state.transaction():
            self._update("attempted = max(attempted, ?)", last)
        receipt = self._delivered(batch)
        with self._state.transaction():
            self._update("through = max(through, ?), acknowledged_at = ?", receipt.through, self._state.clock())
            self.remember_head()
            self._refuse(receipt.refused)
        return len(receipt.refused)

    def _delivered(self, batch: Sequence[Sealed]) -> Receipt:
        """On record before and after, whatever happens in between."""
        self._audit.note("sending", self._backend.name, batch)
        try:
            receipt = self._backend.deliver(batch)
        except BackendError:
            self._audit.note("failed", self._backend.name, batch)
            raise
        self._audit.note("acknowledged", self._backend.name, batch, tuple(receipt.refused))
        return receipt

    def remember_head(self) -> None:
        """The newest head of our log there, as the backend now knows it: what a rollback is measured against."""
        head_seen = getattr(self._backend, "head_seen", None)
        if head_seen is not None and (head := head_seen()) is not None:
            self._update("head = ?", json.dumps(head))

    def _send_refused(self) -> int:
        seqs = self._checkpoints.refused(self._backend.name, self._state.clock())
        batch = [sealed for seq in seqs for sealed in self._journal.only(seq)]
        with self._state.transaction():  # those withdrawn since are no longer anyone's business
            gone = set(seqs) - {sealed.first for sealed in batch}
            self._forget_refused(gone)
        if not batch:
            return 0
        receipt = self._delivered(batch)
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
            wait = self._checkpoints.backoff.delay(attempts, self._random)
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
