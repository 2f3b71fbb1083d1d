"""A record on its way to a verdict."""

from __future__ import annotations

from memferry.keys import Fingerprinter
from memferry.model import Hold, Record
from memferry.policies import labels, lineage, overlap
from memferry.policies.base import Passage
from memferry.policies.contents import NOTHING


class Case:
    """`contents`: of the record; `said`: with those of what surrounds it. `refs`: what it names. `traces`: where it may
    repeat something, empty until somebody asks; `echoes`: by what it is found again. `passages`: what a held one makes
    known. `cut`: the record without what is to be redacted; `removed`: of blocks that were cut out, known under
    `removed_id`."""

    __slots__ = (
        "contents", "cut", "echoes", "id", "passages", "record", "refs", "removed", "removed_id", "said", "traces",
        "verdict",
    )  # fmt: skip

    def __init__(self, record: Record, id_: int) -> None:
        self.record = record
        self.id = id_
        self.contents = self.said = NOTHING
        self.verdict: Hold | None = None
        self.refs: tuple[int, ...] = ()
        self.traces = overlap.NO_TRACES
        self.echoes: tuple[int, ...] = ()
        self.passages: tuple[Passage, ...] = ()
        self.cut: Record | None = None
        self.removed: tuple[Passage, ...] = ()
        self.removed_id = 0

    @property
    def is_ordinary(self) -> bool:
        """Whether it is a line or an entry with a label, which need not be searched word by word."""
        return self.record.text is None and not self.record.source.derived and labels.is_labelled(self.record)

    def trace(self, fingerprint: Fingerprinter, *, vouched: bool) -> None:
        """Look where it may repeat something."""
        self.traces = overlap.traces(self.record, self.said, fingerprint, vouched=vouched)
        self.echoes = self.traces.echoes

    def also(self, fingerprint: Fingerprinter) -> tuple[int, ...]:
        """Other ids by which records name it."""
        names = lineage.own_names(self.record)
        return tuple([fingerprint.key(self.record.source.space, name) for name in names]) if names else ()
