"""A lost state finds its own log again, and never another computer's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from memferry.agent.recovery import identity
from tests.agent.machines import Machine


def id_of(machine: Machine) -> str:
    return str(machine.status()["machine"]["id"])


@pytest.fixture
def cloned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers of one image have their folders, and the id of their computer, in common."""
    monkeypatch.setattr(identity, "installation", lambda _: "f" * 32)


def test_two_containers_of_one_image_are_two_machines(cloned: None, ant: Machine, bee: Machine) -> None:
    ant.write("plan.md", "of ant\n")
    ant.write("idea.md", "of ant\n")
    ant.do("push")
    bee.write("plan.md", "of bee\n")
    bee.sync()
    assert id_of(bee) != id_of(ant)
    ant.sync()
    for one in (ant, bee):
        texts = {path.read_text() for path in one.tree.glob("plan*.md")}
        assert texts == {"of ant\n", "of bee\n"}
        assert one.read("idea.md") == "of ant\n"


def test_each_of_them_finds_its_own_log_again(cloned: None, ant: Machine, bee: Machine) -> None:
    for one in (ant, bee):
        one.write(f"{one.name}.md", "text\n")
        one.sync()
    before = id_of(bee)
    shutil.rmtree(bee.state)
    bee.sync()
    assert id_of(bee) == before


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "computer", lambda: None)


def test_where_the_system_has_no_id_a_state_directory_has_its_own(nameless: None, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    assert identity.installation(one) == identity.installation(one) != identity.installation(other)
    before = identity.installation(one)
    shutil.rmtree(one)
    assert identity.installation(one) != before
    assert not one.exists()


def test_there_a_lost_state_is_a_new_machine_and_nothing_is_lost(nameless: None, ant: Machine, bee: Machine) -> None:
    ant.write("plan.md", "plan\n")
    ant.do("push")
    before = id_of(ant)
    shutil.rmtree(ant.state)
    ant.sync()
    assert id_of(ant) != before
    bee.sync()
    assert bee.read("plan.md") == ant.read("plan.md") == "plan\n"
    assert [path.name for path in bee.tree.iterdir()] == ["plan.md"]


def test_a_database_that_is_made_again_there_is_the_same_machine(nameless: None, ant: Machine) -> None:
    ant.write("plan.md", "plan\n")
    ant.do("push")
    before = id_of(ant)
    for path in ant.state.glob("state.db*"):
        path.unlink()
    ant.do("push")
    assert id_of(ant) == before
