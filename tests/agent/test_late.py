"""What becomes private while it waits to be sent, or between two tries: it stays."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from memferry.agent.files import tail
from memferry.agent.outcome import Outcome
from memferry.agent.scope import Scope
from memferry.agent.sending.deliver import FIRST_BYTES, LEAST_BYTES, MOST_BYTES, Delivered, Pace
from memferry.agent.service import Agent, opened
from memferry.backends.faulty import Fault, FaultyBackend
from memferry.errors import TransientError
from tests.agent.machines import Machine

_T = TypeVar("_T")
OPEN, PRIVATE = '"visibility": "project"', '"visibility": "private"'
CANARY = "the boiler code is 4-8-1-5"


def entry(number: int, text: str = "an ordinary thought") -> str:
    return json.dumps({"id": f"entry-{number}", "visibility": "project", "text": f"{text} {number}"})


def relabel(path: Path, *, grow: bool = False) -> None:
    """The second line becomes private, in place: inode, size and all other bytes are as before."""
    text = path.read_text()
    lines = text.split("\n")
    assert OPEN in lines[1]
    start = text.index(lines[1])
    with path.open("r+b") as file:
        file.seek(start)
        file.write(lines[1].replace(OPEN, PRIVATE).encode())
        if grow:
            file.seek(0, os.SEEK_END)
            file.write(f"{entry(0)}\n".encode())


class Meanwhile(Fault):
    """Something happens while a backend is at work, which then fails."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__(None)
        self._happens = happens

    def around(self, call: Callable[[], _T]) -> _T:
        self.calls += 1
        if self.calls == 1:
            self._happens()
            raise TransientError("the line broke before a byte was sent")
        return call()


def deliver(agent: Agent, fault: Fault | None = None) -> Delivered:
    with agent.backend("vault") as backend:
        return agent.dispatch.delivery(FaultyBackend(backend, fault or Fault(None))).run()


def in_vault(machine: Machine) -> list[str]:
    return [op["key"] for op in machine.stored() if op["op"] == "put"]


def written(machine: Machine, count: int = 4) -> Path:
    lines = [entry(1), entry(2, CANARY), *(entry(number) for number in range(3, count + 1))]
    return machine.write("log.jsonl", "\n".join(lines) + "\n")


@pytest.mark.parametrize("grow", [False, True], ids=["in place", "and it grows"])
def test_what_became_private_while_it_was_queued_is_not_sent(ant: Machine, grow: bool) -> None:
    path = written(ant)
    with opened(ant.config, "test") as agent:
        agent.ingest_all(Scope())
        relabel(path, grow=grow)
        assert deliver(agent).refused == 0
    assert in_vault(ant) == ["entry-1", "entry-3", "entry-4", *(["entry-0"] if grow else [])]
    assert CANARY.encode() not in ant.outside()


def test_what_became_private_between_two_tries_is_not_sent(ant: Machine) -> None:
    path = written(ant)
    with opened(ant.config, "test") as agent:
        agent.ingest_all(Scope())
        fault = Meanwhile(lambda: relabel(path, grow=True))
        assert deliver(agent, fault).error is None
        assert fault.calls == 2
    assert "entry-2" not in in_vault(ant)
    assert CANARY.encode() not in ant.outside()


def test_a_large_ledger_is_compared_whole_before_what_waits_is_sent(ant: Machine) -> None:
    path = written(ant, 52_000)
    assert path.stat().st_size > tail.PROVED_ALWAYS_BYTES
    with opened(ant.config, "test") as agent:
        agent.ingest_all(Scope())
        relabel(path, grow=True)
        deliver(agent)
    assert CANARY.encode() not in ant.outside()
    assert len(in_vault(ant)) == 52_000


def test_a_document_that_became_private_while_it_was_queued_is_not_sent(ant: Machine) -> None:
    path = ant.write("note.md", f"# Boiler\n\n{CANARY}\n")
    ant.write("other.md", "# Garden\n\nroses\n")
    with opened(ant.config, "test") as agent:
        agent.ingest_all(Scope())
        path.write_text(f"---\nprivate: true\n---\n# Boiler\n\n{CANARY}\n")
        deliver(agent)
    assert in_vault(ant) == ["other.md"]


def test_what_was_made_private_under_another_name_is_not_sent(ant: Machine) -> None:
    path = written(ant)
    with opened(ant.config, "test") as agent:
        agent.ingest_all(Scope())
        relabel(path.rename(path.with_name("renamed.jsonl")))
        deliver(agent)
    assert in_vault(ant) == ["entry-1", "entry-3", "entry-4"]
    assert CANARY.encode() not in ant.outside()


def test_what_was_made_private_in_another_file_is_not_sent(ant: Machine) -> None:
    path = written(ant)
    with opened(ant.config, "test") as agent:
        agent.ingest_all(Scope())
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if CANARY not in line))
        ant.write("other.jsonl", next(line for line in lines if CANARY in line).replace("project", "private"))
        deliver(agent)
    assert in_vault(ant) == ["entry-1", "entry-3", "entry-4"]
    assert CANARY.encode() not in ant.outside()


