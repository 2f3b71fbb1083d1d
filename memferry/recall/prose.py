"""What a person would read of a record: who, when, under which title, and the words. Pure.

What is indexed matters more than by what: without the speaker and the date a model finds 30 % of what it finds 53 % of
with them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from memferry.model import Put
from memferry.values import number

TITLES = ("title", "subject", "topic", "name")
SPEAKERS = ("speaker", "author", "sender", "from", "agent", "actor", "role")
TIMES = ("ts", "ts_wall", "timestamp", "date", "created_at", "updated_at", "last_accessed")
SCOPES = ("scope",)
SENSITIVITIES = ("sensitivity", "visibility")
USES = ("last_accessed", "updated_at")
WORDS = frozenset(
    {"text", "content", "summary", "message", "body", "description", "note", "value", "answer", "question"}
)
"""Under these names even one word is what somebody said; elsewhere it is an id or a kind."""
_NOT_WORDS = frozenset({"hash", "idempotency_key", "schema_version", "digest", "id", "event_id", "uuid"})
_IN_HEAD = frozenset({*TITLES, *SPEAKERS, *TIMES, "tags"})

_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ]|$)")
_OF_A_DATE = 11
"""Characters that tell whether a text begins with one."""
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_LONGEST_HEAD = 120
_USUAL = 64
"""Names of a record; what has more is not kept in memory."""


class Prose(msgspec.Struct, frozen=True, gc=False):
    """`head`: title, speaker and date, as far as known. `importance`: its own, with what its uses add; `used`: when it
    was used last, else written (`FORMATS` of entries). `spoken`: it says who speaks, so what stands before it in its
    file is what was said before; of a list of facts the one before is about something else."""

    head: str
    body: str
    scope: str | None = None
    sensitivity: str | None = None
    importance: float | None = None
    used: str | None = None
    spoken: bool = False


def prose(put: Put) -> Prose:
    """A document's text, or the words among a JSON record's values."""
    if put.format == "document":
        return _of_document(put)
    try:
        fields = msgspec.json.decode(put.body)
    except msgspec.DecodeError:
        return Prose(day(put.ts), put.body)
    return _of_fields(put, fields) if isinstance(fields, dict) else Prose(day(put.ts), _joined(fields) or put.body)


def text_of(put: Put) -> str:
    """The words alone; a document as it stands in its file."""
    return put.body if put.format == "document" else prose(put).body


def day(ts: str | None) -> str:
    """A date as people write and ask for it, `8 May 2023`; other times as they are."""
    return (_written(ts[:_OF_A_DATE]) or ts) if ts else ""


@lru_cache(1024)
def _written(date: str) -> str:
    """Empty where it is none. Of times only so much is looked at: most of a file are of few days."""
    found = _DATE.match(date)
    if found is None or not 1 <= int(found[2]) <= len(_MONTHS):
        return ""
    return f"{int(found[3])} {_MONTHS[int(found[2]) - 1]} {found[1]}"


def _of_document(put: Put) -> Prose:
    from memferry.formats.front_matter import take_apart

    fields, text, _ = take_apart(put.body)
    heading = _HEADING.search(text)
    title = first(fields, TITLES) or (heading[1] if heading else put.file.rpartition("/")[2].rpartition(".")[0])
    said = first(fields, ("description",))
    body = f"{said}\n{text.strip()}" if said else text.strip()
    return Prose(_head(title, None, put.ts), body, first(fields, SCOPES), first(fields, SENSITIVITIES))


class _Shape(NamedTuple):
    """Which of a record's names are titles, speakers, ... there, in order of preference; most records of a file are
    alike. `told`: names of what may be words; `in_head`: those of them that are so only with names of their own."""

    titles: Sequence[str]
    speakers: Sequence[str]
    scopes: Sequence[str]
    sensitivities: Sequence[str]
    uses: Sequence[str]
    told: Sequence[str]
    in_head: Collection[str]


@lru_cache(256)
def _shape(names: tuple[str, ...]) -> _Shape:
    told = tuple(name for name in names if name not in _NOT_WORDS)
    known = (tuple(name for name in one if name in names) for one in (TITLES, SPEAKERS, SCOPES, SENSITIVITIES, USES))
    return _Shape._make((*known, told, _IN_HEAD.intersection(told)))


def _of_fields(put: Put, fields: Mapping[str, object]) -> Prose:
    shape = (_shape if len(fields) <= _USUAL else _shape.__wrapped__)(tuple(fields))
    titles, speakers, scopes, sensitivities, uses, told, in_head = shape
    speaker = first(fields, speakers) or _first_inside(fields.get("message"), SPEAKERS)
    return Prose(
        _head(first(fields, titles) if titles else None, speaker, put.ts),
        _told(fields, told, in_head) or put.body,
        first(fields, scopes) if scopes else None,
        first(fields, sensitivities) if sensitivities else None,
        _importance(fields),
        (first(fields, uses) if uses else None) or put.ts,
        bool(speaker),
    )


def _told(fields: Mapping[str, object], names: Sequence[str], in_head: Collection[str]) -> str:
    found: list[str] = []
    for name in names:
        inner = fields[name]
        if name not in in_head or isinstance(inner, dict):
            _collect(inner, name, found)
    return "\n".join(found)


def _head(title: str | None, speaker: str | None, ts: str | None) -> str:
    when = day(ts)
    who = f"{speaker} ({when})" if speaker and when else speaker or when
    if not title:
        return who
    return f"{title[:_LONGEST_HEAD]} · {who}" if who else title[:_LONGEST_HEAD]


def first(fields: Mapping[Any, object], names: Sequence[str]) -> str | None:
    """The text under the first of these names that has one."""
    for name in names:
        if name in fields:  # most are not: a third of the time of `get`
            value = fields[name]
            if isinstance(value, str) and value:
                return value
    return None


def _first_inside(value: object, names: Sequence[str]) -> str | None:
    return first(value, names) if isinstance(value, dict) else None


def _importance(fields: Mapping[str, object]) -> float | None:
    own = number(fields["importance"]) if "importance" in fields else None
    return None if own is None else own + 0.02 * (number(fields.get("access_count")) or 0.0)


def _joined(value: object) -> str:
    found: list[str] = []
    _collect(value, "", found)
    return "\n".join(found)


def _collect(value: object, name: str, found: list[str]) -> None:
    if isinstance(value, str):
        if " " in value or name in WORDS or not value.isascii():
            found.append(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in _NOT_WORDS and (key not in _IN_HEAD or isinstance(inner, dict)):
                _collect(inner, key, found)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, name, found)
