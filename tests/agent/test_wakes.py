"""Many hints become one wake-up, soon but not at once, in bounded memory."""

from __future__ import annotations

import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from memferry.agent.files.wakes import Debounce, Inbox, Wake, merged


def paths(*names: str) -> frozenset[Path]:
    return frozenset(map(Path, names))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_due_before_something_came() -> None:
    debounce = Debounce()
    assert not debounce.due(1e9)
    assert debounce.wait_s(1e9) is None


def test_due_after_a_quiet_moment() -> None:
    debounce = Debounce(0.1, 1.0)
    debounce.note(5.0)
    assert not debounce.due(5.09)
    assert debounce.due(5.11)
    debounce.reset()
    assert not debounce.due(9.0)


def test_due_at_the_latest_after_the_longest_wait() -> None:
    debounce = Debounce(0.1, 1.0)
    moments = [5.0 + step * 0.05 for step in range(40)]
    due = []
    for now in moments:
        debounce.note(now)
        due.append(debounce.due(now))
    assert due == [now >= 6.0 for now in moments]


@given(steps=st.lists(st.floats(0, 0.5), min_size=1))
def test_what_it_says_to_wait_is_when_it_is_due(steps: list[float]) -> None:
    debounce = Debounce(0.1, 1.0)
    now = 0.0
    for step in steps:
        now += step
        debounce.note(now)
        wait_s = debounce.wait_s(now)
        assert wait_s is not None
        assert 0 <= wait_s <= 0.1 + 1e-6
        assert debounce.due(now + wait_s + 1e-6)
        assert debounce.due(now) == (wait_s == 0)


def test_wakes_merge_to_one() -> None:
    one, two = Wake(paths("a"), "event"), Wake(paths("b"), "event")
    everything = Wake(None, "overflow")
    assert merged(None, one, 10) == one
    assert merged(one, two, 10) == Wake(paths("a", "b"), "event")
    assert merged(one, one, 1) == one
    assert merged(one, two, 1) == Wake(None, "many changes")
    assert merged(one, everything, 10) == merged(everything, one, 10) == everything


def test_the_inbox_gives_once_what_came_when_it_is_quiet() -> None:
    clock = Clock()
    inbox = Inbox(Debounce(0.1, 1.0), clock=clock)
    inbox.put(Wake(paths("a"), "event"))
    assert inbox.take(0) is None
    inbox.put(Wake(paths("b"), "event"))
    clock.now += 0.2
    assert inbox.take(0) == Wake(paths("a", "b"), "event")
    assert inbox.take(0) is None


def test_a_flood_is_bounded() -> None:
    clock = Clock()
    inbox = Inbox(Debounce(), most_paths=100, clock=clock)
    for number in range(100_000):
        inbox.put(Wake(paths(str(number)), "event"))
    clock.now += 1
    assert inbox.take(0) == Wake(None, "many changes")


def test_take_waits_for_another_thread() -> None:
    inbox = Inbox(Debounce(0.01, 1.0))
    threading.Timer(0.02, inbox.put, [Wake(paths("a"), "event")]).start()
    assert inbox.take(30) == Wake(paths("a"), "event")


def test_an_interrupt_ends_the_waiting_and_loses_nothing() -> None:
    inbox = Inbox(Debounce(30, 30))
    inbox.put(Wake(paths("a"), "event"))
    threading.Timer(0.02, inbox.interrupt).start()
    assert inbox.take(30) is None
    inbox.interrupt()
    assert inbox.take(30) is None
    inbox._debounce.quiet_s = 0
    assert inbox.take(30) == Wake(paths("a"), "event")