def test_a_repair_does_not_send_again_what_became_private_since(ant: Machine) -> None:
    path = written(ant)
    ant.do("push")
    for segment in (ant.base / "vault").rglob("*.zst"):
        segment.unlink()
    relabel(path)
    assert ant.do("verify", repair=True)["exit_code"] == 0
    assert CANARY.encode() not in ant.outside()
    ant.do("push")
    assert sorted(in_vault(ant)) == ["entry-1", "entry-3", "entry-4"]
    assert ant.do("verify")["exit_code"] == 0


def test_what_was_sent_before_is_withdrawn_by_the_same_delivery(ant: Machine) -> None:
    """The reply was lost, so it may have arrived."""
    path = written(ant)
    with opened(ant.config, "test") as agent:
        agent.ingest_all(Scope())

        class Lost(Meanwhile):
            def around(self, call: Callable[[], _T]) -> _T:
                if self.calls == 0:
                    call()
                return super().around(call)

        assert deliver(agent, Lost(lambda: relabel(path))).error is None
    assert "entry-2" not in in_vault(ant)
    assert CANARY.encode() not in ant.outside()


def test_the_report_counts_what_turned_out_late(ant: Machine) -> None:
    path = written(ant)
    with opened(ant.config, "test") as agent:
        outcome, _ = agent.ingest_all(Scope())
        assert outcome.new == 4
        relabel(path)
        agent.deliver(outcome=outcome)
        assert outcome.new == 3
        assert outcome.held == {("labels.visibility", "its label says so"): 1}


def test_a_writer_who_never_rests_does_not_keep_a_delivery_going(ant: Machine) -> None:
    """What is appended meanwhile is for the next one, however often it is looked at."""
    path = written(ant)
    appended = iter(range(100, 10_000))

    class Writing(Fault):
        def around(self, call: Callable[[], _T]) -> _T:
            self.calls += 1
            with path.open("a") as file:
                file.write(entry(next(appended)) + "\n")
            return call()

    with opened(ant.config, "test") as agent:
        agent.ingest_all(Scope())
        fault = Writing(None)
        deliver(agent, fault)
        assert fault.calls <= 2


def test_nothing_is_read_again_where_nothing_changed(ant: Machine) -> None:
    written(ant)
    with opened(ant.config, "test") as agent:
        agent.ingest_all(Scope())
        outcome = Outcome(agent.journal.last_seq + 1)
        agent.deliver(outcome=outcome)
        assert outcome.changed_files == []


# -- how much is sent at once


def test_a_fast_line_is_given_more_and_a_slow_one_less() -> None:
    pace = Pace()
    assert pace.size_bytes == FIRST_BYTES
    for _ in range(10):
        pace.took(0.01)
    assert pace.size_bytes == MOST_BYTES
    pace.took(0.7)
    assert pace.size_bytes == MOST_BYTES
    for _ in range(20):
        pace.took(30)
    assert pace.size_bytes == LEAST_BYTES
    pace.took(0.01)
    pace.failed()
    assert pace.size_bytes == LEAST_BYTES


# -- what is excluded while it waits


def away(machine: Machine) -> None:
    """All is read, and nothing is sent."""
    with opened(machine.config, "test") as agent:
        agent.ingest_all(Scope())
        assert deliver(agent, Always()).error is not None


class Always(Fault):
    """The backend cannot be reached."""

    def __init__(self) -> None:
        super().__init__(None)

    def around(self, call: Callable[[], _T]) -> _T:
        raise TransientError("nobody answers")


def test_what_was_excluded_while_it_waited_is_not_sent_and_is_once_it_is_not(ant: Machine) -> None:
    ant.write("other.md", "# Garden\n\nroses\n")
    ant.do("push")
    ant.write("boiler/note.md", f"# Boiler\n\n{CANARY}\n")
    away(ant)
    ignored = ant.write(".memferryignore", "boiler/\n")
    ant.do("push")
    assert in_vault(ant) == ["other.md"]
    assert b"boiler" not in ant.outside()
    ignored.unlink()
    ant.do("push")
    assert in_vault(ant) == ["other.md", "boiler/note.md"]


def test_what_was_sent_before_it_was_excluded_stays_until_it_is_forgotten(ant: Machine) -> None:
    ant.write("other.md", "# Garden\n\nroses\n")
    ant.write("boiler/note.md", f"# Boiler\n\n{CANARY}\n")
    ant.do("push")
    ant.write(".memferryignore", "boiler/\n")
    ant.do("push")
    assert sorted(in_vault(ant)) == ["boiler/note.md", "other.md"]
    ant.do("forget", targets=["notes/boiler/note.md"])
    assert in_vault(ant) == ["other.md"]


