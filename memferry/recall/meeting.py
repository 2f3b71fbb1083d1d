"""Where a process that keeps something in memory for others of this user is found: an address, and a note with it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from _operator import _compare_digest  # as `hmac` has it, which would bring OpenSSL with it, 4 MB
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import memferry
from memferry.durable import write_whole
from memferry.recall.line import Listener

LONGEST_ADDRESS = 100
"""Bytes: Linux takes 107 for a socket's path, macOS 103."""


class Note(NamedTuple):
    """Where it listens. `key`: whoever asks has read this file. `version`: of its memferry."""

    address: str
    key: str
    version: str = memferry.__version__


def noted(path: Path) -> Note | None:
    """None: there is nobody, or one of another memferry."""
    try:
        note = Note(*json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    is_ours = note.version == memferry.__version__ and isinstance(note.address, str) and isinstance(note.key, str)
    return note if is_ours else None


def tell(path: Path, note: Note) -> None:
    """Readable by its owner alone. Raises OSError."""
    write_whole(path, json.dumps(note).encode())


def forget(path: Path, key: str) -> None:
    """Take the note away, unless it is another's by now."""
    note = noted(path)
    if note is not None and note.key == key:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def listening(folder: Path | None, name: str, waiting: int, patience_s: float) -> Iterator[tuple[str, Listener]]:
    """An address and who listens there. Where no socket can be made in `folder` (a share, another system's disk), it
    lies elsewhere. Raises OSError."""
    with contextlib.ExitStack() as kept:
        where = kept.enter_context(address(folder, name))
        try:
            listener = Listener(where, waiting, patience_s)
        except OSError:
            where = kept.enter_context(address(None, name))
            listener = Listener(where, waiting, patience_s)
        kept.enter_context(contextlib.closing(listener))
        yield where, listener


@contextlib.contextmanager
def address(folder: Path | None, name: str) -> Iterator[str]:
    """Where nobody else may connect: in `folder`, or in one of its own where that has too long a name, or there is
    none."""
    end = f"-{random_hex(4)}.sock"
    if sys.platform == "win32":
        yield rf"\\.\pipe\memferry-{random_hex(16)}"
    elif folder is not None and len(os.fsencode(folder / f"{name}{end}")) <= LONGEST_ADDRESS:
        for left in folder.glob(f"{name}-*.sock"):  # by one that was killed
            left.unlink(missing_ok=True)
        yield str(folder / f"{name}{end}")
    else:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="memferry-", ignore_cleanup_errors=True) as own:
            yield os.path.join(own, f"{name}.sock")


def is_key(said: str, key: str) -> bool:
    """Whether somebody knows the key; in the same time, whatever it is that was said."""
    return _compare_digest(said.encode(), key.encode())


def random_hex(count: int) -> str:
    """So many bytes, for nobody to guess."""
    return os.urandom(count).hex()
