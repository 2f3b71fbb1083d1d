"""The agent in the foreground: woken by changes, by the clock and by other commands, until it is told to stop."""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from memferry.agent import commands, doorbell, indexing
from memferry.agent.outcome import Outcome
from memferry.agent.scope import Scope
from memferry.agent.service import Agent, opened
from memferry.agent.tree import Tree
from memferry.agent.wakes import Debounce, Inbox, Wake
from memferry.agent.watch import Watcher
from memferry.config import Config
from memferry.errors import BackendError, Halted, MemferryError, StateError
from memferry.recall.index import Index

log = logging.getLogger(__name__)

CHECK_S = 1.0
POLLING_S = 5.0

Beat = Callable[[Mapping[str, object]], None]


def run(config: Config, *, beat: Beat = lambda status: None, ready: Callable[[], None] = lambda: None) -> None:
    """Until SIGTERM or SIGINT. `beat`: called with a short status after every cycle; `ready`: once, when watching."""
    with opened(config, doorbell.SERVICE) as agent:
        _Loop(agent, beat).run(ready)


class _Loop:
    def __init__(self, agent: Agent, beat: Beat) -> None:
        settings = agent.config.agent
        self._agent = agent
        self._beat = beat
        self._inbox = Inbox(Debounce(quiet_s=settings.debounce_ms / 1000))
        self._bells = agent.config.state / doorbell.FOLDER
        self._bells.mkdir(mode=0o700, exist_ok=True)
        doorbell.clear(agent.config.state)
        roots = [space.path.resolve() for space in agent.config.spaces]
        self._watcher = Watcher([*roots, self._bells], self._inbox.put)
        self._index = Index(agent.config.state / indexing.INDEX)
        self._stopping = False
        now = time.monotonic()
        self._due = {"scan": now + settings.scan_interval_s, "full": now + settings.full_scan_interval_s, "pull": now}
        self._warned: str | None = None
        self._overflows = 0
        self._last: dict[str, object] = {}

    def run(self, ready: Callable[[], None]) -> None:
        restore = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._watcher.start()
            log.info("started: %d spaces, watching by %s", len(self._agent.trees), self._watcher.mode)
            self._cycle(None, thorough=True)
            ready()
            while not self._stopping:
                wake = self._inbox.take(self._patience())
                self._watcher.check()
                self._note_watcher()
                self._answer()
                if wake is not None:
                    self._cycle(wake)
                elif not self._stopping:
                    indexing.catch_up(self._agent, self._index, indexing.A_LITTLE)
                self._on_time()
        finally:
            self._watcher.stop()
            self._index.close()
            for number, handler in restore.items():
                signal.signal(number, handler)
            log.info("stopped")

    def _stop(self, *_: object) -> None:
        self._stopping = True
        self._inbox.interrupt()

    def _patience(self) -> float:
        """Until the next thing that the clock asks for; a dead watcher must be noticed too."""
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
        if now >= self._due["pull"]:
            self._due["pull"] = now + settings.pull_interval_s
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
        if paths is None:
            self._agent.look_at_spaces()
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
        delivered = self._agent.deliver(patient=False)
        for name, one in delivered.items():
            if one.error:
                log.warning("backend %s: %s", name, one.error)
        if outcome.new or outcome.modified or outcome.withdrawn:
            log.info("stored new=%d modified=%d held=%d withdrawn=%d", outcome.new, outcome.modified,
                     outcome.held.total(), outcome.withdrawn)  # fmt: skip
        self._tell(outcome)

    def _look_again(self, files: Collection[str]) -> None:
        """Somebody is writing these: wake up once they may have finished."""
        roots = {tree.name: tree.root for tree in self._agent.trees.values()}
        for file in files:
            space, _, path = file.partition("/")
            self._inbox.put(Wake(frozenset([roots[space] / path]), "unsettled"))

    def _pull(self) -> None:
        for name, pulled in commands.take_in(self._agent).items():
            if isinstance(pulled, BackendError):
                log.warning("pull from %s: %s", name, pulled)
            elif pulled.taken or pulled.withdrawn:
                log.info("pulled from %s: taken=%d withdrawn=%d", name, pulled.taken, pulled.withdrawn)

    # -- what others ask for

    def _answer(self) -> None:
        for command, arguments, answer in doorbell.asked(self._agent.config.state):
            self._agent.look_at_spaces()
            try:
                answer({"result": commands.perform(self._agent, command, arguments)})
            except StateError:
                raise
            except MemferryError as error:
                answer({"error": str(error), "hint": error.hint, "exit_code": error.exit_code})

    def _tell(self, outcome: Outcome) -> None:
        waiting = {
            name: row[0]
            for name in self._agent.config.backends
            if (row := self._agent.state.one(
                "select total(count) from journal where last > coalesce("
                "(select through from checkpoint where backend = ?), 0)", name))
        }  # fmt: skip
        now: dict[str, Any] = {"watching": self._watcher.mode, "waiting": waiting, "new": outcome.new}
        if now != self._last:
            self._last = now
            with self._agent.state.transaction():
                self._agent.state.set_meta("service", json.dumps({"watching": self._watcher.mode}))
        self._beat(now | {"held": outcome.held.total()})


def _hinted(wake: Wake | None) -> Collection[Path] | None:
    """Where to look; None: everywhere, also when a marker changed, which decides about the files below it."""
    if wake is None or wake.paths is None or any(path.name.startswith(".memferry") for path in wake.paths):
        return None
    return wake.paths


def _inside(tree: Tree, paths: Collection[Path]) -> list[str] | None:
    """The paths that lie in this space; None: one of them is a folder, so look at everything."""
    mine = [path.relative_to(tree.root) for path in paths if path.is_relative_to(tree.root)]
    if any((tree.root / path).is_dir() for path in mine):
        return None
    return [path.as_posix() for path in mine]
