"""All policies in order."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from memferry.model import Hold, Record
from memferry.policies.base import Held, Kept
from memferry.policies.chain import POLICIES, judge, recheck
from memferry.policies.contents import Contents
from tests.policies.held import FINGERPRINT, MemoryKnown, array, doc, lines, private, public, rules


def test_what_could_not_be_parsed_is_held_first() -> None:
    (verdict,) = judge(lines(b'{"visibility":"private","a":1,"a":2}'), MemoryKnown(), FINGERPRINT)
    assert isinstance(verdict, Held)
    assert verdict.verdict == Hold("parse", "a key appears twice")


def test_a_policy_that_raises_holds_and_says_which_without_content() -> None:
    def broken(record: Record, contents: Contents) -> Hold | None:
        raise ValueError(f"about {record.body!r}")

    policies = (("first", lambda record, contents: None), ("secrets", broken), *POLICIES)
    for verdict in judge(lines(public("CANARY", "a"), public("b", "b")), MemoryKnown(), FINGERPRINT, policies):
        assert isinstance(verdict, Held)
        assert verdict.verdict == Hold("secrets.failed", "the policy raised ValueError")


def test_the_first_policy_that_holds_decides() -> None:
    def one(record: Record, contents: Contents) -> Hold | None:
        return Hold("one", "x")

    def never(record: Record, contents: Contents) -> Hold | None:
        raise AssertionError("not asked")

    (verdict,) = judge(lines(public("x", "a")), MemoryKnown(), FINGERPRINT, (("one", one), ("never", never)))
    assert isinstance(verdict, Held)
    assert verdict.verdict.rule == "one"


def test_an_entry_is_held_with_the_object_around_it() -> None:
    assert rules(array('{"private":true,"entries":[{"id":"a"},{"id":"b"}]}')) == ["labels.private"] * 2
    assert rules(array('{"Private":false,"entries":[{"id":"a"}]}')) == ["labels.spelling"]
    assert rules(array('{"note":"<private>","entries":[{"id":"a"}]}')) == ["labels.mark"]
    assert rules(array('{"version":1,"entries":[{"id":"a"}]}')) == [None]


def test_an_error_of_the_state_is_the_callers() -> None:
    class Broken(MemoryKnown):
        def held_ids(self, ids: Collection[int]) -> Mapping[int, Collection[int]]:
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        judge(lines(public("x", "a")), Broken(), FINGERPRINT)


def test_verdicts_come_in_order_and_carry_what_finds_derived_records() -> None:
    records = lines(private("some private words here", "a"), public("x", "b", refs=["c", "d"]), {"id": "e"})
    held, kept, bare = judge(records, MemoryKnown(), FINGERPRINT)
    assert isinstance(held, Held)
    assert isinstance(kept, Kept)
    assert isinstance(bare, Kept)
    assert [one.record for one in (held, kept, bare)] == records
    assert held.id == FINGERPRINT.key("s", "a")
    assert set(kept.refs) == {FINGERPRINT.key("s", "c"), FINGERPRINT.key("s", "d")}
    assert (kept.echoes, bare.refs, bare.echoes) == ((), (), ())


def test_what_was_held_before_counts() -> None:
    known = MemoryKnown()
    known.learn(judge(lines(private("x", "a")), known, FINGERPRINT))
    assert rules(lines(public("y", "b", ref="a"), public("z", "c", ref="b")), known) == ["lineage", "lineage"]


def test_a_name_counts_only_in_its_own_space() -> None:
    known = MemoryKnown()
    known.ids[FINGERPRINT.key("another", "a")].add(1)
    assert rules(lines(public("y", "b", ref="a")), known) == [None]


def test_a_kept_record_is_held_when_judged_again_later() -> None:
    known = MemoryKnown()
    (record,) = lines(public("y", "b", ref="a"))
    assert isinstance(recheck(record, known, FINGERPRINT), Kept)
    known.learn(judge(lines(private("x", "a")), known, FINGERPRINT))
    again = recheck(record, known, FINGERPRINT)
    assert isinstance(again, Held)
    assert again.verdict.rule == "lineage"


def test_an_empty_batch_has_no_verdicts() -> None:
    assert judge([], MemoryKnown(), FINGERPRINT) == []


def test_empty_records_are_kept() -> None:
    assert rules([doc(""), *lines(b"", {}, [], "", None)]) == [None] * 6


def test_what_surrounds_the_entries_of_an_array_is_judged_once() -> None:
    seen: list[Record] = []
    policies = (*POLICIES, ("seen", lambda record, contents: seen.append(record)))
    entries = array('{"visibility": "project", "entries": [{"id": "a"}, {"id": "b"}, {"id": "c"}]}')
    assert all(isinstance(one, Kept) for one in judge(entries, MemoryKnown(), FINGERPRINT, policies))
    assert [one.around is None for one in seen] == [False, True, False, False]
