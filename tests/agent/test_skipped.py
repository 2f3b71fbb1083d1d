"""What is no file to read, such as a link, is told of; not where nobody asks for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from memferry.cli.main import run
from tests.agent.machines import Machine

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")


@pytest.fixture
def ant(tmp_path: Path) -> Machine:
    """Its tree has a file and a link to it."""
    ant = Machine(tmp_path, "ant")
    (ant.tree / "CLAUDE.md").write_text("plums are ripe\n")
    (ant.tree / "AGENTS.md").symlink_to("CLAUDE.md")
    return ant


def told(ant: Machine) -> list[str]:
    ant.do("push")
    return [one["subject"] for one in ant.status()["problems"]]


def test_a_link_is_shown_and_is_no_problem(ant: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """The headline and the exit code agree."""
    assert told(ant) == ["notes/AGENTS.md"]
    assert ant.status()["state"] == "ok"
    assert run(["--config", str(ant.file), "status"]) == 0
    assert "memferry       ok" in (said := capsys.readouterr().out)
    assert "notes/AGENTS.md: is a link" in said


def test_an_ignore_file_silences_it(ant: Machine) -> None:
    assert told(ant) == ["notes/AGENTS.md"]
    (ant.tree / ".memferryignore").write_text("AGENTS.md\n")
    assert told(ant) == []
    assert ant.do("push")["skipped"] == {}
    (ant.tree / ".memferryignore").unlink()
    assert told(ant) == ["notes/AGENTS.md"]


@pytest.mark.parametrize("name", ["drafts", ".hidden", "node_modules"])
def test_a_link_to_a_folder_that_is_not_asked_for_is_silent(ant: Machine, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (ant.tree / name).symlink_to(tmp_path / "elsewhere")
    (ant.tree / ".memferryignore").write_text("AGENTS.md\ndrafts/\n")
    assert told(ant) == []
