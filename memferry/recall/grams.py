"""Vectors without a model: hashed words and pieces of words. What there is when nothing else is installed.

Texts that share words, or pieces of them, lie close together; meaning it knows nothing of. Every feature is hashed to a
dimension and a sign (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import log
from typing import TYPE_CHECKING
from zlib import crc32

from memferry.embedder import Embedder, Model
from memferry.errors import EmbedderBroken

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIMENSIONS = 512
RECIPE = "hashed-ngrams: words and their grams of 3 and 4, CJK pairs, crc32, log counts, 512 dimensions"
MODEL = Model("hashed-ngrams", hashlib.sha256(RECIPE.encode()).hexdigest(), DIMENSIONS, 1 << 20)
GRAM_WEIGHT = 0.4
_WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|\w+")
_SIGN = 1 << 31


def embedder() -> Embedder:
    """The one of this module. EmbedderBroken if numpy is missing."""
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        raise EmbedderBroken("vectors need numpy", hint='pip install "memferry[qdrant]"') from error
    return HashedGrams()


class HashedGrams:
    """An `Embedder` that needs no weights: the same text gives the same vector everywhere, for ever."""

    @property
    def model(self) -> Model:
        """See `Embedder`. `sha256`: of the recipe."""
        return MODEL

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder`. A text without a word is its own direction: cosine wants a length."""
        import numpy as np

        rows = np.array([np.bincount(*_features(text), minlength=DIMENSIONS) for text in texts], np.float32)
        rows = rows.reshape(len(texts), DIMENSIONS)
        rows[~rows.any(axis=1), 0] = 1.0
        lengths: NDArray[np.float32] = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / lengths

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """See `Embedder`."""
        row: NDArray[np.float32] = self.embed_documents([text])[0]
        return row

    def close(self) -> None:
        """See `Embedder`; nothing is held."""


def _features(text: str) -> tuple[list[int], list[float]]:
    """Dimensions and what is added to each, once for every feature of the text."""
    dimensions, weights = [0], [0.0]
    for word, count in Counter(_WORDS.findall(text.lower())).items():
        places, signs = _hashed(word)
        dimensions += places
        weights += signs if count == 1 else [(1.0 + log(count)) * sign for sign in signs]
    return dimensions, weights


@lru_cache(maxsize=1 << 15)
def _hashed(word: str) -> tuple[list[int], list[float]]:
    numbers = [crc32(feature.encode("utf-8", "surrogatepass")) for feature in (word, *_grams(word))]
    weights = [1.0] + [GRAM_WEIGHT] * (len(numbers) - 1)
    signed = [weight if number & _SIGN else -weight for number, weight in zip(numbers, weights, strict=True)]
    return [number % DIMENSIONS for number in numbers], signed


def _grams(word: str) -> Iterator[str]:
    """Pieces of a word; of a script that is written without spaces, its pairs of letters."""
    if word[0] >= "\u3040" and _WORDS.fullmatch(word):
        yield from (word[at : at + 2] for at in range(len(word) - 1))
        return
    bounded = f"<{word}>"
    for size in (3, 4):
        yield from (bounded[at : at + size] for at in range(len(bounded) - size + 1))
