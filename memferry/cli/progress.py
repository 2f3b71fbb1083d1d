"""One line at the bottom of a terminal; nothing in a pipe."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self, TextIO

from memferry.cli.output import safe

PATIENCE_S = 1.0
REFRESH_S = 0.2
_WIDEST = 79
_ERASE = "\r\x1b[2K"


class StatusLine:
    """A line that is written again and again in place. Safe between threads. Without a terminal it shows nothing.

    Where nothing can be written (a full disk, a reader that is gone) it is passed over: no work stops for that.
    """

    def __init__(self, stream: TextIO) -> None:
        self.live = stream.isatty() and _takes_sequences(stream)
        self._stream = stream
        self._lock = threading.RLock()
        self._text = ""

    def show(self, text: str) -> None:
        with self._lock:
            self._text = safe(text)[:_WIDEST]
            if self.live:
                self._write(_ERASE + self._text)

    def say(self, text: str) -> None:
        """A line that stays, above the live one."""
        with self._lock:
            shown = self._text if self.live else ""
            self._write(f"{_ERASE if shown else ''}{text}\n{shown}")

    def clear(self) -> None:
        with self._lock:
            if self.live and self._text:
                self._write(_ERASE)
            self._text = ""

    def _write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()


if sys.platform == "win32":
    _SEQUENCES = 4  # ENABLE_VIRTUAL_TERMINAL_PROCESSING

    def _takes_sequences(stream: TextIO) -> bool:
        """A console shows them as they are unless it is told to obey them; old ones cannot."""
        import ctypes
        import msvcrt
        from ctypes import wintypes

        kernel = ctypes.WinDLL("kernel32")
        mode = wintypes.DWORD()
        console = wintypes.HANDLE(msvcrt.get_osfhandle(stream.fileno()))
        if not kernel.GetConsoleMode(console, ctypes.byref(mode)):
            return False
        return bool(kernel.SetConsoleMode(console, mode.value | _SEQUENCES))

else:

    def _takes_sequences(stream: TextIO) -> bool:
        return True


class Progress:
    """Called with (what, done, total) as work goes on; shows that, and how long it takes, once that is over a second.

    A context manager: the line is gone at its end. A thread of its own keeps the time.
    """

    def __init__(self, stream: TextIO, command: str) -> None:
        self._line = StatusLine(stream)
        self._command = command
        self._state = ""
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)

    def __call__(self, what: str, done: int, total: int) -> None:
        self._state = f"{what} {done:,} of {total:,}" if total else what

    def __enter__(self) -> Self:
        if self._line.live:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._ticker.is_alive():
            self._ticker.join()
        self._line.clear()

    def _tick(self) -> None:
        started = time.monotonic()
        wait_s = PATIENCE_S
        while not self._over.wait(wait_s):
            wait_s = REFRESH_S
            elapsed = f"{time.monotonic() - started:.0f} s"
            self._line.show(" · ".join(part for part in (f"memferry {self._command}", self._state, elapsed) if part))
