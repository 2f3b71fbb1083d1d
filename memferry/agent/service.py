"""Where the parts are put together: one open agent, and what every command does with it."""

from __future__ import annotations

import contextlib
import gc
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from memferry.agent import fork, identity, scan
from memferry.agent.audit import Audit
from memferry.agent.catalog import Catalog
from memferry.agent.checkpoints import Checkpoints
from memferry.agent.deliver import Delivered, Delivery, Pace
from memferry.agent.indexing import Indexing
from memferry.agent.ingest import Ingest, Reading
from memferry.agent.journal import Journal
from memferry.agent.judging import Judging, personal_of
from memferry.agent.known import FOREIGN
from memferry.agent.lock import StateLock
from memferry.agent.outcome import Outcome
from memferry.agent.pull import Pull, Pulled
from memferry.agent.rebuild import adopt_shards, rebuild
from memferry.agent.received import Received
from memferry.agent.reconcile import Reconcile
from memferry.agent.rejudge import is_judged, rejudge
from memferry.agent.report import SyncReport
from memferry.agent.scope import Scope
from memferry.agent.state import DATABASE, State
from memferry.agent.sync import Cycle, Guard
from memferry.agent.tree import Tree
from memferry.agent.withdraw import Withdrawal
from memferry.backends.base import Backend, HeadSeen, Informed, Known, MachineLog, Readable, Tended
from memferry.backends.keys import Keys
from memferry.backends.registry import open_backend
from memferry.backends.wrappers import Backoff, Logged, Retry
from memferry.config import Config, Space
from memferry.embedder import Embedder
from memferry.errors import BackendError, ConfigError, ForkedLog, Halted, ScannerBroken, SpaceMissing
from memferry.formats import registry
from memferry.formats.base import Kind
from memferry.formats.brand import SCOPES
from memferry.keys import Fingerprinter
from memferry.model import Identity
from memferry.policies.paths import PathRules, read_rules
from memferry.recall.embed.tier import embedder
from memferry.recall.prose import text_of

RUNS_KEPT = 100
SCANNER = "scanner"
"""In the state: which installation of the engine was seen to find what was planted."""
ATTEMPTS = 3
RETRY_SOON = Backoff(base_s=0.2, cap_s=2.0)
"""Within one delivery."""
REST = Backoff(base_s=1.0, cap_s=300.0)
"""After a delivery that failed the backend is left alone for a random time up to a doubling bound."""

Progress = Callable[[str, int, int], None]


def no_progress(what: str, done: int, total: int) -> None:
    """For pipes."""


