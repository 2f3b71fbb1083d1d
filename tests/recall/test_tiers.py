"""Which tier answers, and what the semantic one knows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from memferry.config import Config, Recall
from memferry.errors import ConfigError, EmbedderBroken
from memferry.recall import tiers
from memferry.recall.base import Passage, Tier
from memferry.recall.static.tier import HERE, StaticTokens
from memferry.recall.tiers import Installable, chosen
from tests.recall.records import indexed, keys, put, search

TABLE = "5347dfeed2b9f0e088bc23d4dc1c1ea9183d47b48f5d33206308587d49be950d"


def tier(name: str) -> Tier:
    return chosen(Config(Path("m.yaml"), Path("state"), recall=Recall(name)), [], name)


def test_the_best_that_is_installed_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "TIERS", {"semantic": tiers.TIERS["semantic"]})
    assert tier("best").name == "semantic"
    assert tier("core").reranker is None
    monkeypatch.setattr(tiers, "TIERS", {"semantic": Installable("nowhere:f", "semantic", ("no_such_module",))})
    assert tier("best").name == "core"
    with pytest.raises(ConfigError) as caught:
        tier("semantic")
    assert caught.value.hint == 'pip install "memferry[semantic]"'


def test_the_best_that_works_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Installable(f"{__name__}:_broken", "model", ())
    monkeypatch.setattr(tiers, "TIERS", {"semantic": tiers.TIERS["semantic"], "model": broken})
    assert tier("best").name == "semantic"
    with pytest.raises(EmbedderBroken):
        tier("model")


def _broken(config: Config, parts: object) -> Tier:
    raise EmbedderBroken("no weights")


# -- the semantic tier


@pytest.fixture(scope="module")
def tokens() -> StaticTokens:
    return StaticTokens()


def test_the_table_is_the_one_that_the_tool_makes() -> None:
    table = np.load(HERE / "table.npy")
    assert (table.shape, table.dtype) == ((30522, 64), np.int8)
    assert hashlib.sha256(table.tobytes()).hexdigest() == TABLE


def test_it_prefers_what_means_the_same(tokens: StaticTokens) -> None:
    texts = ["The puppy barked at the mailman", "Stock prices fell on Tuesday", "She planted roses"]
    scores = tokens.scores("dogs", [Passage(n, text) for n, text in enumerate(texts)])
    assert max(range(3), key=scores.__getitem__) == 0


def test_each_score_depends_on_its_own_passage_alone(tokens: StaticTokens) -> None:
    passages = [Passage(n, text) for n, text in enumerate(["a boat", "", "two boats in a harbour", "\n"])]
    together = tokens.scores("ship", passages)
    assert together == pytest.approx([tokens.scores("ship", [one])[0] for one in passages], abs=1e-6)


def test_of_what_it_never_learned_it_says_nothing(tokens: StaticTokens) -> None:
    assert tokens.scores("数据库 backup", [Passage(1, "backup")]) == ()
    assert tokens.scores("", [Passage(1, "backup")]) == ()
    assert tokens.scores("backup", []) == ()


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "table.npy").write_bytes(b"\x93NUMPY but not really")
    with pytest.raises(EmbedderBroken, match=r"table\.npy"):
        StaticTokens(tmp_path / "table.npy")


def test_it_reorders_what_full_text_found(tmp_path: Path, tokens: StaticTokens) -> None:
    records = [put(1, "The pet shop pet list for pet names"), put(2, "Our pet cat has four babies", position=5)]
    with indexed(tmp_path / "i.db", *records):
        assert keys(search(tmp_path / "i.db", "pet kitten"))[0] == "k1"
        assert keys(search(tmp_path / "i.db", "pet kitten", tier=Tier("semantic", tokens, 5.0)))[0] == "k2"
