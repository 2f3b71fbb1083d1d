"""The semantic tier: for every piece of the question the most similar piece of a passage, rare pieces weighing more.

Late interaction (Khattab and Zaharia, "ColBERT", 2020) over a table that knows no context. Needs numpy; takes a
millisecond for a hundred passages, and no time at all when they are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memferry.config import Config
from memferry.errors import EmbedderBroken
from memferry.recall.base import Passage, Tier
from memferry.recall.embed.minilm import piece_weights
from memferry.recall.embed.wordpiece import WordPiece
from memferry.recall.words import has_cjk

HERE = Path(__file__).parent
VOCABULARY = HERE.parent / "embed" / "vocabulary.txt"
WEIGHT = 2.0
"""Of this list in the fusion, beside 1 for full text. Tuned on five of ten conversations (docs/recall.md)."""
BEFORE = 0.7
"""How much a piece counts that stands in the record before; likewise."""
MOST_PIECES = 512
FINENESS = np.float32(30_000)
"""Of a cosine, as an integer: numpy compares integers of two bytes three times as fast as floats of four."""
LENGTH = np.float32(127)
"""Of a vector in the table."""
REMEMBERED = 4096
"""Passages whose pieces are kept: about 100 bytes each."""


class StaticTokens:
    """A `Reranker`. English: of a question in Chinese, Japanese or Korean it says nothing."""

    def __init__(self, table: Path = HERE / "table.npy") -> None:
        """EmbedderBroken: the table cannot be read."""
        try:
            self._table: NDArray[np.int8] = np.load(table, mmap_mode="r")
            self._pieces = WordPiece(VOCABULARY)
        except (OSError, ValueError) as error:
            raise EmbedderBroken(
                f"{table} cannot be read", hint='pip install --force-reinstall "memferry[semantic]"'
            ) from error
        self._weights = piece_weights(len(self._table))
        self._packed = lru_cache(REMEMBERED)(self._read)

    def scores(self, query: str, passages: Sequence[Passage]) -> Sequence[float]:
        """See `Reranker`."""
        asked = [] if has_cjk(query) else self._pieces.pieces(query, MOST_PIECES)
        if not asked or not passages:
            return ()
        before = [number for number, one in enumerate(passages) if one.before]
        texts = [one.text for one in passages] + [passages[number].before for number in before]
        best, others = np.split(self._best(asked, texts), [len(passages)])
        best[before] = np.maximum(best[before], BEFORE * others)
        weights = self._weights[asked]
        scores: list[float] = (best @ weights / weights.sum()).tolist()
        return scores

    def _best(self, asked: Sequence[int], texts: Sequence[str]) -> NDArray[np.float32]:
        """(texts, pieces of the question): how similar the most similar piece of a text is."""
        documents = [self._packed(text) for text in texts]
        starts = np.cumsum([0, *map(len, documents[:-1])]) // np.dtype(np.uintc).itemsize
        pieces = np.frombuffer(b"".join(documents), np.uintc)
        seen = np.zeros(len(self._table), np.bool_)  # without sorting what is a small range
        seen[pieces] = True
        different = np.flatnonzero(seen)
        places = np.empty(len(self._table), np.intp)
        places[different] = np.arange(len(different))
        wanted = FINENESS / LENGTH**2 * self._vectors(asked)
        similar = (self._vectors(different) @ wanted.T).astype(np.int16)
        best: NDArray[np.int16] = np.maximum.reduceat(similar.take(places[pieces], axis=0), starts)
        return np.divide(best, FINENESS, dtype=np.float32)

    def _read(self, text: str) -> bytes:
        return self._pieces.packed(text, MOST_PIECES) or np.uintc(self._pieces.unknown).tobytes()

    def _vectors(self, pieces: NDArray[np.int64] | Sequence[int]) -> NDArray[np.float32]:
        """(pieces, 64), of about LENGTH."""
        return self._table[pieces].astype(np.float32)


def semantic(config: Config, parts: Sequence[Path]) -> Tier:
    """Full text, reranked."""
    return Tier("semantic", StaticTokens(), WEIGHT)
