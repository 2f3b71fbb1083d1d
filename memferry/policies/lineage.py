"""Which other records a record names: what derives from a private one is private.

It names those under keys that say so (`event_refs`, `supersedes`, `item.id`, ...), and those whose ids its texts hold.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote

from memferry.model import Hold, Record
from memferry.policies.contents import Contents

NAMES_HELD = Hold("lineage", "it refers to a record that is held")
TOO_MANY = Hold("lineage", "it names too many records to keep track of")

MOST_NAMES = 10_000
LONGEST_NAME = 256
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
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:T\d*Z?)?\Z")
_LINK = re.compile(r"\]\(<?([^)>\s#]+)")


def names(record: Record, contents: Contents) -> set[str]:
    """The ids that a record names, without its own; a few more than MOST_NAMES, where there are more."""
    found: set[str] = set()
    for name in contents.names:
        if len(found) > MOST_NAMES + 1:
            return found
        if name != record.key:
            if len(name) <= LONGEST_NAME and not name.endswith(".jsonl"):
                found.add(name)
            found.update(ids_in(name))
    for text in contents.texts:
        if "-" in text or "_" in text:
            found.update(ids_in(text))
    if record.text is not None:
        found.update(_links(record.text, posixpath.dirname(record.source.file)))
    found.discard(record.key)
    return found


def own_names(record: Record) -> tuple[str, ...]:
    """By what others name it, besides its key."""
    name = _own_name(record)
    value = record.fields.get(name) if name is not None and type(record.fields) is dict else None
    return (value,) if type(value) is str and value else ()


def is_note(record: Record) -> bool:
    """Whether it is a note about other records, in sentences that are the same in every such note."""
    return _own_name(record) is not None


def _own_name(record: Record) -> str | None:
    schema = record.fields.get("schema_version") if type(record.fields) is dict else None
    return OWN_NAMES.get(schema) if type(schema) is str else None


def ids_in(text: str) -> Iterator[str]:
    """Words of at least 12 letters and digits, some of each, joined by hyphens or underscores; dates are none."""
    if len(text) >= SHORTEST_ID:
        for word in set(_ID.findall(text)):
            if not word.isalnum() and _LETTER.search(word) and _DIGIT.search(word) and not _DATE.match(word):
                yield word


def _links(text: str, folder: str) -> Iterator[str]:
    """Paths inside the space that a Markdown text links to."""
    if "](" in text:
        for link in _LINK.findall(text):
            if "://" not in link:
                yield posixpath.normpath(posixpath.join(folder, unquote(link)))
