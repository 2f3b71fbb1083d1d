"""Which other records a record names: what derives from a private one is private.

It names those under keys that say so (`event_refs`, `supersedes`, `item.id`, ...), those whose ids its texts hold, and
documents that its texts link to.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator

from memferry.model import Hold, Record
from memferry.policies import damaged, links
from memferry.policies.contents import Contents
from memferry.policies.shapes import DIASYNC, shape_of

NAMES_HELD = Hold("lineage", "it refers to a record that is held")
TOO_MANY = Hold("lineage", "it names too many records to keep track of")

MOST_NAMES = 10_000
LONGEST_NAME = 256
LONGEST_TWIN = 4096
"""Bytes of a line without an id that is known again with another label."""
SHORTEST_ID = 12

OWN_NAMES = {
    "diasync-v1-conflict-event": "conflict_id",
    "diasync-v1-lease-event": "lease_id",
    "diasync-v1-finding-event": "finding_id",
    "diasync-v1-optimization-plan": "plan_id",
}
"""DiaSync's notes about records: several lines share such an id, so it is no key; their sentences are the tool's."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{10,126}[A-Za-z0-9]")
_LETTER = re.compile(r"[A-Za-z]")
_DIGIT = re.compile(r"[0-9]")
_IDS = frozenset({str, int})
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:T\d*Z?)?\Z")


def names(record: Record, contents: Contents) -> set[str]:
    """The ids that a record names, without its own; a few more than MOST_NAMES, where there are more.

    An own id that is no key, such as a number, is among them: who has the id of a held record may be a version of it.
    """
    found: set[str] = set()
    linking = record.text is not None
    for name in contents.names:
        if len(found) > MOST_NAMES + 1:
            return found
        if name != record.key:
            if len(name) <= LONGEST_NAME and not name.endswith(".jsonl"):
                found.add(name)
            found.update(ids_in(name))
            linking = linking or "]" in name
    for text in contents.texts:
        if "-" in text or "_" in text:
            found.update(ids_in(text))
        if "]" in text or "=" in text:
            linking = True
    if linking:
        paths = contents.names if record.text is not None else []
        texts = [*contents.texts, *contents.names]
        _add(found, links.links(texts, paths, posixpath.dirname(record.source.file)))
    found.discard(record.key)
    if (twin := _twin(record)) is not None:
        found.add(twin)
    return found


def _add(found: set[str], linked: Iterator[str]) -> None:
    for name in linked:
        if len(found) > MOST_NAMES + 1:
            return
        if len(name) <= LONGEST_NAME:
            found.add(name)


def own_names(record: Record) -> tuple[str, ...]:
    """By what others name it, besides its key: any id that it has, as text; of a document what links may say too."""
    fields = record.fields
    found = [str(fields[key]) for key in _own_keys(record) if type(fields[key]) in _IDS] if type(fields) is dict else []
    if record.problem is not None:
        found += damaged.names(record)
    if record.key == record.source.file:
        found += links.names_of(record.key)
    if (twin := _twin(record)) is not None:
        found.append(twin)
    return tuple(dict.fromkeys(name for name in found if name and name != record.key))


def _twin(record: Record) -> str | None:
    """Of a short line without any id, what it says besides who may see it: given a label it is another record, and yet
    the same, and it may hold too few words to be recognised by them."""
    fields = record.fields
    if len(record.body) > LONGEST_TWIN or type(fields) is not dict or record.key != record.digest.hex():
        return None
    shape = shape_of(fields)
    if shape.own:
        return None
    said = {key: value for key, value in fields.items() if key not in shape.labels and key not in shape.tags}
    return f"\0{json.dumps(said, sort_keys=True)}"


def title(record: Record) -> str:
    """What the name of a document says, folder by folder; of other records, whose files are named for many, nothing."""
    if record.key != record.source.file:
        return ""
    return posixpath.splitext(record.key)[0].replace("/", "\n").replace("-", " ").replace("_", " ")


def is_note(record: Record) -> bool:
    """Whether it is a note about other records, in sentences that are the same in every such note."""
    return _own_name(record) is not None


def _own_name(record: Record) -> str | None:
    schema = record.fields.get("schema_version") if type(record.fields) is dict else None
    return OWN_NAMES.get(schema) if type(schema) is str else None


def _own_keys(record: Record) -> tuple[str, ...]:
    """Those of its fields that hold an id of its own. DiaSync says which; elsewhere their names do."""
    fields = record.fields
    assert type(fields) is dict
    schema = fields.get("schema_version")
    if type(schema) is str and schema.startswith(DIASYNC):
        name = _own_name(record)
        return (name,) if name is not None and name in fields else ()
    return shape_of(fields).own


def ids_in(text: str) -> Iterator[str]:
    """Words of at least 12 letters and digits, some of each, joined by hyphens or underscores; dates are none."""
    if len(text) >= SHORTEST_ID:
        for word in set(_ID.findall(text)):
            if not word.isalnum() and _LETTER.search(word) and _DIGIT.search(word) and not _DATE.match(word):
                yield word
