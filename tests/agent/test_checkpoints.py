"""What is remembered of a backend that fails: how long it rests, since when, and what ends it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from memferry.agent.state.checkpoints import Checkpoints
from memferry.agent.state.database import State
from memferry.backends.wrappers import Backoff
from memferry.errors import QuotaExceeded, TransientError
from memferry.places import DATABASE

AWAY = TransientError("the disk is not there", hint="mount it")
FULL = QuotaExceeded("the disk is full", hint="make room")
CAP_S = 300.0


class Clock:
    """Seconds since 1970, of a test's choosing."""

    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


class Longest(random.Random):
    """Always waits as long as it may."""

    def random(self) -> float:
        return 1.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(tmp_path: Path, clock: Clock) -> Iterator[State]:
    with closing(State(tmp_path / DATABASE, clock=clock)) as state:
        yield state


def checkpoints(state: State) -> Checkpoints:
    return Checkpoints(state, Backoff(base_s=1.0, cap_s=CAP_S), Longest())


def test_a_backend_rests_longer_with_every_failure_and_at_most_five_minutes(state: State, clock: Clock) -> None:
    known = checkpoints(state)
    rests = []
    for _ in range(12):
        known.failed("vault", AWAY)
        rests.append(known.of("vault").breaker.rests_until - clock.now)
        clock.now += rests[-1]
    assert rests[:4] == [1.0, 2.0, 4.0, 8.0]
    assert rests == sorted(rests)
    assert rests[-1] == CAP_S


def test_what_waits_is_due_when_the_rest_is_over(state: State, clock: Clock) -> None:
    known = checkpoints(state)
    assert not known.due("vault", 0)
    assert known.due("vault", 7)
    known.failed("vault", AWAY)
    assert not known.due("vault", 7)
    clock.now += 1.0
    assert known.due("vault", 7)
    assert not known.due("vault", 0)


def test_an_operation_that_was_refused_is_due_at_its_own_time(state: State, clock: Clock) -> None:
    with state.transaction():
        state.execute("insert into refused values('vault', 3, 1, ?, 'too large', 0)", (clock.now + 60,))
    assert not checkpoints(state).due("vault", 0)
    clock.now += 60
    assert checkpoints(state).due("vault", 0)


def test_the_first_success_ends_the_rest_and_the_bad_news(state: State) -> None:
    known = checkpoints(state)
    known.failed("vault", AWAY)
    known.failed("vault", AWAY)
    (problem,) = state.problems()
    assert (problem.area, problem.subject, problem.hint) == ("backend", "vault", "mount it")
    known.recovered("vault")
    assert known.of("vault").breaker.failures == 0
    assert state.problems() == []
    known.failed("vault", AWAY)
    assert known.of("vault").breaker.failures == 1


def test_status_says_since_when_it_fails_not_when_it_last_did(state: State, clock: Clock) -> None:
    known, first = checkpoints(state), clock.now
    known.failed("vault", AWAY)
    clock.now += 50
    known.failed("vault", FULL)
    (problem,) = state.problems()
    assert (problem.since, problem.text) == (first, "the disk is full")


def test_one_that_is_full_is_not_away_and_an_answer_does_not_end_its_rest(state: State) -> None:
    known = checkpoints(state)
    known.failed("vault", FULL)
    assert not known.is_away("vault")
    known.pulled("vault")
    assert known.of("vault").breaker.failures == 1


def test_one_that_was_away_is_well_when_it_answers(state: State, clock: Clock) -> None:
    known = checkpoints(state)
    known.failed("vault", AWAY)
    assert known.is_away("vault")
    clock.now += 1.0
    assert not known.is_away("vault")
    known.pulled("vault")
    assert known.of("vault").breaker.failures == 0


def test_a_restart_remembers_that_it_was_away(state: State) -> None:
    checkpoints(state).failed("vault", AWAY)
    known = checkpoints(state)
    assert known.is_away("vault")
    known.pulled("vault")
    assert state.problems() == []


def test_a_restart_remembers_that_it_was_full_and_not_away(state: State) -> None:
    checkpoints(state).failed("vault", FULL)
    known = checkpoints(state)
    known.pulled("vault")
    assert known.of("vault").breaker.failures == 1
    assert [problem.text for problem in state.problems()] == ["the disk is full"]


def test_a_clock_that_is_set_back_does_not_make_it_rest_for_a_year(state: State, clock: Clock) -> None:
    known = checkpoints(state)
    known.failed("vault", AWAY)
    clock.now -= 365 * 86400
    assert known.due("vault", 1)


def test_nor_what_was_refused_then(state: State, clock: Clock) -> None:
    known = checkpoints(state)
    with state.transaction():
        state.execute("insert into refused values('vault', 3, 1, ?, 'too large', 0)", (clock.now + 60,))
    assert known.refused("vault", clock.now) == []
    clock.now -= 365 * 86400
    assert known.refused("vault", clock.now) == [3]
