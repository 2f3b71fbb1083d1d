"""After a state was lost: what was withdrawn, and still stands in its file, stays at home."""

from __future__ import annotations

import datetime
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from memferry.agent.commands.doctor import doctor
from memferry.agent.pulling import apply
from memferry.agent.pulling.pull import Pull
from memferry.agent.service import opened
from memferry.errors import ConfigError, MemferryError, TransientError
from tests.agent.machines import Machine, quiet


def lose_state(machine: Machine) -> None:
    shutil.rmtree(machine.state)


def now(ahead_s: float = 0.0) -> str:
    return datetime.datetime.fromtimestamp(time.time() + ahead_s, datetime.UTC).isoformat()


@pytest.fixture(params=["none", "age"])
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    """One machine; with an encrypted vault only its database is lost, for its keys are the vault's."""
    return Machine(tmp_path, "ant", encryption=request.param)


def keys(machine: Machine) -> list[str]:
    """Of all records that a new machine gets, whole files by name."""
    machine.do("restore", machine="ant", to=str(machine.base / "back"))
    root = machine.base / "back" / "notes"
    try:
        ledgers = [line for path in root.rglob("*.jsonl") for line in path.read_text().splitlines()]
        entries = [one["id"] for path in root.rglob("*.json") for one in json.loads(path.read_text())]
        return sorted([*(json.loads(line)["id"] for line in ledgers), *entries, *(p.name for p in root.rglob("*.md"))])
    finally:
        shutil.rmtree(machine.base / "back")


def test_what_was_forgotten_stays_away_after_the_state_was_lost(alone: Machine) -> None:
    alone.append("log.jsonl", {"id": "a1"}, {"id": "a2", "text": "walnut"}, {"id": "a3"})
    alone.write("plan.md", "# plan\n")
    alone.write("diary.md", "under the walnut tree\n")
    alone.write("topic.json", json.dumps([{"id": "e1", "content": "one"}, {"id": "e2", "content": "walnut"}]))
    alone.do("push")
    alone.do("forget", targets=["a2", "notes/diary.md", "e2"])
    for path in alone.state.glob("state.db*"):
        path.unlink()
    alone.append("log.jsonl", {"id": "a4"})
    alone.write("new.md", "# new\n")
    alone.write("old.md", "---\nupdated: 0001-01-01T00:00:00\n---\nthe first moment there is, in no zone\n")
    alone.do("push")
    assert keys(alone) == ["a1", "a3", "a4", "e1", "new.md", "plan.md"]
    assert b"walnut" not in alone.outside()
    (notice,) = alone.status()["notices"]
    assert "counts as forgotten" in notice["text"]
    alone.do("push")
    assert len(alone.status()["notices"]) == 1


