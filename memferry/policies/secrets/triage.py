"""Which records deserve a look at all: one linear pass over the bytes of a whole batch.

It must never miss what `look` finds; what it finds besides only costs time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate

import msgspec

from memferry.model import Record
from memferry.policies.secrets import linear, phrases, table
from memferry.policies.secrets.drawn import PREFIXED_RUN
from memferry.policies.secrets.views import TEXT_AS_BASE64, TEXT_AS_HEX, WIDE_AS_BASE64
from memferry.policies.secrets.words import PHRASES, TELLING

_SAID = r'(?:[^"\n\\]|\\.)*'
"""On the same line, in the same string, also where JSON escapes quotes."""
_DRAWN = r"[\w+/=.~-]*"
_HUMP = r"[a-z][A-Z]"
_MIX = r"(?:[A-Za-z][0-9]|[0-9][A-Za-z])"

_ASIAN = r"\xe2\x86\x92|\xef\xbc\x9a|\xef\xbc\x9d|\xef\xb9\x95|\xe2\x80[\x98-\x9f]|\xe3\x80[\x8c-\x8f]"
_VALUE = rf"(?:[0-9]|[\s(=:\[]\\?[\"'`]|->|{_ASIAN})"
"""What a value begins with, or has in it: in prose there is none without a digit or quotes."""

_BEHIND = (
    rf"{_SAID}{_VALUE}",
    r"[\w.-]*[\"'`\\\])}*]*\s*(?:[:=|{]|\()",
    r"[\w .-]*['>:]?\s?\n\s*(?:\S+\n\s*)?\S*[0-9]",
    r'[\w.-]*"\s*,\s*"(?:value|val|content|data)',
)
"""What makes a value of what follows a telling word."""

NEAR_WORDS = (
    f"{TELLING}(?:{'|'.join(_BEHIND)})",
    rf'-[\w-]{{0,40}}{TELLING}[\w-]*"\s*,\s*"',
    rf"[,;\t]{TELLING}\w*(?:[,;\t\n]|\\[nt])",
    rf"{TELLING}\w*</t[hd]",
    r"[A-Z](?:PASS|KEY)[\"']?\s?[=:]",
    rf"[0-9]{_SAID}{TELLING}",
    rf"(?i:{PHRASES})",
)
"""Words near what may be a value."""

DRAWN = (
    rf"{_HUMP}{_DRAWN}{_MIX}{_DRAWN}{_MIX}|{_MIX}{_DRAWN}{_MIX}{_DRAWN}{_HUMP}|{_MIX}{_DRAWN}{_HUMP}{_DRAWN}{_MIX}",
    PREFIXED_RUN,
)
"""What is random."""

ENCODED = (TEXT_AS_BASE64, WIDE_AS_BASE64, TEXT_AS_HEX)
"""What may hold text."""

MARKED = (
    r"%[2-7][0-9a-fA-F]|\\{1,4}(?:u\{?00[2-7]|x[2-7]|[01][0-7]{2})|&#(?:x[2-7]|[3-9]\d|1[01]\d)|=[2-7][0-9A-F]=",
    r"\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xaf]|\xef\xbb\xbf|\xc2\xad|\xcd\x8f|\xef\xb8[\x80-\x8f]|\xf3\xa0",
    r"\xef\xbc[\x90-\xba]|\xef\xbd[\x81-\x9a]|\xf0\x9d[\x90-\x9f]|\xe2[\x92\x93]|\xf0\x9f\x84",
    r"[A-Za-z0-9_-](?:[\xcd-\xd4][\x80-\xbf])+[A-Za-z0-9_-]",  # Greek or Cyrillic among Latin letters
    r"[A-Za-z][!@#$%^&*][0-9]|[0-9][!@#$%^&*][A-Za-z]",
    r"(?:[A-Za-z0-9] ){6}[!-~] |(?:[A-Za-z0-9]-){5}",
)
"""Escapes, what cannot be seen, look-alikes."""

PLAIN_HINTS = tuple(dict.fromkeys(form.hint for form in table.FORMATS if not form.repeats))
REPEATING_HINTS = tuple(dict.fromkeys(form.hint for form in table.FORMATS if form.repeats))
"""Of formats."""


@cache
def _passes() -> tuple[linear.Pattern, ...]:
    """Each byte costs a look-up in each, so two would be faster in the end, by .9 of the time. But what repeats in one
    pattern multiplies with what repeats in another, and while a process is young it makes states more than it looks:
    two take 2.3 times as long for the first twenty thousand records."""
    return (
        linear.any_of(DRAWN),
        linear.any_of(ENCODED),
        linear.any_of((*NEAR_WORDS, *PLAIN_HINTS)),
        linear.any_of((*MARKED, *REPEATING_HINTS)),
    )


_NO_KEYS = {b"idempotency_key": b"idempotency_ref", b"decision_key": b"decision_ref", b"conflict_key": b"conflict_ref"}
"""Every record of DiaSync has some of these; they announce nothing. What takes their place is as long."""


def is_suspicious(text: str) -> bool:
    raw = b"\n" + _plain(text.encode("utf-8", "replace"))
    return any(pattern.occurs(raw) for pattern in _passes()) or phrases.occurs(raw)


def suspicious(records: Sequence[Record]) -> list[int]:
    """The numbers of those that deserve a look, ascending."""
    return _among([_said(record) for record in records])


def suspicious_texts(texts: Sequence[str]) -> list[int]:
    """As `is_suspicious`, of many at once."""
    return _among([_plain(text.encode("utf-8", "replace")) for text in texts])


def _among(parts: Sequence[bytes]) -> list[int]:
    starts = list(accumulate((len(part) + 1 for part in parts), initial=0))
    blob = b"\n".join([b"", *parts])
    for name, other in _NO_KEYS.items() if b"_key" in blob else ():
        blob = blob.replace(name, other)
    found: set[int] = set()
    for pattern in _passes():
        if len(found) < len(parts):
            found.update(_numbers(pattern, blob, starts))
    for start, end in phrases.spans(blob):  # it may go on in what stands behind
        found.update(range(bisect_right(starts, start) - 1, bisect_right(starts, end - 1)))
    return sorted(number for number in found if number < len(parts))


def _numbers(pattern: linear.Pattern, blob: bytes, starts: Sequence[int]) -> Iterator[int]:
    at = 0
    while at < len(blob) and (found := pattern.next_start(blob, at)) is not None:
        number = bisect_right(starts, found) - 1
        yield number
        at = starts[number + 1]


_ESCAPES = ord("\\")


def _said(record: Record) -> bytes:
    """What a record says, as bytes. JSON is taken as it is, but for escapes that hide letters; in a document, a double
    quote ends nothing."""
    if record.text is not None:
        return _plain(record.body)
    body = record.body
    return msgspec.json.encode(record.fields) if _ESCAPES in body and b"\\u" in body else body


def _plain(raw: bytes) -> bytes:
    """Where a double quote ends nothing."""
    return raw.replace(b'"', b"'")
