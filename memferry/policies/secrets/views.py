"""A text as it is and as it may be meant: without invisible characters, unescaped, joined over lines, decoded.

Every view knows which stretch of the text each of its own came from.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import islice, pairwise
from typing import NamedTuple

from memferry.policies.secrets import linear
from memferry.policies.secrets.spots import Places

DECODED_BYTES = 1 << 20
"""Of one text, decoded views together."""
DEPTH = 2
MOST_CHANGES = 20_000
"""Escapes, or stretches in another dress."""
_LONGEST_ENCODED = 4 << 20
MOST_RUNS = 500
"""That may hold text, encoded."""


class TooMany(Exception):
    """A text is disguised in more places than can be looked at in time."""


class Change(NamedTuple):
    """Where a view differs: characters `at`..`at + width` of it stand for `start`..`end` of what it was made from."""

    at: int
    width: int
    start: int
    end: int


class View:
    """`text`: what it says. `changes`: against `origin`, in order, worked out when asked. `joined`: made by leaving out
    what parts its lines and words, so only a format counts."""

    def __init__(
        self,
        text: str,
        origin: View | None = None,
        changes: Callable[[], Sequence[Change]] = tuple,
        *,
        joined: bool = False,
    ) -> None:
        self.text = text
        self.joined = joined
        self._origin = origin
        self._changes = cache(changes)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The characters of the original text that say what stands here. Half-open, both."""
        if self._origin is None:
            return start, end
        return self._origin.span(self._back(start)[0], self._back(end - 1)[1])

    def _back(self, at: int) -> tuple[int, int]:
        changes = self._changes()
        number = bisect_right(changes, at, key=_place) - 1
        if number < 0:
            return at, at + 1
        change = changes[number]
        if at < change.at + change.width:
            return change.start, change.end
        place = change.end + at - change.at - change.width
        return place, place + 1


def _place(change: Change) -> int:
    return change.at


def _left_out(view: View, pattern: re.Pattern[str]) -> View | None:
    """Without what matches; None: nothing does."""

    def changes() -> list[Change]:
        found: list[Change] = []
        gone = 0
        for match in pattern.finditer(view.text):
            found.append(Change(match.start() - gone, 0, *match.span()))
            gone += match.end() - match.start()
        return found

    text = pattern.sub("", view.text)
    return None if text == view.text else View(text, view, changes)


# -- look-alikes and what cannot be seen

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e01ef]+"
)
_DRESSES = ((0xFF10, 0xFF5A), (0x2100, 0x214F), (0x2460, 0x24FF), (0x1D400, 0x1D7FF), (0x1F110, 0x1F189))
"""Full-width, circled and mathematical letters: first and last."""
_SCRIPTS = ((0x370, 0x52F),)
"""Greek and Cyrillic: whole texts are written in them, so a letter is a look-alike beside Latin ones alone."""
_TAGS = re.compile(r"</?(?:b|i|em|strong|code|span|kbd|tt|u|mark|font|small|wbr)(?:\s[^<>\n]{0,100})?/?>")
"""Of HTML, amid words."""
_APART = re.compile(r"(?<![ -][!-~][ -])(?<![A-Za-z0-9])[A-Za-z0-9]([ -])(?:[!-~]\1){6,}[!-~](?![A-Za-z0-9])")
_QUOTING = re.compile(r"\\+(?=[\"'])")
"""What stands before quotes where JSON stands in JSON."""
_LATIN = "[A-Za-z0-9_-]"


def _any_of(ranges: Iterable[tuple[int, int]]) -> str:
    return "[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges) + "]"


_DRESS, _SCRIPT = _any_of(_DRESSES), _any_of(_SCRIPTS)
_DRESSED = re.compile(
    rf"[^\x00-\x7f](?:(?<={_DRESS}){_DRESS}*|(?<={_LATIN}{_SCRIPT}){_SCRIPT}*"
    rf"|(?<={_SCRIPT})(?<!{_SCRIPT}{_SCRIPT}){_SCRIPT}*+(?={_LATIN}))"
)
"""It begins with what is no ASCII: Python looks for that fast."""
_LONGEST_DRESS = 100_000
"""Characters in another dress, together."""
_LETTERS = str.maketrans(
    "АВЕКМНОРСТУХЅІЈԌԜаеорсухѕіјԁһԛԝгԍѵӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορυχ",
    "ABEKMHOPCTYXSIJGWaeopcyxsijdhqwrgvlABEZHIKMNOPTYXaiknopux",
)


