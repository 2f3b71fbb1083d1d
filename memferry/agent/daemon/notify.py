"""Telling the service manager that started this process how it is: sd_notify(3), which is one datagram for each word.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

OFTEN_S = 1.0
LONGEST_STATUS = 200


class Notifier:
    """Says READY, STATUS, WATCHDOG and STOPPING at `address`; with None, which is no service manager, it says nothing.

    `address`: the path of a datagram socket, or `@` and a name in Linux's abstract namespace. `watchdog_s`: the manager
    ends a process that is silent for so long; None: it does not. A manager that cannot be reached is logged once.
    """

    def __init__(
        self, address: str | None, watchdog_s: float | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._address = address
        self._pause_s = None if watchdog_s is None else min(OFTEN_S, watchdog_s / 4)
        self._clock = clock
        self._beaten_at = float("-inf")
        self._status = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int) -> Notifier:
        """What systemd told this process. A watchdog that is meant for another process is none."""
        watched = environ.get("WATCHDOG_PID") in (None, str(pid))
        usec = environ.get("WATCHDOG_USEC", "")
        return cls(environ.get("NOTIFY_SOCKET") or None, int(usec) / 1e6 if watched and usec.isdecimal() else None)

    def ready(self) -> None:
        self._say("READY=1")

    def status(self, text: str) -> None:
        """One line for people; said when it changed."""
        line = text.replace("\n", " ")[:LONGEST_STATUS]
        if line != self._status:
            self._status = line
            self._say(f"STATUS={line}")

    def alive(self) -> None:
        """Call it whenever work went on; it says so often enough and not more."""
        now = self._clock()
        if self._pause_s is not None and now - self._beaten_at >= self._pause_s:
            self._beaten_at = now
            self._say("WATCHDOG=1")

    def stopping(self) -> None:
        self._say("STOPPING=1")

    def _say(self, word: str) -> None:
        if self._address is None or sys.platform == "win32":
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.setblocking(False)  # a manager that does not listen must not hold up the work
                manager.sendto(word.encode(), address)
        except OSError as error:
            log.warning("the service manager cannot be told: %s", error.strerror or error)
            if not isinstance(error, BlockingIOError):
                self._address = None
