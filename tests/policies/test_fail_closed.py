"""Everything that is doubtful stays at home, with a reason, and takes nothing else with it."""

from __future__ import annotations

import json

import pytest

from memferry.model import Record
from memferry.policies.base import Held, Kept
from memferry.policies.chain import judge
from tests.policies.doubtful import CANARY, CASES, DOCUMENTS, FRONTS, GOOD, LAYOUTS, entries
from tests.policies.held import FINGERPRINT, MemoryKnown, array, doc, lines


def check(records: list[Record], held: int) -> None:
    """The record at `held` is held for a reason without content; the others are kept."""
    for number, verdict in enumerate(judge(records, MemoryKnown(), FINGERPRINT)):
        if number != held:
            assert isinstance(verdict, Kept)
            continue
        assert isinstance(verdict, Held)
        assert verdict.verdict.rule.startswith(("parse", "labels"))
        assert verdict.verdict.reason
        assert CANARY not in verdict.verdict.reason


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 300


@pytest.mark.parametrize("part", range(8))
def test_a_doubtful_line_is_held_and_the_next_good_one_is_kept(part: int) -> None:
    for name, raw in list(CASES.items())[part::8]:
        try:
            check(lines({**GOOD, "id": "before"}, raw, GOOD), held=1)
        except AssertionError as exc:
            raise AssertionError(name) from exc


def test_a_doubtful_entry_is_held_and_the_others_are_kept() -> None:
    for _, raw in entries():
        check(array(f"[{json.dumps({**GOOD, 'id': 'before'})}, {raw.decode()}, {json.dumps(GOOD)}]"), held=1)


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_doubtful_front_matter_holds_the_document(front: str, layout: str) -> None:
    good = doc("---\nvisibility: team\nprivate: false\n---\nanybody may read this", "notes/good.md")
    check([doc(layout.format(front) + CANARY), good], held=0)


@pytest.mark.parametrize("content", DOCUMENTS)
def test_a_doubtful_document_is_held(content: bytes) -> None:
    check([doc(content), doc("anybody may read this", "notes/good.md")], held=0)
