"""Personal data, for spaces that ask for it: addresses and numbers that their own check digits confirm."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import NamedTuple

from memferry.policies.findings import Finding
from memferry.policies.secrets import linear

_NOBODY = ("example.com", "example.org", "example.net", "example", "test", "invalid", "localhost", "local")
_NO_PERSON = frozenset({"git", "noreply", "no-reply", "donotreply", "hg", "svn"})


class Kind(NamedTuple):
    """`pattern`: RE2. `is_one`: whether what matches is one, as its sender meant it."""

    pattern: str
    is_one: Callable[[str], bool]


def _is_address(text: str) -> bool:
    name, _, host = text.lower().rpartition("@")
    return name not in _NO_PERSON and not host.endswith(_NOBODY)


def _is_phone(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 7 <= len(digits) <= 15 and len(set(digits)) > 2


def passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1."""
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    known = 2221 <= int(digits[:4]) <= 2720 if digits[0] == "2" else digits[0] in "3456"  # not a year and a day
    return 13 <= len(digits) <= 19 and known and len(set(digits)) > 2 and passes_luhn(digits)


def _is_iban(text: str) -> bool:
    """ISO 13616: the rest of a division by 97 is 1."""
    plain = text.replace(" ", "").upper()
    turned = plain[4:] + plain[:4]
    return 15 <= len(plain) <= 34 and int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def _is_resident_id(text: str) -> bool:
    """GB 11643-1999: a day of birth and a check digit."""
    total = sum(int(digit) * weight for digit, weight in zip(text[:17], _WEIGHTS, strict=True))
    with suppress(ValueError):
        datetime.date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
        return "10X98765432"[total % 11] == text[17].upper()
    return False


KINDS: Mapping[str, Kind] = {
    "email": Kind(r"\b[A-Za-z0-9][\w.+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b", _is_address),
    "phone": Kind(
        r"\+\d{1,3}[ .()-]{0,3}\d(?:[ .()-]{0,2}\d){6,13}\b"
        r"|\(\d{3}\) ?\d{3}[ .-]\d{4}\b|\b\d{3}[.-]\d{3}[.-]\d{4}\b|\b1[3-9]\d{9}\b",
        _is_phone,
    ),
    "card": Kind(r"\b\d(?:[ -]?\d){12,18}\b", _is_card),
    "iban": Kind(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b", _is_iban),
    "cn-id": Kind(r"\b[1-9]\d{16}[0-9Xx]\b", _is_resident_id),
}


@cache
def _compiled(kind: str) -> linear.Pattern:
    return linear.Pattern(KINDS[kind].pattern)


def find(text: str, kinds: Collection[str], number: int = 0) -> Iterator[Finding]:
    """The personal data of these kinds in one text; an IBAN may be followed by words in capitals."""
    raw = text.encode("utf-8", "replace")
    for kind in kinds:
        for start, end in _compiled(kind).spans(raw):
            said = raw[start:end].decode("utf-8", "ignore")
            size = _size(kind, said)
            if size:
                first = len(raw[:start].decode("utf-8", "ignore"))
                yield Finding(number, kind, first, first + size)


def _size(kind: str, said: str) -> int:
    """How many characters of it are one; 0: none."""
    cuts = [said] if kind != "iban" else [said[:end] for end in range(len(said), 14, -1)]
    return next((len(cut) for cut in cuts if not cut.endswith(" ") and KINDS[kind].is_one(cut)), 0)


def may_hold(raw: bytes, kinds: Collection[str]) -> bool:
    return any(_compiled(kind).occurs(raw) for kind in kinds)
