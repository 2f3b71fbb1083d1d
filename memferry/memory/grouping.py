"""Which texts are about the same. Pure; the same texts in the same order give the same groups on every machine."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from memferry.recall.words import prepared

SHARE = 0.5
"""Of the words of the shorter text, so many must stand in the other one, too."""
LEAST_SHARED = 2
_WORD = re.compile(r"\w{2,}")
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a about after all also an and any are as at be because been before being but by can could do does for from"
        " had has have he her his how if in into is it its just may more most must no not of on only or our out over"
        " own she should so some such than that the their them then there these they this those to too under up use"
        " used uses using was we were what when where which while who why will with would you your",
    )
)

Related: TypeAlias = Callable[[Sequence[str]], Iterator[tuple[int, int]]]
"""Pairs of texts that are about the same, by their numbers, the smaller first, in order."""


def groups(texts: Sequence[str], most: int, related: Related) -> list[list[int]]:
    """Numbers of texts that belong together, two to `most` of them: each text goes with the first one it is related
    to, so that a chain of neighbours does not become one group."""
    near: dict[int, list[int]] = defaultdict(list)
    for one, other in related(texts):
        near[one].append(other)
    taken: set[int] = set()
    found = []
    for first in range(len(texts)):
        if first in taken:
            continue
        group = [first, *(other for other in near[first] if other not in taken)][:most]
        if len(group) > 1:
            taken.update(group)
            found.append(group)
    return found


def by_words(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Related by the words they share. Only texts with a word in common are ever compared."""
    words = [_words(text) for text in texts]
    having: dict[str, list[int]] = defaultdict(list)
    for number, some in enumerate(words):
        for word in some:
            having[word].append(number)
    for number, some in enumerate(words):
        shared = Counter(other for word in some for other in having[word] if other > number)
        for other in sorted(shared):
            least = max(LEAST_SHARED, SHARE * min(len(some), len(words[other])))
            if shared[other] >= least or some == words[other]:
                yield number, other


def _words(text: str) -> frozenset[str]:
    """Of Chinese, Japanese and Korean, pairs of neighbouring characters."""
    return frozenset(_WORD.findall(prepared(text).casefold())) - _STOP
