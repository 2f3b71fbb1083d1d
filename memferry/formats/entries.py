"""Entries: a JSON array, or an object with one under `entries`, that is rewritten in place.

A body is an entry's own bytes, and what stands around and between them is the frame, so that the file can be written
again byte for byte. The digest leaves out what merely reading an entry changes. Different entries under one id are all
kept: the later ones are `id#2`, `id#3`; true copies share their key. A `.json` file of another shape is one record
under its path.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from memferry.formats.array_scanner import Element, Found, scan
from memferry.formats.base import Kind, Snapshot, Whole
from memferry.formats.ledger import kind_of, tags_of, time_of
from memferry.formats.strict_json import Unreadable, decode_text
from memferry.model import Around, Record, Source

VOLATILE = frozenset({"access_count", "last_accessed"})
LAYOUT = ("[\n  ", ",\n  ", "\n]\n")
NO_FRAME = ("", "", "")


class Entries(Whole):
    """Reads arrays of entries. What is missing from the file was removed by its owner."""

    removes = True

    def parse(self, source: Source, content: bytes) -> Snapshot | None:
        """None as well where the whole file can be read in two ways: its last good version stays."""
        try:
            text = decode_text(content)
            found = scan(text)
        except Unreadable:
            return None
        if found.elements is None:
            return Snapshot((_single(source, content, found),), NO_FRAME)
        frame = _frame(text, found)
        body = (frame[0] + frame[2]).encode()
        around = Around(body, found.members) if found.members else None
        records = [_entry(source, text, number, one, around) for number, one in enumerate(found.elements)]
        framing = Record(source, source.file, hashlib.sha256(body).digest(), body, 0, found.members)
        return Snapshot(_told_apart(records), frame, framing)

    def render(self, bodies: Sequence[bytes], frame: tuple[str, str, str] | None) -> bytes:
        """Laid out as `frame` says; without one, an entry a line."""
        before, between, after = (part.encode() for part in frame or LAYOUT)
        return before + between.join(bodies) + after


def _entry(source: Source, text: str, number: int, one: Element, around: Around | None) -> Record:
    body = text[one.start : one.end].encode()
    if type(one.value) is not dict:
        digest = _digest(one.value)
        return Record(source, digest.hex(), digest, body, number, one.value, problem=one.problem, around=around)
    fields = one.value
    digest = _digest({name: value for name, value in fields.items() if name not in VOLATILE})
    own = fields.get("id")
    key = own if type(own) is str and own else digest.hex()
    return Record(
        source, key, digest, body, number, fields, None, kind_of(fields), tags_of(fields), time_of(fields),
        one.problem, around,
    )  # fmt: skip


def _digest(value: object) -> bytes:
    canonical = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).digest()


def _single(source: Source, content: bytes, found: Found) -> Record:
    digest, fields = hashlib.sha256(content).digest(), found.value
    kind, tags, time = (kind_of(fields), tags_of(fields), time_of(fields)) if type(fields) is dict else (None, (), None)
    return Record(source, source.file, digest, content, 0, fields, None, kind, tags, time, found.problem)


def _frame(text: str, found: Found) -> tuple[str, str, str]:
    """What stands before, between and after the entries. Of several ways to separate them, the most common."""
    elements = found.elements
    if not elements:
        return text[: found.inside], ",", text[found.inside :]
    before, after = text[: elements[0].start], text[elements[-1].end :]
    gaps = Counter(text[one.end : next_.start] for one, next_ in pairwise(elements))
    between = gaps.most_common(1)[0][0] if gaps else "," + before[found.inside :]
    return before, between, after


def _told_apart(records: Sequence[Record]) -> Sequence[Record]:
    """Each under a key of its own, but for true copies."""
    taken = {record.key for record in records}
    if len(taken) == len(records):
        return records
    given: dict[tuple[str, bytes], str] = {}
    numbers: Counter[str] = Counter()
    apart = []
    for record in records:
        version = (record.key, record.digest)
        if version not in given:
            given[version] = _next_key(record.key, numbers, taken)
        apart.append(msgspec.structs.replace(record, key=given[version]))
    return apart


def _next_key(key: str, numbers: Counter[str], taken: set[str]) -> str:
    while True:
        numbers[key] += 1
        if numbers[key] == 1:
            return key
        numbered = f"{key}#{numbers[key]}"
        if numbered not in taken:
            return numbered


class EntriesFormat:
    """Reads every `.json` file."""

    name = "entries"

    def recognises(self, names: Sequence[str]) -> bool:
        return False

    def kind(self, file: str) -> Kind | None:
        return _KIND if file.lower().endswith(".json") else None


_KIND = Kind(EntriesFormat.name, Entries())

FORMAT = EntriesFormat()
