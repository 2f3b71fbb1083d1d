"""The state database: what is withdrawn leaves its log, too; and a dry run that fails says why."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from memferry.agent.scope import Scope
from memferry.agent.service import opened
from memferry.agent.state.database import State
from memferry.errors import StateError
from memferry.places import DATABASE
from tests.agent.machines import Machine

SECRET = b"8c1e" * 100


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with closing(State(tmp_path / DATABASE)) as state:
        yield state


def log_of(state: State) -> bytes:
    return state.path.with_name(f"{DATABASE}-wal").read_bytes()


def store_and_withdraw(state: State) -> None:
    with state.transaction():
        state.set_meta("secret", SECRET.decode())
    assert SECRET in log_of(state)
    with state.transaction(), state.transaction():
        state.wipe()
        state.execute("delete from meta where name = 'secret'")


def test_what_was_withdrawn_is_in_no_file_of_the_state(state: State) -> None:
    store_and_withdraw(state)
    assert log_of(state) == b""
    assert SECRET not in state.path.read_bytes()


def test_a_reader_does_not_hold_up_a_withdrawal_but_only_its_end(state: State) -> None:
    with closing(sqlite3.connect(state.path, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select * from meta").fetchall()
        store_and_withdraw(state)
        assert SECRET in log_of(state)
        reader.execute("rollback")
    with state.transaction():
        pass
    assert log_of(state) == b""


def test_nothing_of_a_private_record_stays_in_the_log(ant: Machine) -> None:
    path = ant.write("note.md", "# Boiler\n\nthe code is 4-8-1-5\n")
    with opened(ant.config, "test") as agent:
        agent.ingest_all(Scope())
        frames = [sealed.frame for sealed in agent.journal.after(0, 1 << 20)]
        assert all(frame in log_of(agent.state) for frame in frames)
        path.write_text("---\nprivate: true\n---\n# Boiler\n\nthe code is 4-8-1-5\n")
        agent.ingest_all(Scope())
        left = log_of(agent.state) + agent.state.path.read_bytes()
        assert not any(frame in left for frame in frames)


def test_a_dry_run_on_a_full_disk_says_so(state: State) -> None:
    """SQLite has rolled back already by then."""
    state.execute("pragma max_page_count = 1")  # as many as there are
    with pytest.raises(StateError, match="no space left"), state.rehearsal():
        state.set_meta("much", "x" * 1_000_000)
    with state.rehearsal():
        pass
