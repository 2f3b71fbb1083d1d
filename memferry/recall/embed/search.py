"""Comparing a question with stored vectors and token states, where the model runs.

The vectors lie in memory as a byte a dimension, 38 MB for 100,000 passages, and are read through from end to end:
measured against engines with an index of their own, that is fast enough up to there (docs/adr/0015-vectors.md).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memferry.embedder import Model
from memferry.recall.embed.base import TOKEN_LIMIT, Question

BLOCK = 512
"""Rows turned into float32 at once: they stay in the cache of a core."""
BEFORE = 0.6
"""How much a word counts that is not in a record itself, but in the one before it in the same file."""
_SCALE_BYTES = 4


class Search:
    """Reads a file of `vectors.Vectors` while that is added to. Whoever opens it closes it."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10, isolation_level=None)
        self._seen: int | None = None
        self._stamps: dict[str, str] = {}
        self._ids: NDArray[np.int64]
        self._matrix: NDArray[np.int8]
        self._scales: NDArray[np.float32]
        self._forget()

    def close(self) -> None:
        self._database.close()

    def of(self, model: Model) -> bool:
        """Whether the vectors are of this model. Looks for changes first."""
        (version,) = self._database.execute("pragma data_version").fetchone()
        if version != self._seen:
            self._refresh()
            self._seen = version
        return (self._stamps.get("model"), self._stamps.get("sha256")) == (model.name, model.sha256)

    def nearest(self, question: Question, limit: int) -> dict[int, float]:
        """Passage id -> cosine, of the `limit` nearest."""
        scores = self._cosines(question.vector)
        best = np.argpartition(-scores, limit - 1)[:limit] if len(scores) > limit else np.arange(len(scores))
        return {int(self._ids[row]): float(scores[row]) for row in best}

    def compare(self, question: Question, ids: Collection[int]) -> dict[int, float]:
        """Passage id -> score, of those that are here: by tokens where the model has them, else the cosine."""
        if len(question.tokens):
            return self._by_tokens(question, ids)
        rows = {int(self._ids[row]): row for row in np.flatnonzero(np.isin(self._ids, list(ids)))}
        return {id_: float(self._matrix[row].astype(np.float32) @ question.vector * self._scales[row])
                for id_, row in rows.items()}  # fmt: skip

    # -- vectors

    def _cosines(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = np.empty(len(self._ids), np.float32)
        block = np.empty((BLOCK, self._matrix.shape[1]), np.float32)
        for start in range(0, len(scores), BLOCK):
            rows = self._matrix[start : start + BLOCK]
            np.copyto(block[: len(rows)], rows)
            np.matmul(block[: len(rows)], vector, out=scores[start : start + len(rows)])
        return scores * self._scales

    def _refresh(self) -> None:
        """Take in what was added, leave out what is gone; all again after the stamps have changed."""
        stamps = dict(self._database.execute("select name, value from stamp"))
        if stamps != self._stamps:
            self._forget()
            self._stamps = stamps
        there = _column(self._database, "select id from passage where id > 0 order by id")
        kept = np.isin(self._ids, there, assume_unique=True)
        new = np.setdiff1d(there, self._ids, assume_unique=True)
        if len(new) or not kept.all():
            self._take(kept, new)

    def _take(self, kept: NDArray[np.bool_], new: NDArray[np.int64]) -> None:
        packed = dict(self._among("select id, vector from passage where id in", new))
        new = np.array(sorted(packed), np.int64)
        raw = np.frombuffer(b"".join(packed[int(id_)] for id_ in new), np.uint8)
        rows = raw.reshape(len(new), -1) if len(new) else np.zeros((0, _SCALE_BYTES + self._matrix.shape[1]), np.uint8)
        matrix = rows[:, _SCALE_BYTES:].view(np.int8)
        scales = rows[:, :_SCALE_BYTES].copy().view(np.float32)[:, 0]
        empty = not len(self._ids)
        self._matrix = matrix.copy() if empty else np.concatenate([self._matrix[kept], matrix])
        self._scales = np.concatenate([self._scales[kept], scales])
        self._ids = np.concatenate([self._ids[kept], new])

    def _forget(self) -> None:
        self._ids = np.zeros(0, np.int64)
        self._matrix = np.zeros((0, 0), np.int8)
        self._scales = np.zeros(0, np.float32)

    # -- tokens

    def _by_tokens(self, question: Question, ids: Collection[int]) -> dict[int, float]:
        """For every token of the question the best of a passage, weighted; the record before counts a little less."""
        before = dict(self._among("select id, before from passage where id in", ids))
        wanted = sorted({*before, *(one for one in before.values() if one is not None)})
        packed = dict(self._among("select id, packed from tokens where id in", wanted))
        known = [id_ for id_ in wanted if packed.get(id_)]
        if not known:
            return {}
        best = dict(zip(known, _best(question.tokens, [packed[id_] for id_ in known]), strict=True))
        weights = question.weights / question.weights.sum()
        return {
            id_: float(weights @ _at_least(best[id_], best.get(previous)))
            for id_, previous in before.items()
            if id_ in best
        }

    def _among(self, sql: str, ids: Collection[int] | NDArray[np.int64]) -> Iterator[tuple]:  # type: ignore[type-arg]
        wanted = json.dumps([int(id_) for id_ in ids])
        return self._database.execute(f"{sql} (select value from json_each(?))", (wanted,))


def _best(tokens: NDArray[np.float32], packed: Sequence[bytes]) -> NDArray[np.float32]:
    """(passages, tokens of the question): the best cosine among each passage's tokens."""
    width = tokens.shape[1]
    rows = np.frombuffer(b"".join(packed), np.int8).reshape(-1, width).astype(np.float32)
    starts = np.cumsum([0, *(len(one) // width for one in packed[:-1])])
    result: NDArray[np.float32] = np.maximum.reduceat(rows @ tokens.T, starts, axis=0) * np.float32(TOKEN_LIMIT / 127)
    return result


def _at_least(own: NDArray[np.float32], before: NDArray[np.float32] | None) -> NDArray[np.float32]:
    return own if before is None else np.maximum(own, before * np.float32(BEFORE))


def _column(database: sqlite3.Connection, sql: str) -> NDArray[np.int64]:
    return np.fromiter((row[0] for row in database.execute(sql)), np.int64)
