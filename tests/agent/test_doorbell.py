"""Asking a running service: what a service of another version, or one that is interrupted, makes of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from memferry.agent import doorbell
from memferry.agent.commands import verbs
from memferry.agent.daemon import run as daemon
from memferry.agent.service import opened
from memferry.errors import ConfigError, StateError
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


def test_what_is_no_request_is_passed_over_and_removed(tmp_path: Path) -> None:
    folder = tmp_path / doorbell.FOLDER
    folder.mkdir()
    wrong = ["", "{", "[" * 100_000, "[]", "{}", '{"command": "push"}', '{"command": 1, "arguments": {}}']
    for number, text in enumerate([*wrong, '{"command": "push", "arguments": [1]}']):
        (folder / f"{number}.ask").write_text(text)
    doorbell.leave(tmp_path, "push")
    assert [request[:2] for request in doorbell.asked(tmp_path)] == [("push", {})]
    assert not list(folder.iterdir())


def test_an_answer_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    folder = tmp_path / doorbell.FOLDER
    folder.mkdir()
    (folder / "1.ask").write_text('{"command": "push", "arguments": {}}')
    (folder / "1.answer.draft").mkdir()
    (request,) = doorbell.asked(tmp_path)
    request.answer({"result": {}})


def asked_of_a_service(ant: Machine, error: Exception, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a running one answers where a command fails like this."""

    def fail(*_: object) -> dict[str, object]:
        raise error

    monkeypatch.setattr(verbs, "COMMANDS", {"push": fail})
    answers = []
    with opened(ant.config, "run") as agent:
        loop = daemon._Loop(agent, daemon.NOBODY, daemon._Stop())
        monkeypatch.setattr(doorbell, "asked", lambda directory: [doorbell.Request("push", {}, answers.append)])
        loop._answer()
    return answers[0]


def test_a_command_that_nobody_foresaw_to_fail_does_not_end_the_service(
    ant: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answer = asked_of_a_service(ant, KeyError("a canary"), monkeypatch)
    assert answer["exit_code"] == 70
    assert "fault: KeyError at " in answer["error"]
    assert "report" in answer["hint"]
    assert "canary" not in f"{answer} {caplog.text}"
    assert answer["error"] in caplog.text


def test_nor_does_one_that_the_system_refuses(ant: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = asked_of_a_service(ant, OSError(5, "Input/output error", "there"), monkeypatch)
    assert (answer["exit_code"], answer["error"]) == (1, "there: Input/output error")


@pytest.mark.parametrize("error", [StateError("it is damaged"), daemon._Stopped()])
def test_a_state_that_fails_does(ant: Machine, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(type(error)):
        asked_of_a_service(ant, error, monkeypatch)


@pytest.mark.parametrize(
    ("command", "arguments"), [("explain", {"target": "notes/caf\udce9.md"}), ("forget", {"targets": ["k\udcff"]})]
)
def test_a_name_that_is_not_utf8_is_said_to_be_none(ant: Machine, command: str, arguments: dict[str, object]) -> None:
    with opened(ant.config, "test") as agent, pytest.raises(ConfigError, match="is not UTF-8"):
        verbs.perform(agent, command, arguments)


def running_with(ant: Machine, text: str, command: str = "push") -> dict[str, Any]:
    """What a service answers to somebody whose configuration says this."""
    answers: list[dict[str, Any]] = []
    with opened(ant.config, "run") as agent:
        loop = daemon._Loop(agent, daemon.NOBODY, daemon._Stop())
        with pytest.MonkeyPatch.context() as patch:
            request = doorbell.Request(command, {}, answers.append, text)
            patch.setattr(doorbell, "asked", lambda directory: [request])
            loop._answer()
    return answers[0]


def test_a_service_does_not_do_what_its_configuration_does_not_say(ant: Machine) -> None:
    text = ant.config.text
    assert "result" in running_with(ant, f"# mine\n{text}\n\n")
    assert "result" in running_with(ant, "")
    for other in (text.replace("notes}", "notes, exclude: [a.md]}"), "{"):
        assert other != text
        answer = running_with(ant, other)
        assert (answer["exit_code"], answer["error"]) == (2, "the service runs with another configuration")
        assert "memferry service stop" in answer["hint"]
    assert "result" in running_with(ant, "{", "index")
