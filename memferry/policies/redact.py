"""Cutting stretches out of a record: what is cut is replaced by a marker, every other byte stays as it is.

A marker says what was there and, of a secret, six hex digits keyed by this machine, so that the same secret is the same
marker everywhere in a space and nobody can try out guesses: `[redacted:password:7f3a9c]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

BLOCK_MARKER = "[redacted:private]"
"""Of a `<private>` block: without digits, so that an edit of what is private changes nothing that leaves."""
MARKER = re.compile(r"\[redacted:[a-z0-9-]{1,64}(?::[0-9a-f]{6})?\]")
OWN = "text"
"""What a marker calls a match of a rule of the user's: the rule's name may tell more than the marker should."""

_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')
_UNIT = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL)
_KEY = re.compile(r"\s*:")
_OPENS = re.compile(r"<private(?:\s[^<>]*)?(?<!/)>|</private\s*>", re.IGNORECASE)


class Stretch(NamedTuple):
    """Characters `start`..`end`, half-open, of one text, and what is called by which name there."""

    start: int
    end: int
    name: str


class Marker:
    """Makes markers. `key`: 32 bytes that never leave."""

    def __init__(self, key: bytes) -> None:
        self._key = blake2b(key, digest_size=32, person=b"markers").digest()
        self.version = blake2b(self._key, digest_size=4, person=b"version").hexdigest()
        """Another one for another key."""

    def __call__(self, space: str, name: str, secret: str) -> str:
        text = f"{space}\0{secret}".encode("utf-8", "surrogatepass")
        plain = re.sub(r"[^a-z0-9-]+", "-", name.lower())[:64] or OWN
        return f"[redacted:{plain}:{blake2b(text, key=self._key, digest_size=3).hexdigest()}]"


def merged(stretches: Sequence[Stretch]) -> list[Stretch]:
    """In order, none touching another; of those that overlap, the longest gives the name."""
    found: list[Stretch] = []
    longest = 0
    for one in sorted(stretches):
        if found and one.start < found[-1].end:
            last = found[-1]
            name = one.name if one.end - one.start > longest else last.name
            longest = max(longest, one.end - one.start)
            found[-1] = Stretch(last.start, max(last.end, one.end), name)
        elif one.end > one.start:
            found.append(one)
            longest = one.end - one.start
    return found


def is_marker(text: str, start: int, end: int) -> bool:
    """Whether a stretch lies in a marker, or covers nothing else: it is what is left of a secret, and none."""
    near = text[max(0, start - 96) : end + 96]
    shift = start - max(0, start - 96)
    size = end - start
    if any(one.start() <= shift and shift + size <= one.end() for one in MARKER.finditer(near)):
        return True
    left = MARKER.sub("", text[start:end])
    return left != text[start:end] and not any(map(str.isalnum, left))


# -- documents


def cut(text: str, space: str, stretches: Sequence[Stretch], marker: Marker) -> str:
    """A text with markers in place of the stretches."""
    parts, at = [], 0
    for one in merged(stretches):
        parts += [text[at : one.start], marker(space, one.name, text[one.start : one.end])]
        at = one.end
    return "".join([*parts, text[at:]])


class Blocks(NamedTuple):
    """A text without its `<private>` blocks, and what stood in them."""

    text: str
    cut: tuple[str, ...]


def without_blocks(text: str) -> Blocks:
    """Blocks may lie inside each other; one without an end goes to the end of the text. What only looks like a mark is
    left, for the labels to hold."""
    parts: list[str] = []
    blocks: list[str] = []
    depth = at = opened = 0
    for mark in _OPENS.finditer(text):
        closes = mark[0].startswith("</")
        if not closes and depth == 0:
            parts.append(text[at : mark.start()])
            opened = mark.end()
        elif closes and depth == 1:
            parts.append(BLOCK_MARKER)
            blocks.append(text[opened : mark.start()])
            at = mark.end()
        depth = max(0, depth + (-1 if closes else 1))
    if depth:
        return Blocks("".join([*parts, BLOCK_MARKER]), (*blocks, text[opened:]))
    return Blocks("".join([*parts, text[at:]]), tuple(blocks))


# -- JSON


class Literal(NamedTuple):
    """A string value in a JSON text: where it stands, quotes included, and what it says."""

    start: int
    end: int
    text: str


def literals(body: str) -> Iterator[Literal]:
    """Every string of a JSON text that is a value, not a name, in order."""
    for found in _LITERAL.finditer(body):
        if not _KEY.match(body, found.end()):
            yield Literal(found.start(), found.end(), json.loads(found[0], strict=False))


def cut_literal(raw: str, space: str, literal: Literal, stretches: Sequence[Stretch], marker: Marker) -> str:
    """The string's JSON, quotes included, with markers in place of the stretches of what it says. Everything else is
    escaped as it was."""
    units = _UNIT.findall(raw[literal.start + 1 : literal.end - 1])
    parts, at = ['"'], 0
    for one in merged(stretches):
        parts += [*units[at : one.start], marker(space, one.name, literal.text[one.start : one.end])]
        at = one.end
    return "".join([*parts, *units[at:], '"'])


def put_together(raw: str, changed: Sequence[tuple[Literal, str]]) -> str:
    """A JSON text with some of its strings replaced, given in order."""
    parts, at = [], 0
    for literal, replaced in changed:
        parts += [raw[at : literal.start], replaced]
        at = literal.end
    return "".join([*parts, raw[at:]])
