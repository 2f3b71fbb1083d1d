"""What nobody catches, in a thread or while something is thrown away: told by its kind and its place. Python would show
its text and the lines of its traceback, and with them names of files or content."""

from __future__ import annotations

import sys
import threading

from memferry.errors import place


def keep_quiet() -> None:
    """From now on, in this process; where somebody else listens, they go on."""
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _of_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _of_nobody


def _of_thread(fault: threading.ExceptHookArgs) -> None:
    thread = fault.thread.name if fault.thread else "?"
    if fault.exc_value is not None and not isinstance(fault.exc_value, SystemExit):
        _tell(fault.exc_value, f"in thread {thread}")


def _of_nobody(fault: sys.UnraisableHookArgs) -> None:
    if fault.exc_value is not None:
        _tell(fault.exc_value, "while winding up")


def _tell(error: BaseException, when: str) -> None:
    sys.stderr.write(f"memferry: fault: {type(error).__name__} at {place(error)} {when}\n")
    sys.stderr.flush()
