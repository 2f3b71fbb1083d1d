"""Where the parts are put together: one open agent, and what every command does with it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial

from memferry.agent.collection import no_collection
from memferry.agent.files.tree import FIND_IT, Tree, tree_of
from memferry.agent.index.indexing import Indexing
from memferry.agent.intake.gate import Gate
from memferry.agent.intake.ingest import Ingest
from memferry.agent.intake.judging import Judging, personal_of
from memferry.agent.intake.rejudge import rejudge
from memferry.agent.intake.sync import Cycle, Guard
from memferry.agent.intake.work import Reading, Work
from memferry.agent.lock import StateLock
from memferry.agent.outcome import Outcome
from memferry.agent.pulling.here import Here
from memferry.agent.pulling.pull import Pull, Pulled
from memferry.agent.pulling.reconcile import Reconcile
from memferry.agent.recovery import former, heirs, identity, lost
from memferry.agent.report import SyncReport
from memferry.agent.scope import Scope, is_about, wanted
from memferry.agent.sending.audit import Audit
from memferry.agent.sending.connections import Connections
from memferry.agent.sending.deliver import Delivered
from memferry.agent.sending.dispatch import Dispatch
from memferry.agent.state.catalog import Catalog
from memferry.agent.state.checkpoints import Checkpoints
from memferry.agent.state.database import State
from memferry.agent.state.journal import Journal
from memferry.agent.state.received import Received
from memferry.agent.state.withdraw import Withdrawal
from memferry.backends.base import Backend, Readable, Tended
from memferry.backends.encryption.keys import Keys
from memferry.backends.wrappers import Backoff
from memferry.config import Config, Space
from memferry.errors import BackendError, ForkedLog, Halted, SpaceMissing
from memferry.keys import Fingerprinter
from memferry.model import Identity
from memferry.places import DATABASE
from memferry.policies.own import Own
from memferry.policies.paths import still_hold
from memferry.progress import Progress, silent

RUNS_KEPT = 100
REST = Backoff(base_s=1.0, cap_s=300.0)
"""After a delivery that failed the backend is left alone for a random time up to a doubling bound."""


class Agent:
    """Everything built from one configuration; holds the state's lock while open."""

    def __init__(self, config: Config, state: State, me: Identity, *, progress: Progress = silent) -> None:
        self.config = config
        self.state = state
        self.progress = progress
        secret = identity.secret_of(state)
        self.fingerprint = Fingerprinter(secret)
        self.judging = Judging(config.policy, state.path.parent, secret, personal_of(config))
        self.gate = Gate(state, self.judging, config)
        self.keys = Keys(config.state)
        self.audit = Audit(state.path.parent, lambda: self.judging.version)
        self.catalog = Catalog(state)
        self.connections = Connections(self)
        self.become(me)
        self.trees: dict[str, Tree] = {}
        self.unreadable: dict[str, SpaceMissing] = {}
        self.look_at_spaces()
        source = random.Random()
        self.checkpoints = Checkpoints(state, REST, source)
        self.dispatch = Dispatch(self, source)
        self.indexing = Indexing(self)

    @property
    def missing(self) -> list[Space]:
        return [space for space in self.config.spaces if space.name not in self.trees]

    def look_at_spaces(self) -> None:
        """Which spaces are there, and which of their files are carried: markers and disks come and go."""
        self.trees.clear()
        self.unreadable.clear()
        self._look_at(self.config.spaces)

    def look_at_markers(self, files: Mapping[str, Sequence[str]]) -> None:
        """Read the rules of a space anew where a marker above these files of it came, went or changed."""
        old = [name for name, tree in self.trees.items() if not still_hold(tree.root, tree.rules, files.get(name, ()))]
        for name in old:
            del self.trees[name]
        self._look_at([space for space in self.config.spaces if space.name in old])

    def _look_at(self, spaces: Sequence[Space]) -> None:
        own = Own(self.config.own)
        for space in spaces:
            try:
                if os.path.isdir(space.path):
                    self.trees[space.name] = tree_of(space, own)
            except SpaceMissing as error:
                self.unreadable[space.name] = error

    # -- reading

    def ingest_all(self, scope: Scope) -> tuple[Outcome, list[str]]:
        """Every space up to date in the journal; returns what it came to and what halted."""
        if not scope.dry_run:
            self.finish_forgetting()  # a crash may have ended it
        outcome = Outcome(self.journal.last_seq + 1)
        halted = [self.report_missing(space) for space in self.missing if is_about(scope, space)]
        for tree in self.trees.values():
            try:
                self.ingest(tree, scope, outcome)
            except Halted as error:
                halted.append(str(error))
        return outcome, halted

    def ingest(self, tree: Tree, scope: Scope, outcome: Outcome, files: Sequence[str] | None = None) -> None:
        """Bring the journal up to date with one space, or with these files of it. Raises Halted, also where the space
        went away amid the work."""
        try:
            self._ingest(tree, scope, outcome, files)
        except SpaceMissing as error:
            with self.state.transaction():
                self.state.report_problem("space", tree.name, f"halted: {error}", error.hint)
            raise Halted(f"space {tree.name}: {error}", hint=error.hint) from error

    def _ingest(self, tree: Tree, scope: Scope, outcome: Outcome, files: Sequence[str] | None) -> None:
        settings = self.config.agent
        reading = Reading(
            settings.max_line_bytes,
            settings.settle_ms / 1000,
            scope.force,
            scope.thorough,
            tuple(scope.tags),
            scope.type,
        )
        self.gate.check()
        lost.meet_again(self, tree)
        work = Work(
            self.state, self.journal, self.fingerprint, self.withdrawal, tree, reading, outcome, self.judging.desk(tree)
        )
        ingest = Ingest(work)
        guard = Guard(settings.deletion_guard.fraction, settings.deletion_guard.count)
        cycle = Cycle(
            work, ingest, guard, accept_deletions=scope.accept_deletions,
            wanted=wanted(scope, tree.name, tree.format.name), progress=partial(self.progress, f"reading {tree.name}"),
        )  # fmt: skip
        with contextlib.closing(ingest), no_collection(), self.gate.watched():
            if rejudge(work, self.judging.version, dry_run=scope.dry_run):
                files = None
            try:
                if files is None:
                    cycle.run(all_files=scope.force or scope.thorough)
                    if outcome.unsettled and not scope.dry_run:
                        self._wait_and_read(cycle, tree, outcome)
                else:
                    cycle.run_some(files)
            except Halted:
                ingest.look_again()
                raise
            ingest.look_again()

    def _wait_and_read(self, cycle: Cycle, tree: Tree, outcome: Outcome) -> None:
        """A file that was written a moment ago: give its writer the time it may need, once."""
        mine = [file.removeprefix(f"{tree.name}/") for file in outcome.unsettled if file.startswith(f"{tree.name}/")]
        if mine:
            time.sleep(self.config.agent.settle_ms / 1000)
            outcome.unsettled = [file for file in outcome.unsettled if not file.startswith(f"{tree.name}/")]
            cycle.run_some(mine)

    def why_missing(self, space: Space) -> SpaceMissing:
        """Why a space is not read at all."""
        not_there = SpaceMissing(f"{space.path} is not there", hint=f"{FIND_IT}; nothing was withdrawn")
        return self.unreadable.get(space.name) or not_there

    def report_missing(self, space: Space) -> str:
        why = self.why_missing(space)
        with self.state.transaction():
            self.state.report_problem("space", space.name, f"halted: {why}", why.hint)
        return f"space {space.name}: {why}"

    # -- delivering

    def backend(self, name: str) -> AbstractContextManager[Backend]:
        """One backend, with the newest head of our own log that it acknowledged. It stays open, and so does its
        connection, until `close`."""
        return self.connections.backend(name)

    def deliver(
        self, names: Sequence[str] = (), *, patient: bool = True, outcome: Outcome | None = None
    ) -> dict[str, Delivered]:
        """To every backend (or these). `patient`: also to one that failed a moment ago; without it none is opened to
        which nothing is due. `outcome`: counts what turns out while it is at work."""
        return self.dispatch.deliver(names, patient=patient, outcome=outcome)

    def tend(self, name: str) -> bool:
        """A little of the work at a backend that can wait; True: there is more. Raises BackendError."""
        if not isinstance(self.connections.opened(name), Tended):
            return False
        with self.backend(name) as backend:
            return isinstance(backend, Tended) and backend.tend()

    def close(self) -> None:
        """Close what is open at the backends, the index, and the embedder."""
        self.indexing.close()
        self.connections.close()

    def become(self, me: Identity) -> None:
        """Go on under another identity."""
        self.connections.close_backends()
        self.me = me
        self.journal = Journal(self.state, me.id)
        self.withdrawal = Withdrawal(self.state, self.catalog, self.journal, me.id, self.fingerprint)

    # -- pulling

    def pull(self, names: Sequence[str] = (), *, dry_run: bool = False) -> dict[str, Pulled | BackendError]:
        """From every backend (or these). `dry_run`: inside a rehearsal of the state; no file is written. Where another
        state has continued this machine's log, this one goes on under an identity of its own."""
        every = tuple(self.config.backends)
        wanted = names or every
        try:
            return self._pull(wanted, dry_run)
        except ForkedLog:
            self.dispatch.part()
        pulled = self._pull(every, dry_run)
        return {name: pulled[name] for name in wanted if name in pulled}

    def _pull(self, names: Sequence[str], dry_run: bool) -> dict[str, Pulled | BackendError]:
        results: dict[str, Pulled | BackendError] = {}
        for name in names:
            try:
                with self.backend(name) as backend:
                    if isinstance(backend, Readable):
                        results[name] = self._pull_from(name, backend, dry_run)
                        if not dry_run:
                            self.checkpoints.pulled(name)
                            heirs.look_after(self, backend)
            except ForkedLog:
                raise
            except BackendError as error:
                results[name] = error
                if not dry_run:
                    self.checkpoints.not_pulled(name, error)
        return results

    def _pull_from(self, name: str, backend: Readable, dry_run: bool) -> Pulled:
        return Pull(self.here, name, dry_run=dry_run).run(backend)

    @property
    def here(self) -> Here:
        """What pulls and their files work on."""
        return Here(self.state, self.catalog, self.journal, self.withdrawal, self.fingerprint, self.trees, self.me)

    # -- withdrawing

    def finish_forgetting(self) -> None:
        """What was pulled and is forgotten goes from the file that it was written to. Not inside a transaction: first
        it must be certain that it is forgotten. What cannot be taken out now is tried again."""
        ids = set(self.withdrawal.being_forgotten())
        if ids:
            self.reconcile().run()
            with self.state.transaction():
                self.withdrawal.keep_away(ids.difference(self.received.marked()))

    @property
    def received(self) -> Received:
        """What other machines' logs have told."""
        return self.here.received

    def machine_names(self) -> dict[str, str]:
        """Of all machines that were met, by id."""
        return dict(self.state.rows("select machine, name from peer")) | {self.me.id: self.me.name}

    def reconcile(self, *, dry_run: bool = False) -> Reconcile:
        """Brings files in line with what is known of other machines' versions."""
        names = self.machine_names()
        return Reconcile(self.here, lambda machine: names.get(machine, machine), dry_run=dry_run)

    def remember_run(self, kind: str, started: float, report: SyncReport) -> None:
        with self.state.transaction():
            self.state.execute(
                "insert into run(kind, started_at, finished_at, report) values(?, ?, ?, ?)",
                (kind, started, self.state.clock(), json.dumps({"files": {"read_bytes": report.files["read_bytes"]}})),
            )
            self.state.execute("delete from run where number <= (select max(number) from run) - ?", (RUNS_KEPT,))


@contextlib.contextmanager
def opened(config: Config, purpose: str, *, progress: Progress = silent) -> Iterator[Agent]:
    """The agent, alone on its state directory. Raises StateLocked."""
    with StateLock(config.state, purpose):
        state = State(config.state / DATABASE)
        try:
            with contextlib.closing(_prepared(config, state, progress)) as agent:
                yield agent
        finally:
            state.close()


def _prepared(config: Config, state: State, progress: Progress) -> Agent:
    me = identity.known(state, config.machine)
    if me is not None:
        former.put_away(config.state, state)
        return Agent(config, state, me, progress=progress)
    before = former.found(config.state)
    found = lost.new_or_found_again(config, before)
    with state.transaction():  # half of its own log would look like somebody else's
        identity.keep(state, found.me, wanted=config.machine)
        agent = Agent(config, state, found.me, progress=progress)
        lost.take_back(agent, found, before)
    former.put_away(config.state, state)
    return agent
