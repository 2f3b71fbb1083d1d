"""Watching spaces for changes. Events only wake the scan up, so a lost one costs time and never data."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from memferry.agent.files.wakes import Wake

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

RETRY_S = 300.0
CALM_S = 10.0
LIMITS = {errno.ENOSPC: ("max_user_watches", 524288), errno.EMFILE: ("max_user_instances", 512)}

log = logging.getLogger(__name__)


class Watcher:
    """Calls `wake` when something below `roots` may have changed.

    `wake` is called from watchdog's threads, and from those that call `start` and `check`: it must be quick and may
    not raise. Everything else belongs to one thread, which calls `start` once, `check` about every second, `stop`.

    `mode` "polling": no events come, scan every few seconds; `problem` and `hint` say why and what to do, and a
    warning was logged. It is tried again every `retry_s`. `unwatched`: roots that are not there; they are watched
    when they come. `overflows`: how often the system lost events.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        wake: Callable[[Wake], None],
        *,
        retry_s: float = RETRY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.mode: Literal["events", "polling"] = "polling"
        self.problem: str | None = None
        self.hint = ""
        self.overflows = 0
        self._roots = tuple(roots)
        self._wake = wake
        self._retry_s = retry_s
        self._clock = clock
        self._observer: BaseObserver | None = None
        self._identities: dict[Path, tuple[int, int] | None] = {}
        self._refusal: OSError | None = None
        self._begun_at = -CALM_S
        self._retry_at = 0.0

    @property
    def unwatched(self) -> tuple[Path, ...]:
        return tuple(root for root in self._roots if self._identities.get(root) is None)

    def start(self) -> None:
        """Watch; then wake for a first scan of everything, which finds what came before the watch was there."""
        self._begin("start")

    def check(self) -> None:
        """See that events can still come, and do about it what can be done."""
        if self._observer is None:
            if self._clock() >= self._retry_at:
                self._begin("watching again")
        elif self._refusal is not None:
            self._poll(self._refusal)
        elif self._identities != self._look():  # its thread may have died of that: no sign that others will
            self._end()
            self._begin("a space came, went or was replaced")
        elif not self._is_alive():
            self._revive()

    def stop(self) -> None:
        """No wake comes after this."""
        self._end()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _begin(self, reason: str) -> None:
        """Watch what is there, or poll; scan either way."""
        self._identities = self._look()
        self._refusal = None
        self._begun_at = self._clock()
        folders = {os.path.realpath(root): root for root, identity in self._identities.items() if identity}
        try:
            from memferry.agent.files import observe

            self._observer = observe.observe(
                folders, tell=self._tell, on_overflow=self._overflowed, on_refusal=self._refused
            )
        except (OSError, RuntimeError, SystemError, ImportError) as error:
            self._refusal = self._refusal or (error if isinstance(error, OSError) else OSError(str(error)))
        if self._refusal is not None:
            self._poll(self._refusal)
            return
        self.mode, self.problem, self.hint = "events", None, ""
        self._wake(Wake(None, reason))

    def _revive(self) -> None:
        """A thread died. Once is an accident; again, so soon, is no ground to burn the processor on."""
        if self._clock() - self._begun_at < CALM_S:
            self._poll(OSError("it stopped twice in a row"))
            return
        self._end()
        self._begin("watcher restarted")

    def _poll(self, error: OSError) -> None:
        self._end()
        self._retry_at = self._clock() + self._retry_s
        problem, self.hint = _explained(error)
        if problem != self.problem:
            log.warning("%s; %s", problem, self.hint)
        self.mode, self.problem = "polling", problem
        self._wake(Wake(None, "watching failed"))

    def _end(self) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            from memferry.agent.files import observe

            observe.stop(observer)

    def _is_alive(self) -> bool:
        from memferry.agent.files import observe

        return self._observer is not None and observe.is_alive(self._observer)

    def _look(self) -> dict[Path, tuple[int, int] | None]:
        """Which folder each root is: one that was moved away and made anew must be watched anew."""
        return {root: _identity(root) for root in self._roots}

    # -- from watchdog's threads

    def _tell(self, paths: frozenset[Path]) -> None:
        self._wake(Wake(paths, "event"))

    def _overflowed(self) -> None:
        self.overflows += 1
        self._wake(Wake(None, "overflow"))

    def _refused(self, error: OSError) -> None:
        self._refusal = error
        self._wake(Wake(None, "watch limit"))


def _identity(root: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(root)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _explained(error: OSError) -> tuple[str, str]:
    """What is wrong, and what to do about it."""
    if error.errno in LIMITS:
        setting, value = LIMITS[error.errno]
        return (
            f"this system's limit fs.inotify.{setting} is reached: changes are found by scanning",
            f"raise it with `sudo sysctl fs.inotify.{setting}={value}`",
        )
    reason = error.strerror or error
    return f"files cannot be watched ({reason}): changes are found by scanning", "run `memferry doctor`"
