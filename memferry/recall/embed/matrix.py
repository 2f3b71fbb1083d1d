"""Vectors in memory, a byte a dimension, and the nearest among them."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from memferry.recall.embed import signs

BLOCK = 512
"""Rows turned into float32 at once: they stay in the cache of a core."""
_SCALE_BYTES = 4


class Matrix:
    """38 MB for 100,000 passages of 384 dimensions, 5 MB of signs beside them."""

    def __init__(self) -> None:
        self.ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._rows: NDArray[np.int8] = np.zeros((0, 0), np.int8)
        self._scales: NDArray[np.float32] = np.zeros(0, np.float32)
        self._signs: NDArray[np.uint64] = np.zeros((0, 0), np.uint64)
        self._signs_tell = False

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Leave out the others."""
        if not kept.all():
            self.ids, self._rows, self._scales = self.ids[kept], self._rows[kept], self._scales[kept]
            self._signs = self._signs[:, kept]

    def add(self, ids: NDArray[np.int64], packed: NDArray[np.uint8]) -> None:
        """`packed`: (n, 4 + dimensions), as `base.packed_vector` makes them."""
        rows = np.ascontiguousarray(packed[:, _SCALE_BYTES:]).view(np.int8)
        own = signs.packed(rows)
        if len(self.ids):
            rows, own = np.concatenate([self._rows, rows]), np.concatenate([self._signs, own], axis=1)
        self._rows, self._signs = rows, own
        self._scales = np.concatenate([self._scales, packed[:, :_SCALE_BYTES].copy().view(np.float32)[:, 0]])
        self.ids = np.concatenate([self.ids, ids])
        self._signs_tell = signs.tell_apart(self._rows, self._scales)

    def nearest(self, vector: NDArray[np.float32], limit: int) -> dict[int, float]:
        """Id -> cosine, of the `limit` nearest; where there are many, of nearly all of those."""
        count = signs.TIMES * max(limit, signs.LEAST)
        if self._signs_tell and len(self.ids) > 2 * count:
            rows = signs.shortlist(self._signs, vector, count)
            scores = self._rows[rows].astype(np.float32) @ vector * self._scales[rows]
        else:
            rows = np.arange(len(self.ids))
            scores = self._all(vector)
        best = np.argpartition(-scores, limit - 1)[:limit] if len(scores) > limit else np.arange(len(scores))
        return {int(self.ids[rows[one]]): float(scores[one]) for one in best}

    def cosines(self, vector: NDArray[np.float32], ids: Collection[int]) -> dict[int, float]:
        """Of those that are here."""
        rows = np.flatnonzero(np.isin(self.ids, list(ids)))
        if not len(rows):  # an empty one does not know how long its rows are
            return {}
        scores = self._rows[rows].astype(np.float32) @ vector * self._scales[rows]
        return dict(zip(self.ids[rows].tolist(), scores.tolist(), strict=True))

    def _all(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = np.empty(len(self.ids), np.float32)
        block = np.empty((BLOCK, self._rows.shape[1]), np.float32)
        for start in range(0, len(scores), BLOCK):
            rows = self._rows[start : start + BLOCK]
            np.copyto(block[: len(rows)], rows)
            np.matmul(block[: len(rows)], vector, out=scores[start : start + len(rows)])
        return scores * self._scales
