"""How much waits is told from the end of the journal, however long that is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from memferry.agent.state.database import State
from memferry.agent.state.queued import BEYOND, WAITING
from memferry.places import DATABASE

ROWS = [(1, 1), (2, 5), (6, 6), (9, 12), (20, 20)]
"""The first and the last seq of each. What lay between them was withdrawn."""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with closing(State(tmp_path / DATABASE)) as state:
        with state.transaction():
            for first, last in ROWS:
                row = (first, last, last - first + 1, 9, "[]", b"frame", 0)
                state.execute("insert into journal values(?, ?, ?, ?, ?, ?, ?)", row)
        yield state


@pytest.mark.parametrize("through", range(22))
def test_it_counts_the_rows_that_reach_beyond(state: State, through: int) -> None:
    assert state.rows(WAITING, through) == [(sum(last - first + 1 for first, last in ROWS if last > through),)]


@pytest.mark.parametrize("sql", [WAITING, f"select count(*), total(length(frame)) from {BEYOND}"])
def test_it_searches_and_reads_nothing_before(state: State, sql: str) -> None:
    plan = [row[-1] for row in state.rows(f"explain query plan {sql}", 5)]
    assert plan
    assert all("SEARCH journal USING INTEGER PRIMARY KEY" in step for step in plan if "journal" in step), plan
