"""Vectors without a model."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memferry.errors import EmbedderBroken
from memferry.recall import grams
from memferry.recall.grams import DIMENSIONS, HashedGrams


@given(st.lists(st.text(), max_size=5))
def test_every_text_has_a_direction(texts: list[str]) -> None:
    rows = HashedGrams().embed_documents(texts)
    assert rows.shape == (len(texts), DIMENSIONS)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)


def test_the_same_text_gives_the_same_vector_for_ever() -> None:
    """What is stored must be found by a later version: these figures may never change."""
    row = HashedGrams().embed_query("Remember the milk")
    assert np.allclose(row, HashedGrams().embed_documents(["x", "Remember the milk"])[1])
    strongest = sorted(np.argsort(-np.abs(row))[:3].tolist())
    assert strongest == [22, 285, 486]


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        ("expired certificates", "the certificate of the gateway had expired", "bananas are cheap on Monday"),
        ("deploying", "how we deploy the service", "what the team had for lunch"),
        ("笔记本", "我昨天买了一台新的笔记本电脑", "今天天气很好我们去公园"),
    ],
)
def test_what_shares_words_or_their_pieces_lies_closer(query: str, near: str, far: str) -> None:
    embedder = HashedGrams()
    scores = embedder.embed_documents([near, far]) @ embedder.embed_query(query)
    assert scores[0] > scores[1] + 0.05


def test_without_numpy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(EmbedderBroken, match="numpy") as caught:
        grams.embedder()
    assert "memferry[qdrant]" in caught.value.hint
