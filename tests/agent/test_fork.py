"""A state directory that was copied, or restored from a backup: both go on, nothing is lost or doubled."""

from __future__ import annotations

import shutil
from pathlib import Path

from memferry.agent.commands.doctor import doctor
from memferry.agent.service import opened
from memferry.config import Config, load
from tests.agent.machines import Machine, quiet
from tests.backends.samples import unpacked


def clone(of: Machine, name: str) -> Machine:
    """The same state and the same files somewhere else, as after copying a home directory."""
    shutil.copytree(of.base / of.name, of.base / name)
    twin = Machine(of.base, name, encryption=of.encryption)
    path = twin.config.source
    path.write_text(path.read_text().replace(f"machine: {name}", f"machine: {of.name}"))
    return _Twin(of.base, name, path)


class _Twin(Machine):
    """Believes to be the machine that it was copied from."""

    def __init__(self, base: Path, name: str, config: Path) -> None:
        super().__init__(base, name)
        self.file = config
        self.text = config.read_text()

    @property
    def config(self) -> Config:
        return load({}, file=str(self.file))


def test_a_copied_state_and_its_original_both_go_on(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"}, {"id": "a2"})
    ant.write("plan.md", "# plan\n")
    quiet(ant, bee)
    twin = clone(ant, "twin")
    ant.append("log.jsonl", {"id": "a3"})
    twin.append("log.jsonl", {"id": "t3"})
    quiet(ant, twin, bee)
    for machine in (ant, twin, bee):
        assert sorted(set(machine.lines())) == ["a1", "a2", "a3", "t3"]
        assert machine.lines() == sorted(set(machine.lines())), f"{machine.name} has something twice"
        assert machine.read("plan.md") == "# plan\n"
        assert machine.conflicts() == []
    states = [machine.status() for machine in (ant, twin)]
    assert sum(state["counters"].get("forks", 0) for state in states) == 1
    (notice,) = [notice for state in states for notice in state["notices"]]
    assert "was copied, or restored from a backup" in notice["text"]
    assert len({state["machine"]["id"] for state in states}) == 2
    assert sorted(state["machine"]["name"] == "ant" for state in states) == [False, True]


def test_a_copied_state_goes_on_in_an_encrypted_vault_too(tmp_path: Path) -> None:
    ant = Machine(tmp_path, "ant", encryption="age")
    ant.append("log.jsonl", {"id": "a1"})
    quiet(ant)
    twin = clone(ant, "twin")
    ant.append("log.jsonl", {"id": "a2"})
    twin.append("log.jsonl", {"id": "t2"})
    quiet(ant, twin)
    assert sorted(ant.lines()) == sorted(twin.lines()) == ["a1", "a2", "t2"]
    assert sum(machine.status()["counters"].get("forks", 0) for machine in (ant, twin)) == 1
    assert [machine.do("verify")["exit_code"] for machine in (ant, twin)] == [0, 0]


def test_a_state_restored_from_a_backup_loses_and_overwrites_nothing(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"})
    quiet(ant, bee)
    kept = ant.keep_state()
    ant.append("log.jsonl", {"id": "a2"})
    ant.write("plan.md", "# plan\n")
    quiet(ant, bee)
    ant.restore_state(kept)
    ant.append("log.jsonl", {"id": "a3"})
    quiet(ant, bee)
    for machine in (ant, bee):
        assert machine.lines() == ["a1", "a2", "a3"]
        assert machine.read("plan.md") == "# plan\n"
    assert ant.status()["counters"]["forks"] == 1
    assert ant.status()["problems"] == []


def test_a_restored_state_with_nothing_new_gets_back_what_it_lacks_by_a_pull(ant: Machine, bee: Machine) -> None:
    ant.log("a1")
    quiet(ant, bee)
    kept, file = ant.keep_state(), ant.read("log.jsonl")
    ant.log("a2")
    quiet(ant, bee)
    ant.log("a3")
    quiet(ant, bee)
    ant.restore_state(kept)
    ant.write("log.jsonl", file)
    assert ant.do("push")["exit_code"] == 0
    (check,) = (check for check in doctor(ant.config) if not check.good)
    assert "memferry pull" in check.hint
    (repaired,) = ant.do("verify", repair=True)["backends"][0]["repaired"]
    assert "memferry pull" in repaired["detail"]
    assert ant.do("pull", dry_run=True)["exit_code"] == 0
    assert "forks" not in ant.status()["counters"], "nothing is done when it is only tried"
    assert ant.do("pull")["exit_code"] == 0
    assert ant.lines() == ["a1", "a2", "a3"]
    assert ant.status()["counters"]["forks"] == 1
    quiet(ant, bee)
    assert bee.lines() == ["a1", "a2", "a3"]
    assert ant.do("verify")["exit_code"] == 0
    assert ant.status()["problems"] == []
    assert all(check.good for check in doctor(ant.config))


def test_a_pull_from_one_vault_that_notices_a_fork_pulls_from_all(tmp_path: Path) -> None:
    """What the old log has withdrawn must be known before anything is delivered anywhere."""
    other = f"{{type: local, path: {tmp_path / 'vault'}}}\n  other: {{type: local, path: {tmp_path / 'other'}}}"
    ant = Machine(tmp_path, "ant", backend=other)
    ant.log("a1", "a2")
    ant.do("push")
    kept = ant.keep_state()
    ant.do("forget", targets=["a1"])
    ant.restore_state(kept)
    assert list(ant.do("pull", backends=["vault"])["backends"]) == ["vault"]
    with opened(ant.config, "test") as agent:
        applied = dict(agent.state.rows("select backend, applied from peer"))
    assert applied["vault"] == applied["other"] > 2


def test_a_restored_state_whose_log_lost_its_newest_operation_is_a_fork_too(ant: Machine, bee: Machine) -> None:
    """The seq that it would give to its next operation was withdrawn, so no two operations can be compared."""
    ant.append("log.jsonl", {"id": "a1"})
    quiet(ant, bee)
    kept = ant.keep_state()
    ant.append("log.jsonl", {"id": "a2"})
    ant.do("push")
    ant.do("forget", targets=["a2"])
    ant.restore_state(kept)
    ant.write("log.jsonl", '{"id": "a1"}\n{"id": "a3"}\n')
    quiet(ant, bee)
    assert bee.lines() == ["a1", "a3"]
    assert ant.status()["counters"]["forks"] == 1


def test_what_was_withdrawn_since_the_backup_is_not_told_anew(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1", "text": "walnut"}, {"id": "a2"})
    ant.write("topic.json", '[{"id": "e1", "content": "walnut"}, {"id": "e2", "content": "fig"}]\n')
    quiet(ant, bee)
    kept = ant.keep_state()
    ant.do("forget", targets=["a1"])
    ant.write("topic.json", '[{"id": "e2", "content": "fig"}]\n')
    quiet(ant, bee)
    ant.restore_state(kept)
    ant.append("log.jsonl", {"id": "a3"})
    quiet(ant, bee)
    assert bee.lines() == ["a2", "a3"]
    assert "walnut" not in bee.read("topic.json")
    assert "walnut" not in ant.read("topic.json")


def test_a_fork_withdraws_what_it_had_from_before_under_both_names(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1", "text": "walnut"}, {"id": "a2"})
    quiet(ant, bee)
    twin = clone(ant, "twin")
    ant.append("log.jsonl", {"id": "a3"})
    twin.append("log.jsonl", {"id": "t3"})
    quiet(ant, twin, bee)
    twin.do("forget", targets=["a1"])
    bee.do("pull")
    assert bee.lines() == ["a2", "a3", "t3"]
    quiet(ant, twin, bee)
    assert b"walnut" not in outside(bee)


def test_a_settled_conflict_stays_settled_under_the_new_name(ant: Machine, bee: Machine) -> None:
    ant.write("plan.md", "# ant's plan\n")
    bee.write("plan.md", "# bee's plan\n")
    quiet(ant, bee)
    (conflict,) = ant.conflicts()
    ant.do("conflicts", resolve=str(conflict["name"]))
    quiet(ant, bee)
    twin = clone(ant, "twin")
    ant.append("log.jsonl", {"id": "a3"})
    twin.append("log.jsonl", {"id": "t3"})
    quiet(ant, twin, bee)
    for machine in (ant, twin, bee):
        assert machine.conflicts() == []
        assert machine.read("plan.md") == ant.read("plan.md")


def outside(machine: Machine) -> bytes:
    files = sorted((machine.base / "vault").rglob("*.zst"))
    return b"".join(unpacked(path.read_bytes()) for path in files)


def test_a_vault_that_was_set_back_is_whole_again_when_every_machine_has_repaired_it(tmp_path: Path) -> None:
    """As when a server is restored from an old backup: one log is older than it was, another one is not there yet."""
    ant, bee, cat = (Machine(tmp_path, name) for name in ("ant", "bee", "cat"))
    for machine in (ant, bee):
        machine.log(f"{machine.name} before")
        machine.sync()
    shutil.copytree(tmp_path / "vault", tmp_path / "backup")
    for machine in (ant, bee, cat):
        machine.log(f"{machine.name} since")
        machine.write(f"{machine.name}.md", "# since\n")
    quiet(ant, bee, cat)
    shutil.rmtree(tmp_path / "vault")
    (tmp_path / "backup").rename(tmp_path / "vault")
    for machine in (ant, bee, cat):
        machine.log(f"{machine.name} after")
        refused = machine.do("push")
        assert refused["exit_code"] == 4
        assert "memferry verify --backend vault --repair" in refused["backends"]["vault"]["hint"]
        assert "repair" in machine.status()["problems"][0]["hint"]
    found = {machine.name: machine.do("verify", repair=True)["exit_code"] for machine in (ant, bee, cat)}
    assert found == {"ant": 1, "bee": 1, "cat": 0}, "the first ones leave something to the others"
    quiet(ant, bee, cat)
    assert ant.lines() == bee.lines() == cat.lines()
    assert len(ant.lines()) == 8
    for machine in (ant, bee, cat):
        assert machine.do("verify")["exit_code"] == 0
        assert machine.status()["problems"] == []
