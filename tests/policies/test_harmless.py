"""What is called harmless without a closer look is what a closer look finds harmless."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memferry.policies import secrets
from memferry.policies.harmless import is_harmless
from memferry.policies.secrets import vocabulary

ANNOUNCING = (
    vocabulary.PASSWORD_WORDS
    + vocabulary.PASSWORD_SHORT
    + vocabulary.KEY_WORDS
    + vocabulary.KEY_SHORT
    + vocabulary.CODE_WORDS
    + vocabulary.CODE_SHORT
)


@pytest.mark.parametrize(
    "text",
    [
        "Run migrations before the first ferry leaves.",
        "The tide service answers in UTC, the timetable is in local time",
        "Port 8080 is taken; use 8081 (see docs/deploy.md)",
        "Released on 2026-11-21: 12 fixes, 3 features.",
        "The webhook retries and the session is kept",
        "We don't need tokens here, says Ada!",
    ],
)
def test_plain_sentences_are_harmless(text: str) -> None:
    assert is_harmless(text)


@pytest.mark.parametrize("word", ANNOUNCING)
@pytest.mark.parametrize("said", ["{} is 94711", "the {} = sunshine4", "{}: x7f", "x '{}' 482913"])
def test_a_value_near_a_telling_word_is_not_harmless(word: str, said: str) -> None:
    assert not is_harmless(said.format(word))
    assert not is_harmless(said.format(word.upper()))


@pytest.mark.parametrize(
    "text",
    [
        "it is ghp_a1B2c3D4e5a1B2c3D4e5a1B2c3D4e5F6g7H8", "AKIAQYLPMN5HFIQR7XYA", "https://ann:s3cret@git.example.org/x",
        "4111 1111 1111 1111", "68 75 6e 74 65 72 32 21", "aHVudGVyMiBpcyBpdA==", "eyJhbGciOiJIUzI1NiJ9.e30.abc",
        "über", "p\u200bassword", "-----BEGIN PRIVATE KEY-----", "the password is swordfish", "a\\u0070",
    ],
)  # fmt: skip
def test_what_may_be_one_is_not_harmless(text: str) -> None:
    assert not is_harmless(text)


_WORDS = st.sampled_from(
    [*ANNOUNCING, "is", "the", "my", "=", ":", "hunter", "Sunshine", "9471", "hunter2", "a1", "B2c", "Regen",
     "sun-shine", "2026-11-21", "x", "'open'", "AB", "db_", "staging", "correct", "horse", "battery", "staple", "@"]
)  # fmt: skip


@example([*["security word"] * 3, *["private key"] * 3], " ")  # all of these are in the list of BIP 39
@settings(max_examples=400, deadline=None)
@given(st.lists(_WORDS, max_size=8), st.sampled_from([" ", " ", "", "_", ": "]))
def test_nothing_that_is_found_was_called_harmless(words: list[str], between: str) -> None:
    text = between.join(words)
    if is_harmless(text):
        assert secrets.found(text) == []
