"""An end for what may hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watchdog:
    """Calls `bite` when it was not fed in time: paramiko blocks for as long as the system does when it sends into a
    line that takes no more, and at a byte a second any timeout of a socket is met."""

    def __init__(self, bite: Callable[[], None]) -> None:
        self._bite = bite
        self._due: float | None = None
        self._limit_s = 0.0
        self._portions = self._eaten = 0
        self._change = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self.bitten = False

    @contextmanager
    def within(self, limit_s: float, *, portions: int = 1) -> Iterator[None]:
        """To be fed at least so often in this block; `portions`: that many make a meal."""
        with self._change:
            sooner = self._thread is None or limit_s < self._limit_s
            self._limit_s, self._portions, self._eaten = limit_s, portions, 0
            self._due = time.monotonic() + limit_s
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._watch, name="memferry-ssh-watchdog", daemon=True)
                self._thread.start()
            elif sooner:
                self._change.notify()
        try:
            yield
        finally:
            self._due = None

    def feed(self) -> None:
        """There was progress."""
        self._eaten += 1
        if self._eaten >= self._portions:
            self._eaten = 0
            self._due = time.monotonic() + self._limit_s

    def stop(self) -> None:
        """It is not needed any more."""
        with self._change:
            self._stopped = True
            self._change.notify()

    def _watch(self) -> None:
        with self._change:
            while not self._stopped:
                due = self._due
                left = self._limit_s if due is None else due - time.monotonic()
                if left <= 0:
                    self.bitten = True
                    break
                self._change.wait(left)
        if self.bitten:
            self._bite()
