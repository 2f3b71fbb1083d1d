"""A backend that is configured to lie elsewhere: what is missing there is sent, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from memferry.agent.commands.doctor import doctor
from tests.agent.machines import Machine, quiet


def moved(machine: Machine, vault: str) -> Machine:
    """The same machine, whose configuration names another folder."""
    return Machine(machine.base, machine.name, encryption=machine.encryption, vault=vault)


@pytest.mark.parametrize("encryption", ["none", "age"])
def test_an_empty_place_gets_everything(tmp_path: Path, encryption: str) -> None:
    ant = Machine(tmp_path, "ant", encryption=encryption)
    ant.log("a1", "a2")
    ant.sync()
    ant = moved(ant, "disks/new/vault")
    (backend,) = ant.status()["backends"]
    assert (backend["moved"], backend["acknowledged_through"], backend["acknowledged_at"]) == (True, 0, None)
    assert backend["waiting"]
    assert ant.do("push", dry_run=True)["backends"]["vault"]["would_send_bytes"]
    report = ant.do("push")["backends"]["vault"]
    assert (report["error"], report["checkpoint"]["from"]) == (None, 0)
    assert report["sent"]
    assert not ant.status()["backends"][0]["moved"]
    assert ant.do("verify")["exit_code"] == 0
    assert ant.do("push")["backends"]["vault"]["sent"] == 0
    ant.do("restore", machine="ant", to=str(tmp_path / "back"))
    assert (tmp_path / "back" / "notes" / "log.jsonl").read_text() == ant.read("log.jsonl")
    assert ant.status()["problems"] == []
    assert all(check.good for check in doctor(ant.config))


def test_a_vault_that_was_carried_there_goes_on(ant: Machine, tmp_path: Path) -> None:
    ant.log("a1")
    ant.sync()
    (tmp_path / "vault").rename(tmp_path / "new")
    ant = moved(ant, "new")
    assert ant.do("push", dry_run=True)["backends"]["vault"]["would_send_bytes"] == 0
    report = ant.do("push")["backends"]["vault"]
    assert (report["sent"], report["error"]) == (0, None)
    assert ant.do("verify")["exit_code"] == 0


def test_an_older_copy_gets_what_came_since(ant: Machine, bee: Machine, tmp_path: Path) -> None:
    ant.log("a1", "a2")
    quiet(ant, bee)
    shutil.copytree(tmp_path / "vault", tmp_path / "new")
    ant.log("a3")
    ant.do("forget", targets=["a1"])
    quiet(ant, bee)
    ant, bee = moved(ant, "new"), moved(bee, "new")
    assert ant.do("push")["backends"]["vault"]["checkpoint"]["from"] > 0
    quiet(ant, bee)
    assert ant.do("verify")["exit_code"] == bee.do("verify")["exit_code"] == 0
    cat = Machine(tmp_path, "cat", vault="new")
    cat.do("pull")
    assert cat.lines() == ["a2", "a3"]


def test_others_are_not_missed_where_they_have_not_come_yet(ant: Machine, bee: Machine) -> None:
    ant.log("a1")
    bee.log("b1")
    quiet(ant, bee)
    ant = moved(ant, "new")
    assert ant.do("push")["exit_code"] == ant.do("pull")["exit_code"] == ant.do("verify")["exit_code"] == 0
    bee = moved(bee, "new")
    bee.log("b2")
    quiet(bee, ant)
    assert ant.lines() == bee.lines() == ["a1", "b1", "b2"]
    assert len(list(ant.tree.glob("*@*.jsonl"))) == 1, "they are still called by the same name"
    ant.do("forget", targets=["a1"])
    quiet(ant, bee)
    assert bee.lines() == ["b1", "b2"]


def test_a_pull_looks_too(ant: Machine) -> None:
    ant.log("a1")
    ant.sync()
    ant = moved(ant, "new")
    assert ant.do("pull")["exit_code"] == 0
    (backend,) = ant.status()["backends"]
    assert (backend["moved"], backend["waiting"] > 0) == (False, True)


def test_what_was_withdrawn_before_it_came_to_the_new_place_is_withdrawn_everywhere(ant: Machine, bee: Machine) -> None:
    """The retraction must reach a machine that had it from the old place."""
    ant.log("a1", "a2")
    quiet(ant, bee)
    ant, bee = moved(ant, "new"), moved(bee, "new")
    ant.do("pull")
    ant.do("forget", targets=["a1"])
    quiet(ant, bee)
    assert bee.lines() == ["a2"]


def test_what_was_acknowledged_at_the_old_place_counts_as_sent(ant: Machine, bee: Machine) -> None:
    """A file that cannot be read any more sends nothing that waits; what others have of it they keep."""
    ant.write("topic.json", '[{"id": "e1", "content": "walnut"}]\n')
    quiet(ant, bee)
    ant.write("topic.json", "[{")
    assert ant.do("push")["exit_code"] == 1
    ant, bee = moved(ant, "new"), moved(bee, "new")
    quiet(ant, bee)
    assert "walnut" in bee.read("topic.json")


def test_bad_news_of_the_old_place_ends(ant: Machine, tmp_path: Path) -> None:
    ant.log("a1")
    ant.sync()
    shutil.rmtree(tmp_path / "vault")
    assert ant.do("pull")["exit_code"] == 1
    assert ant.status()["problems"]
    ant = moved(ant, "new")
    assert ant.do("push")["exit_code"] == 0
    assert ant.status()["problems"] == []
