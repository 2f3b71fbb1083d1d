"""A state that is made again takes over from the one before it what no log has, and what it knows to be private."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from memferry.agent.commands import verbs
from memferry.agent.commands.doctor import Check, doctor
from memferry.agent.recovery import former
from memferry.agent.service import opened
from memferry.config import load
from tests.agent.machines import Machine

SECRET = "the merger with Acme closes quietly on the second Friday of May and nobody outside the board may hear"


def _rebuild(machine: Machine) -> Check:
    return doctor(machine.config, rebuild=True)[0]


def _away(machine: Machine) -> Path:
    """The vault's disk is away, and a file lies where it was."""
    vault = machine.base / "vault"
    vault.rename(machine.base / "elsewhere")
    vault.write_text("")
    return vault


def _back(vault: Path) -> None:
    vault.unlink()
    (vault.parent / "elsewhere").rename(vault)


def _deletes_what_waits(ant: Machine) -> Path:
    """Two records wait for a vault that is away, and their files are gone. Returns where it was."""
    for number in range(9):
        ant.write(f"{number}.md", f"# page {number}\n")
    ant.do("push")
    vault = _away(ant)
    ant.write("one.md", "the first of two\n")
    ant.append("l.jsonl", {"id": "two", "text": "the second of two"})
    ant.do("push")
    (ant.tree / "one.md").unlink()
    (ant.tree / "l.jsonl").unlink()
    return vault


def _keys(machine: Machine) -> list[str]:
    return sorted(op["key"] for op in machine.stored() if op["op"] == "put")


def test_what_no_log_has_is_taken_over(ant: Machine) -> None:
    vault = _deletes_what_waits(ant)
    _back(vault)
    check = _rebuild(ant)
    assert check.good
    assert "from it that no log has" in check.finding
    assert not (ant.state / former.FORMER).exists()
    ant.do("push")
    assert {"one.md", "two"} <= set(_keys(ant))
    assert len(_keys(ant)) == 11
    assert ant.do("push")["new"] == 0


def test_also_while_the_backend_is_away(ant: Machine) -> None:
    before = _deletes_what_waits(ant)
    id_ = ant.status()["machine"]["id"]
    _rebuild(ant)
    assert ant.status()["machine"]["id"] == id_
    _back(before)
    ant.do("push")
    assert {"one.md", "two"} <= set(_keys(ant))
    assert len(_keys(ant)) == 11


def test_also_where_no_backend_keeps_a_log(tmp_path: Path) -> None:
    ant = Machine(tmp_path, "ant", backend="{type: qdrant, path: " + str(tmp_path / "engine") + "}")
    ant.write("one.md", "the first of two\n")
    ant.write("two.md", "the second of two\n")
    ant.do("push")
    id_, last = ant.status()["machine"]["id"], ant.status()["journal"]["last_seq"]
    (ant.tree / "one.md").unlink()
    assert _rebuild(ant).good
    assert (ant.status()["machine"]["id"], ant.status()["journal"]["last_seq"]) == (id_, last)
    ant.do("forget", targets=["one.md"])
    with opened(ant.config, "test") as agent, agent.backend("vault") as backend:
        assert backend.capacity().points == 1


def test_of_an_earlier_version_as_well(ant: Machine) -> None:
    vault = _deletes_what_waits(ant)
    _back(vault)
    with contextlib.closing(sqlite3.connect(ant.state / "state.db")) as database:
        database.execute("pragma user_version = 1")
    assert _rebuild(ant).good
    ant.do("push")
    assert {"one.md", "two"} <= set(_keys(ant))


def test_after_a_crash_it_is_still_taken_over(ant: Machine) -> None:
    vault = _deletes_what_waits(ant)
    _back(vault)
    former.set_aside(ant.state)
    ant.do("push")
    assert {"one.md", "two"} <= set(_keys(ant))
    assert not (ant.state / former.FORMER).exists()


@pytest.mark.parametrize("made", [False, True])
def test_so_it_is_after_a_second_try(ant: Machine, made: bool) -> None:
    vault = _deletes_what_waits(ant)
    _back(vault)
    former.set_aside(ant.state)
    if made:
        (ant.state / "state.db").touch()
    _rebuild(ant)
    ant.do("push")
    assert {"one.md", "two"} <= set(_keys(ant))