class Agent:
    """Everything built from one configuration; holds the state's lock while open."""

    def __init__(self, config: Config, state: State, me: Identity, *, progress: Progress = no_progress) -> None:
        self.config = config
        self.state = state
        self.progress = progress
        secret = identity.secret(state.path.parent)
        self.fingerprint = Fingerprinter(secret)
        self.judging = Judging(config.policy, state.path.parent, secret, personal_of(config))
        self._scanner_works = False
        self.keys = Keys(config.state)
        self.audit = Audit(state.path.parent, lambda: self.judging.version)
        self.catalog = Catalog(state)
        self._backends: dict[str, Backend] = {}
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
        self._embedder: Embedder | None = None
        self.become(me)
        self.trees: dict[str, Tree] = {}
        self.look_at_spaces()
        self.random = random.Random()
        self.checkpoints = Checkpoints(state, REST, self.random)
        self.indexing = Indexing(self)

    @property
    def missing(self) -> list[Space]:
        return [space for space in self.config.spaces if space.name not in self.trees]

    def look_at_spaces(self) -> None:
        """Which spaces are there, and which of their files are carried: markers and disks come and go."""
        found = {space.name: tree_of(space) for space in self.config.spaces if space.path.is_dir()}
        self.trees.clear()
        self.trees.update(found)

    # -- reading

    def ingest_all(self, scope: Scope) -> tuple[Outcome, list[str]]:
        """Every space up to date in the journal; returns what it came to and what halted."""
        outcome = Outcome(self.journal.last_seq + 1)
        halted = [self.report_missing(space) for space in self.missing if not scope.only or space.name in scope.only]
        for tree in self.trees.values():
            try:
                self.ingest(tree, scope, outcome)
            except Halted as error:
                halted.append(str(error))
        return outcome, halted

    def ingest(self, tree: Tree, scope: Scope, outcome: Outcome, files: Sequence[str] | None = None) -> None:
        settings = self.config.agent
        reading = Reading(
            settings.max_line_bytes,
            settings.settle_ms / 1000,
            scope.force,
            scope.thorough,
            tuple(scope.tags),
            scope.type,
        )
        self._refuse_broken_rules()
        desk = self.judging.desk(tree)
        ingest = Ingest(self.state, self.journal, self.fingerprint, self.withdrawal, tree, reading, outcome, desk)
        guard = Guard(settings.deletion_guard.fraction, settings.deletion_guard.count)
        cycle = Cycle(
            self.state, ingest, tree, guard, accept_deletions=scope.accept_deletions, wanted=_wanted(scope, tree.name),
            progress=partial(self.progress, f"reading {tree.name}"),
        )  # fmt: skip
        with contextlib.closing(ingest), _no_collection(), self._scanner_may_break():
            if rejudge(
                self.state, self.journal, self.withdrawal, self.fingerprint, tree, desk, ingest, self.judging.version,
                dry_run=scope.dry_run,
            ):  # fmt: skip
                files = None
            if files is None:
                cycle.run(all_files=scope.force or scope.thorough)
                if outcome.unsettled and not scope.dry_run:
                    self._wait_and_read(cycle, tree, outcome)
            else:
                cycle.run_some(files)

    def _refuse_broken_rules(self) -> None:
        """Raises Halted while the rules file or the scanner cannot be used: nothing is read into the journal, and
        nothing is sent."""
        try:
            self.judging.refresh()
            self._check_scanner()
        except (ConfigError, ScannerBroken) as error:
            raise self._halted(error) from error
        if self.state.one("select 1 from problem where area = 'policy'") is not None:
            with self.state.transaction():
                self.state.clear_problem("policy", "rules")

    @contextlib.contextmanager
    def _scanner_may_break(self) -> Iterator[None]:
        """Amid the work: then it is tried again before anything is sent."""
        try:
            yield
        except ScannerBroken as error:
            raise self._halted(error) from error

    def _halted(self, error: ConfigError | ScannerBroken) -> Halted:
        self._scanner_works = False
        with self.state.transaction():
            self.state.set_meta(SCANNER, "")
            self.state.report_problem("policy", "rules", f"halted: {error}", error.hint)
        return Halted(str(error), hint=error.hint)

    def _check_scanner(self) -> None:
        """Once in a process; the engine, which takes a second to load, only where it is not the one that worked."""
        if self._scanner_works:
            return
        verified = self.state.meta(SCANNER)
        works = self.judging.check(verified)
        self._scanner_works = True
        if works != verified:
            with self.state.transaction():
                self.state.set_meta(SCANNER, works or "")

    def _wait_and_read(self, cycle: Cycle, tree: Tree, outcome: Outcome) -> None:
        """A file that was written a moment ago: give its writer the time it may need, once."""
        mine = [file.removeprefix(f"{tree.name}/") for file in outcome.unsettled if file.startswith(f"{tree.name}/")]
        if mine:
            time.sleep(self.config.agent.settle_ms / 1000)
            outcome.unsettled = [file for file in outcome.unsettled if not file.startswith(f"{tree.name}/")]
            cycle.run_some(mine)

    def report_missing(self, space: Space) -> str:
        text = f"space {space.name}: {space.path} is not there"
        with self.state.transaction():
            self.state.report_problem(
                "space", space.name, f"halted: {space.path} is not there",
                "mount its disk or correct `path` in the configuration; nothing was withdrawn",
            )  # fmt: skip
        return text

    # -- delivering

    @contextlib.contextmanager
    def backend(self, name: str) -> Iterator[Backend]:
        """One backend, with the newest head of our own log that it acknowledged. It stays open, and so does its
        connection, until `close`."""
        backend = self._opened(name)
        if isinstance(backend, Informed):
            backend.inform(self._known(name))
        yield backend

    def _opened(self, name: str) -> Backend:
        if name not in self._backends:
            made = open_backend(name, self.config.backends[name], self.me, self.keys)
            self._backends[name] = self._wrapped(made)
        return self._backends[name]

    def _known(self, name: str) -> Known:
        checkpoint = self.checkpoints.of(name)
        refused = frozenset(row[0] for row in self.state.rows("select seq from refused where backend = ?", name))
        return Known(
            checkpoint.head, checkpoint.through, refused, checkpoint.attempted > 0, self.journal.last_seq,
            self.heads_seen(name), self.journal, text_of, self.embedder,
        )  # fmt: skip

    def embedder(self) -> Embedder:
        """What turns texts into vectors, made when it is first needed. Raises EmbedderBroken."""
        if self._embedder is None:
            self._embedder = embedder(self.config)
        return self._embedder

    def close(self) -> None:
        """Close what is open at the backends, the index, and the embedder."""
        self.indexing.close()
        self._close_backends()
        if self._embedder is not None:
            self._embedder.close()
            self._embedder = None

    def _close_backends(self) -> None:
        while self._backends:
            self._backends.popitem()[1].close()

    def heads_seen(self, name: str) -> dict[str, HeadSeen]:
        """The newest heads of the other machines' logs that were pulled from a backend, by machine."""
        rows = self.state.rows("select machine, sequence, sha256, last_seq from peer where backend = ?", name)
        return {row[0]: HeadSeen(*row[1:]) for row in rows}

    def _wrapped(self, backend: Backend) -> Backend:
        """Every backend is met through these."""
        return Logged(backend, time.monotonic)

    def delivery(self, backend: Backend, outcome: Outcome | None = None) -> Delivery:
        """`outcome`: counts what turns out while it is at work."""
        retry = Retry(RETRY_SOON, ATTEMPTS, self.random)
        look = partial(self.look_again, outcome or Outcome(self.journal.last_seq + 1))
        return Delivery(
            self.state, self.journal, backend, self.checkpoints, retry, self._paces[backend.name], look,
            self.audit,
        )  # fmt: skip

    def look_again(self, outcome: Outcome, first: int, last: int) -> bool:
        """Read files again that changed since these operations of theirs were queued: what became private meanwhile
        must not leave. Returns whether any did. Raises Halted where the rules or the scanner broke meanwhile."""
        changed: defaultdict[str, list[str]] = defaultdict(list)
        gone: set[str] = set()
        for space, file, before in self.catalog.stats_of(self.journal.files(first, last)):
            if space not in self.trees:
                continue
            now = scan.stat_at(self.trees[space].root, file)
            if now is None:
                gone.add(space)
            elif before not in (now, now.doubted):
                changed[space].append(file)
        for space in changed.keys() | gone:
            with contextlib.suppress(Halted):  # which `status` shows, and which withdraws nothing
                self._read_again(self.trees[space], changed[space], outcome, elsewhere=space in gone)
        self._refuse_broken_rules()
        return bool(changed or gone)

    def _read_again(self, tree: Tree, files: Sequence[str], outcome: Outcome, *, elsewhere: bool) -> None:
        """`elsewhere`: look for what is missing in the whole space, as is done where a ledger turns out to be another
        one: its lines may lie in another file now, with another label."""
        restarts = outcome.restarted.total()
        self.ingest(tree, Scope(thorough=True), outcome, files)
        if elsewhere or outcome.restarted.total() > restarts:
            self._read_all_that_is_there(tree, outcome)

    def _read_all_that_is_there(self, tree: Tree, outcome: Outcome) -> None:
        """Also where so much is gone that nothing may be concluded from it: what is there may say private."""
        try:
            self.ingest(tree, Scope(), outcome)
        except Halted:
            with contextlib.suppress(SpaceMissing):
                found = [one.file for one in scan.walk(tree.root, descend=tree.rules.descends)]
                self.ingest(tree, Scope(), outcome, found)

    def deliver(
        self, names: Sequence[str] = (), *, patient: bool = True, outcome: Outcome | None = None
    ) -> dict[str, Delivered]:
        """To every backend (or these). `patient`: also to one that failed a moment ago; without it none is opened to
        which nothing is due. `outcome`: counts what turns out while it is at work. Where another state has continued
        this machine's log, this one goes on under an identity of its own."""
        wanted = names or tuple(self.config.backends)
        try:
            self._judge_before_sending()
        except Halted as error:
            return {name: self._not_sent(name, error) for name in wanted} if patient else {}
        try:
            return self._deliver(wanted, patient, outcome)
        except ForkedLog:
            fork.part(self, self._names_taken())
            self.pull()
        try:
            return self._deliver(wanted, patient, outcome)
        except ForkedLog as error:
            return {error.backend: self._note_failure(error.backend, error)}

    def is_due(self, name: str) -> bool:
        return self.checkpoints.due(name, self.journal.last_seq)

    def tend(self, name: str) -> bool:
        """A little of the work at a backend that can wait; True: there is more. Raises BackendError."""
        if not isinstance(self._opened(name), Tended):
            return False
        with self.backend(name) as backend:
            return isinstance(backend, Tended) and backend.tend()

    def _deliver(self, names: Sequence[str], patient: bool, outcome: Outcome | None) -> dict[str, Delivered]:
        return {name: self._deliver_to(name, outcome) for name in names if patient or self.is_due(name)}

    def _deliver_to(self, name: str, outcome: Outcome | None) -> Delivered:
        try:
            with self.backend(name) as backend:
                return self.delivery(backend, outcome).run(partial(self.progress, name))
        except ForkedLog:
            raise
        except Halted as error:
            return self._not_sent(name, error)
        except BackendError as error:  # it could not be opened
            return self._note_failure(name, error)

    def _judge_before_sending(self) -> None:
        """By the rules as they are now: what waits was judged by those that were. Raises Halted."""
        self._refuse_broken_rules()
        for tree in self.trees.values():
            if not is_judged(self.state, tree.name, self.judging.version):
                self.ingest(tree, Scope(), Outcome(self.journal.last_seq + 1))

    def _not_sent(self, name: str, error: Halted) -> Delivered:
        at = self.checkpoints.of(name).through
        return Delivered(at, at, 0, 0, str(error), error.hint, error.exit_code)

    def _note_failure(self, name: str, error: BackendError) -> Delivered:
        self.checkpoints.failed(name, error)
        at = self.checkpoints.of(name).through
        return Delivered(at, at, 0, 0, str(error), error.hint, error.exit_code)

    def _names_taken(self) -> set[str]:
        """Of every machine that any backend in reach knows."""
        taken: set[str] = set(self.machine_names().values())
        for name in self.config.backends:
            with contextlib.suppress(BackendError), self.backend(name) as backend:
                if isinstance(backend, Readable):
                    taken |= {log.name for log in backend.survey().logs}
        return taken

    def become(self, me: Identity) -> None:
        """Go on under another identity."""
        self._close_backends()
        self.me = me
        self.journal = Journal(self.state, me.id)
        self.withdrawal = Withdrawal(self.state, self.catalog, self.journal, me.id)

    # -- pulling

    def pull(self, names: Sequence[str] = (), *, dry_run: bool = False) -> dict[str, Pulled | BackendError]:
        """From every backend (or these). `dry_run`: inside a rehearsal of the state; no file is written."""
        results: dict[str, Pulled | BackendError] = {}
        for name in names or tuple(self.config.backends):
            try:
                with self.backend(name) as backend:
                    if isinstance(backend, Readable):
                        results[name] = self._pull_from(name, backend, dry_run)
            except BackendError as error:
                results[name] = error
        return results

    def _pull_from(self, name: str, backend: Readable, dry_run: bool) -> Pulled:
        pull = Pull(
            self.state, self.catalog, self.journal, self.withdrawal, self.fingerprint, self.trees, self.me, name,
            dry_run=dry_run,
        )  # fmt: skip
        return pull.run(backend)

    # -- by name

    def ids_of(self, target: str) -> dict[str, list[int]]:
        """The stored records behind a key, or in a file given as `space/path`, by space."""
        found: dict[str, list[int]] = {}
        for space in self.trees:
            ids = [self.fingerprint.key(space, target)]
            file = target.removeprefix(f"{space}/")
            known = self.catalog.file(space, file) if file != target else None
            if known is not None:
                ids += self.catalog.lying_in(known.id)
            stored = [id_ for id_, seen in self.catalog.seen(ids).items() if seen.seq > 0 or seen.seq == FOREIGN]
            if stored:
                found[space] = stored
        return found

    def forget(self, space: str, ids: Sequence[int], *, dry_run: bool) -> int:
        """Withdraw records everywhere; what was pulled goes from the file it was written to, too."""
        count = self.withdrawal.forget(space, ids)
        self.reconcile(dry_run=dry_run).run()
        self.withdrawal.keep_away(ids)
        return count

    @property
    def received(self) -> Received:
        """What other machines' logs have told."""
        return Received(self.state, self.journal)

    def machine_names(self) -> dict[str, str]:
        """Of all machines that were met, by id."""
        return dict(self.state.rows("select machine, name from peer")) | {self.me.id: self.me.name}

    def reconcile(self, *, dry_run: bool = False) -> Reconcile:
        """Brings files in line with what is known of other machines' versions."""
        names = self.machine_names()
        return Reconcile(
            self.state, self.catalog, self.received, self.trees, lambda machine: names.get(machine, machine),
            dry_run=dry_run,
        )  # fmt: skip

    def remember_run(self, kind: str, started: float, report: SyncReport) -> None:
        with self.state.transaction():
            self.state.execute(
                "insert into run(kind, started_at, finished_at, report) values(?, ?, ?, ?)",
                (kind, started, self.state.clock(), json.dumps({"files": {"read_bytes": report.files["read_bytes"]}})),
            )
            self.state.execute("delete from run where number <= (select max(number) from run) - ?", (RUNS_KEPT,))


