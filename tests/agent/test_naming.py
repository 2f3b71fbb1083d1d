"""What can be forgotten and explained by which name: in several spaces, and in those that are configured no more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from memferry.agent.commands import verbs
from memferry.agent.commands.status import status
from memferry.agent.service import opened
from memferry.cli.main import run
from memferry.config import Config, load
from memferry.errors import ConfigError, Halted
from tests.agent.machines import QUICK, Machine
from tests.backends.samples import unpacked


class Home:
    """A machine whose spaces, by name, lie in folders of these names below `base`."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.file = base / "memferry.yaml"

    def configure(self, **spaces: str) -> Config:
        listed = ", ".join(f"{{name: {name}, path: {self.base / folder}}}" for name, folder in spaces.items())
        vault = f"{{type: local, path: {self.base / 'vault'}, encryption: none}}"
        self.file.write_text(
            f"machine: ant\nstate: {self.base / 'state'}\nspaces: [{listed}]\nbackends: {{vault: {vault}}}\n{QUICK}"
        )
        return load({}, file=str(self.file))

    def write(self, file: str, text: str) -> Path:
        path = self.base / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def do(self, command: str, **arguments: object) -> dict[str, Any]:
        with opened(load({}, file=str(self.file)), "test") as agent:
            return verbs.perform(agent, command, arguments)

    def status(self) -> Mapping[str, Any]:
        return status(load({}, file=str(self.file)))

    def outside(self) -> bytes:
        return b"".join(unpacked(path.read_bytes()) for path in (self.base / "vault").rglob("*.zst"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """With a space `n1` that was pushed, and is called `notes` now."""
    home = Home(tmp_path)
    for number in range(3):
        home.write(f"memory/{number}.md", f"walnut {number}\n")
    home.write("memory/p.md", "---\nprivate: true\n---\nfig\n")
    home.configure(n1="memory")
    home.do("push")
    home.configure(notes="memory")
    home.do("push")
    return home


# -- spaces that are no longer configured


def test_status_tells_what_is_left_of_a_space_that_was_renamed(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    found = home.status()
    assert found["former_spaces"] == [{"name": "n1", "records": 3, "held": 1, "backends": ["vault"]}]
    counted = sum(one["held"] for one in (*found["spaces"], *found["former_spaces"]))
    assert counted == sum(found["held"].values()) == 2
    assert run(["--config", str(home.file), "status"]) == 0
    shown = capsys.readouterr().out
    assert "not configured any more, 3 records of it still in vault (`memferry forget n1/ " in shown


def test_a_file_of_a_space_that_was_renamed_is_explained_and_forgotten(home: Home) -> None:
    verdicts = [one["verdict"] for one in home.do("explain", target="n1/1.md")["answers"]]
    assert verdicts == ["not read any more", "carried"]
    assert home.do("forget", targets=["n1/1.md"])["withdrawn"] == 1
    assert home.outside().count(b"walnut 1") == 1, "that of the space as it is called now"
    assert home.do("forget", targets=["notes/1.md"])["withdrawn"] == 1
    assert b"walnut 1" not in home.outside()


@pytest.mark.parametrize("name", ["n1", "n1/"])
def test_all_of_a_space_that_was_renamed_is_forgotten_when_that_is_confirmed(home: Home, name: str) -> None:
    with pytest.raises(Halted, match=r"all that was stored of space n1 \(3 records\)") as caught:
        home.do("forget", targets=[name])
    assert "--accept-deletions" in caught.value.hint
    assert home.outside().count(b"walnut") == 6
    assert len(home.do("forget", targets=[name], dry_run=True)["targets"]) == 3
    assert home.do("forget", targets=[name], accept_deletions=True)["withdrawn"] == 3
    assert home.outside().count(b"walnut") == 3
    assert home.status()["former_spaces"] == [{"name": "n1", "records": 0, "held": 1, "backends": []}]


def test_a_space_that_is_configured_is_not_forgotten_by_its_name(home: Home) -> None:
    with pytest.raises(ConfigError, match="nothing is known under notes") as caught:
        home.do("forget", targets=["notes"], accept_deletions=True)
    assert "take it out of the configuration first" in caught.value.hint


# -- names that may mean more than one thing


@pytest.fixture
def two(tmp_path: Path) -> Home:
    """Two spaces, each with a `README.md` and a ledger with a line `k1`."""
    home = Home(tmp_path)
    for space in ("atlas", "notes"):
        home.write(f"{space}/README.md", f"walnut of {space}\n")
        home.write(f"{space}/log.jsonl", f'{{"id": "k1", "text": "fig of {space}"}}\n{{"id": "k2"}}\n')
    home.configure(atlas="atlas", notes="notes")
    home.do("push")
    return home


@pytest.mark.parametrize(
    ("name", "choices"),
    [("README.md", "atlas/README.md, notes/README.md"), ("k1", "atlas:k1, notes:k1")],
    ids=["document", "line"],
)
@pytest.mark.parametrize("undo", [False, True])
def test_what_may_mean_records_of_several_spaces_is_refused(two: Home, name: str, choices: str, undo: bool) -> None:
    if undo:
        two.do("forget", targets=choices.split(", "))
    before = two.outside()
    with pytest.raises(ConfigError) as caught:
        two.do("forget", targets=[name], undo=undo)
    assert str(caught.value) == f"{name} may be one of 2: {choices}"
    assert two.outside() == before
    counted = two.do("forget", targets=choices.split(", ")[:1], undo=undo)
    assert counted["carried_again" if undo else "withdrawn"] == 1


def test_a_record_is_explained_by_its_space_and_key(two: Home) -> None:
    (answer,) = two.do("explain", target="notes:k1")["answers"]
    assert (answer["subject"], answer["verdict"]) == ("notes: k1", "carried")


def test_a_file_is_forgotten_by_its_path_also_by_way_of_a_link(two: Home, tmp_path: Path) -> None:
    assert two.do("forget", targets=[str(tmp_path / "notes" / "README.md")])["withdrawn"] == 1
    (tmp_path / "link").symlink_to(tmp_path / "notes", target_is_directory=True)
    assert two.do("forget", targets=[str(tmp_path / "link" / "log.jsonl")])["withdrawn"] == 2
    assert b"of notes" not in two.outside()
    assert b"walnut of atlas" in two.outside()


def test_what_would_be_forgotten_is_listed_but_not_what_it_says(two: Home, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["notes/log.jsonl", "atlas/README.md"]
    listed = [
        {"space": "atlas", "file": "README.md", "key": "README.md"},
        {"space": "notes", "file": "log.jsonl", "key": "k1"},
        {"space": "notes", "file": "log.jsonl", "key": "k2"},
    ]
    assert run(["--config", str(two.file), "forget", "--dry-run", *names]) == 0
    shown = capsys.readouterr().out
    assert shown == "would withdraw 3 records\n  atlas/README.md\n  notes/log.jsonl  k1\n  notes/log.jsonl  k2\n"
    assert two.do("forget", targets=names, dry_run=True)["targets"] == listed
    assert two.do("forget", targets=names)["targets"] == listed


def test_what_was_pulled_is_listed_and_forgotten_by_its_file(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1", "text": "walnut"})
    ant.write("topic.json", '[{"id": "k1", "text": "fig"}]')
    ant.do("push")
    bee.do("pull")
    names = ["notes/log@ant.jsonl", "notes/topic.json"]
    assert bee.do("forget", targets=names, dry_run=True)["targets"] == [
        {"space": "notes", "file": "log@ant.jsonl", "key": None},
        {"space": "notes", "file": "topic.json", "key": "k1"},
    ]
    assert bee.do("forget", targets=names)["withdrawn"] == 2
    ant.sync()
    assert not {b"walnut", b"fig"} & set(ant.outside().split(b'"'))
