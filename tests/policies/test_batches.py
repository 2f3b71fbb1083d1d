"""Judging many at once says of each what judging it alone says."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memferry.model import Hold
from memferry.policies import overlap, secrets
from memferry.policies.base import Held, Kept
from memferry.policies.chain import judge, recheck
from memferry.policies.contents import contents_of
from memferry.policies.desk import Desk
from memferry.policies.letters import GAP, anchors, letters_of, run_of
from memferry.policies.sweep import Sweep, passages_of_all
from tests.policies.held import FINGERPRINT, PROSE, MemoryKnown, doc, lines, private, public

DESK = Desk(search=secrets.search)
WORDS = [
    *PROSE.split()[:12], "van", "seven.", "every,", "(oven)", "café", "已序", "ключ", "a\u200bb", "A&amp;B",
    "\\u0041bc", "[x](http://y.net)", "over\n", "\x1f", "ok\x1f2", "Ünder",
]  # fmt: skip
_SENTENCES = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(_SENTENCES, st.text(st.sampled_from("ab.\n\x1fé已v&;\\u004]("), max_size=30)), max_size=6))
def test_a_run_has_the_letters_and_clauses_of_each_text(texts: list[str]) -> None:
    run, each = run_of(texts), [letters_of(text) for text in texts]
    assert run.texts == [one.folded for one in each]
    assert run.folded == b"".join(one.folded + GAP for one in each)
    starts = [sum(len(one.folded) + 1 for one in each[:number]) for number in range(len(each))]
    clauses = {start + at for start, one in zip(starts, each, strict=True) for at in one.clauses if one.folded}
    assert clauses <= set(run.clauses)
    assert all(run.folded[at : at + 1] in (GAP, b"") for at in set(run.clauses) - clauses)
    assert set(anchors(run.folded)) == {
        start + at for start, one in zip(starts, each, strict=True) for at in anchors(one.folded)
    }


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(_SENTENCES, max_size=3), max_size=6))
def test_a_sweep_knows_the_marks_of_each_record(batch: list[list[str]]) -> None:
    records = lines(*(public("x", str(number), more=texts) for number, texts in enumerate(batch)))
    contents = [contents_of(record) for record in records]
    sweep = Sweep(contents, FINGERPRINT).traced()
    for number, (record, said) in enumerate(zip(records, contents, strict=True)):
        alone = overlap.traces(record, said, FINGERPRINT, vouched=True)
        assert set(alone.marks) <= set(sweep.marks)
        assert sweep.echoes[number] == alone.echoes
        assert all(number in sweep.suspects({mark}) for mark in alone.marks)


def _made(dice: random.Random, number: int) -> object:
    said = " ".join(dice.choices(WORDS[:20], k=dice.randint(2, 30)))
    if dice.random() < 0.3:
        said = f"{said}. {PROSE}"
    if dice.random() < 0.1:
        said += " password: hunter2" + str(number)
    ref = {"ref": f"record-{dice.randrange(40)}"} if dice.random() < 0.3 else {}
    make = private if dice.random() < 0.2 else public
    made = make(said, f"record-{number}", **ref)
    return made if dice.random() < 0.7 else {name: made[name] for name in made if name != "visibility"}


@pytest.mark.parametrize("seed", range(8))
def test_a_batch_is_judged_as_each_of_it_alone(seed: int) -> None:
    """Once everything that was held is known: a later record may have held an earlier one."""
    dice = random.Random(seed)
    records = [*lines(*(_made(dice, number) for number in range(40))), doc(f"# Log\n\n{PROSE}\n"), doc("# x", "b.md")]
    known = MemoryKnown()
    verdicts = judge(records, known, FINGERPRINT, desk=DESK)
    known.learn(verdicts)
    rules = [_rule(one) for one in verdicts]
    assert [_rule(recheck(record, known, FINGERPRINT, desk=DESK)) for record in records] == rules
    assert len(set(rules)) > 3


class _Something(MemoryKnown):
    """Holds a text that nobody repeats."""

    def has_passages(self) -> bool:
        return True


@pytest.mark.parametrize("derived", [False, True])
def test_while_nothing_is_held_records_are_noted_as_if_something_were(derived: bool) -> None:
    dice = random.Random(3)
    made = [one for number in range(30) if (one := _made(dice, number)) and "private" not in str(one)]
    records = [*lines(*made, derived=derived), doc(f"# Log\n\n{PROSE}. {PROSE}\n", derived=derived)]
    verdicts = judge(records, MemoryKnown(), FINGERPRINT)
    assert verdicts == judge(records, _Something(), FINGERPRINT)
    assert not any(isinstance(one, Held) for one in verdicts)
    assert sum(len(one.echoes) > 0 for one in verdicts if isinstance(one, Kept)) > 20


def _rule(one: object) -> Hold | None:
    return one.verdict if isinstance(one, Held) else None


def test_what_cannot_be_traced_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError(PROSE)

    monkeypatch.setattr("memferry.policies.spread.Sweep", broken)
    monkeypatch.setattr("memferry.policies.overlap.traces", broken)
    for verdict in judge([*lines(public(PROSE, "a")), doc(PROSE)], MemoryKnown(), FINGERPRINT):
        assert _rule(verdict) == Hold("traces.failed", "the policy raised ValueError")


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(_SENTENCES, max_size=3), max_size=6))
def test_held_records_are_remembered_as_each_would_be(batch: list[list[str]]) -> None:
    records = lines(*({"id": f"id {number}", "more": texts} for number, texts in enumerate(batch)))
    contents = [contents_of(record) for record in records]
    for record, said, passages in zip(records, contents, passages_of_all(contents, FINGERPRINT), strict=True):
        assert set(passages) == set(overlap.passages(record, said, FINGERPRINT))
