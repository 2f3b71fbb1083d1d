"""Digesting a topic: entries about the same become one, and what nobody recalled for 30 days goes.

What an agent decided or was taught stays as it is, whatever is not fully understood does, too. Everything about a
consolidated entry but its volatile fields follows from the entries it was made from: two machines that digest the same
ones make the same entry, and if one knew more than the other, both results stand side by side until the next digest.
Pure, but for `carry_out`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from memferry.formats.base import Snapshot
from memferry.keys import Fingerprinter
from memferry.memory import access, arrays, grouping, importance, locks, records, undo
from memferry.memory.access import Counts
from memferry.memory.arrays import Entry
from memferry.memory.grouping import Related
from memferry.memory.topics import access_of, entry_of
from memferry.model import Record
from memferry.policies import secrets
from memferry.policies.base import Held, NothingHeld
from memferry.policies.chain import judge
from memferry.policies.desk import Desk
from memferry.values import iso

MERGED = frozenset({"fact", "reflection"})
FIELDS = frozenset(
    {
        "id", "agent", "type", "content", "importance", "confidence", "sensitivity", "tags", "source", "access_count",
        "last_accessed", "created_at", "updated_at", "supersedes", "sources",
    }
)  # fmt: skip


class Merge(NamedTuple):
    """`entry` stands for all of `parts`, the oldest first."""

    entry: Entry
    parts: tuple[Record, ...]


class Digest(NamedTuple):
    """What a digest does: `merges`, `faded` (entries that go), `kept`: how many stay as they are."""

    merges: tuple[Merge, ...]
    faded: tuple[Record, ...]
    kept: int

    @property
    def gone(self) -> list[Record]:
        """Every entry that is no longer in the file."""
        return [*(part for one in self.merges for part in one.parts), *self.faded]


def carry_out(path: Path, now: float, most: int, *, dry_run: bool, related: Related = grouping.by_words) -> Digest:
    """Digest one topic, and remember what goes so that it can come back. Raises MemferryError."""
    counts = access.totals(path.parent)
    seen = path.read_bytes()
    made = plan(records.snapshot(seen, path), counts, now, most, related)  # it may take a while: nobody waits for it
    if dry_run:
        return made

    def digested(content: bytes, _: object) -> bytes:
        nonlocal made
        snapshot = records.snapshot(content, path)
        if content != seen:
            made = plan(snapshot, counts, now, most, related)
        return _rewritten(snapshot, made, journal, now) if made.gone else content

    with locks.alone(path):
        journal = undo.next_file(path)
        arrays.edit(path, digested)
    access.publish(path.parent)
    return made


def _rewritten(snapshot: Snapshot, digest: Digest, journal: Path, now: float) -> bytes:
    """The file after it. What goes is on disk in another place before it does."""
    gone = {record.start for record in digest.gone}
    bodies = [record.body for record in snapshot.records if record.start not in gone]
    added = [arrays.body(one.entry) for one in digest.merges]
    undo.remember(journal, undo.Change(iso(now), [one.body for one in digest.gone], added))
    return records.rendered([*bodies, *added], snapshot)


def plan(snapshot: Snapshot, counts: Counts, now: float, most: int, related: Related) -> Digest:
    """What to do with these entries."""
    once = Counter(record.fields.get("id") for record in snapshot.records if type(record.fields) is dict)
    known = [record for record in snapshot.records if _is_understood(record) and once[record.key] == 1]
    alone = _held_without_a_label(snapshot.records)
    merges = tuple(_merges((one for one in known if one.start not in alone), counts, now, most, related))
    merged = {record.start for one in merges for record in one.parts}
    faded = tuple(record for record in known if record.start not in merged and _fades(record, counts, now))
    return Digest(merges, faded, len(snapshot.records) - len(merged) - len(faded))


def _held_without_a_label(found: Sequence[Record]) -> set[int]:
    """Where entries stand that a sync holds although they are open: merged, they would keep others at home. As far as
    the topic tells; by our own rules for secrets, as `learn` looks."""
    desk = Desk(search=partial(secrets.search, engine=False))
    verdicts = judge(found, NothingHeld(), Fingerprinter(bytes(32)), desk=desk)
    held = (one.record for one in verdicts if isinstance(one, Held))
    return {one.start for one in held if not records.is_private(one)}


def _is_understood(record: Record) -> bool:
    """Whether nothing of an entry would be lost by digesting it: it has no other than the known fields."""
    fields = record.fields
    return (
        record.problem is None
        and type(fields) is dict
        and fields.keys() <= FIELDS
        and fields.get("id") == record.key
        and fields.get("type") in MERGED
        and type(fields.get("content")) is str
        and all(_are_texts(fields.get(name, [])) for name in ("tags", "supersedes", "sources"))
        and all(type(fields.get(name, "")) is str for name in ("agent", "source"))
    )


def _are_texts(value: object) -> bool:
    return type(value) is list and all(type(one) is str for one in value)


def _fades(record: Record, counts: Counts, now: float) -> bool:
    entry = entry_of(record)
    at = importance.fades_at(entry, access_of(entry, counts))
    return at is not None and at <= now


# -- merging


def _merges(known: Iterable[Record], counts: Counts, now: float, most: int, related: Related) -> Iterable[Merge]:
    """Only what is alike in type and in who may see it is ever merged."""
    alike: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(known, key=_age):
        alike.setdefault((entry_of(record)["type"], _label(record)), []).append(record)
    for (_, label), some in sorted(alike.items()):
        texts = [" ".join([entry_of(one)["content"], *entry_of(one).get("tags", [])]) for one in some]
        for group in grouping.groups(texts, most, related):
            parts = tuple(some[number] for number in group)
            yield Merge(_consolidated([entry_of(one) for one in parts], label, counts, now), parts)


def _label(record: Record) -> str:
    """What an entry that stands for it says of who may see it, "" for nothing: with another label than its own, a rule
    of the user's may hold what left before."""
    return "private" if records.is_private(record) else entry_of(record).get("sensitivity", "")