@cache
def _undressing() -> dict[int, str]:
    """What a letter in another dress looks like, one for one."""
    dressed = (chr(number) for first, last in _DRESSES + _SCRIPTS for number in range(first, last + 1))
    plain = {ord(char): unicodedata.normalize("NFKD", char)[:1].translate(_LETTERS) for char in dressed}
    return {number: meant for number, meant in plain.items() if meant and meant != chr(number)}


def _undressed(text: str) -> str:
    """As long as before."""
    dressed = list(islice(_DRESSED.finditer(text), MOST_CHANGES + 1))
    if len(dressed) > MOST_CHANGES or sum(one.end() - one.start() for one in dressed) > _LONGEST_DRESS:
        raise TooMany
    parts: list[str] = []
    end = 0
    for one in dressed:
        parts += (text[end : one.start()], one[0].translate(_undressing()))
        end = one.end()
    return "".join([*parts, text[end:]])


# -- escapes

_ESCAPES = re.compile(
    r"[\\%&=](?:(?<=\\)\\?u\{?[0-9a-fA-F]{4}\}?|(?<=\\)\\?x[0-9a-fA-F]{2}|(?<=\\)[0-3][0-7]{2}|(?<=%)[0-9a-fA-F]{2}"
    r"|(?<=&)#(?:x[0-9a-fA-F]{1,4}|\d{1,5});|(?<==)[2-7][0-9A-F](?=\S))"
)
"""They begin with one of four characters: Python looks for these fast."""
_DIGITS = re.compile(r"[0-9a-fA-F]+")


def _unescaped(escape: str) -> str:
    if escape.startswith("&#"):
        number = int(escape[3:-1], 16) if escape[2] in "xX" else int(escape[2:-1])
    elif escape.startswith("\\") and escape[1] in "0123":
        number = int(escape[1:], 8)
    else:
        number = int(_DIGITS.findall(escape)[-1], 16)
    return chr(number) if 31 < number < 0xD800 else " "


# -- split over lines

_BREAK = re.compile(
    r"[\n\\\"'](?:(?<=\n)|(?<=\\)n|(?<=[\"'])(?=[ \t]{0,4}[+.&,|]{1,2}[ \t]{0,4}[\"'])[ \t+.&,|]{1,9}[\"'])"
)
_DECORATION = " \t\r\"'`+\\>#*|"


