"""Comparing a question with stored vectors and token states, where the model runs.

The vectors lie in memory as a byte a dimension, 38 MB for 100,000 passages, and are read through from end to end, or,
where there are many, those that their signs leave: measured against engines with an index of their own, that is fast
enough up to there (docs/adr/0015-vectors.md).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memferry.embedder import Model
from memferry.heap import give_back
from memferry.looking import looking
from memferry.recall.embed.base import TOKEN_LIMIT, Question
from memferry.recall.embed.matrix import Matrix
from memferry.recall.layout import explained

BEFORE = 0.6
"""How much a word counts that is not in a record itself, but in the one before it in the same file."""
AT_ONCE = 20_000
"""Vectors that are taken into memory in one go."""


class Search:
    """Reads a file of `vectors.Vectors` while that is added to. Whoever opens it closes it. Every method: IndexBroken
    where the file cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamps: dict[str, str] = {}
        self._matrix = Matrix()
        self._open()

    def _open(self) -> None:
        with explained(self._path):
            self._database, self._frozen = looking(str(self._path), timeout_s=10)
        self._seen: int | None = None

    def close(self) -> None:
        self._database.close()

    def of(self, model: Model) -> bool:
        """Whether the vectors are of this model. Looks for changes first."""
        if self._frozen:
            self.close()
            self._open()
        ((version,),) = self._rows("pragma data_version")
        if version != self._seen:
            self._refresh()
            self._seen = version
        return (self._stamps.get("model"), self._stamps.get("sha256")) == (model.name, model.sha256)

    def nearest(self, question: Question, limit: int) -> dict[int, float]:
        """Passage id -> cosine, of the `limit` nearest."""
        return self._matrix.nearest(question.vector, limit)

    def compare(self, question: Question, ids: Collection[int]) -> dict[int, float]:
        """Passage id -> score, of those that are here: by tokens where the model has them, else the cosine."""
        if len(question.tokens):
            return self._by_tokens(question, ids)
        return self._matrix.cosines(question.vector, ids)

    # -- vectors

    def _refresh(self) -> None:
        """Take in what was added, leave out what is gone; all again after the stamps have changed."""
        stamps = dict(self._rows("select name, value from stamp"))
        if stamps != self._stamps:
            self._matrix = Matrix()
            self._stamps = stamps
        with explained(self._path):
            ids = self._database.execute("select id from passage where id > 0 order by id")
            there = np.fromiter((id_ for (id_,) in ids), np.int64)
        self._matrix.keep(np.isin(self._matrix.ids, there, assume_unique=True))
        new = np.setdiff1d(there, self._matrix.ids, assume_unique=True)
        for start in range(0, len(new), AT_ONCE):
            self._take(new[start : start + AT_ONCE])
        if len(new) >= AT_ONCE:
            give_back()

    def _take(self, ids: NDArray[np.int64]) -> None:
        packed = dict(self._among("select id, vector from passage where id in", ids))
        there = sorted(packed)  # one may have been withdrawn this moment
        if there:
            rows = np.frombuffer(b"".join(packed[id_] for id_ in there), np.uint8).reshape(len(there), -1)
            self._matrix.add(np.array(there, np.int64), rows)

    # -- tokens

    def _by_tokens(self, question: Question, ids: Collection[int]) -> dict[int, float]:
        """For every token of the question the best of a passage, weighted; the record before counts a little less."""
        before = dict(self._among("select id, before from passage where id in", ids))
        wanted = sorted({*before, *(one for one in before.values() if one is not None)})
        stored = dict(self._among("select id, packed from tokens where id in", wanted))
        known = [id_ for id_ in wanted if stored.get(id_)]
        if not known:
            return {}
        rows = {id_: row for row, id_ in enumerate(known)}
        own = [id_ for id_ in before if id_ in rows]
        best = _best(question.tokens, [stored[id_] for id_ in known])
        nothing = len(known)
        best = np.vstack([best, np.full((1, best.shape[1]), -2.0, np.float32)])
        previous = best[[rows.get(before[id_], nothing) for id_ in own]] * np.float32(BEFORE)
        weights = question.weights / question.weights.sum()
        scores = np.maximum(best[[rows[id_] for id_ in own]], previous) @ weights
        return dict(zip(own, scores.tolist(), strict=True))

    def _among(self, sql: str, ids: Collection[int] | NDArray[np.int64]) -> list[tuple]:  # type: ignore[type-arg]
        return self._rows(f"{sql} (select value from json_each(?))", json.dumps([int(id_) for id_ in ids]))

    def _rows(self, sql: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with explained(self._path):
            return self._database.execute(sql, values).fetchall()


def _best(tokens: NDArray[np.float32], packed: Sequence[bytes]) -> NDArray[np.float32]:
    """(passages, tokens of the question): the best cosine among each passage's tokens."""
    width = tokens.shape[1]
    rows = np.frombuffer(b"".join(packed), np.int8).reshape(-1, width).astype(np.float32)
    starts = np.cumsum([0, *(len(one) // width for one in packed[:-1])])
    result: NDArray[np.float32] = np.maximum.reduceat(rows @ tokens.T, starts, axis=0) * np.float32(TOKEN_LIMIT / 127)
    return result
