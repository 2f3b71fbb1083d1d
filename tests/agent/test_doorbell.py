"""Asking a running service: what a service of another version, or one that is interrupted, makes of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memferry.agent import doorbell
from memferry.agent.commands import verbs
from memferry.agent.service import opened
from memferry.errors import ConfigError
from tests.agent.machines import Machine


@pytest.mark.parametrize(("command", "arguments"), [("levitate", {}), ("push", {"levitate": True})])
def test_what_a_service_does_not_know_is_answered_and_does_not_end_it(
    tmp_path: Path, command: str, arguments: dict[str, object]
) -> None:
    ant = Machine(tmp_path, "ant")
    with opened(ant.config, "test") as agent, pytest.raises(ConfigError, match="levitate") as raised:
        verbs.perform(agent, command, arguments)
    assert "restart it" in raised.value.hint


def test_whoever_gives_up_asking_takes_the_question_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doorbell.leave(tmp_path, "push")
    (question,) = (tmp_path / doorbell.FOLDER).iterdir()
    found = Path.glob

    def and_then_gone(self: Path, pattern: str) -> list[Path]:
        listed = list(found(self, pattern))
        question.unlink()
        return listed

    monkeypatch.setattr(Path, "glob", and_then_gone)
    assert list(doorbell.asked(tmp_path)) == []
    (tmp_path / "lock").touch()
    os.symlink("nothing", tmp_path / doorbell.FOLDER / "gone.ask")
    monkeypatch.setattr(doorbell, "LOCK_FILE", "lock")
    doorbell.clear(tmp_path)
    assert not list((tmp_path / doorbell.FOLDER).iterdir())
