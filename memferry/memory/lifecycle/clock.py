"""Lamport's clock of a tree. It stands in the file of the tree's lock, so that it costs no file more."""

from __future__ import annotations

import os

from memferry.memory import locks


def noted(lock: int) -> int | None:
    """The latest `lc` that was written in the tree; None where nobody noted it. `lock`: the descriptor of its lock."""
    content = locks.content(lock).strip()
    return int(content) if content.isdigit() else None


def note(lock: int, lc: int) -> None:
    """It may be lost with a power cut: `lc` then repeats a few numbers, which orders events no worse than a tie.
    Always of one length, so that it needs no room on a full disk."""
    os.lseek(lock, 0, os.SEEK_SET)
    locks.write(lock, f"{lc:<20}\n".encode())
