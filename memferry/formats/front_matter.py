"""The block before a Markdown text: YAML, TOML or JSON between fences, or a JSON object without any.

Only plain YAML: no anchors, aliases or tags, which can loop or build objects, and no key twice. A block that cannot be
read in exactly one way may hide a label, so it is an error, never a block to skip.
"""

from __future__ import annotations

import re
import tomllib
from typing import NamedTuple

from memferry.formats import strict_json

MAX_CHARS = 64 * 1024

_BLANK = re.compile(r"[\s\ufeff\u200b-\u200f\u2060]*")
_COMMENT = re.compile(r"<!--.*?-->|\{/\*.*?\*/\}|%%.*?%%|\[//\]:[^\r\n]*", re.DOTALL)
_EOL = r"[ \t]*(?:\r\n?|\n|\Z)"
_BEGINS = r"(?<![^\r\n])"
_OPENS = re.compile(rf"(?P<fence>-{{3,}}|\+{{3,}}|;{{3,}})[ \t]*(?P<kind>[A-Za-z]{{0,16}}){_EOL}")
_OPENS_ODDLY = re.compile(r"(?:---|\+\+\+)\s")
_CLOSES = {
    "---": re.compile(rf"{_BEGINS}(?:---|\.\.\.){_EOL}"),
    "+++": re.compile(rf"{_BEGINS}\+\+\+{_EOL}"),
    "-": re.compile(rf"{_BEGINS}(?:-{{3,}}|\.\.\.){_EOL}"),
    "+": re.compile(rf"{_BEGINS}\+{{3,}}{_EOL}"),
    ";": re.compile(rf"{_BEGINS};{{3,}}{_EOL}"),
}
_LANGUAGES = {"---": "yaml", "+++": "toml", "-": "yaml", "+": "toml", ";": "json"}

_LINES = re.compile(r"(?:[^\r\n]*\S[^\r\n]*(?:\r\n?|\n|\Z))*")
_KEY = re.compile(rf"{_BEGINS}[ \t]*[\"']?\w[\w .-]{{0,63}}[\"']?[ \t]{{0,9}}(?::(?=\s|\Z)|=)")
_OBJECT = re.compile(r"\{\s*(?:[\"'}]|\w[\w .-]{0,63}:)")


class Parts(NamedTuple):
    """A document taken apart. `problem`: why its front matter cannot be read; then `text` is all of it."""

    fields: dict[object, object]
    text: str
    problem: str | None = None


def take_apart(text: str) -> Parts:
    """Front matter and the text behind it; blank lines, invisible characters and comments may stand before it."""
    start = _skip_blank(text, 0)
    at = _skip_comments(text, start)
    opening = _OPENS.match(text, at)
    if opening is not None:
        return _fenced(text, opening, first=at == start)
    if _OBJECT.match(text, at):
        return _bare(text, at)
    return Parts({}, text, "front matter has no end" if _OPENS_ODDLY.match(text, start) else None)


def _skip_blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _skip_comments(text: str, at: int) -> int:
    while found := _COMMENT.match(text, at):
        at = _skip_blank(text, found.end())
    return at


def _fenced(text: str, opening: re.Match[str], *, first: bool) -> Parts:
    """What stands behind a line that opens front matter. Where others would not look for any, behind a comment or a
    fence of another length, it is a mere line unless keys stand behind it."""
    fence, language = opening["fence"], opening["kind"].lower()
    fence = fence if fence in _CLOSES and first else fence[0]
    closing = _CLOSES[fence].search(text, opening.end())
    block = text[opening.end() : closing.start() if closing else None]
    expected = len(fence) > 1 and (not language or language in _READERS)
    if not expected and not _has_keys(block):
        return Parts({}, text)
    if closing is None:
        return Parts({}, text, "front matter has no end")
    read = _READERS.get(language or _LANGUAGES[fence], _unknown)
    problem, fields = read(block) if len(block) <= MAX_CHARS else ("front matter is too long", {})
    return Parts(fields, text if problem else text[closing.end() :], problem)


def _has_keys(block: str) -> bool:
    """Whether its first lines could be front matter."""
    at = _skip_blank(block, 0)
    lines = _LINES.match(block, at)
    return bool(_OBJECT.match(block, at) or (lines and _KEY.search(lines[0])))


def _bare(text: str, at: int) -> Parts:
    """An object before the text. It stays a part of the text, since the file may be nothing but JSON."""
    try:
        return Parts(strict_json.leading_object(text, at), text)
    except strict_json.Unreadable as exc:
        return Parts({}, text, f"begins like JSON: {exc.reason}")


# -- languages


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


def _json(block: str) -> tuple[str | None, dict[object, object]]:
    try:
        return _mapping(strict_json.loads(block.encode()) if block.strip() else None)
    except strict_json.Unreadable as exc:
        return f"front matter is not plain JSON: {exc.reason}", {}


def _unknown(block: str) -> tuple[str | None, dict[object, object]]:
    return "front matter is in a language that is not known", {}


_READERS = {"yaml": _yaml, "yml": _yaml, "toml": _toml, "json": _json}


def _mapping(fields: object) -> tuple[str | None, dict[object, object]]:
    if fields is None:
        return None, {}
    if not isinstance(fields, dict):
        return "front matter is not a mapping", {}
    return None, fields
