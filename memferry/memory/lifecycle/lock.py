"""One writer at a time in a tree. The lock's file keeps Lamport's clock of the tree, so that it costs no file more."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from memferry import filelock
from memferry.errors import MemoryRefused

PATIENCE_S = 60.0


class TreeLock:
    """A context manager: inside, this process alone writes in the tree. Others wait, at most PATIENCE_S.

    `path`: of the lock's file, whose folder is there. Not for use from several threads. The kernel gives the lock back
    when its holder dies; a holder that hangs is an error (MemoryRefused) to those who wait.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> Self:
        for _ in filelock.turns(PATIENCE_S):
            descriptor = filelock.taken(self._path)
            if descriptor is not None:
                self._descriptor = descriptor
                return self
        raise MemoryRefused(
            f"another command has held {self._path} for {PATIENCE_S:g} s", hint="end it, then try again"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        self._descriptor = -1

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
