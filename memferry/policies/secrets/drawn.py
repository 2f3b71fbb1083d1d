"""What is drawn at random, whatever it is for; and what is a password because it is nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from memferry.policies.secrets import linear, values, vocabulary, words
from memferry.policies.secrets.public import is_block, is_named_digest, is_public, is_public_name, says_something
from memferry.policies.secrets.spots import Places, Spot

_RUN = r"[A-Za-z0-9_+/=.~-]{24,}"
_LOUD = re.compile(r"(?:[a-z][A-Z]|[A-Z][a-z]).*[0-9]|[0-9].*(?:[a-z][A-Z]|[A-Z][a-z])")
_LONGEST_RUN = 200


def random_runs(text: str, raw: bytes, at: Places) -> Iterator[Spot | None]:
    """A run that is random in letters of both cases and digits: a key of whatever kind."""
    for start, end in _runs().spans(raw):
        first, last = at(start), at(end)
        drawn = _is_drawn(text, first, last) or _is_token(text, first, last)
        yield Spot("random", first, last) if drawn else None


@cache
def _runs() -> linear.Pattern:
    return linear.Pattern(_RUN)


def _is_drawn(text: str, start: int, end: int) -> bool:
    if end - start > 2 * _LONGEST_RUN:
        return False
    run = text[start:end].strip("=.-_/")
    name, assigned, value = run.partition("=")
    if assigned and (is_named_digest(f"{name}=") or name.isalpha()):
        run = value
    if len(run) > _LONGEST_RUN or len(run) < 24 or not any(map(_LOUD.search, _PARTED.split(run))):
        return False
    if (
        is_named_digest(f"{name}=")
        or is_public_name(name)
        or _is_path(run)
        or (text[end : end + 1] == "@" and not text[:start].endswith(("/", ":")))
    ):
        return False
    if text[max(0, start - 8) : start] == ";base64," or is_public(text, start, run):
        return False
    if _is_name(run) or (_UUID.search(run) and not values.is_random(_UUID.sub("", run), 20)):
        return False
    if is_block(text, start, end) or values.is_placeholder(run) or values.is_other_key(run):
        return False
    longest = max(map(len, re.split(r"[_.=~-]", run)))
    return longest >= 16 and values.is_random(run, 20) and values.entropy(run) >= 3.9 and not says_something(run)


_PARTED = re.compile("[-_./]")
_SEGMENT = re.compile(r"(?:^|/)_?[a-z]{4,}(?:/|$)")


def _is_path(run: str) -> bool:
    """With slashes, and a word between two."""
    return "/" in run and _SEGMENT.search(run) is not None


_NAME = re.compile(r"[A-Z]?[a-z]{3,}")
_VOWEL = re.compile("[aeiouyAEIOUY]")


def _is_name(run: str) -> bool:
    """Words in humps: `getAccessTokenFromCacheV2Async`."""
    return sum(len(word) for word in _NAME.findall(run) if _VOWEL.search(word)) >= 0.7 * len(run)


_UUID = re.compile("[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
PREFIXED_RUN = r"[A-Za-z0-9][_-](?:[a-z0-9]{24}|[A-Z0-9]{24})|[A-Z0-9]{40}"
"""A token of a service: its name, and a run of one case. Without a name that is a digest or an id."""
_TOKEN = re.compile(
    r"([A-Za-z]{2,10}[_-](?:[A-Za-z0-9]{1,10}[_-]){0,2}|(?=[A-Z0-9]{40}))((?:[a-z0-9]+|[A-Z0-9]+)(?:[_-][a-z0-9]{24,})?)"
)
_DIGESTS = frozenset((24, 32, 40, 56, 64, 96, 128))
"""As many digits have digests and ids in hex."""
_ADDRESSES = frozenset((56, 58))
"""As many letters have addresses that are for everybody, without a name before."""


def _is_token(text: str, start: int, end: int) -> bool:
    """`rdme_` and 70 letters and digits."""
    run = text[start:end].strip("=.-_/")
    found = _TOKEN.fullmatch(run) if len(run) <= _LONGEST_RUN else None
    if found is None or is_named_digest(found[1]) or is_public(text, start, run) or values.is_placeholder(run):
        return False
    drawn = found[2]
    if (_HEX.fullmatch(drawn) and len(drawn) in _DIGESTS) or (not found[1] and len(drawn) in _ADDRESSES):
        return False
    return len(drawn) >= 24 and values.is_random(drawn, 24) and values.entropy(drawn) >= 3.2


_HEX = re.compile("[0-9a-f]+|[0-9A-F]+")


_QUIET_KEYS = frozenset(vocabulary.QUIET_KEYS)


def is_quiet(key: str) -> bool:
    """Whether a field of this name holds random values that are no secret."""
    parts = [part.lower() for part in words.parts_of(key)]
    return bool(parts) and (parts[-1] in _QUIET_KEYS or "".join(parts) in _QUIET_KEYS)


def alone(text: str) -> Iterator[Spot]:
    """A note that says `Tiger!4821`."""
    word = text.strip()
    if 8 <= len(word) <= 64 and word.split() == [word] and values.is_made_up(word):
        start = text.index(word)
        yield Spot("password", start, start + len(word))
