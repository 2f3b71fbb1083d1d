"""One machine and its index, for tests: a journal, and what the agent would tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memferry.backends.base import Finding, Known, Receipt, Repaired
from memferry.backends.qdrant.backend import Index
from memferry.backends.qdrant.engine import Engine
from memferry.backends.qdrant.points import home
from memferry.backends.qdrant.settings import Settings
from memferry.embedder import Embedder, Model
from memferry.model import Identity, Op
from memferry.recall.grams import HashedGrams
from memferry.recall.prose import text_of as prose
from tests.backends.samples import ME, Journal, seal


class Counting(HashedGrams):
    """Says how many texts were embedded. `name`, `dimensions`: those of another model, whose rows are cut."""

    def __init__(self, name: str = "hashed-ngrams", dimensions: int = 512) -> None:
        self.texts = 0
        self._model = Model(name, "0" * 64, dimensions, 1 << 20)

    @property
    def model(self) -> Model:
        return self._model

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += len(texts)
        rows = super().embed_documents(texts)
        return rows[:, : self._model.dimensions]


class Site:
    """`index`: opened with what `settings` say. `through`, `refused`: as the agent has them acknowledged."""

    def __init__(
        self, open_engine: Callable[[], Engine], settings: Settings, me: Identity = ME, *,
        embedder: Embedder | None = None,
    ) -> None:  # fmt: skip
        self.index = Index(open_engine, settings, me, name="hub")
        self.embedder = embedder or Counting()
        self.settings = settings
        self.me = me
        self.journal = Journal()
        self.through = 0
        self.refused: set[int] = set()

    def known(self) -> Known:
        written = max([self.through, *(row.last for row in self.journal.rows)])
        return Known(
            None, self.through, frozenset(self.refused), self.through > 0, written, {}, self.journal, prose,
            lambda: self.embedder,
        )  # fmt: skip

    def write(self, *ops: Op) -> None:
        """Into the journal, as one row; what a retraction names leaves it."""
        row = seal(ops, self.me.id)
        self.journal.withdraw(row.retracts)
        self.journal.rows.append(row)

    def deliver(self, *ops: Op) -> Receipt:
        """Write these, then send what was not acknowledged."""
        if ops:
            self.write(*ops)
        self.index.inform(self.known())
        receipt = self.index.deliver([row for row in self.journal.rows if row.last > self.through])
        self.through = max(self.through, receipt.through)
        self.refused |= set(receipt.refused)
        return receipt

    def again(self, *ops: Op) -> Receipt:
        """Send these, which were sent or refused before."""
        self.index.inform(self.known())
        return self.index.deliver([seal(ops, self.me.id)])

    def tend(self) -> int:
        """Until there is nothing more; how often there was."""
        self.index.inform(self.known())
        turns = 0
        while self.index.tend():
            turns += 1
        return turns

    def findings(self) -> Sequence[Finding]:
        self.index.inform(self.known())
        return self.index.verify({})

    def repair(self) -> Sequence[Repaired]:
        return self.index.repair(self.findings(), self.journal)

    # -- what is there

    @property
    def engine(self) -> Engine:
        return self.index._engine()

    def payloads(self, collection: str | None = None) -> Mapping[str, dict[str, Any]]:
        """All points of this installation, by id."""
        found = self.engine.scroll(collection or self.settings.collection, home(self.me))
        return {one.id: one.payload for one in found}  # type: ignore[misc]

    def documents(self, collection: str | None = None) -> list[str]:
        """What they say, in the order of their operations and pieces."""
        found = sorted(self.payloads(collection).values(), key=lambda one: (seq_of(one), one["metadata"]["chunk"]))
        return [one["document"] for one in found]

    def seqs(self) -> list[int]:
        return sorted(map(seq_of, self.payloads().values()))


def seq_of(payload: Mapping[str, Any]) -> int:
    return int(payload["metadata"]["seq"])