def test_what_was_withdrawn_while_the_backend_was_away_stays_so(ant: Machine) -> None:
    ant.append("l.jsonl", {"id": "one", "text": "walnut"}, {"id": "two", "text": "oak"})
    ant.write("plan.md", "# walnut\n")
    ant.do("push")
    vault = _away(ant)
    ant.do("forget", targets=["one", "plan.md"])
    _back(vault)
    _rebuild(ant)
    ant.do("push")
    assert _keys(ant) == ["two"]
    assert b"walnut" not in ant.outside()
    ant.write("plan.md", "# walnut\n")
    ant.do("push")
    assert b"walnut" not in ant.outside()


def test_what_cannot_be_read_of_it_is_named(ant: Machine) -> None:
    vault = _deletes_what_waits(ant)
    _back(vault)
    with contextlib.closing(sqlite3.connect(ant.state / "state.db")) as database, database:
        database.execute("update journal set frame = x'00' where first = (select max(first) from journal)")
    check = _rebuild(ant)
    assert not check.good
    assert "could not be taken over" in check.finding
    assert check.hint


@pytest.mark.parametrize("noticed", [True, False])
def test_what_was_held_is_known_although_its_file_is_gone(ant: Machine, noticed: bool) -> None:
    ant.write("p.md", f"---\nprivate: true\n---\n{SECRET}\n")
    ant.write("n.md", f"# week\n\n{SECRET}\n")
    for number in range(4):
        ant.write(f"{number}.md", f"# page {number}\n")
    ant.do("push")
    (ant.tree / "p.md").unlink()
    if noticed:
        ant.do("push")
    _rebuild(ant)
    ant.do("push")
    assert b"Acme" not in ant.outside()
    assert ant.do("explain", target="n.md")["answers"][0]["verdict"] == "held"


def test_what_is_held_no_more_leaves_after_it_as_before(ant: Machine) -> None:
    path = ant.write("p.md", f"---\nprivate: true\n---\n{SECRET}\n")
    ant.write("n.md", f"# week\n\n{SECRET}\n")
    ant.do("push")
    _rebuild(ant)
    path.write_text(f"{SECRET}\n")
    ant.do("push")
    ant.do("push")
    assert _keys(ant) == ["n.md", "p.md"]


def test_without_the_secret_it_says_nothing_of_what_is_held(ant: Machine) -> None:
    ant.write("p.md", f"---\nprivate: true\n---\n{SECRET}\n")
    ant.do("push")
    (ant.state / "secret.key").unlink()
    _rebuild(ant)
    with contextlib.closing(sqlite3.connect(ant.state / "state.db")) as database:
        assert database.execute("select count(*) from held").fetchone() == (0,)


@pytest.mark.parametrize("lost", [False, True])
def test_lines_of_a_machine_that_has_another_name_by_now_are_still_its_own(tmp_path: Path, lost: bool) -> None:
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee")
    ant.log("one", "two")
    ant.do("push")
    bee.write("own.md", "bee's own\n")
    bee.sync()
    renamed = ant.file.read_text().replace("machine: ant", "machine: cat")
    ant.file.write_text(renamed)
    with opened(load({}, file=str(ant.file)), "test") as agent:
        ant.write("more.md", "more\n")
        verbs.perform(agent, "push", {})
    if lost:
        bee.do("pull")
        shutil.rmtree(bee.state)
    else:
        _rebuild(bee)
    bee.sync()
    assert sorted(_keys(bee)) == ["more.md", "one", "own.md", "two"]
    assert [path.name for path in bee.tree.glob("log@*")] == ["log@cat.jsonl"]
    assert bee.lines() == ["one", "two"]


def test_a_state_that_was_deleted_is_made_from_the_logs_alone(ant: Machine) -> None:
    ant.write("one.md", "text\n")
    ant.do("push")
    shutil.rmtree(ant.state)
    assert "there was no old state" in _rebuild(ant).finding
