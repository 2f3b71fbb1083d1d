"""Which version is current: the same for any order in which versions are met."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memferry.agent.state.merge import Version, merge


def version(digest: str, time: int, machine: str = "x", *, base: str | None = None, text: str | None = None) -> Version:
    return Version(digest, f"{time:016x}", machine, time, base, f"text of {digest}" if text is None else text)


def test_one_version_is_current() -> None:
    only = version("a", 1)
    assert merge([only]) == (only, ())


def test_the_same_content_twice_is_no_conflict() -> None:
    assert merge([version("a", 1, "x"), version("a", 2, "y")]).rivals == ()


def test_a_version_replaces_the_one_it_was_made_from_even_if_its_clock_is_behind() -> None:
    old, new = version("a", 9, "y"), version("b", 1, "x", base="a")
    assert merge([old, new]) == (new, ())


def test_a_version_that_was_replaced_does_not_come_back() -> None:
    versions = [version("a", 1), version("b", 2, base="a"), version("c", 3, base="b")]
    assert merge(versions) == (versions[2], ())


def test_a_content_that_somebody_brought_back_is_current() -> None:
    first, other, back = version("a", 1), version("b", 2, "y", base="a"), version("a", 3, "z", base="b")
    assert merge([first, other, back]) == (back, ())


def test_the_longer_one_wins_whatever_the_clocks_say() -> None:
    short, long = version("a", 9, text="one"), version("b", 1, "y", text="one two")
    assert merge([short, long]) == (long, ())
    assert merge([version("c", 9, text=""), long]) == (long, ()), "a blank version replaces nothing"


def test_a_version_made_shorter_on_purpose_is_current() -> None:
    long, short = version("a", 1, text="one two"), version("b", 2, base="a", text="one")
    assert merge([long, short]) == (short, ())


def test_versions_that_knew_nothing_of_each_other_are_kept_beside_the_latest() -> None:
    versions = [version("a", 1), version("b", 2, "y", base="a"), version("c", 3, "z", base="a"), version("d", 4, "w")]
    assert merge(versions) == (versions[3], (versions[2], versions[1]))


def test_an_edit_of_the_current_one_settles_no_conflict() -> None:
    mine, theirs, edit = version("a", 1), version("b", 2, "y"), version("c", 3, base="b")
    assert merge([mine, theirs, edit]) == (edit, (mine,))


TEXTS = {"a": "one", "b": "one two", "c": "one two three", "d": "other", "e": "", "f": "others"}
digests = st.sampled_from(sorted(TEXTS))
versions = st.builds(
    lambda digest, time, machine, seq, base: Version(digest, f"{time:016x}", machine, seq, base, TEXTS[digest]),
    digests, st.integers(1, 4), st.sampled_from("xyz"), st.integers(1, 30), st.none() | digests,
)  # fmt: skip
logs = st.lists(versions, min_size=1, max_size=12, unique_by=lambda one: (one.machine, one.seq))


@given(logs, st.randoms())
def test_any_order_gives_the_same(log: list[Version], chance: object) -> None:
    """Also for logs that no honest machine writes: with clocks against the seqs, and versions made from each other."""
    shuffled = list(log)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    merged = merge(log)
    assert merge(shuffled) == merged
    kept = [merged.current.digest, *(one.digest for one in merged.rivals)]
    assert len(set(kept)) == len(kept)


@given(logs)
def test_what_is_out_was_replaced_or_is_the_beginning_of_another(log: list[Version]) -> None:
    merged = merge(log)
    kept = {merged.current.digest, *(one.digest for one in merged.rivals)}
    for one in log:
        assert one.digest in kept or any(
            other.base == one.digest or (other.text.startswith(one.text) and other.text != one.text) for other in log
        )