def _age(record: Record) -> tuple[str, str]:
    return str(entry_of(record).get("created_at")), record.key


def _consolidated(parts: Sequence[Entry], label: str, counts: Counts, now: float) -> Entry:
    times = sorted(str(one[name]) for one in parts for name in ("created_at", "updated_at") if one.get(name))
    content = _together([one["content"] for one in parts])
    supersedes = _distinct(name for one in parts for name in (*one.get("supersedes", []), one["id"]))
    mark = hashlib.sha256(json.dumps(sorted(supersedes)).encode()).hexdigest()  # not of words, which may be cut out
    return {
        "id": f"dig-{mark[:24]}",
        "agent": _common(parts, "agent", "memferry"),
        "type": parts[0]["type"],
        "content": content,
        "importance": max(_number(one, "importance") for one in parts),
        "confidence": min(_number(one, "confidence") for one in parts),
        **({"sensitivity": label} if label else {}),
        "tags": sorted({tag for one in parts for tag in one.get("tags", [])}),
        "source": _common(parts, "source", "digest"),
        "access_count": sum(access_of(one, counts).times for one in parts),
        "last_accessed": iso(now),
        "created_at": times[0] if times else None,
        "updated_at": times[-1] if times else None,
        "supersedes": supersedes,
        "sources": _distinct(
            text for one in parts for text in (*one.get("sources", []), one.get("source", "")) if text
        ),
    }


def _together(contents: Sequence[str]) -> str:
    """Every text once, word for word. One whose lines all stand in another is said with that."""
    texts = list(dict.fromkeys(contents))
    lines = {text: set(text.split("\n")) for text in texts}
    return "\n".join(text for text in texts if not any(lines[text] < lines[other] for other in texts))


def _common(parts: Sequence[Entry], name: str, otherwise: str) -> str:
    values = {str(one.get(name, "")) for one in parts}
    return values.pop() if len(values) == 1 else otherwise


def _number(entry: Mapping[str, Any], name: str) -> float:
    value = entry.get(name)
    return value if isinstance(value, int | float) else importance.USUAL


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
