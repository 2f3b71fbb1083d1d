"""Held texts are recognised however they are written again. The whole table: `python -m tests.policies.echoes`."""

from __future__ import annotations

import pytest

from tests.policies.echoes import WRITINGS, false_alarms, recognised

HARD = {"a sentence in a sentence", "two of its clauses", "a sentence without its first words"}
"""Less than 64 letters of one clause are left, or they begin inside another sentence of a labelled line."""

TABLE = {row.writing: row.shares for row in recognised(12)}


@pytest.mark.parametrize("writing", sorted(WRITINGS.keys() - HARD))
def test_a_copy_is_recognised_in_every_kind_of_record(writing: str) -> None:
    assert TABLE[writing] == (1.0, 1.0, 1.0)


def test_a_sentence_inside_another_is_found_where_every_word_is_looked_at() -> None:
    assert TABLE["a sentence in a sentence"][1:] == (1.0, 1.0)


def test_ordinary_notes_are_not_taken_for_copies() -> None:
    """They share phrases of ten words; one in fifty may share a dozen by chance, which is a copy."""
    assert all(one.held <= one.notes * 0.02 for one in false_alarms(150))
