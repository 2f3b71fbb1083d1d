"""The agent in the foreground: woken by changes, by the clock and by other commands, until it is told to stop."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from memferry.agent import doorbell
from memferry.agent.commands import carry, verbs
from memferry.agent.files.tree import Tree
from memferry.agent.files.wakes import Debounce, Inbox, Wake
from memferry.agent.files.watch import Watcher
from memferry.agent.outcome import Outcome
from memferry.agent.scope import Scope
from memferry.agent.service import Agent, opened
from memferry.agent.state.queued import WAITING
from memferry.config import Config
from memferry.errors import BackendError, Halted, StateError, TransientError, Unforeseen, told
from memferry.heap import give_back
from memferry.policies.own import TELLING

log = logging.getLogger(__name__)

CHECK_S = 1.0
POLLING_S = 5.0

if sys.platform == "win32":
    # Ctrl-Break; the C runtime also makes it of a window that is closed and of a logoff, which then wait for nobody.
    _STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)
else:
    _STOPS = (signal.SIGINT, signal.SIGTERM)


class Audience(NamedTuple):
    """Who is told how it goes. `ready`: once, when the first scan is through and it watches. `beat`: after every cycle,
    with a short status. `alive`: whenever work has gone a step on, every second while there is none. `stopping`: once,
    when it begins to end."""

    ready: Callable[[], None] = lambda: None
    beat: Callable[[Mapping[str, object]], None] = lambda status: None
    alive: Callable[[], None] = lambda: None
    stopping: Callable[[], None] = lambda: None


NOBODY = Audience()


def run(config: Config, audience: Audience = NOBODY) -> None:
    """Until SIGTERM, SIGINT or Ctrl-Break."""
    stop = _Stop()
    with stop.heeded(), opened(config, doorbell.SERVICE) as agent:
        _Loop(agent, audience, stop).run()


class _Stopped(Exception):
    """It was told to stop amid long work. What is half done is undone, and done again at the next start."""


class _Stop:
    """Whether it was told to stop. `wake`: called when it is."""

    def __init__(self) -> None:
        self.asked = False
        self.wake: Callable[[], None] = lambda: None

    @contextmanager
    def heeded(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._ask) for number in _STOPS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, *_: object) -> None:
        self.asked = True
        self.wake()


class _Loop:
    def __init__(self, agent: Agent, audience: Audience, stop: _Stop) -> None:
        settings = agent.config.agent
        self._agent = agent
        self._audience = audience
        self._stop = stop
        agent.progress = self._step
        self._inbox = Inbox(Debounce(quiet_s=settings.debounce_ms / 1000))
        self._bells = agent.config.state / doorbell.FOLDER
        self._bells.mkdir(mode=0o700, exist_ok=True)
        doorbell.clear(agent.config.state)
        roots = [space.path.resolve() for space in agent.config.spaces]
        self._watcher = Watcher([*roots, self._bells], self._inbox.put)
        stop.wake = self._inbox.interrupt
        now = time.monotonic()
        self._due = {"scan": now + settings.scan_interval_s, "full": now + settings.full_scan_interval_s}
        self._pull_at = dict.fromkeys(agent.config.backends, now)
        self._warned: str | None = None
        self._overflows = 0
        self._busy = True  # with starting, and later with what can wait: then the next turn comes at once
        self._last: dict[str, object] = {}

    def run(self) -> None:
        try:
            self._watcher.start()
            log.info("started: %d spaces, watching by %s", len(self._agent.trees), self._watcher.mode)
            self._cycle(None, thorough=True)
            self._audience.ready()
            while not self._stop.asked:
                self._turn()
        except _Stopped:
            log.info("stopped amid its work")
        finally:
            self._audience.stopping()
            self._watcher.stop()
            log.info("stopped")

    def _turn(self) -> None:
        wake = self._inbox.take(self._patience())
        self._audience.alive()
        self._watcher.check()
        self._note_watcher()
        self._answer()
        if wake is not None and not self._is_own(wake):
            self._cycle(wake)
        elif not self._stop.asked:
            self._rest_or_go_on()
        self._on_time()

    def _rest_or_go_on(self) -> None:
        """With what can wait. Once nothing is left, neither is the memory that the work before it took."""
        was_busy, self._busy = self._busy, any([self._agent.indexing.keep_up(), self._tend()])
        if was_busy and not self._busy:
            give_back()

    def _is_own(self, wake: Wake) -> bool:
        """Whether memferry itself wrote all that it is about, in a space that its state or a vault lies in."""
        trees = self._agent.trees.values()
        return wake.paths is not None and all(any(_is_own(tree, path) for tree in trees) for path in wake.paths)

    def _step(self, what: str, done: int, total: int) -> None:
        """Between two files, and between two batches of a delivery: a good moment to end."""
        self._audience.alive()
        if self._stop.asked:
            raise _Stopped

    def _patience(self) -> float:
        """Until the next thing that the clock asks for; a dead watcher must be noticed too."""
        if self._busy:
            return 0.0
        now = time.monotonic()
        return max(0.0, min(CHECK_S, *(due - now for due in self._due.values())))

    # -- what wakes it

    def _on_time(self) -> None:
        settings = self._agent.config.agent
        now = time.monotonic()
        if now >= self._due["full"]:
            self._due["full"] = now + settings.full_scan_interval_s
            self._due["scan"] = now + settings.scan_interval_s
            self._cycle(None, thorough=True)
        elif now >= self._due["scan"]:
            self._due["scan"] = now + (POLLING_S if self._watcher.mode == "polling" else settings.scan_interval_s)
            self._cycle(None)
        if any(map(self._agent.dispatch.is_due, self._agent.config.backends)):
            self._deliver()
            self._tell()
        self._pull()

    def _note_watcher(self) -> None:
        """Bad news about watching is a problem in `status` until it is over."""
        watcher = self._watcher
        if watcher.overflows > self._overflows:
            with self._agent.state.transaction():
                self._agent.state.count("watch overflows", watcher.overflows - self._overflows)
            self._overflows = watcher.overflows
        if watcher.problem == self._warned:
            return
        self._warned = watcher.problem
        with self._agent.state.transaction():
            if watcher.problem:
                self._agent.state.report_problem("watch", "files", watcher.problem, watcher.hint)
            else:
                self._agent.state.clear_problem("watch", "files")

    def _cycle(self, wake: Wake | None, *, thorough: bool = False) -> None:
        outcome, scope = Outcome(self._agent.journal.last_seq + 1), Scope(thorough=thorough)
        paths = _hinted(wake)
        if paths is None or any(path.is_dir() for path in paths):
            self._agent.look_at_spaces()  # a folder that came may be a vault
        if paths is None:
            for space in self._agent.missing:
                log.warning("halted: %s", self._agent.report_missing(space))
        for tree in self._agent.trees.values():
            files = None if paths is None else _inside(tree, paths)
            if files is not None and not files:
                continue
            try:
                self._agent.ingest(tree, scope, outcome, files)
            except Halted as error:
                log.warning("halted: %s", error)
        if outcome.unsettled:
            self._look_again(outcome.unsettled)
        self._deliver(outcome)
        if outcome.new or outcome.modified or outcome.withdrawn:
            log.info("stored new=%d modified=%d held=%d withdrawn=%d", outcome.new, outcome.modified,
                     outcome.held.total(), outcome.withdrawn)  # fmt: skip
        self._tell(outcome.new, outcome.held.total())

    def _look_again(self, files: Collection[str]) -> None:
        """Somebody is writing these: wake up once they may have finished."""
        roots = {tree.name: tree.root for tree in self._agent.trees.values()}
        for file in files:
            space, _, path = file.partition("/")
            self._inbox.put(Wake(frozenset([roots[space] / path]), "unsettled"))

    # -- what it carries

    def _deliver(self, outcome: Outcome | None = None) -> None:
        """To every backend that is due; one that failed is due again when its rest is over."""
        for name, one in self._agent.deliver(patient=False, outcome=outcome).items():
            if one.error:
                log.warning("backend %s: %s", name, one.error)

    def _tend(self) -> bool:
        """What can wait, at every backend that is not known to be away; whether there is more of it."""
        busy = False
        for name in self._agent.config.backends:
            if self._agent.checkpoints.is_away(name):
                continue
            try:
                more = self._agent.tend(name)
            except BackendError as error:
                log.warning("backend %s: %s", name, error)
                self._agent.checkpoints.failed(name, error)
                continue
            busy = busy or more
        return busy

    def _pull(self) -> None:
        """From every backend whose time has come, but for those that are known to be away."""
        now = time.monotonic()
        due = [name for name, at in self._pull_at.items() if now >= at and not self._agent.checkpoints.is_away(name)]
        if not due:
            return
        self._pull_at |= dict.fromkeys(due, now + self._agent.config.agent.pull_interval_s)
        for name, pulled in carry.take_in(self._agent, due).items():
            if isinstance(pulled, BackendError):
                log.warning("pull from %s: %s", name, pulled)
                if isinstance(pulled, TransientError):
                    self._pull_at[name] = 0.0  # as soon as its rest is over
            elif pulled.taken or pulled.withdrawn:
                log.info("pulled from %s: taken=%d withdrawn=%d", name, pulled.taken, pulled.withdrawn)

    # -- what others ask for

    def _answer(self) -> None:
        for request in doorbell.asked(self._agent.config.state):
            try:
                verbs.require_configuration(self._agent, request.command, request.configuration)
                self._agent.look_at_spaces()
                request.answer({"result": verbs.perform(self._agent, request.command, request.arguments)})
            except (StateError, _Stopped):
                raise
            except Exception as error:  # noqa: BLE001  # the edge of a command: the others are to go on
                shown = told(error)
                if isinstance(shown, Unforeseen):
                    log.error("%s: %s", request.command, shown)  # a traceback could show content
                request.answer({"error": str(shown), "hint": shown.hint, "exit_code": shown.exit_code})

    def _tell(self, new: int = 0, held: int = 0) -> None:
        agent = self._agent
        waiting = {
            name: row[0]
            for name in agent.config.backends
            if (row := agent.state.one(WAITING, agent.checkpoints.of(name).through))
        }
        now: dict[str, Any] = {"watching": self._watcher.mode, "waiting": waiting, "new": new}
        if now != self._last:
            self._last = now
            with agent.state.transaction():
                agent.state.set_meta("service", json.dumps({"watching": self._watcher.mode}))
        self._audience.beat(now | {"held": held})


def _hinted(wake: Wake | None) -> Collection[Path] | None:
    """Where to look; None: everywhere, also when a file came that decides about those beside and below it."""
    if wake is None or wake.paths is None or any(map(_decides, wake.paths)):
        return None
    return wake.paths


def _decides(path: Path) -> bool:
    return path.name.startswith(".memferry") or path.name in TELLING


def _is_own(tree: Tree, path: Path) -> bool:
    return path.is_relative_to(tree.root) and tree.rules.is_own(path.relative_to(tree.root).as_posix())


def _inside(tree: Tree, paths: Collection[Path]) -> list[str] | None:
    """The paths that lie in this space; None: one of them is a folder, so look at everything."""
    mine = [path.relative_to(tree.root) for path in paths if path.is_relative_to(tree.root) and not _is_own(tree, path)]
    if any((tree.root / path).is_dir() for path in mine):
        return None
    return [path.as_posix() for path in mine]
