"""To every backend what is due there, whatever becomes of the others."""

from __future__ import annotations

import contextlib
import random
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from memferry.agent.intake.rejudge import is_judged
from memferry.agent.outcome import Outcome
from memferry.agent.recovery import fork, heirs, identity
from memferry.agent.scope import Scope
from memferry.agent.sending.deliver import Delivered, Delivery, Pace
from memferry.agent.sending.late import look_again
from memferry.backends.base import Backend, MachineLog, Readable
from memferry.backends.wrappers import Backoff, Retry
from memferry.errors import BackendError, ForkedLog, Halted, TargetRefused

if TYPE_CHECKING:
    from memferry.agent.service import Agent

ATTEMPTS = 3
RETRY_SOON = Backoff(base_s=0.2, cap_s=2.0)
"""Within one delivery."""


class Dispatch:
    """Call from the thread that owns the state."""

    def __init__(self, agent: Agent, source: random.Random) -> None:
        self._agent = agent
        self._retry = Retry(RETRY_SOON, ATTEMPTS, source)
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)

    def deliver(self, names: Sequence[str], *, patient: bool, outcome: Outcome | None) -> dict[str, Delivered]:
        """Where another state has continued this machine's log, this one goes on under an identity of its own."""
        wanted = names or tuple(self._agent.config.backends)
        try:
            self._judge_what_waits()
        except Halted as error:
            return {name: self._not_sent(name, error) for name in wanted} if patient else {}
        try:
            return self._deliver(wanted, patient, outcome)
        except ForkedLog:
            self.part()
            self._agent.pull()
        try:
            return self._deliver(wanted, patient, outcome)
        except ForkedLog as error:
            return {error.backend: self._failed(error.backend, error)}

    def part(self) -> None:
        """Another state has continued this machine's log: go on under an identity of its own. Pull from everywhere
        before anything is delivered."""
        fork.part(self._agent, self._names_taken())

    def is_due(self, name: str) -> bool:
        return self._agent.checkpoints.due(name, self._agent.journal.last_seq)

    def delivery(self, backend: Backend, outcome: Outcome | None = None) -> Delivery:
        """`outcome`: counts what turns out while it is at work."""
        agent = self._agent
        look = partial(look_again, agent, outcome or Outcome(agent.journal.last_seq + 1))
        return Delivery(
            agent.state, agent.journal, backend, agent.checkpoints, self._retry, self._paces[backend.name], look,
            agent.audit,
        )  # fmt: skip

    def _judge_what_waits(self) -> None:
        """By the rules as they are now, not as they were when it was queued. Raises Halted."""
        agent = self._agent
        agent.gate.check()
        for tree in agent.trees.values():
            if not is_judged(agent.state, tree.name, agent.judging.version):
                agent.ingest(tree, Scope(), Outcome(agent.journal.last_seq + 1))

    def _deliver(self, names: Sequence[str], patient: bool, outcome: Outcome | None) -> dict[str, Delivered]:
        return {name: self._deliver_to(name, outcome) for name in names if patient or self.is_due(name)}

    def _deliver_to(self, name: str, outcome: Outcome | None) -> Delivered:
        try:
            with self._agent.backend(name) as backend:
                self._refuse_a_second_log(backend)
                delivered = self.delivery(backend, outcome).run(partial(self._agent.progress, name))
                if not delivered.error:
                    heirs.look_after(self._agent, backend)
                return delivered
        except ForkedLog:
            raise
        except Halted as error:
            return self._not_sent(name, error)
        except BackendError as error:  # it could not be opened
            return self._failed(name, error)

    def _refuse_a_second_log(self, backend: Backend) -> None:
        """A backend that was out of reach when this state was made may hold a log of this very installation, from
        before the last one was lost: sent as new, all of it would be there twice, and what was withdrawn would come
        back."""
        state, me, checkpoint = self._agent.state, self._agent.me, self._agent.checkpoints.of(backend.name)
        if checkpoint.attempted or not self._agent.journal.last_seq or not isinstance(backend, Readable):
            return
        if state.one("select 1 from counter where name in ('forks', 'states rebuilt')") is not None:
            return  # it has found its log, or left it
        logs: Sequence[MachineLog] = ()
        with contextlib.suppress(TargetRefused):  # no vault yet, or one that is locked: the delivery says so
            logs = backend.survey().logs
        wanted = self._agent.config.machine
        mine = [log for log in logs if log.id != me.id and identity.wrote(log, me.installation, wanted)]
        if mine:
            raise TargetRefused(
                f"{backend.name} holds the log of {mine[0].name}, which this computer wrote before its state was lost;"
                " it was out of reach when a new state was made",
                backend=backend.name,
                hint="memferry doctor --rebuild",
            )

    def _not_sent(self, name: str, error: Halted | BackendError) -> Delivered:
        at = self._agent.checkpoints.of(name).through
        return Delivered(at, at, 0, 0, str(error), error.hint, error.exit_code)

    def _failed(self, name: str, error: BackendError) -> Delivered:
        self._agent.checkpoints.failed(name, error)
        return self._not_sent(name, error)

    def _names_taken(self) -> set[str]:
        """Of every machine that any backend in reach knows."""
        taken: set[str] = set(self._agent.machine_names().values())
        for name in self._agent.config.backends:
            with contextlib.suppress(BackendError), self._agent.backend(name) as backend:
                if isinstance(backend, Readable):
                    taken |= {log.name for log in backend.survey().logs}
        return taken