def test_the_whole_directory_may_be_lost(ant: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"}, {"id": "a2", "text": "walnut"}, {"id": "a3"})
    ant.do("push")
    ant.do("forget", targets=["a2"])
    lose_state(ant)
    ant.do("push")
    assert keys(ant) == ["a1", "a3"]
    assert ant.do("explain", target="a2")["answers"][0]["verdict"] == "forgotten"


def test_where_nothing_was_withdrawn_nothing_is_doubted(ant: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"}, {"id": "a3"})
    ant.do("push")
    lose_state(ant)
    ant.append("other.jsonl", {"id": "b1"})
    (ant.tree / "log.jsonl").write_text('{"id": "a1"}\n{"id": "a2"}\n{"id": "a3"}\n')
    ant.do("push")
    assert keys(ant) == ["a1", "a2", "a3", "b1"]
    assert ant.status()["notices"] == []


def test_the_end_of_a_ledger_goes_by_the_time_that_a_line_gives(ant: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1", "ts": now(-60)}, {"id": "a2", "ts": now(-30), "text": "walnut"})
    ant.do("push")
    ant.do("forget", targets=["a2"])
    lose_state(ant)
    ant.append("log.jsonl", {"id": "a3", "ts": now(1)}, {"id": "a4"})
    ant.do("push")
    assert keys(ant) == ["a1", "a3"], "nobody can tell about a4"
    ant.do("forget", targets=["a4"], undo=True)
    assert keys(ant) == ["a1", "a3", "a4"]


def test_what_another_machine_withdrew_stays_away_too(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1", "text": "walnut"}, {"id": "a2"})
    ant.write("plan.md", "walnut\n")
    quiet(ant, bee)
    bee.do("forget", targets=["a1", "plan.md"])
    quiet(bee, ant)
    assert b"walnut" not in ant.outside()
    lose_state(ant)
    quiet(ant, bee)
    assert b"walnut" not in ant.outside()
    assert "walnut" in ant.read("log.jsonl"), "what was written here is its owner's to remove"


def test_a_pulled_entry_that_was_withdrawn_meanwhile_is_not_sent_as_this_machine_s_own(
    ant: Machine, bee: Machine
) -> None:
    entries = [{"id": f"e{n}", "content": f"lantern {n}"} for n in range(3)]
    ant.write("topic.json", json.dumps(entries))
    bee.append("own.jsonl", {"id": "b1"})  # without a log of its own it would be a new machine
    quiet(ant, bee)
    lose_state(bee)
    ant.do("forget", targets=["e1"])
    quiet(bee, ant)
    assert b"lantern 1" not in ant.outside()
    assert "lantern 2" in bee.read("topic.json")


def test_a_space_that_is_not_there_is_asked_about_when_it_is(ant: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1", "text": "walnut"}, {"id": "a2"})
    ant.do("push")
    ant.do("forget", targets=["a1"])
    lose_state(ant)
    ant.tree.rename(ant.tree.with_name("away"))
    ant.do("push")
    ant.tree.with_name("away").rename(ant.tree)
    ant.do("push")
    assert keys(ant) == ["a2"]


def test_what_is_held_stays_held_and_is_free_when_its_label_goes(ant: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"}, {"id": "p1", "visibility": "private"}, {"id": "a2"}, {"id": "a3"})
    ant.do("push")
    ant.do("forget", targets=["a2"])
    lose_state(ant)
    ant.do("push")
    assert ant.do("explain", target="p1")["answers"][0]["verdict"] == "held"
    log = ant.tree / "log.jsonl"
    log.write_text(log.read_text().replace("private", "project"))
    ant.do("push")
    assert keys(ant) == ["a1", "a3", "p1"]


def test_what_was_forgotten_can_be_carried_again(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"}, {"id": "a2"})
    ant.write("plan.md", "# plan\n")
    quiet(ant, bee)
    ant.do("forget", targets=["a1", "notes/plan.md"])
    quiet(bee, ant)
    assert bee.lines() == ["a2"]
    assert ant.do("forget", targets=["a1"], undo=True, dry_run=True)["carried_again"] == 1
    assert ant.do("forget", targets=["a1", "notes/plan.md"], undo=True)["carried_again"] == 2
    quiet(bee, ant)
    assert bee.lines() == ["a1", "a2"]
    assert bee.read("plan.md") == "# plan\n"
    with pytest.raises(ConfigError, match="nothing is forgotten under a1"):
        ant.do("forget", targets=["a1"], undo=True)


def test_what_stands_in_no_file_here_cannot_be_carried_again(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"}, {"id": "a2"})
    quiet(ant, bee)
    bee.do("forget", targets=["a1"])
    assert bee.do("forget", targets=["a1"], undo=True)["carried_again"] == 0


def test_a_state_that_is_made_again_is_made_again_whole(ant: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the vault goes away meanwhile, the next start begins anew, as the same machine."""
    ant.append("log.jsonl", {"id": "a1"}, {"id": "a2"})
    ant.do("push")
    before = ant.status()["machine"]["id"]
    ant.do("forget", targets=["a1"])
    lose_state(ant)

    def gone(self: Pull, *_: object, **__: object) -> None:
        raise TransientError("the vault went away", backend="vault")

    with monkeypatch.context() as patched:
        patched.setattr(Pull, "run", gone)
        with pytest.raises(TransientError), opened(ant.config, "test"):
            pass
    ant.do("push")
    assert ant.status()["machine"]["id"] == before
    assert keys(ant) == ["a2"]


def test_a_vault_that_was_out_of_reach_when_the_state_was_lost_gets_no_second_log(ant: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1", "text": "walnut"}, {"id": "a2"})
    ant.do("push")
    before = ant.status()["machine"]["id"]
    ant.do("forget", targets=["a1"])
    lose_state(ant)
    (ant.base / "vault").rename(ant.base / "away")
    ant.do("pull")
    (ant.base / "away").rename(ant.base / "vault")
    refused = ant.do("push")["backends"]["vault"]
    assert "before its state was lost" in refused["error"]
    assert refused["hint"] == "memferry doctor --rebuild"
    assert b"walnut" not in ant.outside()
    doctor(ant.config, rebuild=True)
    ant.do("push")
    assert keys(ant) == ["a2"]
    assert ant.status()["machine"]["id"] == before


def test_a_space_whose_pulled_lines_cannot_be_read_halts_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They cannot be told from what was withdrawn meanwhile."""
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee")
    ant.log("from ant")
    bee.log("from bee")
    ant.sync()
    bee.sync()
    ant.sync()
    lose_state(ant)

    def closed(root: Path, file: str) -> Iterator[bytes]:
        raise MemferryError(f"{file} cannot be read: Permission denied")

    monkeypatch.setattr(apply, "lines_of", closed)
    report = ant.do("push")
    assert "log@bee.jsonl cannot be read" in report["halted"][0]
    monkeypatch.undo()
    assert ant.do("push")["halted"] == []
