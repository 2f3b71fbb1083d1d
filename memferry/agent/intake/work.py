"""What is at hand while one space is read, and while one of its files is."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from memferry.agent.files import tail
from memferry.agent.files.tree import Tree
from memferry.agent.outcome import Outcome
from memferry.agent.state.catalog import Catalog
from memferry.agent.state.database import State
from memferry.agent.state.journal import Journal
from memferry.agent.state.known import KnownFile
from memferry.agent.state.withdraw import Withdrawal
from memferry.formats.base import Kind
from memferry.keys import Fingerprinter
from memferry.model import Note
from memferry.policies.desk import Desk


class Reading(NamedTuple):
    """How files are read. `settle_s`: a rewritten file must have been left alone for so many seconds.
    `force`: read all again. `thorough`: compare every byte of a ledger, not only its ends.
    `tags` are added to every record that is stored, `type` replaces its own."""

    max_line_bytes: int = tail.LINE_BYTES
    settle_s: float = 0.3
    force: bool = False
    thorough: bool = False
    tags: tuple[str, ...] = ()
    type: str | None = None


@dataclass(frozen=True)
class Work:
    """One reading of one space. Use it in the thread that owns the state."""

    state: State
    journal: Journal
    fingerprint: Fingerprinter
    withdrawal: Withdrawal
    tree: Tree
    reading: Reading
    outcome: Outcome
    desk: Desk

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog(self.state, alone=True)

    def tell(self, known: KnownFile, *, path: str | None = None, **facts: object) -> None:
        """The backends about a file: where it lies now, how it ends, that it is gone."""
        seq, hlc = self.journal.next()
        note = Note(seq, hlc, known.space, path or known.path, known.format, **facts)  # type: ignore[arg-type]
        self.journal.append_ops([note])
        self.catalog.files.add_note(known.id, seq)


@dataclass(slots=True)
class Pass:
    """One pass over one file. `known`: its row so far; `position`: the next free one; `again`: it was read before, so a
    private version that is not met again has lost its label; `held`: then, the ids met as held; `present`: of an array
    whose owner removes entries, all ids met; `wrote`: whether operations were queued."""

    known: KnownFile
    kind: Kind
    position: int = 0
    again: bool = True
    wrote: bool = False
    held: set[int] = field(default_factory=set)
    present: set[int] = field(default_factory=set)
