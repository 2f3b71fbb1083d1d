"""Secrets that are known by their format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from memferry.policies.secrets import linear, table, values, vocabulary
from memferry.policies.secrets.drawn import is_quiet
from memferry.policies.secrets.logins import is_login
from memferry.policies.secrets.public import is_named_digest, is_public_name
from memferry.policies.secrets.spots import Places, Spot
from memferry.policies.secrets.views import views_of

_PLAIN = [(number, form) for number, form in enumerate(table.FORMATS) if not form.repeats]
_INVOLVED = [(number, form) for number, form in enumerate(table.FORMATS) if form.repeats]
"""Formats and their numbers, by whether something is repeated in their hint."""
_GROUP = 6
_SHORT = 4096
"""Bytes. In a longer text it is better to look for groups at once than for any of them first."""


@cache
def _plain() -> linear.Patterns:
    return linear.Patterns([form.hint for _, form in _PLAIN])


@cache
def _any_involved() -> linear.Pattern:
    return linear.any_of(form.hint for _, form in _INVOLVED)


@cache
def _involved() -> list[tuple[linear.Pattern, dict[int, linear.Pattern]]]:
    """In groups: most texts have hints of few of these, if any."""
    groups = [_INVOLVED[start : start + _GROUP] for start in range(0, len(_INVOLVED), _GROUP)]
    return [
        (linear.any_of(form.hint for _, form in group), {number: linear.Pattern(form.hint) for number, form in group})
        for group in groups
    ]


def _hinted(raw: bytes) -> Iterator[int]:
    """The numbers of the formats that may stand in a text."""
    yield from (_PLAIN[place][0] for place in _plain().occurring(raw))
    if len(raw) > _SHORT or _any_involved().occurs(raw):
        for every, each in _involved():
            if every.occurs(raw):
                yield from (number for number, hint in each.items() if hint.occurs(raw))


_LONGEST = 4096
"""Bytes of what matches a format that are looked at to judge it."""


@cache
def _format(number: int, *, joined: bool) -> linear.Pattern:
    """Where lines are joined, a format may begin and end amid letters."""
    pattern = table.FORMATS[number].pattern
    return linear.Pattern(pattern.replace(r"\b", "") if joined else pattern)


def formats(raw: bytes, at: Places, *, joined: bool) -> Iterator[Spot | None]:
    for number in sorted(_hinted(raw)):
        form = table.FORMATS[number]
        for start, end in _format(number, joined=joined).spans(raw):
            text = raw[start : min(end, start + _LONGEST)].decode("utf-8", "ignore")
            if form.rule == "private-key":
                end = _end_of_key(raw, start, end)
            yield Spot(form.rule, at(start), at(end)) if _is_meant(form, text, joined=joined) else None


_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}-----")
_KEY_BYTES = 16 << 10


def _end_of_key(raw: bytes, start: int, end: int) -> int:
    """Of a PEM block: its last line, or as far as one may reach."""
    found = _END.search(raw, end, start + _KEY_BYTES)
    return found.end() if found else min(len(raw), max(end, start + 64))


def _is_meant(form: table.Format, text: str, *, joined: bool) -> bool:
    """Whether what has the shape of a secret is one, and no example."""
    rule = form.rule
    if rule == vocabulary.KEY:
        return _is_variable(text)
    if joined and rule == "wallet-key":
        return False  # no letter of it is fixed
    if rule == "private-key":
        return True
    if rule == "url-credentials":
        password = text.split("://", 1)[1].rsplit("@", 1)[0].partition(":")[2]
        return not values.is_placeholder(password) and values.STAND_IN.match(password) is None
    if rule == "url-key":
        name, given, value = text.partition("=")
        value = value if given else text.rpartition("/")[2]
        return values.is_random(value, 12) or (not name.endswith("code") and values.is_key(value, 2))
    if rule == "login" and not text.startswith("WIFI:"):
        return is_login(text)
    if "EXAMPLE" in text or (rule != "cluster-secret" and values.is_placeholder(text)):
        return False
    if rule == "cluster-secret":
        return any(not values.is_placeholder(found[1]) for found in _ENTRY.finditer(text))
    if rule == "authorization":
        return _is_header(text)
    if rule == "recovery-key":
        return (
            sum(not group.isdigit() and not group.isalpha() for group in text.split("-")) >= 3 or text.count("-") == 7
        )
    if rule == "login":
        return True
    if joined or form.drawn:
        return values.is_random(text, 10)
    return True


_ENTRY = re.compile(r"^[ \t]+[\w.\"'-]+:[ \t]*[\"']?(\S{4,})", re.MULTILINE)
"""Of a Kubernetes manifest."""


def _is_variable(text: str) -> bool:
    """Of the environment, whose value is drawn and whose name does not say that it is an id: `LOOPS=4d2b...`."""
    name, _, value = text.partition("=")
    value = value.strip("\"'")
    kind, marked, _ = value.partition(":")
    named = is_named_digest(f"{kind if marked else name}=") or is_quiet(name) or is_public_name(name)
    return not named and values.is_random(value, 24)


def _is_header(text: str) -> bool:
    scheme, _, value = text.partition(" ")
    value = value.strip()
    if scheme.lower() == "digest" and not values.is_random(value.strip("0123456789abcdef"), 12):
        return False  # a sum, not a header
    if scheme.lower() == "basic":
        view = next((view.text for view in views_of(value + " ") if view.text != value + " "), "")
        return ":" in view or values.is_random(value, 16)
    return values.is_random(value, 12)
