"""Seed phrases of wallets: a dozen words of the list of BIP 39 in a row, whatever stands before them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources

from memferry.policies.secrets import linear
from memferry.policies.secrets.spots import Places, Spot

LEAST = 12
"""BIP 39 knows phrases of 12, 15, 18, 21 and 24 words. Sentences have a word that is not of the list long before."""
_BETWEEN = r"(?:\\n|[\s,;|]){1,3}(?:[0-9]{1,2}[.):]?[ ]?)?"
"""Also where lines are numbered, and in JSON."""


@cache
def _shape() -> linear.Pattern:
    """Built at once, where the list takes 30 ms: for a text that stands alone."""
    return linear.Pattern(rf"(?:[a-z]{{3,8}}{_BETWEEN}){{{LEAST - 1}}}[a-z]{{3,8}}")


@cache
def _phrase() -> linear.Pattern:
    word = f"(?:{'|'.join(_listed())})"
    return linear.Pattern(rf"\b(?:{word}{_BETWEEN}){{{LEAST - 1},}}{word}\b")


@cache
def _listed() -> tuple[str, ...]:
    """In the order of the alphabet. They are frozen: another list would be another standard."""
    folder = resources.files("memferry.policies.secrets") / "data"
    return tuple((folder / "bip39-english.txt").read_text("ascii").split())


def spans(raw: bytes) -> Iterator[tuple[int, int]]:
    """Where phrases stand: half-open, in bytes, in order. Over a whole batch this takes as long as a pass of triage."""
    return _phrase().spans(raw)


def occurs(text: bytes) -> bool:
    """Whether one stands in a text alone."""
    return _shape().occurs(text) and _phrase().occurs(text)


def seed_phrases(raw: bytes, at: Places) -> Iterator[Spot | None]:
    for start, end in spans(raw) if _shape().occurs(raw) else ():
        line = raw[start:end].partition(b"\n")[0]
        if len(line.split()) >= LEAST:
            end = start + len(line)
        yield Spot("seed-phrase", at(start), at(end)) if _is_drawn(raw[start:end]) else None


def _is_drawn(phrase: bytes) -> bool:
    """Not so is a part of the list itself, which is in the order of the alphabet; nor a few words again and again."""
    words = [word for word in phrase.split() if word.isalpha()]
    return len(words) < LEAST or (words != sorted(words) and len({*words}) > LEAST // 2)
