"""Two spaces over the same files: refused, or told of."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from memferry.agent.commands import verbs
from memferry.agent.commands.discover import discover
from memferry.agent.commands.status import status
from memferry.agent.service import opened
from memferry.config import Config, load
from memferry.errors import ConfigError


def configured(home: Path, outer: str = "path: notes", inner: str = "path: notes/sub") -> Config:
    (home / "notes/sub").mkdir(parents=True, exist_ok=True)
    file = home / "memferry.yaml"
    file.write_text(
        f"machine: laptop\nstate: st\nspaces: [{{name: notes, {outer}}}, {{name: sub, {inner}}}]\n"
        "backends: {vault: {type: local, path: vault}}\nagent: {settle_ms: 0}\npolicy: {secrets: off}\n"
    )
    return load({}, file=str(file))


def problems(config: Config) -> list[tuple[str, str, str]]:
    with opened(config, "test") as agent:
        verbs.perform(agent, "push", {"accept_deletions": True})
    found: Any = status(config)["problems"]
    return [(one["subject"], one["text"], one["hint"]) for one in found]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    configured(tmp_path)
    (tmp_path / "notes/a.md").write_text("plums are ripe\n")
    (tmp_path / "notes/sub/b.md").write_text("pears are not\n")
    return tmp_path


def test_files_that_two_spaces_carry_are_told_until_one_leaves_them_out(home: Path) -> None:
    text = "one lies in the other, and both carry the same files: 1 of them"
    hint = "add `exclude: [/sub/]` to notes, or remove sub, in the configuration"
    assert problems(configured(home)) == [("notes and sub", text, hint)]
    assert problems(configured(home, outer="path: notes, exclude: [/sub/]")) == []


def test_two_formats_in_one_place_are_no_problem(home: Path) -> None:
    (home / "notes/log.jsonl").write_text('{"id": "a1", "text": "figs"}\n')
    assert problems(configured(home, "path: notes, format: jsonl", "path: notes/sub, format: document")) == []


def test_one_folder_is_one_space(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"notes is the folder of spaces\[0\], notes: all would be carried twice"):
        configured(home, inner="path: sub/../notes")


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_also_behind_a_link(home: Path) -> None:
    os.symlink(home / "notes", home / "link")
    with pytest.raises(ConfigError, match="link is the folder of"):
        configured(home, inner="path: link")
    found = discover([home / "notes", home / "link"], home / "none", asked=True, transcripts=False)
    assert [one.space.path for one in found.found] == [home / "notes"]
