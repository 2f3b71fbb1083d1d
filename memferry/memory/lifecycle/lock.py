"""One writer at a time in a tree. The lock's file keeps Lamport's clock of the tree, so that it costs no file more."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from memferry.errors import MemoryRefused
from memferry.filelock import FLAGS, names, try_lock

PATIENCE_S = 60.0
_SHORTEST_PAUSE_S = 0.002


class TreeLock:
    """A context manager: inside, this process alone writes in the tree. Others wait, at most PATIENCE_S.

    `path`: of the lock's file, whose folder is there. Not for use from several threads. The kernel gives the lock back
    when its holder dies; a holder that hangs is an error (MemoryRefused) to those who wait.
    """

    def __init__(self, path: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._path = path
        self._sleep = sleep
        self._descriptor = -1

    def __enter__(self) -> Self:
        deadline = time.monotonic() + PATIENCE_S
        while not self._take():
            if time.monotonic() > deadline:
                raise MemoryRefused(
                    f"another command has held {self._path} for {PATIENCE_S:.0f} s", hint="end it, then try again"
                )
            self._sleep(_SHORTEST_PAUSE_S * (1 + os.urandom(1)[0] % 8))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        self._descriptor = -1

    def _take(self) -> bool:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | FLAGS, 0o600)
        if try_lock(descriptor, shared=False) and names(self._path, descriptor):
            self._descriptor = descriptor
            return True
        os.close(descriptor)
        return False

    @property
    def clock(self) -> int | None:
        """The latest `lc` that was written here; None where nobody noted it."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        noted = os.read(self._descriptor, 32).strip()
        return int(noted) if noted.isdigit() else None

    def note_clock(self, lc: int) -> None:
        """It may be lost with a power cut: `lc` then repeats a few numbers, which orders events no worse than a tie."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, f"{lc:<20}\n".encode())
