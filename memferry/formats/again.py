"""Reading one record anew: as it was stored, or with another body."""

from __future__ import annotations

import msgspec

from memferry.formats.base import Kind, Whole
from memferry.model import Record, Source


def parse_alone(kind: Kind, source: Source, body: bytes) -> Record | None:
    """The record of a body; None where it is not exactly one. Alone, an entry may seem to have another key."""
    if isinstance(kind.reader, Whole):
        snapshot = kind.reader.parse(source, kind.reader.render([body], None))
        found = snapshot.records if snapshot else ()
    else:
        found = kind.reader.parse(source, body + b"\n", 0)
    return found[0] if len(found) == 1 else None


def with_body(kind: Kind, record: Record, body: bytes) -> Record | None:
    """`record` with another body, in its place; None where that would give it another name. Who has no id of its own is
    named after the content."""
    if record.key == record.source.file and isinstance(kind.reader, Whole):
        snapshot = kind.reader.parse(record.source, body)
        made = snapshot.records[0] if snapshot and len(snapshot.records) == 1 else None
        before: Record | None = record
    else:
        made = parse_alone(kind, record.source, body)
        before = parse_alone(kind, record.source, record.body)
    if made is None or before is None:
        return None
    if record.key == record.digest.hex():
        key = made.digest.hex()
    elif made.key == before.key:
        key = record.key
    else:
        return None
    return msgspec.structs.replace(made, key=key, start=record.start, around=record.around)
