"""A text as it is and as it may be meant: without invisible characters, unescaped, joined over lines, decoded.

Every view knows which stretch of the text each of its own came from.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import NamedTuple

DECODED_BYTES = 1 << 20
"""Of one text, decoded views together."""
DEPTH = 2
MOST_CHANGES = 20_000
"""Escapes, or characters that cannot be seen."""


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


def _left_out(view: View, pattern: re.Pattern[str], *, joined: bool = False) -> View | None:
    """Without what matches; None: nothing does."""

    def changes() -> list[Change]:
        found: list[Change] = []
        gone = 0
        for match in pattern.finditer(view.text):
            found.append(Change(match.start() - gone, 0, *match.span()))
            gone += match.end() - match.start()
        return found

    text = pattern.sub("", view.text)
    return None if text == view.text else View(text, view, changes, joined=joined)


# -- look-alikes and what cannot be seen

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e01ef]+"
)
_DRESSES = (
    (0xFF01, 0xFF5E),
    (0x2100, 0x214F),
    (0x2460, 0x24FF),
    (0x1D400, 0x1D7FF),
    (0x1F110, 0x1F189),
    (0x370, 0x52F),
)
"""Full-width, circled, mathematical, Greek and Cyrillic letters: first and last."""
_LETTERS = str.maketrans(
    "АВЕКМНОРСТУХЅІЈԌԜаеорсухѕіјԁһԛԝгԍѵӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορυχ",
    "ABEKMHOPCTYXSIJGWaeopcyxsijdhqwrgvlABEZHIKMNOPTYXaiknopux",
)


@cache
def _undressing() -> dict[int, str]:
    """What a letter in another dress looks like, one for one."""
    dressed = (chr(number) for first, last in _DRESSES for number in range(first, last + 1))
    plain = {ord(char): unicodedata.normalize("NFKD", char)[:1].translate(_LETTERS) for char in dressed}
    return {number: meant for number, meant in plain.items() if meant and meant != chr(number)}


# -- escapes

_ESCAPES = re.compile(
    r"\\{1,2}u\{?[0-9a-fA-F]{4}\}?|\\{1,2}x[0-9a-fA-F]{2}|%[0-9a-fA-F]{2}|&#(?:x[0-9a-fA-F]{1,4}|\d{1,5});|=[2-7][0-9A-F](?=\S)"
    r"|\\[0-3][0-7]{2}"
)
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

_JOINTS = re.compile(
    r"[\"']?[ \t]{0,8}[+.\\]?[ \t]{0,8}\\?\r?\n[ \t>#*|/-]{0,16}[\"']?"
    r"|[\"'][ \t]{0,8}[+.][ \t]{0,8}[\"']|\\n[ \t]{0,8}|(?<=[\w-])[ \t]{1,3}(?=[\w-])"
)


# -- encoded

_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}|(?:[0-9a-fA-F]{2}[ :,]){8,}[0-9a-fA-F]{2}")
_HEX = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2}){8,})")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def _decoded(run: str) -> str | None:
    """The text that a run of base64 or hex holds; None: it holds none."""
    plain = run.replace(" ", "").replace(":", "").replace(",", "")
    hexed = _HEX.fullmatch(plain)
    candidates = [bytes.fromhex(hexed[1])] if hexed else []
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
        plain = seen.text.translate(_undressing())
        if plain != view.text:
            yield View(plain, seen)
    if (unescaped := _all_unescaped(view)) is not None:
        yield unescaped
    if (joined := _left_out(view, _JOINTS, joined=True)) is not None:
        yield joined
    if (decoded := _all_decoded(view)) is not None:
        yield decoded


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
    lines: list[str] = []
    changes: list[Change] = []
    size = 0
    for run in _ENCODED.finditer(view.text):
        if (text := _decoded(run[0])) is not None:
            lines.append(text)
            changes.append(Change(size, len(text) + 1, *run.span()))
            size += len(text) + 1
        if len(lines) > MOST_CHANGES:
            raise TooMany
    return View("\n".join(lines), view, lambda: changes) if lines else None
