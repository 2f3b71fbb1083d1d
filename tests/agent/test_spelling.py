"""Names that differ, and are one on some disks. `Loose` is a folder of such a disk: it finds what it holds under every
spelling; what the disk of these tests does is tried, too, whatever that is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest

from memferry.agent.pulling import spelling
from memferry.agent.pulling.spelling import called, taken
from memferry.durable import Folder
from tests.agent.machines import Machine

COMPOSED, DECOMPOSED = normalize("NFC", "café.md"), normalize("NFD", "café.md")


def alike(name: str) -> str:
    return normalize("NFC", name).casefold()


class Loose(Folder):
    """As on a Mac."""

    def _true(self, name: str) -> str:
        return next((one for one in self.names() if alike(one) == alike(name)), name)

    def stat(self, name: str) -> os.stat_result:
        return super().stat(self._true(name))

    def sub(self, name: str, *, create: bool = False) -> Folder:
        inner = super().sub(self._true(name), create=create)
        return type(self)(inner.path, inner.descriptor)


@pytest.fixture
def loose(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(spelling, "Folder", Loose)
    return monkeypatch


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ("plan.md", "Plan.md"),
        (COMPOSED, DECOMPOSED),
        ("Straße.md", "straße.md"),
        ("ÄÖ", "äö"),
        ("\u212aelvin", "kelvin"),
    ],
)
def test_a_loose_folder_gives_another_name(tmp_path: Path, there: str, wanted: str) -> None:
    (tmp_path / there).touch()
    with Loose.open(tmp_path) as folder:
        assert called(folder, wanted) == there
        assert called(folder, there) == there
        assert called(folder, "other.md") is None


@pytest.mark.parametrize(("there", "wanted"), [("plan.md", "Plan.md"), (COMPOSED, DECOMPOSED), ("1", "2")])
def test_this_disk_is_believed_whatever_it_does(tmp_path: Path, there: str, wanted: str) -> None:
    (tmp_path / there).write_text("there")
    is_one = (tmp_path / wanted).exists()
    with Folder.open(tmp_path) as folder:
        assert called(folder, there) in folder.names()
        assert called(folder, wanted) == (called(folder, there) if is_one else None)


@pytest.mark.skipif(os.name == "nt", reason="links are refused there before that")
def test_two_names_of_one_file_are_two_names(tmp_path: Path) -> None:
    (tmp_path / "plan.md").touch()
    try:
        os.link(tmp_path / "plan.md", tmp_path / "PLAN.MD")
    except FileExistsError:
        pytest.skip("this disk does not tell them apart")
    with Folder.open(tmp_path) as folder:
        assert called(folder, "plan.md") == "plan.md"
        assert called(folder, "PLAN.MD") == "PLAN.MD"


def test_a_folder_above_may_be_the_one(tmp_path: Path, loose: pytest.MonkeyPatch) -> None:
    (tmp_path / "Notes" / "deep").mkdir(parents=True)
    (tmp_path / "Notes" / "deep" / "plan.md").touch()
    assert taken(tmp_path, "notes/deep/plan.md") == "Notes"
    assert taken(tmp_path, "Notes/Deep/new.md") == "Notes/deep"
    assert taken(tmp_path, "Notes/deep/PLAN.md") == "Notes/deep/plan.md"
    assert taken(tmp_path, "Notes/deep/plan.md") is None
    assert taken(tmp_path, "Notes/deep/new.md") is None
    assert taken(tmp_path, "elsewhere/new.md") is None


PAIRS = {"plan.md": "Plan.md", COMPOSED: DECOMPOSED, "log.jsonl": "LOG.jsonl", "list.json": "List.json"}


def written(machine: Machine, name: str, text: str) -> None:
    """A file of whichever format that holds `text`."""
    bodies: dict[str, Any] = {
        ".md": f"# {text}\n",
        ".jsonl": f'{{"id": "{text}"}}\n',
        ".json": f'[{{"id": "{text}", "content": "{text}"}}]',
    }
    machine.write(name, bodies[Path(name).suffix])


def held_by(machine: Machine) -> dict[str, str]:
    return {path.name: path.read_text() for path in machine.tree.iterdir() if path.is_file()}


def test_the_second_of_two_names_waits_and_nothing_is_overwritten(tmp_path: Path, loose: pytest.MonkeyPatch) -> None:
    ant, bee = (Machine(tmp_path, name) for name in ("ant", "bee"))
    for number, (one, other) in enumerate(PAIRS.items()):
        written(ant, one, f"first {number}")
        written(ant, other, f"second {number}")
    ant.do("push")
    report = bee.do("pull")
    assert report["exit_code"] == 1
    failed = report["backends"]["vault"]["failed"]
    assert len(failed) == len(PAIRS)
    assert all("are one name on this disk" in one["reason"] for one in failed)
    assert all("rename it on the machine that wrote it" in one["hint"] for one in bee.status()["problems"])
    before = held_by(bee)
    assert len({alike(name) for name in before}) == len(before) == len(PAIRS)
    for one, other in PAIRS.items():
        written(ant, one, f"{one} once more")
        written(ant, other, f"{other} once more")
    ant.do("push")
    bee.do("pull")
    after = held_by(bee)
    assert after.keys() == before.keys()
    assert after != before, "the first ones go on"
    bee.do("push")
    assert bee.status()["conflicts"] == 0
    loose.undo()
    assert bee.do("pull")["exit_code"] == 0, "on a disk that tells them apart"
    assert len(held_by(bee)) == 2 * len(PAIRS)
    assert bee.status()["problems"] == []


def test_either_of_the_two_steps_of_the_hint_helps(tmp_path: Path, loose: pytest.MonkeyPatch) -> None:
    ant, bee, cat = (Machine(tmp_path, name) for name in ("ant", "bee", "cat"))
    ant.write("Plan.md", "# theirs\n")
    ant.do("push")
    for machine in (bee, cat):
        machine.write("plan.md", "# mine\n")
        assert machine.do("pull")["exit_code"] == 1
    (cat.tree / "plan.md").rename(cat.tree / "mine.md")
    assert cat.do("pull")["exit_code"] == 0
    assert held_by(cat) == {"mine.md": "# mine\n", "Plan.md": "# theirs\n"}
    (ant.tree / "Plan.md").rename(ant.tree / "plan-2.md")
    ant.do("push")
    ant.do("forget", targets=["notes/Plan.md"])
    assert bee.do("pull")["exit_code"] == 0
    assert held_by(bee) == {"plan.md": "# mine\n", "plan-2.md": "# theirs\n"}
    assert bee.status()["problems"] == cat.status()["problems"] == []


def test_what_waits_is_no_reason_to_take_the_other_one_away(tmp_path: Path, loose: pytest.MonkeyPatch) -> None:
    ant, bee = (Machine(tmp_path, name) for name in ("ant", "bee"))
    bee.write("plan.md", "# mine\n")
    written(bee, "list.json", "mine")
    ant.write("Plan.md", "# mine\n")
    written(ant, "List.json", "theirs")
    ant.do("push")
    assert bee.do("pull", dry_run=True)["exit_code"] == bee.do("pull")["exit_code"] == 1
    mine = held_by(bee)
    ant.do("forget", targets=["Plan.md", "theirs"])
    ant.do("push")
    assert bee.do("pull")["exit_code"] == 0
    assert bee.status()["problems"] == []
    assert held_by(bee) == mine
