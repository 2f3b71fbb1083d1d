"""Memory that is not needed any more."""

from __future__ import annotations

import contextlib
import sys

LARGE = 1 << 20
"""Bytes from which on memory is taken from the system each time and given back at once."""
_M_MMAP_THRESHOLD = -3


def keep_little() -> None:
    """Of what a model needs for a moment. glibc raises its own bound to what was freed last, and keeps 60 MB then."""
    _tell_glibc("mallopt", _M_MMAP_THRESHOLD, LARGE)


def give_back() -> None:
    """What work took for a moment, to the system: glibc keeps it otherwise."""
    _tell_glibc("malloc_trim", 0)


def _tell_glibc(function: str, *arguments: int) -> None:
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(AttributeError):  # another libc has no such thing
            getattr(ctypes.CDLL(None), function)(*arguments)
