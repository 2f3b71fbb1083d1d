"""What to look at in an object, decided once for each sequence of keys: records of one kind share it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from memferry.policies.letters import is_prose
from memferry.policies.spelling import folded, looks_like

NAMING = frozenset(
    {
        "id", "ids", "uuid", "uuids", "guid", "guids", "ref", "refs", "reference", "references",
        "evidence", "supersedes", "source", "sources", "parent", "parents", "replaces", "related", "link", "links",
        "causes", "follows", "continues", "extends", "amends", "corrects", "contradicts", "obsoletes", "duplicates",
    }
)  # fmt: skip
"""The last words of keys whose values name records."""
NAMING_PAIRS = frozenset(
    {
        "derived from", "copied from", "forked from", "taken from", "continued from", "follows from",
        "based on", "depends on", "builds on",
        "reply to", "response to", "refers to", "related to", "linked to", "links to", "answer to",
        "superseded by", "replaced by", "caused by", "triggered by", "blocked by", "obsoleted by",
        "duplicate of", "version of", "part of", "summary of", "copy of",
        *(
            f"{whose} {what}{ending}"
            for whose in ("parent", "source", "related", "linked", "previous")
            for what in ("event", "note", "record", "entry", "message", "item", "document", "doc", "fact", "memory")
            for ending in ("", "s")
        ),
        *(f"{whose} {what}" for whose in ("source", "related", "linked") for what in ("entries", "memories")),
    }
)  # fmt: skip
"""The last two."""

OWN = frozenset({"id", "uuid", "guid", "event id"})
"""Keys that hold an id of the record itself."""
OWN_AT_A_PINCH = frozenset(
    f"{what} id" for what in ("memory", "note", "record", "entry", "message", "item", "document", "doc", "fact")
)
"""Where there is none of the others; beside one, they name what the record is about."""

SILENT = frozenset({"schema_version", "type", "ts", "ts_wall", "timestamp", "date", "hash", "idempotency_key"})
"""Keys whose values look like ids and are none; those that end in `_at` too. What lies below such a key counts as
everywhere."""

DIASYNC = "diasync-v1-"
NOT_RECORDS = frozenset({"run_id", "instance_id"})
"""What DiaSync calls the ids of runs and instances; elsewhere these may well be records."""

LABELS = ("visibility", "sensitivity", "private", "is_private", "confidential")
"""As they are spelled."""
TAGS = frozenset(map(folded, ("tag", "tags", "label", "labels")))
_FOLDED_LABELS = frozenset(map(folded, LABELS))

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_REMEMBERED = 4096
_LARGEST = 4096
"""Characters of all keys together."""
_LONGEST_KEY = 64


class Shape(NamedTuple):
    """The keys of an object. `naming`: whose values name records; `silent`: whose values look like ids and are none;
    `speaking`: the others. `said`: keys that are sentences themselves. `labels`: that are spelled as labels; `tags`:
    whose values are tags; `misspelled`: one of them only looks like a label. `tells`: any of these three, so the object
    may say who may see it. `own`: whose values are ids of a record that has these keys at its top."""

    naming: tuple[str, ...]
    silent: tuple[object, ...]
    speaking: tuple[object, ...]
    said: tuple[str, ...]
    labels: tuple[str, ...]
    tags: tuple[str, ...]
    misspelled: bool
    tells: bool
    own: tuple[str, ...] = ()


_shapes: dict[tuple[object, ...], Shape] = {}


def shape_of(fields: Mapping[object, object]) -> Shape:
    """The schema decides with the keys: DiaSync's has ids that are no records'."""
    keys = (fields.get("schema_version"), *fields) if "schema_version" in fields else tuple(fields)
    try:
        return _shapes[keys]
    except KeyError:
        return _remember(keys, fields)
    except TypeError:
        return _new_shape(fields)


def _remember(keys: tuple[object, ...], fields: Mapping[object, object]) -> Shape:
    shape = _new_shape(fields)
    if len(_shapes) >= _REMEMBERED:
        _shapes.clear()
    if sum(len(key) if isinstance(key, str) else 1 for key in keys) <= _LARGEST:
        _shapes[keys] = shape
    return shape


def _new_shape(fields: Mapping[object, object]) -> Shape:
    keys = [(key, _key(key)) for key in fields]
    if all(one is _PLAIN for _, one in keys):
        return Shape((), (), tuple(fields), (), (), (), misspelled=False, tells=False)
    schema = fields.get("schema_version")
    no_records = NOT_RECORDS if isinstance(schema, str) and schema.startswith(DIASYNC) else ()
    silent = tuple(key for key, one in keys if one.silent or key in no_records)
    telling = [(key, one) for key, one in keys if key not in silent]
    naming = tuple(str(key) for key, one in telling if one.naming)
    speaking = tuple(key for key, one in telling if not one.naming)
    said = tuple(str(key) for key, one in keys if one.said)
    labels = tuple(str(key) for key, one in keys if one.label)
    tags = tuple(str(key) for key, one in keys if one.tag)
    misspelled = any(one.misspelled for _, one in keys)
    own = tuple(str(key) for key, one in keys if one.words in OWN)
    own = own or tuple(str(key) for key, one in keys if one.words in OWN_AT_A_PINCH)
    return Shape(naming, silent, speaking, said, labels, tags, misspelled, bool(labels or tags or misspelled), own)


# -- single keys


class Key(NamedTuple):
    """What a key says whatever stands beside it; see `Shape`. Shapes are many, their keys few. `words`: of one that
    names records, in small letters."""

    silent: bool = False
    naming: bool = False
    label: bool = False
    tag: bool = False
    misspelled: bool = False
    said: bool = False
    words: str = ""


_PLAIN = Key()


def _key(key: object) -> Key:
    if not isinstance(key, str):
        return _PLAIN
    return _known_key(key) if len(key) <= _LONGEST_KEY else _new_key(key)


def _new_key(key: str) -> Key:
    name = folded(key)
    words = [word.lower() for word in _WORDS.findall(key)]
    naming = bool(words) and (words[-1] in NAMING or " ".join(words[-2:]) in NAMING_PAIRS)
    label = key in LABELS
    found = (
        key in SILENT or key.endswith("_at"),
        naming,
        label,
        name in TAGS,
        not label and _looks_like_a_label(name),
        is_prose(key),
        " ".join(words) if naming else "",
    )
    return Key(*found) if any(found) else _PLAIN


_known_key = lru_cache(_REMEMBERED)(_new_key)


def is_own(key: str) -> bool:
    """Whether it holds an id of the record itself, or may."""
    words = _key(key).words
    return words in OWN or words in OWN_AT_A_PINCH


def _looks_like_a_label(name: str) -> bool:
    """`name`: folded."""
    if name.isascii():
        return name in _FOLDED_LABELS
    return any(looks_like(name, label) for label in _FOLDED_LABELS)
