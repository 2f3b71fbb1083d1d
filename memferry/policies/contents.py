"""What a record says, taken from its fields in one walk: its objects, the ids it gives as names, its texts.

Which keys name records (`event_refs`, `supersedes`, `source_event_id`, `parentUuid`, ...) is decided once for each
sequence of keys, since records of one kind share it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from memferry.model import Record

SHORTEST = 8
"""Characters; what is shorter is neither an id worth finding in a text nor a sentence."""

NAMING = frozenset(
    {
        "id", "ids", "uuid", "uuids", "guid", "guids", "ref", "refs", "reference", "references",
        "evidence", "supersedes", "source", "sources", "parent", "parents",
    }
)  # fmt: skip
"""The last words of keys whose values name records."""

SILENT = frozenset({"schema_version", "type", "ts", "ts_wall", "timestamp", "date", "hash", "idempotency_key"})
"""Keys whose values look like ids and are none; those that end in `_at` too."""

DIASYNC = "diasync-v1-"
NOT_RECORDS = frozenset({"run_id", "instance_id"})
"""What DiaSync calls the ids of runs and instances; elsewhere these may well be records."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SHAPES_REMEMBERED = 4096
_LARGEST_SHAPE = 4096


class Contents(msgspec.Struct, frozen=True, gc=False):
    """`objects`: at any depth, the outermost first. `names`: values that name records. `texts`: all other strings that
    are long enough to matter, but for those of silent keys; a document's text first."""

    objects: list[Mapping[object, object]]
    names: list[str]
    texts: list[str]

    def with_those_of(self, other: Contents) -> Contents:
        return Contents(self.objects + other.objects, self.names + other.names, self.texts + other.texts)


NOTHING = Contents([], [], [])


def contents_of(record: Record) -> Contents:
    """Its fields at any depth, and its text."""
    objects: list[Mapping[object, object]] = []
    names: list[str] = []
    texts = [] if record.text is None else [record.text]
    pending: list[object] = [record.fields]
    while pending:
        value = pending.pop()
        if type(value) is dict:
            objects.append(value)
            naming, speaking = _shape_of(value)
            for key in naming:
                _collect(value[key], names, pending)
            children: Iterable[object] = map(value.__getitem__, speaking)
        elif type(value) is list:
            children = value
        else:
            children = (value,)
        for child in children:
            if type(child) is str:
                if len(child) >= SHORTEST:
                    texts.append(child)
            elif type(child) is dict or type(child) is list:
                pending.append(child)
    return Contents(objects, names, texts)


def _collect(value: object, names: list[str], pending: list[object]) -> None:
    if type(value) is str:
        names.append(value)
    elif type(value) is list:
        names += [child for child in value if type(child) is str]
        pending += [child for child in value if type(child) is dict or type(child) is list]
    elif type(value) is dict:
        pending.append(value)


class _Shape(NamedTuple):
    naming: tuple[str, ...]
    speaking: tuple[object, ...]


_shapes: dict[tuple[object, ...], _Shape] = {}


def _shape_of(fields: Mapping[object, object]) -> _Shape:
    """The schema decides with the keys: DiaSync's has ids that are no records'."""
    keys = (fields.get("schema_version"), *fields) if "schema_version" in fields else tuple(fields)
    try:
        return _shapes[keys]
    except KeyError:
        return _remember(keys, fields)
    except TypeError:
        return _new_shape(fields)


def _remember(keys: tuple[object, ...], fields: Mapping[object, object]) -> _Shape:
    shape = _new_shape(fields)
    if len(_shapes) >= _SHAPES_REMEMBERED:
        _shapes.clear()
    if sum(len(key) if isinstance(key, str) else 1 for key in keys) <= _LARGEST_SHAPE:
        _shapes[keys] = shape
    return shape


def _new_shape(fields: Mapping[object, object]) -> _Shape:
    schema = fields.get("schema_version")
    silent = SILENT | NOT_RECORDS if isinstance(schema, str) and schema.startswith(DIASYNC) else SILENT
    telling = [key for key in fields if not isinstance(key, str) or not (key in silent or key.endswith("_at"))]
    naming = tuple(key for key in telling if isinstance(key, str) and _last_word(key) in NAMING)
    return _Shape(naming, tuple(key for key in telling if key not in naming))


def _last_word(key: str) -> str:
    words = _WORDS.findall(key)
    return words[-1].lower() if words else ""
