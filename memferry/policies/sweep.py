"""Where the ordinary records of a batch may repeat something: asked for all of them at once, since almost none does.

The marks are those of `overlap.traces`, of all texts in one run of letters. Whoever has one that is known is looked at
by itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate

from memferry.keys import Fingerprinter
from memferry.policies.contents import Contents
from memferry.policies.letters import anchors, is_prose, run_of
from memferry.policies.overlap import PASSAGE, START


class Sweep:
    """`marks`: by which something is looked up, of all the records. `echoes`: of each, as in `overlap.Traces`."""

    def __init__(self, batch: Sequence[Contents], fingerprint: Fingerprinter) -> None:
        texts, self._owners = _prose(batch)
        run = run_of(texts)
        folded, places = run.folded, run.clauses + anchors(run.folded)
        self._sites = run.clauses + places
        self._ends = list(accumulate([len(text) + 1 for text in run.texts]))
        begun = [folded[at : at + START] for at in run.clauses]
        self.marks = fingerprint.of_all(begun + [folded[at : at + PASSAGE] for at in places])
        self.echoes = _first_passages(run.texts, self._owners, len(batch), fingerprint)

    def suspects(self, known: Collection[int]) -> set[int]:
        """The numbers of the records of which a mark is known."""
        if not known:
            return set()
        sites = [at for mark, at in zip(self.marks, self._sites, strict=True) if mark in known]
        return {self._owners[bisect_right(self._ends, at)] for at in sites}


def _prose(batch: Sequence[Contents]) -> tuple[list[str], list[int]]:
    """The texts that may repeat something, and the number of the record of each."""
    texts: list[str] = []
    owners: list[int] = []
    for number, contents in enumerate(batch):
        for text in contents.texts + contents.names:
            if len(text) >= START and is_prose(text):
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
