"""What an incoming version means: the same on every machine, in any order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memferry.agent.merge import Decision, Version, decide, prefix

versions = st.builds(
    Version, digest=st.sampled_from("abcd"), hlc=st.sampled_from(["1", "2", "3"]), machine=st.sampled_from(["x", "y"])
)


def test_new_key_is_taken() -> None:
    assert decide(Version("a", "1", "x"), None, None, seen_before=False, prefix=0) is Decision.TAKE


def test_same_content_is_nothing() -> None:
    ours = Version("a", "9", "y")
    assert decide(Version("a", "1", "x"), None, ours, seen_before=False, prefix=0) is Decision.NOTHING


def test_version_made_from_ours_is_taken_even_if_its_clock_is_behind() -> None:
    ours = Version("a", "9", "y")
    assert decide(Version("b", "1", "x"), "a", ours, seen_before=False, prefix=0) is Decision.TAKE


def test_version_that_was_replaced_here_does_not_come_back() -> None:
    ours = Version("b", "1", "y")
    assert decide(Version("a", "9", "x"), None, ours, seen_before=True, prefix=0) is Decision.NOTHING


def test_longer_content_wins_whatever_the_clocks_say() -> None:
    ours = Version("a", "9", "y")
    assert decide(Version("b", "1", "x"), None, ours, seen_before=False, prefix=prefix("ab", "a")) is Decision.TAKE
    assert decide(Version("b", "9", "x"), None, ours, seen_before=False, prefix=prefix("a", "ab")) is Decision.NOTHING


@given(versions, versions)
def test_both_sides_of_a_conflict_choose_the_same_winner(one: Version, other: Version) -> None:
    if one.digest == other.digest or (one.hlc, one.machine) == (other.hlc, other.machine):
        return
    here = decide(one, None, other, seen_before=False, prefix=0)
    there = decide(other, None, one, seen_before=False, prefix=0)
    assert {here, there} == {Decision.CONFLICT_TAKE, Decision.CONFLICT_KEEP}
