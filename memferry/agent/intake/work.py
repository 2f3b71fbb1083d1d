"""What is at hand while one space is read, and while one of its files is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from memferry.errors import MemferryError
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
        self.tell_all([(known._replace(path=path or known.path), facts)])

    def tell_all(self, news: Sequence[tuple[KnownFile, Mapping[str, object]]]) -> None:
        """As `tell`, of several files."""
        first, hlc = self.journal.next()
        notes = [
            Note(seq, hlc, known.space, known.path, known.format, **facts)  # type: ignore[arg-type]
            for seq, (known, facts) in enumerate(news, first)
        ]
        self.journal.append_ops(notes)
        self.catalog.files.add_notes((known.id, note.seq) for (known, _), note in zip(news, notes, strict=True))

    def fail(self, path: str, error: MemferryError) -> None:
        """This file could not be read; the others can."""
        subject = f"{self.tree.name}/{path}"
        self.outcome.failed[subject] = (str(error), error.hint)
        with self.state.transaction():
            self.state.report_problem("file", subject, str(error), error.hint)


@dataclass(slots=True)
class Pass:
    """One pass over one file. `known`: its row so far; `position`: the next free one; `again`: it was read before, so a
    private version that is not met again has lost its label; `held`: then, the ids that it holds; `present`: of an
    array whose owner removes entries, all ids met; `kept`: whether anything of a whole file may leave; `wrote`: whether
    operations were queued."""

    known: KnownFile
    kind: Kind
    position: int = 0
    again: bool = True
    kept: bool = False
    wrote: bool = False
    held: set[int] = field(default_factory=set)
    present: set[int] = field(default_factory=set)
