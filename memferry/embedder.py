"""What turns a text into a vector promises. Which embedder is used is the user's choice (`memferry.recall`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Model(NamedTuple):
    """Which vectors these are: those of two models cannot be compared.

    `name`: as its makers call it, lower case (`all-minilm-l6-v2`). `sha256`: of its weights, hex; an endpoint that does
    not tell has none. `max_tokens`: what follows in a longer text is not seen. `remote`: texts leave this machine.
    """

    name: str
    sha256: str
    dimensions: int
    max_tokens: int
    remote: bool = False


class Embedder(Protocol):
    """Texts to vectors of unit length. The same text gives the same vector. Any number of threads may ask at once; one
    waits no longer than a batch of another takes."""

    @property
    def model(self) -> Model:
        """The model behind it."""
        ...

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(texts, dimensions) float32, a row each, in order."""
        ...

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """(dimensions,) float32: a question, which some models want to be told apart from its answers."""
        ...

    def close(self) -> None:
        """Release what is held: memory, a child process."""
        ...