@contextlib.contextmanager
def opened(config: Config, purpose: str, *, progress: Progress = no_progress) -> Iterator[Agent]:
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
        return Agent(config, state, me, progress=progress)
    me, logs = _new_or_found_again(config)
    identity.keep(state, me, wanted=config.machine)
    agent = Agent(config, state, me, progress=progress)
    if logs:
        _rebuild(agent, logs)
    return agent


def _new_or_found_again(config: Config) -> tuple[Identity, dict[str, MachineLog]]:
    """A new identity; or, where this installation wrote a log before, that one and where the log lies."""
    visitor = identity.new(config.state, config.machine, ())
    mine: dict[str, MachineLog] = {}
    taken: set[str] = set()
    keys = Keys(config.state)
    for name, settings in config.backends.items():
        made = open_backend(name, settings, visitor, keys)
        with contextlib.suppress(BackendError), contextlib.closing(made) as backend:
            if isinstance(backend, Readable):
                logs = backend.survey().logs
                taken |= {log.name for log in logs}
                own = [log for log in logs if log.installation == visitor.installation]
                mine |= {name: max(own, key=lambda log: log.head.last_seq)} if own else {}
    found = identity.lost(config.state, mine.values())
    return (found, mine) if found else (identity.new(config.state, config.machine, taken), {})


