"""A log file for a service that has no journal: launchd's and the Task Scheduler's."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from pathlib import Path

LIMIT_BYTES = 5 << 20
"""Two of these are kept: `FILE`, and before it `FILE.1`."""


class LogFile(io.TextIOBase):
    """Text that is appended to a file, for its owner alone; a file that is full makes way for a new one."""

    encoding = "utf-8"

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = self._opened()

    def write(self, text: str) -> int:
        data = text.encode("utf-8", "backslashreplace")
        if self._file.tell() and self._file.tell() + len(data) > self._limit_bytes:
            self._file.close()
            with suppress(OSError):  # on Windows while somebody looks at it; then it grows until the next time
                os.replace(self._path, f"{self._path}.1")
            self._file = self._opened()
        self._file.write(data)
        return len(text)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _opened(self) -> io.FileIO:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
        file = io.FileIO(descriptor, "a")
        file.seek(0, os.SEEK_END)
        return file


def write_to(path: str) -> None:
    """For the rest of this process what is said on stderr goes into this file, also how it ends; and the result, where
    nobody listens (Windows without a console)."""
    log = LogFile(Path(path).expanduser().absolute())
    sys.stderr = log
    sys.stdout = sys.stdout or log
