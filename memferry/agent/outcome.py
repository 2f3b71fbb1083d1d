"""What reading came to, counted while it happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from memferry.agent.state.plan import Plan
from memferry.model import Put

SAMPLE = 50


@dataclass(slots=True)
class Outcome:
    """Counts of one sync, over all its files; `space/file` names in the collections. `first_seq`: of what it stores.
    `stored`: how many records it queued, also those that it took back.

    `held`: (rule, reason) -> records. `restarted`: why ledgers were read again from their start. `gaps`: of these,
    how often lines may have come and gone unseen. `failed`: file -> (what, next step). `sample`: the first records
    stored. `unsettled`: files that somebody is writing just now. `files`: how many
    each space has.
    """

    first_seq: int
    stored: int = 0
    new: int = 0
    modified: int = 0
    unchanged: int = 0
    duplicates: int = 0
    forgotten: int = 0
    removed: int = 0
    withdrawn: int = 0
    read_bytes: int = 0
    gaps: int = 0
    files: dict[str, int] = field(default_factory=dict)
    held: Counter[tuple[str, str]] = field(default_factory=Counter)
    restarted: Counter[str] = field(default_factory=Counter)
    changed_files: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    sample: list[Put] = field(default_factory=list)

    def take(self, made: Plan) -> None:
        self.stored += len(made.stored)
        self.new += len(made.stored) - made.modified
        self.modified += made.modified
        self.unchanged += made.unchanged
        self.duplicates += made.duplicates
        self.forgotten += made.forgotten
        self.held.update((held.verdict.rule, held.verdict.reason) for held in made.held)
        room = SAMPLE - len(self.sample)
        if room > 0:
            self.sample.extend([op for op in made.ops if isinstance(op, Put)][:room])

    def take_back(self, seqs: Iterable[int]) -> None:
        """Stored records turned out to be private: those of this run were never new to anybody."""
        for seq in seqs:
            if seq >= self.first_seq:
                self.new -= 1
                self.sample = [put for put in self.sample if put.seq != seq]
            else:
                self.withdrawn += 1
