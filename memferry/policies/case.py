"""A record on its way to a verdict."""

from __future__ import annotations

import msgspec

from memferry.keys import Fingerprinter
from memferry.model import Hold, Record
from memferry.policies import lineage, overlap
from memferry.policies.base import Passage
from memferry.policies.contents import NOTHING, Contents


class Case(msgspec.Struct, eq=False):
    """`contents`: of the record; `said`: with those of what surrounds it. `ordinary`: whether it is a line or an entry
    with a label, which need not be searched word by word. `refs`: what it names. `traces`: where it may repeat
    something, empty until somebody asks; `echoes`: by what it is found again. `passages`: what a held one makes known.
    `cut`: the record without what is to be redacted; `removed`: of blocks cut out, known under `removed_id`."""

    record: Record
    id: int
    contents: Contents = NOTHING
    said: Contents = NOTHING
    ordinary: bool = False
    verdict: Hold | None = None
    refs: tuple[int, ...] = ()
    traces: overlap.Traces = overlap.NO_TRACES
    echoes: tuple[int, ...] = ()
    passages: tuple[Passage, ...] = ()
    cut: Record | None = None
    removed: tuple[Passage, ...] = ()
    removed_id: int = 0

    def trace(self, fingerprint: Fingerprinter, *, vouched: bool) -> None:
        """Look where it may repeat something."""
        self.traces = overlap.traces(self.record, self.said, fingerprint, vouched=vouched)
        self.echoes = self.traces.echoes

    def also(self, fingerprint: Fingerprinter) -> tuple[int, ...]:
        """Other ids by which records name it."""
        names = lineage.own_names(self.record)
        return tuple([fingerprint.key(self.record.source.space, name) for name in names]) if names else ()
