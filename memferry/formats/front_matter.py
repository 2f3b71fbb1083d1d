"""The block of YAML (or TOML) before a Markdown text.

Only plain YAML: no anchors, aliases or tags, which can loop or build objects, and no key twice. A block that cannot be
read in exactly one way may hide a label, so it is an error, never a block to skip.
"""

from __future__ import annotations

import re
import tomllib
from typing import NamedTuple

MAX_CHARS = 64 * 1024

_BEFORE = r"[\s\ufeff\u200b-\u200f\u2060]*"
_END_OF_LINE = r"[ \t]*(?:\r\n?|\n)"
_BLOCK = rf"{_END_OF_LINE}(?:(?P<block>.*?)(?:\r\n?|\n))??"
_YAML = re.compile(rf"{_BEFORE}---{_BLOCK}(?:---|\.\.\.)(?:{_END_OF_LINE}|[ \t]*\Z)", re.DOTALL)
_TOML = re.compile(rf"{_BEFORE}\+\+\+{_BLOCK}\+\+\+(?:{_END_OF_LINE}|[ \t]*\Z)", re.DOTALL)
_OPENS = re.compile(rf"{_BEFORE}(?:---|\+\+\+)(?:\s|\Z)")


class Parts(NamedTuple):
    """A document taken apart. `problem`: why its front matter cannot be read; then `text` is all of it."""

    fields: dict[object, object]
    text: str
    problem: str | None = None


def take_apart(text: str) -> Parts:
    """Front matter and the text behind it; blank lines and invisible characters may stand before it."""
    for opening, read in ((_YAML, _yaml), (_TOML, _toml)):
        found = opening.match(text)
        if found is not None:
            block = found["block"] or ""
            problem, fields = read(block) if len(block) <= MAX_CHARS else ("front matter is too long", {})
            return Parts(fields, text if problem else text[found.end() :], problem)
    return Parts({}, text, "front matter has no end" if _OPENS.match(text) else None)


def _yaml(block: str) -> tuple[str | None, dict[object, object]]:
    from memferry.formats import plain_yaml  # with a parser, a megabyte: who carries ledgers alone needs none

    try:
        fields = plain_yaml.load(block)
    except plain_yaml.NotPlain as exc:
        return str(exc), {}
    except plain_yaml.ERRORS:
        return "front matter is not YAML", {}
    return _mapping(fields)


def _toml(block: str) -> tuple[str | None, dict[object, object]]:
    try:
        return _mapping(tomllib.loads(block))
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return "front matter is not TOML", {}


def _mapping(fields: object) -> tuple[str | None, dict[object, object]]:
    if fields is None:
        return None, {}
    if not isinstance(fields, dict):
        return "front matter is not a mapping", {}
    return None, fields
