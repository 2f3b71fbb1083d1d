"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many of them are, and of how many (0: nobody knows)."""


def silent(what: str, done: int, total: int) -> None:
    """For whoever has no terminal."""
