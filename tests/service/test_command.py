"""`memferry service`, with a stand-in for systemctl that starts nothing: see `fakes`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from memferry.agent.lock import StateLock
from memferry.cli import service
from memferry.cli.main import run
from tests.service.fakes import Programs, Reply
from tests.service.test_render import settings, words

if sys.platform != "linux":
    pytest.skip("systemd is Linux's", allow_module_level=True)

ACTIVE = Reply(0, "ActiveState=active\nSubState=running\nNRestarts=0\n")


class Place(NamedTuple):
    """A configuration below `base`, and the programs that are called."""

    base: Path
    programs: Programs
    capsys: pytest.CaptureFixture[str]

    def call(self, *arguments: str, exit_code: int = 0) -> Any:
        """The document that `memferry service` prints."""
        assert run(["service", *arguments, "--config", str(self.base / "m m.yaml"), "--json"]) == exit_code
        return json.loads(self.capsys.readouterr().out)

    @property
    def unit(self) -> Path:
        return self.base / "config" / "systemd" / "user" / "memferry.service"

    def command(self) -> list[str]:
        return words(settings(self.unit.read_text())["Service.ExecStart"])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Place:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    programs = Programs(tmp_path / "bin")
    programs.add("systemctl", {"show": ACTIVE})
    monkeypatch.setenv("PATH", str(programs.folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(service, "UP_IN_S", 0.0)
    (tmp_path / "m m.yaml").write_text("state: state\nspaces: []\n")
    return Place(tmp_path, programs, capsys)


def test_install_writes_down_this_python_and_this_configuration(place: Place) -> None:
    with StateLock(place.base / "state", "run"):
        installed = place.call("install")
    assert place.command() == [sys.executable, "-P", "-m", "memferry", "--config", str(place.base / "m m.yaml"), "run"]
    assert (installed["unit"], installed["changed"], installed["running"]) == (str(place.unit), True, True)
    assert installed["pid"] == os.getpid()


def test_what_was_written_down_can_be_run(place: Place) -> None:
    place.call("install", exit_code=1)
    *command, _ = place.command()
    done = subprocess.run(
        [*command, "status"], cwd="/", env={}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_service_that_does_not_come_up_is_bad_news_now(place: Place) -> None:
    installed = place.call("install", exit_code=1)
    assert (installed["running"], installed["hint"]) == (False, "see why with `memferry service logs`")


@pytest.mark.parametrize("variable", ["MEMFERRY_STATE", "XDG_STATE_HOME"])
def test_a_state_that_the_environment_names_is_carried_over(
    place: Place, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    (place.base / "m m.yaml").write_text("spaces: []\n")
    monkeypatch.setenv(variable, str(place.base / "else where"))
    place.call("install", exit_code=1)
    state = place.base / "else where" / ("memferry" if variable == "XDG_STATE_HOME" else "")
    assert place.command()[6:] == ["--state", str(state), "run"]


def test_a_configuration_that_the_environment_names_is_carried_over(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMFERRY_CONFIG", str(place.base / "m m.yaml"))
    assert run(["service", "install"]) == 1
    assert place.command()[4:6] == ["--config", str(place.base / "m m.yaml")]


def test_a_dry_run_prints_the_unit_and_touches_nothing(place: Place) -> None:
    shown = place.call("install", "--dry-run")
    assert settings(shown["text"])["Service.Type"] == "notify"
    assert not place.unit.exists()
    assert place.programs.calls() == []
    assert "goes with install" in place.call("uninstall", "--dry-run", exit_code=2)["error"]


def test_a_configuration_that_is_wrong_is_not_installed(place: Place) -> None:
    (place.base / "m m.yaml").write_text("spaces: 3\n")
    assert "a list" in place.call("install", exit_code=2)["error"]
    assert not place.unit.exists()


def test_status_tells_running_from_installed(place: Place) -> None:
    found = place.call("status", exit_code=1)
    assert (found["installed"], found["hint"]) == (False, "run `memferry service install`")
    place.call("install", exit_code=1)
    with StateLock(place.base / "state", "push"):
        assert not place.call("status", exit_code=1)["running"]
    with StateLock(place.base / "state", "run"):
        found = place.call("status")
    assert (found["running"], found["state"]) == (True, "active (running)")


def test_only_what_is_installed_starts_and_stops(place: Place) -> None:
    for action in ("start", "stop"):
        assert place.call(action, exit_code=2)["hint"] == "run `memferry service install`"
    place.call("install", exit_code=1)
    assert place.call("stop") == {"system": "systemd", "running": False}


def test_a_service_whose_configuration_is_gone_can_be_removed(place: Place) -> None:
    place.call("install", exit_code=1)
    (place.base / "m m.yaml").unlink()
    assert place.call("uninstall")["removed"]
    assert not place.unit.exists()
    assert not place.call("uninstall")["removed"]


def test_without_a_systemd_for_the_user_the_way_out_is_named(place: Place) -> None:
    place.programs.add("systemctl", {"--user": Reply(1, "", "Failed to connect to bus: No medium found")})
    for action in ("install", "uninstall", "start", "stop", "status"):
        assert "memferry run" in place.call(action, exit_code=1)["hint"]
    assert not place.unit.exists()
