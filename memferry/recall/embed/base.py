"""What a model tells beyond one vector a text, and the forms in which that is stored and compared. Needs numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from memferry.embedder import Embedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOKEN_LIMIT = 0.6
"""What stands for 127 in the bytes of a token: components of unit vectors of 64 dimensions are hardly ever larger."""


LEAST_WEIGHT = 1.0


class Reading(NamedTuple):
    """A text as a model saw it. `vector`: (dimensions,) float32 of unit length. `tokens`: (tokens, width) float32, each
    of unit length; none where the model has no such thing."""

    vector: NDArray[np.float32]
    tokens: NDArray[np.float32]


class Question(NamedTuple):
    """A question likewise. `weights`: (tokens,), how much each token says: rare ones much, below 1 hardly anything."""

    vector: NDArray[np.float32]
    tokens: NDArray[np.float32]
    weights: NDArray[np.float32]

    @property
    def understood(self) -> bool:
        """Whether the model knows the words: a script that it never learned falls into single characters, which say
        nothing."""
        return not len(self.weights) or float(self.weights.mean()) >= LEAST_WEIGHT


@runtime_checkable
class TokenEmbedder(Embedder, Protocol):
    """An embedder that also gives a vector for every token, for late interaction (Khattab and Zaharia, "ColBERT",
    2020)."""

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """In order."""
        ...

    def ask(self, text: str) -> Question:
        """A question."""
        ...


def reads(embedder: Embedder, texts: Sequence[str]) -> list[Reading]:
    """Of any embedder."""
    import numpy as np

    if isinstance(embedder, TokenEmbedder):
        return embedder.read(texts)
    none = np.zeros((0, 0), np.float32)
    return [Reading(vector, none) for vector in embedder.embed_documents(texts)]


def asked(embedder: Embedder, text: str) -> Question:
    """Of any embedder."""
    import numpy as np

    if isinstance(embedder, TokenEmbedder):
        return embedder.ask(text)
    return Question(embedder.embed_query(text), np.zeros((0, 0), np.float32), np.zeros(0, np.float32))


def unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows of length 1; a row of zeros stays."""
    import numpy as np

    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    result: NDArray[np.float32] = (rows / np.maximum(lengths, 1e-12)).astype(np.float32)
    return result


# -- as they are stored


def packed_vector(vector: NDArray[np.float32]) -> bytes:
    """A float32 scale, then a signed byte a dimension."""
    import numpy as np

    scale = np.float32(max(float(np.abs(vector).max()), 1e-12) / 127)
    return scale.tobytes() + np.round(vector / scale).astype(np.int8).tobytes()


def packed_tokens(tokens: NDArray[np.float32]) -> bytes:
    """A signed byte a dimension, token after token."""
    import numpy as np

    return np.round(tokens * (127 / TOKEN_LIMIT)).clip(-127, 127).astype(np.int8).tobytes()
