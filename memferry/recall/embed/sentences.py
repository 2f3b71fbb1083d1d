"""Any model of sentence-transformers, by name or path. Loading it takes seconds and half a gigabyte: it only ever runs
in a process of its own (`worker`), when it is needed."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memferry.embedder import Model
from memferry.errors import EmbedderBroken
from memferry.recall.embed.base import unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INSTALL = 'pip install "memferry[sentence-transformers]"'


class SentenceTransformers:
    """An `Embedder`. Prompts that a model names `query` and `document` (or `passage`) are put in front."""

    def __init__(self, name: str, *, device: str | None = None, batch: int = 32) -> None:
        """`name`: of the hub, or a folder, which needs no network. EmbedderBroken: not installed, not found."""
        if Path(name).is_dir():
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            import sentence_transformers
        except ImportError as error:
            raise EmbedderBroken("this model needs sentence-transformers", hint=INSTALL) from error
        self._model = _loaded(sentence_transformers, name, device)
        self._batch = batch
        self._turn = threading.Lock()
        self._identity = Model(
            Path(name).name.lower(), _fingerprint(self._model), int(_dimensions(self._model)),
            int(self._model.get_max_seq_length() or 0) or 512,
        )  # fmt: skip

    @property
    def model(self) -> Model:
        """See `Embedder`. `sha256`: of all weights in memory, in order of their names."""
        return self._identity

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder`."""
        import numpy as np

        if not texts:
            return np.zeros((0, self._identity.dimensions), np.float32)
        return self._encode(list(texts), ("document", "passage"))

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """See `Embedder`."""
        row: NDArray[np.float32] = self._encode([text], ("query",))[0]
        return row

    def close(self) -> None:
        """See `Embedder`."""

    def _encode(self, texts: list[str], prompts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        prompt = next((self._model.prompts[name] for name in prompts if self._model.prompts.get(name)), None)
        parts = [texts[at : at + self._batch] for at in range(0, len(texts), self._batch)]
        return unit(np.vstack([self._run(part, prompt) for part in parts]))

    def _run(self, texts: list[str], prompt: str | None) -> Any:
        with self._turn:
            return self._model.encode(texts, batch_size=self._batch, show_progress_bar=False, prompt=prompt)


def _loaded(library: Any, name: str, device: str | None) -> Any:
    """The errors of a hub, a file and a device are all the same to the user: there is no such model here."""
    try:
        return library.SentenceTransformer(name, device=device)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise EmbedderBroken(
            f"the model {name} cannot be loaded: {reason}", hint="name a folder that holds it, or a model of the hub"
        ) from error


def _dimensions(model: Any) -> int:
    """Newer releases have renamed the method."""
    ask = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
    return int(ask())


def _fingerprint(model: Any) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().float().numpy().tobytes())
    return digest.hexdigest()
