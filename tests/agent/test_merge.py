"""Which version is current: the same for any order in which versions are met."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memferry.agent.state.merge import Merged, Version, merge


def version(
    digest: str, time: int, machine: str = "x", *, base: str | None = None, text: str | None = None,
    settled: bool = False,
) -> Version:  # fmt: skip
    return Version(digest, f"{time:016x}", machine, time, base, f"text of {digest}" if text is None else text, settled)


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


def test_settling_brings_nothing_back_that_the_loser_had_replaced() -> None:
    kept = [version("a", 1), version("w", 5, base="a")]
    theirs = [version("b", 2, "y", base="a"), version("c", 3, "y", base="b"), version("d", 4, "y", base="c")]
    assert merge([*kept, *theirs]) == (kept[1], (theirs[2],))
    assert merge([*kept, *theirs[:2], version("d", 4, "y", base="c", settled=True)]) == (kept[1], ())


def test_settling_brings_nothing_back_that_the_loser_had_gone_on_with() -> None:
    short, long = version("a", 1, text="one"), version("b", 2, "y", text="one two", settled=True)
    kept = version("w", 3, "z")
    assert merge([short, long, kept]) == (kept, ())
    late = version("a", 4, text="one")
    assert merge([late, long, kept]) == (late, (kept,)), "but who starts with less later has not seen that"


def test_settling_brings_no_copy_back_that_another_machine_told_late() -> None:
    """Two machines began with the same text, and the second was set up after the first had changed it."""
    first, lost = version("a", 1, "y"), version("b", 2, "y", base="a", settled=True)
    kept, same = version("w", 3, "z"), version("a", 9)
    assert merge([first, lost, kept, same]) == (kept, ())


def test_what_is_made_from_a_loser_conflicts_again() -> None:
    kept = version("w", 2)
    lost, edit = version("b", 1, "y", settled=True), version("c", 3, "y", base="b")
    assert merge([kept, lost, edit]) == (edit, (kept,))


@pytest.mark.parametrize("text", ["a", "b", "c"])
def test_a_text_that_is_brought_back_after_settling_is_current(text: str) -> None:
    versions = [version("a", 1), version("b", 2, "y", base="a"), version("c", 3, "y", base="b")]
    versions += [version("d", 4, "y", base="c", settled=True), version("w", 5, base="a")]
    edit = version(text, 6, base="w")
    other = version("o", 7, "z", base="w")
    assert merge([*versions, edit]) == (edit, ())
    assert merge([*versions, edit, other]) == (other, (edit,))


def test_a_version_preferred_to_what_was_made_from_it_is_current() -> None:
    old, new = version("a", 1), version("b", 2, "y", base="a", settled=True)
    assert merge([old, new]) == (old, ())


class Writers:
    """Machines that write texts nobody wrote before, hear what others know, and settle. Their clocks are right."""

    def __init__(self) -> None:
        self.ops: dict[str, set[Version]] = {name: set() for name in "xyz"}
        self.settled: dict[str, set[Version]] = {name: set() for name in "xyz"}
        self.brought_back: set[str] = set()

    def merged(self, me: str) -> Merged | None:
        known = [one._replace(settled=one in self.settled[me]) for one in self.ops[me]]
        return merge(known) if known else None

    def shown(self, me: str) -> set[str]:
        now = self.merged(me)
        return {now.current.digest, *(one.digest for one in now.rivals)} if now else set()

    def hear(self, me: str, other: str) -> None:
        self.ops[me] |= self.ops[other]
        self.settled[me] |= self.settled[other]

    def edit(self, me: str, time: int) -> None:
        now = self.merged(me)
        self.ops[me].add(version(str(time), time, me, base=now.current.digest if now else None, text=f"<{time}>"))

    def settle(self, me: str, time: int, keep: str) -> str | None:
        """Returns the digest that nobody is to see any more."""
        now = self.merged(me)
        if now is None or not now.rivals:
            return None
        loser = now.rivals[time % len(now.rivals)]
        self.settled[me] |= {one for one in self.ops[me] if one.digest == loser.digest}
        if keep == "current":
            return loser.digest
        self.ops[me].add(version(loser.digest, time, me, base=now.current.digest, text=loser.text))
        self.brought_back.add(loser.digest)
        return now.current.digest


steps = st.sampled_from(["edit", "edit", "hear x", "hear y", "hear z", "settle current", "settle other"])


@given(st.lists(st.tuples(st.sampled_from("xyz"), steps), min_size=5, max_size=40))
def test_settling_ends_one_conflict_and_starts_none(life: list[tuple[str, str]]) -> None:
    """Only a text that somebody brought back may show once more: a second look at it costs less than its loss."""
    writers = Writers()
    for time, (me, step) in enumerate(life):
        match step.split():
            case "hear", other:
                writers.hear(me, other)
            case "settle", keep:
                before = writers.shown(me)
                out = writers.settle(me, time, keep)
                after = writers.shown(me)
                assert out not in after
                assert (before ^ after) - {out} <= writers.brought_back
            case _:
                writers.edit(me, time)
    for me in "xyz":
        ends = {one.digest for one in writers.ops[me] - writers.settled[me]} - {one.base for one in writers.ops[me]}
        assert ends <= writers.shown(me), "nobody has replaced these, and nobody has settled them"


TEXTS = {"a": "one", "b": "one two", "c": "one two three", "d": "other", "e": "", "f": "others"}
digests = st.sampled_from(sorted(TEXTS))
versions = st.builds(
    lambda digest, time, machine, seq, base, settled: Version(
        digest, f"{time:016x}", machine, seq, base, TEXTS[digest], settled
    ),
    digests, st.integers(1, 4), st.sampled_from("xyz"), st.integers(1, 30), st.none() | digests, st.booleans(),
)  # fmt: skip
logs = st.lists(versions, min_size=1, max_size=12, unique_by=lambda one: (one.machine, one.seq)).filter(
    lambda log: not all(one.settled for one in log)
)


@given(logs, st.randoms())
def test_any_order_gives_the_same(log: list[Version], chance: object) -> None:
    """Also for logs that no honest machine writes: with clocks against the seqs, and versions made from each other."""
    shuffled = list(log)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    merged = merge(log)
    assert merge(shuffled) == merged
    shown = [merged.current, *merged.rivals]
    assert len({one.digest for one in shown}) == len(shown)
    assert not any(one.settled for one in shown)


@given(logs)
def test_what_is_out_was_replaced_or_is_the_beginning_of_another(log: list[Version]) -> None:
    merged = merge(log)
    kept = {merged.current.digest, *(one.digest for one in merged.rivals)}
    for one in log:
        assert (
            one.digest in kept
            or one.settled
            or any(
                other.base == one.digest or (other.text.startswith(one.text) and other.text != one.text)
                for other in log
            )
        )
