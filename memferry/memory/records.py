"""A topic's file as a sync reads it: each entry with its own bytes, with what is wrong with it, and with who may see
it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memferry.formats.base import Snapshot
from memferry.formats.entries import Entries
from memferry.memory import arrays
from memferry.model import Record, Source
from memferry.policies import labels
from memferry.policies.contents import around_of, contents_of

_READER = Entries()


def snapshot(content: bytes, path: Path) -> Snapshot:
    """Strictly read. Raises MemferryError where it is no array of entries, or could be read in two ways."""
    arrays.parse(content, path)
    found = _READER.parse(Source("", path.name, "entries"), content or arrays.EMPTY)
    if found is None:
        raise arrays.foreign(path, "cannot be read without doubt")
    return found


def entries(path: Path) -> Sequence[Record]:
    """Those of a topic's file. Raises OSError, and MemferryError as above."""
    return snapshot(path.read_bytes(), path).records


def rendered(bodies: Sequence[bytes], like: Snapshot | None = None) -> bytes:
    """A file of these entries, laid out like that one."""
    return _READER.render(bodies, like.frame if like else None)


def is_private(record: Record) -> bool:
    """Whether a sync holds it for its labels or those of its file, or because it can be read in two ways."""
    telling = filter(None, (record, around_of(record)))
    return record.problem is not None or any(labels.judge(one, contents_of(one)) for one in telling)
