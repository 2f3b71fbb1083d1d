"""From other machines' logs into this machine's files: verify, take in the facts, then bring the files in line.

A log that cannot be trusted is left alone and named; the others are taken in all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from memferry.agent.pulling.clocks import Clocks
from memferry.agent.pulling.edits import How
from memferry.agent.pulling.here import Here
from memferry.agent.pulling.peers import Peers
from memferry.agent.pulling.reconcile import Reconcile
from memferry.agent.pulling.taking import STRANGE, Taking
from memferry.agent.state.journal import batches
from memferry.backends.base import MachineLog, Readable
from memferry.errors import ForkedLog, TargetRefused

BATCH = 20_000


class Refused(NamedTuple):
    """A log that was left alone."""

    machine: str
    error: str
    hint: str


class Pulled(NamedTuple):
    """What a pull came to. `files`: those touched (`space/file`) and how. `taken`: records, `conflicts`: new ones;
    `skipped`: operations of spaces and files that are not carried here; `failed`: files that could not be written, and
    why; `strange`: operations that no memferry writes; `ahead`: machines whose clock is."""

    machines: tuple[str, ...]
    taken: int
    withdrawn: int
    conflicts: int
    files: Mapping[str, How]
    skipped: int
    failed: Mapping[str, str]
    refused: tuple[Refused, ...]
    strange: int
    ahead: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """4: something was refused. 1: a file could not be written."""
        return TargetRefused.exit_code if self.refused or self.strange else int(bool(self.failed))


class Pull:
    """Applies the logs of one backend. `dry_run`: no file is written. `recognise`: after a state was lost, only what
    was pulled before is known again."""

    def __init__(self, here: Here, backend: str, *, dry_run: bool = False, recognise: bool = False) -> None:
        self._here = here
        self._peers = Peers(here.state, backend, here.me)
        self._clocks = Clocks(here)
        self._may_be_forked = not (dry_run or recognise)
        self._files = Reconcile(here, self._peers.name_of, dry_run=dry_run, recognise=recognise)
        self._machines: list[str] = []
        self._refused: list[Refused] = []
        self._counts: Counter[str] = Counter()

    def run(self, backend: Readable) -> Pulled:
        """Raises BackendError where the backend itself cannot be read; ForkedLog, and then nothing was taken in."""
        logs = self._trusted(backend)
        with self._here.state.transaction():
            self._peers.start_over_for(self._here.trees)
        for log in logs:
            try:
                self._take_in(backend, log)
            except TargetRefused as error:
                self._refuse(log.id, error)
        with self._here.state.transaction():
            self._clocks.judge()
        self._files.run()
        return self._pulled()

    def _trusted(self, backend: Readable) -> list[MachineLog]:
        """The logs of the others; those whose head cannot be believed are named and left alone."""
        survey = backend.survey()
        if self._may_be_forked:
            self._refuse_a_fork(survey.logs)
        logs = self._peers.introduce(survey.logs)
        for machine, error in survey.refused.items():
            if machine != self._here.me.id:
                self._refuse(machine, error)
        return logs

    def _refuse_a_fork(self, logs: Sequence[MachineLog]) -> None:
        """What another state has written as this machine would be missing here, and nothing would ever say so."""
        me, written = self._here.me, self._here.journal.last_seq
        if any(log.goes_on(me.id, written) for log in logs):
            raise ForkedLog(f"the log of machine {me.name} holds operations that this state has not written yet")

    def _refuse(self, machine: str, error: TargetRefused) -> None:
        hint = self._peers.mending(machine, error)
        self._refused.append(Refused(self._peers.name_of(machine), str(error), hint))
        with self._here.state.transaction():
            self._peers.complain(machine, str(error), hint)

    def _take_in(self, backend: Readable, log: MachineLog) -> None:
        applied = self._peers.meet(log)
        if log.head.last_seq > applied:
            self._machines.append(log.name)
            self._take_new(backend, log, applied)
        with self._here.state.transaction():
            self._peers.withdraw_complaint(log.id)

    def _take_new(self, backend: Readable, log: MachineLog, applied: int) -> None:
        taking = Taking(self._here, log, self._peers, self._clocks, self._files)
        try:
            stuck = [seq for ops in batches(backend.read(log.id, after=applied), BATCH) if (seq := taking.take(ops))]
        finally:
            self._counts += taking.counts
        with self._here.state.transaction():
            if not taking.counts["strange"]:
                self._peers.withdraw_complaint(log.id, about=STRANGE)
            self._peers.go_on_from(log, stuck[0] - 1 if stuck else log.head.last_seq)

    def _pulled(self) -> Pulled:
        counts, files = self._counts, self._files
        return Pulled(
            tuple(self._machines), counts["taken"], counts["withdrawn"], files.conflicts,
            dict(sorted(files.touched.items())), counts["skipped"],
            {file: str(error) for file, error in files.failed.items()}, tuple(self._refused),
            counts["strange"], tuple(self._clocks.ahead),
        )  # fmt: skip
