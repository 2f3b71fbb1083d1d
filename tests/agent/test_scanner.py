"""A scanner that does not work: nothing leaves, and it is said what to do."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import Callable

import pytest

from memferry.agent.commands import verbs
from memferry.agent.commands.status import status
from memferry.agent.service import opened
from memferry.config import Policy
from memferry.errors import ScannerBroken
from memferry.policies import secrets
from memferry.policies.secrets import engine, installed, look
from tests.agent.machines import Machine


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not asked the engine yet."""
    monkeypatch.setattr(engine, "_engine", engine._engine.__wrapped__)


def broken(monkeypatch: pytest.MonkeyPatch, **attributes: object) -> None:
    """Another package under the engine's name."""
    fake = types.ModuleType(engine.MODULE)
    fake.__dict__.update(attributes)
    monkeypatch.setitem(sys.modules, engine.MODULE, fake)


class Blind:
    """An engine that finds nothing."""

    def scan(self, data: bytes, *, timeout: float) -> list[object]:
        return []


def nothing_left(machine: Machine) -> bool:
    report = machine.do("push")
    assert report["exit_code"] == 1, report
    assert "nothing is sent" in str(report)
    assert machine.stored() == []
    (problem,) = status(machine.config)["problems"]  # type: ignore[misc]
    return "halted" in problem["text"] and "policy: {secrets: off}" in problem["hint"]


@pytest.mark.parametrize(
    "sabotage",
    [
        lambda patch: patch.setitem(sys.modules, engine.MODULE, None),
        lambda patch: broken(patch),
        lambda patch: (broken(patch, Scanner=Blind), patch.setattr(engine, "files", lambda: "another")),
        lambda patch: patch.setattr(secrets, "found", lambda text: []),
    ],
    ids=["missing", "not loadable", "finds nothing", "own rules find nothing"],
)  # fmt: skip
def test_nothing_leaves(ant: Machine, monkeypatch: pytest.MonkeyPatch, unloaded: None, sabotage: object) -> None:
    ant.write("one.md", "an ordinary note")
    with monkeypatch.context() as patch:
        sabotage(patch)  # type: ignore[operator]
        assert nothing_left(ant)
    assert ant.do("push")["exit_code"] == 0
    assert status(ant.config)["problems"] == []
    assert len(ant.stored()) > 0


def test_what_was_found_to_work_is_tried_again_when_its_files_change(
    ant: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ant.do("push")
    tried: list[str] = []
    monkeypatch.setattr(secrets, "_check_own", lambda: tried.append("own"))
    monkeypatch.setattr(engine, "check", lambda: tried.append("engine"))
    ant.do("push")
    assert tried == []
    for part in (installed.own, engine.files):
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules[part.__module__], part.__name__, lambda: "another")
            ant.do("push")
        assert tried == ["own", "engine"]
        tried.clear()


@pytest.mark.parametrize("file", ["one.md", "one.jsonl"])
def test_a_scanner_that_breaks_amid_the_work_halts_the_space(
    ant: Machine, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    def breaks(blob: bytes) -> list[engine.Hit]:
        raise ScannerBroken("gone while it worked: nothing is sent", hint="`policy: {secrets: off}`")

    ant.write(file, '{"text": "token: ghp_16C7e42F292c6912E7710c838347Ae178B4a"}\n')
    with monkeypatch.context() as patch:
        patch.setattr(engine, "hits", breaks)
        patch.setattr(secrets, "check", lambda verified, **_: "checked")
        report = ant.do("push")
    assert (report["exit_code"], report["halted"]) == (1, ["gone while it worked: nothing is sent"])
    assert ant.stored() == []
    assert ant.do("push")["held"]["total"] == 1


def test_each_file_of_our_own_rules_and_of_re2_counts() -> None:
    counted = installed.own()
    for name in ("records.py", "table.py", "letters.py", "__init__.py", "_re2."):
        assert name in counted


def test_a_scanner_that_raises_holds_what_it_was_to_look_at(ant: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> None:
        raise ValueError("about the CANARY")

    ant.write("one.md", "the password is CANARY#4821")
    with monkeypatch.context() as patch:
        patch.setattr(look, "_candidates", raises)
        patch.setattr(secrets, "check", lambda verified, **_: "checked")
        report = ant.do("push")
    assert report["held"]["by_rule"] == {"secrets.failed": 1}
    assert "CANARY" not in str(report)


def test_scanning_is_switched_off_knowingly(ant: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    ant.write("one.md", "the password is Tiger#4821")
    assert ant.do("push")["held"]["by_rule"] == {"secrets.password": 1}
    monkeypatch.setitem(sys.modules, engine.MODULE, None)
    with opened(ant.config._replace(policy=Policy(secrets="off")), "push") as agent:
        assert verbs.perform(agent, "push", {})["exit_code"] == 0
    assert ant.bodies() == ["the password is Tiger#4821"]


def test_what_left_before_is_judged_by_newer_rules(ant: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    ant.write("one.md", "the password is Tiger#4821")
    with monkeypatch.context() as patch:
        patch.setattr(secrets, "search", lambda records, **_: {})
        patch.setattr(secrets, "version", lambda *, engine_asked: "older")
        assert ant.do("push")["new"] == 1
    assert ant.do("push")["exit_code"] == 0
    assert b"Tiger#4821" not in ant.outside()


def test_personal_data_stays_in_spaces_that_ask_for_it(ant: Machine) -> None:
    ant.write("one.md", "write to ann.lee@harbor-mail.org")
    assert ant.do("push")["held"]["by_rule"] == {}
    with opened(ant.config._replace(spaces=(ant.config.spaces[0]._replace(personal=("email",)),)), "push") as agent:
        assert verbs.perform(agent, "push", {})["held"]["by_rule"] == {"secrets.email": 1}
    assert b"harbor-mail" not in ant.outside()


def test_neither_the_engine_nor_re2_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, memferry.cli.main, memferry.agent.commands.status;"
        "print('re2' in sys.modules, 'kingfisher_sdk' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.split() == ["False", "False"]


def times_out(patch: pytest.MonkeyPatch) -> None:
    def hits(blob: bytes) -> list[engine.Hit]:
        raise TimeoutError

    patch.setattr(engine, "hits", hits)


@pytest.mark.parametrize(
    ("file", "text", "sabotage"),
    [
        ("large.md", "token: a1 " * 4000, None),
        ("crowded.jsonl", json.dumps({"id": "a", "token": "a1", "rows": ["b2"] * 21_000}) + "\n", None),
        ("deep.md", "\\u0041" * 25_000, None),
        ("slow.md", "https://api.example.net?client_id=4f3c2b1a0f9e8d7c6b5a4f3e2d1c0b9a", times_out),
    ],
    ids=["too many places", "too many strings", "too many escapes", "the engine takes too long"],
)
def test_what_cannot_be_searched_in_time_stays_home(
    ant: Machine, monkeypatch: pytest.MonkeyPatch, file: str, text: str, sabotage: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Alone, and `held` says why."""
    ant.write(file, text)
    ant.write("open.md", "an ordinary note")
    with monkeypatch.context() as patch:
        patch.setattr(secrets, "check", lambda verified, **_: "checked")
        if sabotage is not None:
            sabotage(patch)
        report = ant.do("push")
    assert (report["exit_code"], report["held"]["by_rule"]) == (0, {"secrets.too-large": 1})
    assert ant.bodies() == ["an ordinary note"]
    (held,) = ant.do("held")["held"]
    assert held["reason"] == "there is too much in it to look for secrets in time"
    assert "allows the finding too-large" in held["way_out"]
