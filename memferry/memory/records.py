"""A topic's file as a sync reads it: each entry with its own bytes, and with what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memferry.formats.base import Snapshot
from memferry.formats.entries import Entries
from memferry.memory import arrays
from memferry.model import Source

_READER = Entries()


def snapshot(content: bytes, path: Path) -> Snapshot:
    """Strictly read. Raises MemferryError where it is no array of entries, or could be read in two ways."""
    arrays.parse(content, path)
    found = _READER.parse(Source("", path.name, "entries"), content or arrays.EMPTY)
    if found is None:
        raise arrays.foreign(path, "cannot be read without doubt")
    return found


def rendered(bodies: Sequence[bytes], like: Snapshot | None = None) -> bytes:
    """A file of these entries, laid out like that one."""
    return _READER.render(bodies, like.frame if like else None)