def test_what_waits_of_a_space_that_is_not_configured_any_more_is_not_sent(ant: Machine) -> None:
    ant.write("other.md", "# Garden\n\nroses\n")
    ant.write("note.md", f"# Boiler\n\n{CANARY}\n")
    away(ant)
    elsewhere = ant.home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "else.md").write_text("# Street\n\ntrees\n")
    settings = ant.config
    settings = settings._replace(spaces=(settings.spaces[0]._replace(name="elsewhere", path=elsewhere),))
    with opened(settings, "test") as agent:
        agent.ingest_all(Scope())
        assert deliver(agent).error is None
    assert in_vault(ant) == ["else.md"]
    assert CANARY.encode() not in ant.outside()


def test_of_an_array_that_cannot_be_read_any_more_nothing_that_waited_is_sent(ant: Machine) -> None:
    """It may say private now, and that cannot be seen."""
    ant.write("other.md", "# Garden\n\nroses\n")
    entries = [{"id": "e1", "content": CANARY}, {"id": "e2", "content": "roses"}]
    path = ant.write("list.json", json.dumps(entries))
    away(ant)
    path.write_text(json.dumps([entries[0] | {"private": True}, entries[1]])[:-1] + ",]")
    ant.do("push")
    assert in_vault(ant) == ["other.md"]
    path.write_text(json.dumps([entries[0] | {"private": True}, entries[1]]))
    ant.do("push")
    assert in_vault(ant) == ["other.md", "e2"]
    assert CANARY.encode() not in ant.outside()


def test_nor_once_that_array_is_removed(ant: Machine) -> None:
    """What it had said last was never understood, so that it is gone tells nothing better."""
    ant.write("other.md", "# Garden\n\nroses\n")
    path = ant.write("list.json", json.dumps([{"id": "e1", "content": CANARY}]))
    away(ant)
    path.write_text(json.dumps([{"id": "e1", "content": CANARY, "private": True}])[:-1] + ",]")
    with opened(ant.config, "test") as agent:
        agent.ingest_all(Scope())
    path.unlink()
    assert ant.do("push")["exit_code"] == 0
    assert in_vault(ant) == ["other.md"]
    assert CANARY.encode() not in ant.outside()
    assert ant.status()["problems"] == []


def test_a_folder_that_comes_with_its_ignore_file_while_others_are_read_is_not_carried(ant: Machine) -> None:
    ant.write("other.md", "# Garden\n\nroses\n")
    boiler = ant.write("note.md", f"# Boiler\n\n{CANARY}\n").rename(ant.home / "note.md")
    with opened(ant.config, "test") as agent:
        (ant.tree / "boiler").mkdir()
        boiler.rename(ant.tree / "boiler/note.md")
        ant.write("boiler/.memferryignore", "*\n")
        agent.ingest_all(Scope())
        deliver(agent)
    assert in_vault(ant) == ["other.md"]
    (ant.tree / "boiler/.memferryignore").unlink()
    ant.do("push")
    assert in_vault(ant) == ["other.md", "boiler/note.md"]


@pytest.mark.parametrize("marker", [b"boiler/\n", b"\xff"], ids=["excluded", "nobody knows"])
def test_what_an_ignore_file_says_that_comes_while_it_is_queued_counts(ant: Machine, marker: bytes) -> None:
    ant.write("boiler/note.md", f"# Boiler\n\n{CANARY}\n")
    ant.write("other.md", "# Garden\n\nroses\n")
    with opened(ant.config, "test") as agent:
        agent.ingest_all(Scope())
        (ant.tree / ".memferryignore").write_bytes(marker)
        deliver(agent)
    assert CANARY.encode() not in ant.outside()
    (ant.tree / ".memferryignore").unlink()
    ant.do("push")
    assert sorted(in_vault(ant)) == ["boiler/note.md", "other.md"]


def test_a_folder_that_is_removed_while_its_files_are_queued_is_still_sent(ant: Machine) -> None:
    ant.write("boiler/note.md", "# Boiler\n\nwarm\n")
    ant.write("other.md", "# Garden\n\nroses\n")
    with opened(ant.config, "test") as agent:
        agent.ingest_all(Scope())
        shutil.rmtree(ant.tree / "boiler")
        ant.write(".memferryignore", "nothing/\n")
        deliver(agent)
    assert sorted(in_vault(ant)) == ["boiler/note.md", "other.md"]


def test_by_a_configuration_that_was_changed_nothing_is_read_or_sent(ant: Machine) -> None:
    ant.write("other.md", "# Garden\n\nroses\n")
    config = ant.config
    with opened(config, "test") as agent:
        agent.ingest_all(Scope())
        ant.write("note.md", f"# Boiler\n\n{CANARY}\n")
        config.source.write_text(config.text.replace("notes}", "notes, exclude: [note.md]}"))
        _, halted = agent.ingest_all(Scope())
        assert halted == ["the configuration was changed since it was read"]
        assert agent.deliver()["vault"].error == "the configuration was changed since it was read"
        assert [problem.text for problem in agent.state.problems()] == [f"halted: {halted[0]}"]
        config.source.write_text(f"# a comment\n{config.text}")
        assert agent.deliver()["vault"].error is None
    assert in_vault(ant) == ["other.md"]
