"""Many small documents, which are read, judged and stored together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from memferry.agent.intake import sync
from memferry.agent.outcome import Outcome
from memferry.agent.scope import Scope
from memferry.agent.service import Agent, opened
from tests.agent.machines import Machine

COUNT = 30
SECRET = "the boiler code in the cellar of the harbour office is four eight one five, tell nobody about it"


def note(number: int) -> str:
    return f"notes/note-{number:02d}.md"


@pytest.fixture
def tree(ant: Machine) -> Machine:
    for number in range(COUNT):
        ant.write(note(number), f"# Note {number}\n\nan ordinary thought, the {number}th of its kind\n")
    return ant


@pytest.fixture
def agent(tree: Machine) -> Iterator[Agent]:
    with opened(tree.config, "test") as agent:
        yield agent


def read(agent: Agent) -> Outcome:
    outcome, halted = agent.ingest_all(Scope())
    assert not halted
    return outcome


def statements(agent: Agent) -> int:
    """How many statements a reading takes, however many rows each is about."""
    begun: list[str] = []
    honest = agent.state.execute, agent.state.execute_many

    def counting(one: object, sql: str, *values: object) -> object:
        begun.append(sql)
        return one(sql, *values)  # type: ignore[operator]

    agent.state.execute = lambda *given: counting(honest[0], *given)  # type: ignore[method-assign,assignment]
    agent.state.execute_many = lambda *given: counting(honest[1], *given)  # type: ignore[method-assign,assignment]
    read(agent)
    return len(begun)


def test_statements_and_rows_do_not_grow_with_the_number_of_files(agent: Agent) -> None:
    assert statements(agent) < 3 * COUNT
    assert agent.state.rows("select count(*) from journal") == [(2,)]
    assert agent.state.rows("select count(*), count(distinct id), sum(cleared) from file") == [(COUNT, COUNT, COUNT)]


def test_all_arrive_with_their_times_and_a_second_push_finds_nothing_new(tree: Machine, tmp_path: Path) -> None:
    os.utime(tree.tree / note(3), (1_000_000_000, 1_000_000_000))
    assert tree.do("push")["new"] == COUNT
    again = tree.do("push")
    assert (again["new"], again["modified"], again["totals"]["read"]) == (0, 0, 0)
    tree.do("restore", machine="ant", to=str(tmp_path / "back"))
    assert all((tmp_path / "back/notes" / note(n)).read_text() == tree.read(note(n)) for n in range(COUNT))
    assert (tmp_path / "back/notes" / note(3)).stat().st_mtime == 1_000_000_000


def test_changed_and_new_ones_among_those_that_are_as_they_were(tree: Machine, agent: Agent) -> None:
    read(agent)
    tree.write(note(1), "# Another thought\n")
    tree.write(note(2), "  \n")  # blank: never replaces a full one silently
    tree.write("late.md", "# Late\n")
    os.utime(tree.tree / note(4))
    outcome = read(agent)
    assert (outcome.new, outcome.modified, outcome.unchanged) == (1, 1, 0)
    assert [one.subject for one in agent.state.problems()] == [f"notes/{note(2)}"]
    tree.write(note(2), "# Written again\n")
    assert read(agent).modified == 1
    assert not agent.state.problems()


def test_one_that_cannot_be_read_stops_no_other(tree: Machine, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = os.open

    def refusing(path: object, *given: object, **named: object) -> int:
        if path == "note-07.md":
            raise PermissionError(13, "Permission denied")
        return honest(path, *given, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refusing)
        outcome = read(agent)
    assert outcome.new == COUNT - 1
    assert list(outcome.failed) == [f"notes/{note(7)}"]
    assert read(agent).new == 1
    assert not agent.state.problems()


@pytest.mark.parametrize("private", [0, COUNT - 1], ids=["met first", "met last"])
def test_a_label_in_the_same_batch_holds_its_copies(tree: Machine, private: int) -> None:
    tree.write(note(private), f"---\nvisibility: private\n---\n{SECRET}\n")
    tree.write(note(10), f"# Copied\n\n{SECRET}\n")
    report = tree.do("push")
    assert report["held"]["by_rule"] == {"labels.visibility": 1, "overlap": 1}
    held = {op["key"] for op in tree.stored() if op["op"] == "put"}
    assert held == {note(n) for n in range(COUNT)} - {note(private), note(10)}
    assert SECRET.encode() not in tree.outside()


def test_each_that_is_held_is_known_by_its_own_file(tree: Machine, agent: Agent) -> None:
    for number in (5, 6):
        tree.write(note(number), f"---\nvisibility: private\n---\nnumber {number}\n")
    read(agent)
    files = agent.state.rows("select path from holding join file on file.id = holding.file where count = 1")
    assert {path for (path,) in files} == {note(5), note(6)}
    tree.write(note(5), "# Not private any more\n")
    assert read(agent).new == 1


def test_what_was_stored_and_became_private_takes_its_copies_back(tree: Machine) -> None:
    tree.write(note(1), f"# First\n\n{SECRET}\n")
    tree.write(note(2), f"# Copied\n\n{SECRET}\n")
    tree.do("push")
    for number in range(3, COUNT):
        tree.write(note(number), f"# Rewritten {number}\n")
    tree.write(note(1), f"---\nvisibility: private\n---\n{SECRET}\n")
    assert tree.do("push")["withdrawn"] == 2
    assert SECRET.encode() not in tree.outside()
    assert len([op for op in tree.stored() if op["op"] == "put"]) == 2 * COUNT - 5


def test_a_crash_between_two_batches_loses_and_doubles_nothing(tree: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "COMMITTED", sync.Lot(7, 1 << 20))
    monkeypatch.setattr(sync, "JUDGED", sync.Lot(3, 1 << 20))
    honest, calls = sync.Cycle._read_documents, iter(range(COUNT))

    def crashing(self: sync.Cycle, files: Iterator[object]) -> None:
        if next(calls) == 4:
            raise SystemExit("the power fails")
        honest(self, files)  # type: ignore[arg-type]

    monkeypatch.setattr(sync.Cycle, "_read_documents", crashing)
    with pytest.raises(SystemExit), opened(tree.config, "test") as agent:
        agent.ingest_all(Scope())
    with opened(tree.config, "test") as agent:
        assert agent.state.rows("select count(*) from file") == [(7,)]
    tree.do("push")
    stored = [op["key"] for op in tree.stored() if op["op"] == "put"]
    assert sorted(stored) == [note(n) for n in range(COUNT)]


@pytest.mark.parametrize("mtime_s", [10**10, -(10**10)])
def test_a_file_from_another_century_is_carried_once(ant: Machine, mtime_s: int) -> None:
    path = ant.write("a.md", "harbour\n")
    os.utime(path, (mtime_s, mtime_s))
    if os.stat(path).st_mtime != mtime_s:
        pytest.skip("this file system has no such time")
    assert ant.do("push")["new"] == 1
    again = ant.do("push")
    assert (again["exit_code"], again["totals"]["read"]) == (0, 0)


@pytest.mark.parametrize("front", ['tags: ["\\ud800"]', 'type: "\\ud800"', 'date: "\\ud800"', 'title: "\\ud800"'])
def test_half_a_surrogate_pair_holds_one_document_and_stops_nothing(ant: Machine, front: str) -> None:
    ant.write("a.md", f"---\n{front}\n---\nzanzibar\n")
    ant.write("b.md", "harbour\n")
    report = ant.do("push")
    assert (report["exit_code"], report["new"]) == (0, 1)
    assert ant.bodies() == ["harbour\n"]
    assert ant.do("index")["exit_code"] == 0
