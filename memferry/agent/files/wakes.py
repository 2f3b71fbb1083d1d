"""From many small hints to one wake-up: what may have changed, collected until it is quiet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

MOST_PATHS = 1000


class Wake(NamedTuple):
    """A hint to scan. `paths`: files or folders that may have changed, come or gone; None: scan everything."""

    paths: frozenset[Path] | None
    reason: str


class Debounce:
    """Pure: due when nothing was noted for `quiet_s`, at the latest `longest_s` after the first. Times in seconds."""

    def __init__(self, quiet_s: float = 0.1, longest_s: float = 1.0) -> None:
        self.quiet_s = quiet_s
        self.longest_s = longest_s
        self._first: float | None = None
        self._last = 0.0

    def note(self, now: float) -> None:
        if self._first is None:
            self._first = now
        self._last = now

    def wait_s(self, now: float) -> float | None:
        """How long until it is due, 0 when it is; None when nothing was noted."""
        if self._first is None:
            return None
        return max(0.0, min(self._last + self.quiet_s, self._first + self.longest_s) - now)

    def due(self, now: float) -> bool:
        return self.wait_s(now) == 0

    def reset(self) -> None:
        self._first = None


class Inbox:
    """Where watchers leave wakes and one loop takes them, merged. Safe between threads and in signal handlers.

    Bounded: beyond `most_paths` paths it only knows that everything is to be scanned.
    """

    def __init__(
        self,
        debounce: Debounce,
        *,
        most_paths: int = MOST_PATHS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._debounce = debounce
        self._most_paths = most_paths
        self._clock = clock
        self._changed = threading.Condition()  # over an RLock: a signal may come while its own thread is inside
        self._pending: Wake | None = None
        self._interrupted = False

    def put(self, wake: Wake) -> None:
        with self._changed:
            self._pending = merged(self._pending, wake, self._most_paths)
            self._debounce.note(self._clock())
            self._changed.notify_all()

    def interrupt(self) -> None:
        """Make the `take` that is waiting, else the next one, return None at once."""
        with self._changed:
            self._interrupted = True
            self._changed.notify_all()

    def take(self, timeout_s: float) -> Wake | None:
        """What came, once it is quiet; None after `timeout_s` or an interrupt (what came meanwhile is kept)."""
        end = self._clock() + timeout_s
        with self._changed:
            while True:
                now = self._clock()
                if self._interrupted:
                    self._interrupted = False
                    return None
                if self._debounce.due(now):
                    wake, self._pending = self._pending, None
                    self._debounce.reset()
                    return wake
                if now >= end:
                    return None
                quiet_in_s = self._debounce.wait_s(now)
                self._changed.wait(end - now if quiet_in_s is None else min(quiet_in_s, end - now))


def merged(earlier: Wake | None, later: Wake, most_paths: int) -> Wake:
    """One wake for both. The reason is that of the first that asks for everything, else the first."""
    if earlier is None:
        return later
    if earlier.paths is None:
        return earlier
    if later.paths is None:
        return later
    if later.paths <= earlier.paths:
        return earlier
    paths = earlier.paths | later.paths
    return Wake(paths, earlier.reason) if len(paths) <= most_paths else Wake(None, "many changes")
