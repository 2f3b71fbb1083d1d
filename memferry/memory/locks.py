"""Locks that the kernel keeps, and gives back at once when their holder dies: one file each, beside what it guards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from memferry import filelock
from memferry.errors import TransientError

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 60.0

FOLDER = ".memferry"
"""In a space: hidden, so it is never carried. Holds locks and what belongs to this machine alone."""


def beside(root: Path, name: str) -> Path:
    """Where a file of this machine's own lies in a space; the folder is made when it is missing."""
    folder = root / FOLDER
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return folder / name
    (folder / ".gitignore").write_text("*\n", "ascii")  # what is this machine's own is no part of a repository
    return folder / name


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Inside, no other memferry rewrites this array of entries. Where its folder is missing, nobody does.

    Who waits here holds the gate meanwhile: writers that come again and again leave their turn to it."""
    if not file.parent.is_dir():
        yield
        return
    with ExitStack() as turn:
        with held(gate_of(file)):
            turn.enter_context(held(lock_of(file)))
        yield


def lock_of(file: Path) -> Path:
    """The lock of an array of entries."""
    return beside(file.parent, f"{file.name}.lock")


def gate_of(file: Path) -> Path:
    """Held by who waits for the lock and does not want to be overtaken."""
    return beside(file.parent, f"{file.name}.gate")


def is_free(path: Path) -> bool:
    """Whether nobody holds a lock at this moment."""
    with tried(path) as lock:
        return lock.is_mine


class Lock(NamedTuple):
    """An open lock file. `is_mine`: whether it is held; where it is not, its note may be read all the same."""

    descriptor: int
    is_mine: bool


@contextmanager
def tried(path: str | Path) -> Iterator[Lock]:
    """One try at a lock, which is given back at the end of the block."""
    descriptor = filelock.opened(path)
    try:
        yield Lock(descriptor, filelock.is_taken(path, descriptor))
    finally:
        os.close(descriptor)


@contextmanager
def held(path: str | Path) -> Iterator[int]:
    """Inside, nobody else holds `path`; gives its open descriptor. Raises TransientError after PATIENCE_S."""
    descriptor = filelock.awaited(path, PATIENCE_S)
    if descriptor is None:
        raise _hanging(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def waiting(path: str | Path) -> Iterator[None]:
    """One turn for each try, with growing pauses between. Raises TransientError after PATIENCE_S."""
    yield from filelock.turns(PATIENCE_S)
    raise _hanging(path)


def _hanging(path: str | Path) -> TransientError:
    return TransientError(f"{path} was held by another process for {PATIENCE_S:g} s", hint="check whether it hangs")


def content(descriptor: int) -> bytes:
    """All of a lock's file, which may carry a note for its next holder."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    parts = []
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def replace(descriptor: int, note: bytes) -> None:
    """Make `note` all of a lock's file. Not durable: a note only saves its reader some work."""
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    write(descriptor, note)


def write(descriptor: int, part: bytes) -> None:
    """All of `part`, where the descriptor stands."""
    while part:
        part = part[os.write(descriptor, part) :]
