"""Ledgers: files that grow by whole JSON lines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from memferry.formats.json_lines import decode_lines
from memferry.formats.strict_json import Unreadable
from memferry.model import Record, Source

Identify = Callable[[Mapping[str, object]], str | None]
"""The id that a JSON object gives itself; None where it has none."""

TIMES = ("ts", "ts_wall", "timestamp", "created_at")


class JsonLines:
    """Reads JSON lines, split at `\\n` bytes only. `identify` finds a line's own id; without one, its digest is its
    key. The digest is that of the raw line. A blank line is a record too: the file is restored byte for byte.
    """

    def __init__(self, identify: Identify) -> None:
        self._identify = identify

    def parse(self, source: Source, lines: bytes, start: int) -> Sequence[Record]:
        """See `formats.base.Ledger`."""
        bodies = lines.split(b"\n")
        if not bodies[-1]:
            bodies.pop()
        identify, sha256 = self._identify, hashlib.sha256
        records = []
        for body, fields in zip(bodies, decode_lines(lines, bodies), strict=True):
            digest = sha256(body).digest()
            if type(fields) is dict:
                key = identify(fields) or digest.hex()
                records.append(Record(
                    source, key, digest, body, start, fields, None, kind_of(fields), tags_of(fields), time_of(fields)
                ))  # fmt: skip
            elif type(fields) is Unreadable:
                records.append(Record(source, digest.hex(), digest, body, start, problem=fields.reason))
            else:
                records.append(Record(source, digest.hex(), digest, body, start, fields))
            start += len(body) + 1
        return records


def kind_of(fields: Mapping[str, object]) -> str | None:
    """What the record says it is."""
    kind = fields.get("type")
    return kind if type(kind) is str else None


def tags_of(fields: Mapping[str, object]) -> tuple[str, ...]:
    """Its tags, if they are a list of strings."""
    tags = fields.get("tags")
    if type(tags) is list and set(map(type, tags)) <= _STRINGS:
        return tuple(tags)
    return ()


def time_of(fields: Mapping[str, object]) -> str | None:
    """When it was written, in its own words."""
    for name in TIMES:
        time = fields.get(name)
        if type(time) is str:
            return time
    return None


_STRINGS = frozenset({str})
