"""Overlap for a whole batch of lines or entries, in one run of the letters of all their texts.

Where ordinary ones may repeat something is asked for all of them at once, since almost none does; whoever has a mark
that is known is looked at by itself. Marks and passages are those of `overlap`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from functools import partial
from itertools import accumulate, repeat

from memferry.keys import Fingerprinter
from memferry.policies.base import Passage
from memferry.policies.contents import Contents
from memferry.policies.letters import anchors, is_prose, run_of
from memferry.policies.overlap import LINE, PASSAGE, START, short_passage


class Sweep:
    """`echoes`: of each record, as in `overlap.Traces`. `marks`: by which something is looked up, of all of them; once
    they are `traced`."""

    def __init__(self, batch: Sequence[Contents], fingerprint: Fingerprinter) -> None:
        texts, self._owners = _prose(batch)
        self._run = run_of(texts)
        self._fingerprint = fingerprint
        self._sites: list[int] = []
        self.marks: list[int] = []
        self.echoes = _first_passages(self._run.texts, self._owners, len(batch), fingerprint)

    def traced(self) -> Sweep:
        """With its marks."""
        folded, clauses = self._run.folded, self._run.clauses
        places = clauses + anchors(folded)
        begun = [folded[at : at + START] for at in clauses]
        self._sites = clauses + places
        self.marks = self._fingerprint.of_all(begun + [folded[at : at + PASSAGE] for at in places])
        return self

    def suspects(self, known: Collection[int]) -> set[int]:
        """The numbers of the records of which a mark is known."""
        if not known:
            return set()
        ends = list(accumulate([len(text) + 1 for text in self._run.texts]))
        found = [at for mark, at in zip(self.marks, self._sites, strict=True) if mark in known]
        return {self._owners[bisect_right(ends, at)] for at in found}


def passages_of_all(batch: Sequence[Contents], fingerprint: Fingerprinter) -> list[tuple[Passage, ...]]:
    """What `overlap.passages` says of each of many held lines or entries; in another order, and what two texts of a
    record have in common twice."""
    texts, owners = _prose(batch, shortest=0)
    run = run_of(texts)
    places = sorted(run.clauses + anchors(run.folded))
    marks = fingerprint.of_all([run.folded[at : at + PASSAGE] for at in places])
    longest = _numbers_of_longest(texts, owners)
    found: list[list[Passage]] = [[] for _ in batch]
    end = 0
    for number, (owner, text) in enumerate(zip(owners, run.texts, strict=True)):
        start, end = end, end + len(text) + 1
        if len(text) >= PASSAGE:
            full = dict.fromkeys(marks[bisect_left(places, start) : bisect_left(places, end - PASSAGE)])
            found[owner] += map(_passage, zip(full, repeat(PASSAGE), full))
        elif len(text) >= (START if number in longest else LINE):
            found[owner].append(short_passage(text, fingerprint))
    return list(map(tuple, found))


_passage = partial(tuple.__new__, Passage)
"""What `Passage._make` does, in half the time."""


def _numbers_of_longest(texts: Sequence[str], owners: Sequence[int]) -> set[int]:
    """The number of the longest text of each owner."""
    longest: dict[int, int] = {}
    for number, owner in enumerate(owners):
        if owner not in longest or len(texts[number]) > len(texts[longest[owner]]):
            longest[owner] = number
    return set(longest.values())


def _prose(batch: Sequence[Contents], shortest: int = START) -> tuple[list[str], list[int]]:
    """The texts that may repeat something or be repeated, and the number of the record of each."""
    texts: list[str] = []
    owners: list[int] = []
    for number, contents in enumerate(batch):
        for text in contents.texts + contents.names:
            if len(text) >= shortest and is_prose(text):
                texts.append(text)
                owners.append(number)
    return texts, owners


def _first_passages(
    texts: Sequence[bytes], owners: Sequence[int], count: int, fingerprint: Fingerprinter
) -> list[tuple[int, ...]]:
    """The passage with which the longest text of each record begins."""
    longest: list[bytes] = [b""] * count
    for owner, text in zip(owners, texts, strict=True):
        if len(text) > len(longest[owner]):
            longest[owner] = text
    return [(fingerprint(text[:PASSAGE]),) if len(text) >= START else () for text in longest]