def _rebuild(agent: Agent, logs: Mapping[str, MachineLog]) -> None:
    """The state was lost: take the longest log back in, and believe every backend about what it has."""
    longest = max(logs, key=lambda name: logs[name].head.last_seq)
    with agent.backend(longest) as backend:
        assert isinstance(backend, Readable)
        rebuild(agent.state, agent.journal, agent.fingerprint, backend.read(agent.me.id))
    with agent.state.transaction():
        for name, log in logs.items():
            agent.state.execute(
                "insert into checkpoint(backend, through, attempted, head) values(?, ?, ?, ?)",
                (name, log.head.last_seq, log.head.last_seq, json.dumps(log.head)),
            )
        agent.state.set_meta("seq", max(log.head.last_seq for log in logs.values()))
        agent.state.count("states rebuilt")
    for name in logs:
        with agent.backend(name) as backend:
            assert isinstance(backend, Readable)
            Pull(
                agent.state, agent.catalog, agent.journal, agent.withdrawal, agent.fingerprint, agent.trees, agent.me,
                name, recognise=True,
            ).run(backend)  # fmt: skip
    with agent.state.transaction():
        for tree in agent.trees.values():
            adopt_shards(agent.catalog, agent.received, tree, set(agent.machine_names().values()) - {agent.me.name})


def tree_of(space: Space) -> Tree:
    """A space whose folder is there."""
    root = space.path.resolve()
    format_ = registry.by_name(space.format) if space.format else registry.recognise(_names(root))
    return Tree(space.name, root, format_, read_rules(root, space.exclude, space.include, opt_in=space.opt_in))


def _names(root: Path) -> list[str]:
    return sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in root.iterdir())


def _wanted(scope: Scope, space: str) -> Callable[[str, Kind], bool]:
    """Which files a batch run is about: by content type, space, format, or `space/path` pattern."""
    rules = PathRules(exclude=scope.exclude) if scope.exclude else None
    types = SCOPES.get(scope.contents)

    def wanted(file: str, kind: Kind) -> bool:
        if types is not None and kind.content_type not in types:
            return False
        if scope.only and not {space, kind.format, f"{space}/{file}"} & set(scope.only):
            return False
        return rules is None or rules.verdict(file) is None

    return wanted


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Records hold no cycles, and looking for some in thousands of them costs a tenth of reading them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def require_backends(config: Config, names: Sequence[str]) -> None:
    for name in names:
        if name not in config.backends:
            known = ", ".join(config.backends) or "none is configured"
            raise ConfigError(f"there is no backend {name}", hint=f"known: {known}")
