"""The log of a machine that is gone: what is withdrawn leaves it all the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from memferry.cli.machines import _adopted
from memferry.errors import ConfigError
from tests.agent.machines import Machine, quiet
from tests.agent.test_fork import clone


@pytest.fixture(params=["none", "age"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Machine, Machine]:
    ant, bee = (Machine(tmp_path, name, encryption=request.param) for name in ("ant", "bee"))
    if request.param == "age":
        ant.append("first.jsonl", {"id": "a0"})
        ant.do("push")
        ant.let_in(bee)
    return ant, bee


def told_by(machine: Machine, of: str) -> str:
    """What `machine` can read of a log."""
    machine.do("restore", machine=of, to=str(machine.base / "back"))
    try:
        return "".join(path.read_text() for path in (machine.base / "back").rglob("*") if path.is_file())
    finally:
        shutil.rmtree(machine.base / "back")


def id_of(machine: Machine, name: str) -> str:
    return next(one["id"] for one in machine.do("machines")["backends"][0]["machines"] if one["name"] == name)


def test_what_is_withdrawn_leaves_the_log_of_a_machine_that_is_gone(fleet: tuple[Machine, Machine]) -> None:
    ant, bee = fleet
    ant.append("log.jsonl", {"id": "a1", "text": "walnut"}, {"id": "a2", "text": "hazel"}, {"id": "a3"})
    quiet(ant, bee)
    bee.do("forget", targets=["a1"])
    assert "walnut" in told_by(bee, "ant"), "its owner has not heard of it"
    bee.do("adopt", machine="ant")
    assert "walnut" not in told_by(bee, "ant")
    bee.do("forget", targets=["a2"])
    assert "hazel" not in told_by(bee, "ant")
    assert '"a3"' in told_by(bee, "ant")
    assert bee.do("verify")["exit_code"] == 0
    (shown,) = [one for one in bee.do("machines")["backends"][0]["machines"] if one["adopted"]]
    assert shown["name"] == "ant"


def test_a_machine_that_was_called_gone_and_comes_back_goes_on(fleet: tuple[Machine, Machine]) -> None:
    ant, bee = fleet
    ant.append("log.jsonl", {"id": "a1"}, {"id": "a2"})
    quiet(ant, bee)
    bee.do("adopt", machine="ant")
    bee.do("forget", targets=["a1"])
    ant.append("log.jsonl", {"id": "a3"})
    quiet(ant, bee)
    assert bee.lines()[-2:] == ["a2", "a3"]
    assert "a1" not in bee.lines()
    assert ant.status()["notices"] == []
    assert [machine.do("verify")["exit_code"] for machine in fleet] == [0, 0]


def test_a_third_machine_s_withdrawal_is_carried_out_after_the_next_pull(ant: Machine, bee: Machine) -> None:
    cat = Machine(ant.base, "cat")
    ant.append("log.jsonl", {"id": "a1", "text": "walnut"})
    quiet(ant, bee, cat)
    bee.do("adopt", machine="ant")
    cat.do("forget", targets=["a1"])
    assert b"walnut" in ant.outside()
    bee.do("pull")
    assert b"walnut" not in ant.outside()


def test_a_restored_state_looks_after_the_log_it_left(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1", "text": "walnut"})
    quiet(ant, bee)
    kept = ant.keep_state()
    ant.append("log.jsonl", {"id": "a2"})
    quiet(ant, bee)
    ant.restore_state(kept)
    ant.append("log.jsonl", {"id": "a3"})
    quiet(ant, bee)
    assert len(ant.do("machines")["backends"][0]["machines"]) == 2
    ant.do("forget", targets=["a1"])
    assert b"walnut" not in ant.outside()
    assert ant.do("verify")["exit_code"] == 0
    quiet(bee, ant)
    assert bee.lines() == ["a2", "a3"]


def test_a_copy_leaves_the_log_of_its_original_alone_until_it_is_said_to_be_gone(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1", "text": "walnut"}, {"id": "a2"})
    quiet(ant, bee)
    twin = clone(ant, "twin")
    ant.append("log.jsonl", {"id": "a3"})
    quiet(ant)
    twin.append("log.jsonl", {"id": "t1"})
    quiet(twin, bee)
    twin.do("forget", targets=["a1"])
    assert b"walnut" in ant.outside(), "the original has to do that"
    twin.do("adopt", machine=id_of(twin, "ant"))
    assert b"walnut" not in ant.outside()


def test_an_older_head_is_not_rewritten(ant: Machine, bee: Machine) -> None:
    """That would make a rollback look like the newest state."""
    ant.append("log.jsonl", {"id": "a1"})
    quiet(ant, bee)
    shutil.copytree(ant.base / "vault", ant.base / "old")
    ant.append("log.jsonl", {"id": "a2"})
    quiet(ant, bee)
    bee.do("adopt", machine="ant")
    log = f"machines/{id_of(bee, 'ant')}"
    shutil.rmtree(ant.base / "vault" / log)
    shutil.copytree(ant.base / "old" / log, ant.base / "vault" / log)
    before = (ant.base / "vault" / log / "head.json").read_bytes()
    bee.do("forget", targets=["a1"])
    assert (ant.base / "vault" / log / "head.json").read_bytes() == before
    assert bee.do("pull")["exit_code"] == 4


def test_nobody_adopts_itself_or_somebody_unknown(ant: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"})
    ant.do("push")
    with pytest.raises(ConfigError, match="ant is this machine"):
        ant.do("adopt", machine="ant")
    with pytest.raises(ConfigError, match="no machine eel"):
        ant.do("adopt", machine="eel")


def test_one_damaged_head_hides_no_other_machine(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"})
    bee.append("log.jsonl", {"id": "b1"})
    quiet(ant, bee)
    damaged = ant.base / "vault" / "machines" / id_of(bee, "ant") / "head.json"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    report = bee.do("machines")
    (backend,) = report["backends"]
    assert [one["name"] for one in backend["machines"]] == ["bee"]
    assert [one["name"] for one in backend["refused"]] == ["ant"]
    assert report["exit_code"] == 4


def test_a_log_that_vanished_is_named_until_its_machine_is_called_gone(fleet: tuple[Machine, Machine]) -> None:
    ant, bee = fleet
    ant.append("log.jsonl", {"id": "a1"})
    bee.append("log.jsonl", {"id": "b1"})
    quiet(ant, bee)
    shutil.rmtree(ant.base / "vault" / "machines" / id_of(bee, "ant"))

    pulled = bee.do("pull")
    assert pulled["exit_code"] == 4
    (refused,) = pulled["backends"]["vault"]["refused"]
    assert refused["machine"] == "ant"
    assert "is missing" in refused["error"]
    assert "adopt ant --gone" in refused["hint"]
    assert any("ant" in problem["text"] for problem in bee.status()["problems"])
    assert {"a1", "b1"} <= set(bee.lines()), "what was pulled stays"

    report = bee.do("adopt", machine="ant")
    assert (report["backends"], report["lost"]) == ([], ["vault"])
    assert list(_adopted("ant", report)) == ["the log of ant in vault is gone, and no longer expected"]
    assert bee.do("pull")["exit_code"] == 0
    assert not bee.status()["problems"]
    assert bee.do("verify")["exit_code"] == 0


def test_a_log_that_vanished_and_comes_back_is_trusted_again(fleet: tuple[Machine, Machine]) -> None:
    ant, bee = fleet
    ant.append("log.jsonl", {"id": "a1"})
    quiet(ant, bee)
    log = ant.base / "vault" / "machines" / id_of(bee, "ant")
    log.rename(ant.base / "away")
    assert bee.do("pull")["exit_code"] == 4
    (ant.base / "away").rename(log)
    assert bee.do("pull")["exit_code"] == 0
    assert not bee.status()["problems"]