def _joined(view: View) -> View | None:
    """Its lines and concatenated strings as one, without what they are decorated with."""
    pieces = _BREAK.split(view.text)
    if len(pieces) == 1:
        return None

    def changes() -> list[Change]:
        found: list[Change] = []
        size = last = 0
        for start, end in _pieces(view.text):
            found.append(Change(size, 0, last, start))
            size, last = size + end - start, end
        return found

    return View("".join([piece.strip(_DECORATION) for piece in pieces]), view, changes, joined=True)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Where each piece stands, stripped: half-open, in order."""
    breaks = [(0, 0), *(match.span() for match in _BREAK.finditer(text)), (len(text), len(text))]
    for (_, begin), (stop, _) in pairwise(breaks):
        piece = text[begin:stop]
        start = begin + len(piece) - len(piece.lstrip(_DECORATION))
        yield start, start + len(piece.strip(_DECORATION))


# -- encoded

_ENCODED = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}|(?:[0-9a-fA-F]{2}[ :,]){8,}[0-9a-fA-F]{2}")
_SEPARATORS = b" :,"
_HEX = b"0123456789abcdefABCDEF" + _SEPARATORS
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"
TEXT_AS_BASE64 = r"(?:[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]){4}"
"""The upper bit of ASCII is never set, so every fourth character has half of the alphabet, and so on."""
TEXT_AS_HEX = r"(?:[2-7][0-9a-fA-F]){10}|(?:[2-7][0-9a-fA-F][ :,]){8}"
WIDE_AS_BASE64 = r"(?:[A-Z][A-Z]A[A-Za-z0-9+/]AA?|AA[a-z0-9]A){3}|(?:[A-Za-z]A[A-Za-z0-9]{2}A[A-Za-z0-9]){3}"


@cache
def _encodings() -> linear.Pattern:
    return linear.any_of((TEXT_AS_BASE64, TEXT_AS_HEX, WIDE_AS_BASE64))


_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def _runs(raw: bytes) -> Iterator[tuple[int, int]]:
    """Where base64 or hex stands that may hold text: half-open, in order."""
    end = 0
    while (found := _encodings().next_start(raw, end)) is not None:
        letters = _HEX if raw[found + 2] in _SEPARATORS else _BASE64
        run = _ENCODED.search(raw, end + len(raw[end:found].rstrip(letters)), found + _LONGEST_ENCODED)
        if run is None:
            return
        end = max(found + 1, run.end())
        yield run.span()


def decoded(run: str) -> str | None:
    """The text that a run of base64 or hex holds; None: it holds none."""
    plain = run.replace(" ", "").replace(":", "").replace(",", "")
    candidates = []
    with suppress(ValueError):
        candidates.append(bytes.fromhex(plain.removeprefix("0x")))
    if len(plain) == len(run):
        padded = plain.rstrip("=").replace("-", "+").replace("_", "/")
        with suppress(binascii.Error, ValueError):
            candidates.append(base64.b64decode(padded + "=" * (-len(padded) % 4)))
    return next(filter(None, map(_read, candidates)), None)


def _read(raw: bytes) -> str | None:
    if raw[1::2].count(0) == len(raw) // 2:
        raw = raw[::2]  # UTF-16, as PowerShell encodes its commands
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def views_of(text: str) -> Iterator[View]:
    """The text itself first. Bounded: what is decoded is at most DECODED_BYTES, DEPTH deep."""
    left = DECODED_BYTES
    pending = [(View(text), 0)]
    while pending:
        view, depth = pending.pop()
        yield view
        if view.joined:
            continue
        for other in _readings(view):
            left -= len(other.text) if depth else 0
            if depth <= DEPTH and left > 0:
                pending.append((other, depth + 1))


def _readings(view: View) -> Iterator[View]:
    if not view.text.isascii():
        seen = _left_out(view, _INVISIBLE) or view
        plain = _undressed(seen.text)
        if plain != view.text:
            yield View(plain, seen)
    if "</" in view.text and (untagged := _left_out(view, _TAGS)) is not None:
        yield untagged
    if '\\"' in view.text and (unquoted := _left_out(view, _QUOTING)) is not None:
        yield unquoted
    if (together := _together(view)) is not None:
        yield together
    if (unescaped := _all_unescaped(view)) is not None:
        yield unescaped
    if (joined := _joined(view)) is not None:
        yield joined
    if (said := _all_decoded(view)) is not None:
        yield said


@cache
def _may_be_apart() -> linear.Pattern:
    """Without what stands around it, and so a tenth of the time."""
    return linear.any_of(f"[A-Za-z0-9](?:{gap}[!-~]){{7}}" for gap in " -")


def _together(view: View) -> View | None:
    """With rows of single letters as words: `p a s s w o r d`."""
    if not _may_be_apart().occurs(view.text.encode("utf-8", "replace")):
        return None
    rows = list(islice(_APART.finditer(view.text), MOST_CHANGES))
    if not rows:
        return None
    spaces = [Change(0, 0, at, at + 1) for row in rows for at in range(row.start() + 1, row.end(), 2)]
    changes = [Change(gap.start - number, 0, gap.start, gap.end) for number, gap in enumerate(spaces)]
    text = _APART.sub(lambda row: row[0][::2], view.text)
    return View(text, view, lambda: changes)


def _all_unescaped(view: View) -> View | None:
    changes: list[Change] = []
    parts: list[str] = []
    size = end = 0
    for match in _ESCAPES.finditer(view.text):
        parts += (view.text[end : match.start()], _unescaped(match[0]))
        size += match.start() - end
        changes.append(Change(size, 1, *match.span()))
        size += 1
        end = match.end()
        if len(changes) > MOST_CHANGES:
            raise TooMany
    return View("".join([*parts, view.text[end:]]), view, lambda: changes) if changes else None


def _all_decoded(view: View) -> View | None:
    """What its runs hold, a line each."""
    raw = view.text.encode("utf-8", "replace")
    at = Places(view.text, raw)
    lines: list[str] = []
    changes: list[Change] = []
    size = 0
    for tried, (start, end) in enumerate(_runs(raw)):
        if tried == MOST_RUNS:
            raise TooMany
        if (text := decoded(raw[start:end].decode())) is not None:
            lines.append(text)
            changes.append(Change(size, len(text) + 1, at(start), at(end)))
            size += len(text) + 1
    return View("\n".join(lines), view, lambda: changes) if lines else None
