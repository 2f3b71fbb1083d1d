"""What `explain` says of a target that may be a file, a key, or nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from memferry.errors import ConfigError
from tests.agent.machines import Machine


@pytest.fixture
def ant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Its tree has a ledger, and is where it is asked."""
    ant = Machine(tmp_path, "ant")
    (ant.tree / "log.jsonl").write_text(json.dumps({"id": "a2", "text": "plums are ripe"}) + "\n")
    (ant.tree / "picture.png").write_bytes(b"png")
    (ant.tree / "sub").mkdir()
    ant.do("push")
    monkeypatch.chdir(ant.tree)
    return ant


def said(ant: Machine, target: str) -> list[tuple[str, str]]:
    """As the command line asks."""
    path = ant.tree / target
    asked = str(path) if path.exists() or path.is_symlink() else target
    return [(one["subject"], one["verdict"]) for one in ant.do("explain", target=asked)["answers"]]


def test_a_key_is_not_taken_for_a_file_that_is_not_there(ant: Machine) -> None:
    assert said(ant, "a2") == [("notes: a2", "carried")]


@pytest.mark.parametrize("target", ["nonsense", "notes/nonsense", "sub/nonsense.md", "sub"])
def test_nothing_is_known_of_what_is_not_there(ant: Machine, target: str) -> None:
    with pytest.raises(ConfigError, match="nothing is known"):
        said(ant, target)


def test_a_file_is_explained_whether_it_is_carried_or_not(ant: Machine) -> None:
    assert said(ant, "log.jsonl") == [("notes/log.jsonl", "carried")]
    assert said(ant, "picture.png") == [("notes/picture.png", "not carried")]
    (ant.tree / "new.md").write_text("pears\n")
    assert said(ant, "new.md") == [("notes/new.md", "waiting")]
    (ant.tree / "log.jsonl").unlink()
    assert said(ant, "notes/log.jsonl") == [("notes/log.jsonl", "carried")]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_one_reason_is_enough(ant: Machine) -> None:
    (ant.tree / "link.md").symlink_to("new.md")
    assert said(ant, "link.md") == [("notes/link.md", "skipped")]
    (ant.tree / ".memferryignore").write_text("link.md\n")
    assert said(ant, "link.md") == [("notes/link.md", "excluded")]
