"""Clock values, and which of them can be believed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memferry.agent.state import clock
from memferry.backends.operations import is_time

NOW = 1_800_000_000.0
seconds = st.floats(0, 4e9)


@given(seconds, seconds)
def test_values_sort_as_times_do(one: float, other: float) -> None:
    if abs(one - other) > 0.001:
        assert (one < other) == (clock.reading(one) < clock.reading(other))


def test_five_minutes_are_forgiven() -> None:
    wall = clock.reading(NOW)
    assert not clock.is_ahead(clock.reading(NOW + 300), wall)
    assert clock.is_ahead(clock.reading(NOW + 301), wall)
    assert round(clock.ahead_by_s(clock.reading(NOW + 864_000), wall)) == 864_000


def test_a_value_is_a_number_that_sqlite_can_keep() -> None:
    last = "7" + "f" * 15
    assert is_time(last)
    assert not is_time("8" + "0" * 15)
    assert clock.latest(last) == last


def test_the_earliest_sighting_counts_and_only_for_what_was_seen() -> None:
    late, noon, one = (clock.reading(NOW + hours * 3600) for hours in (240, 0, 1))
    seen = {"x": [(5, one), (5, noon)]}
    assert clock.effective("x", 5, late, seen) == noon
    assert clock.effective("x", 6, late, seen) == late
    assert clock.effective("y", 5, late, seen) == late
    assert clock.effective("x", 5, clock.ZERO, seen) == clock.ZERO


def test_a_majority_that_is_ahead_means_that_this_clock_is_behind() -> None:
    wall, ahead = clock.reading(NOW), clock.reading(NOW + 3600)
    assert not clock.outvoted([ahead], wall), "with two, the other one is blamed"
    assert not clock.outvoted([ahead, wall], wall)
    assert clock.outvoted([ahead, ahead], wall)


def test_what_is_no_value_is_told() -> None:
    assert is_time(clock.reading(NOW))
    assert not any(map(is_time, ("", "z" * 16, "0" * 17, "0" * 15 + "\n", "A" * 16)))
