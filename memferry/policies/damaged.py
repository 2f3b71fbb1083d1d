"""What can be made out of a record that could not be parsed: by which ids others may name it, and its texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain, islice

from memferry.model import Record
from memferry.policies.contents import SHORTEST
from memferry.policies.labels import LOOKS_HELD
from memferry.policies.shapes import is_own

LARGEST = 1 << 20
"""Bytes of it that are looked at."""
MOST_NAMES = 10_000

_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)', re.DOTALL)
_PAIR = re.compile(r'"([^"\\]{1,64})"\s*:\s*(?:"((?:[^"\\]|\\.){1,256})(?:"|\Z)|(-?\d{1,256}))', re.DOTALL)
_LINE = re.compile(
    r"^[ \t]{0,8}[\"']?([A-Za-z_][\w-]{0,63})[\"']?[ \t]{0,8}[:=][ \t]{0,8}[\"']?([^\s\"'#,][^\"'#,\r\n]{0,255})",
    re.MULTILINE,
)
_NEXT = re.compile(r"\}\s*,\s*(?=\{)")
_ENTRIES = re.compile(r'"entries"\s*:\s*\[')


def texts(record: Record) -> list[str]:
    """The strings of JSON; of another document its text."""
    text = _text(record)
    if _is_document(record, text):
        return [text]
    return [_unescaped(quoted) for quoted in _QUOTED.findall(text) if len(quoted) >= SHORTEST]


def names(record: Record) -> list[str]:
    """What stands where its own ids would, also of objects in it."""
    text = _text(record)
    lines = _LINE.finditer(text) if _is_document(record, text) else ()
    found = chain(_pairs(text), ((one[1], one[2].strip()) for one in lines))
    return list(islice((value for key, value in found if is_own(key)), MOST_NAMES))


def private_part(raw: bytes) -> bytes:
    """Of a JSON array that is not whole: the entries in which something looks like a label that holds them; all of it
    where that stands before the entries."""
    text = _decoded(raw)
    entries = _ENTRIES.search(text)
    if entries and LOOKS_HELD.search(text, 0, entries.start()):
        return text.encode()
    return "\n".join(part for part in _NEXT.split(text) if LOOKS_HELD.search(part)).encode()


def _text(record: Record) -> str:
    return _decoded(record.body[:LARGEST])


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8", "replace")


def _is_document(record: Record, text: str) -> bool:
    return record.key == record.source.file and not text.lstrip("\ufeff \t\r\n").startswith(("{", "["))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for pair in _PAIR.finditer(text):
        yield pair[1], _unescaped(pair[2]) if pair[2] else pair[3]


def _unescaped(quoted: str) -> str:
    if "\\" not in quoted:
        return quoted
    try:
        return str(json.loads(f'"{quoted}"', strict=False))
    except ValueError:
        return quoted
