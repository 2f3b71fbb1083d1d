"""What whoever writes the index and whoever reads it agree on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from memferry.errors import IndexBroken
from memferry.looking import SQLITE_ERRORS, said

INDEX = "index.db"
HELD = "held.db"
"""In the state directory: what is carried, and what stays at home."""
VECTORS = ".vectors"
"""The end of the names of those files beside them that hold vectors (`vectors`)."""
REST = "model.rest"
"""There, too, while the model's process died at the last try (`embed.rests`)."""
VERSION = 7
"""Of the tables and of what is put into them; one of another version is made again."""
PASSAGE_BITS = 16
"""The id of a passage: that of its entry, then its number in so many bits."""
HELD_FROM = 1 << 40
"""Entries of the part for held records are numbered from here on: an id says which part it is of."""
CONTEXT = 240
"""Characters of the record before, its last. More take longer and find no more."""
REBUILD = "run `memferry recall --rebuild`: it is made again from what was read and pulled"


def context_of(head: str, text: str) -> str:
    """What a record gives to the one behind it."""
    return f"{head}: {text[-CONTEXT:]}" if head else text[-CONTEXT:]


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """SQLite's errors, and the disk's, say what to do."""
    try:
        yield
    except OSError as error:  # Windows removes and replaces nothing that somebody has open
        raise IndexBroken(
            f"{path} cannot be used: {error.strerror}", hint="end other programs that use it, and try again"
        ) from error
    except SQLITE_ERRORS as error:
        text = said(error)
        if "locked" in text:
            raise IndexBroken(f"{path} is in use by another program", hint="wait for it and try again") from error
        if "full" in text:
            raise IndexBroken(
                f"no space left for {path}", hint="free some disk space; the index goes on then"
            ) from error
        raise IndexBroken(f"{path} cannot be used: {text}", hint=REBUILD) from error
