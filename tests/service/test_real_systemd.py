"""The whole of it with a real systemd of this user, where there is one and memferry is not installed in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

UNIT = "memferry.service"


def _systemctl(*arguments: str) -> str:
    command = ["systemctl", "--user", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def _missing() -> str:
    """Why it cannot be tried here; empty: it can."""
    if not shutil.which("systemctl"):
        return "there is no systemctl here"
    try:
        state = _systemctl("show", "--property=LoadState", "--value", UNIT)
    except subprocess.CalledProcessError as error:
        return f"there is no systemd for this user here: {error.stderr.strip()}"
    return "" if state == "not-found" else "memferry is installed as a service here, and stays as it is"


pytestmark = pytest.mark.skipif(bool(_missing()), reason=_missing())


def await_(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def pid() -> int:
    return int(_systemctl("show", "--property=MainPID", "--value", UNIT))


class Memferry:
    """A configuration in a folder whose name is hard to write down."""

    def __init__(self, base: Path) -> None:
        self.base = base / 'häfen 50% of $HOME "x"'
        (self.base / "notes").mkdir(parents=True)
        (self.base / "m.yaml").write_text(
            "machine: ant\nstate: state\nspaces:\n  - {name: notes, path: notes}\n"
            "backends:\n  vault: {type: local, path: vault}\n"
        )

    def call(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-m", "memferry", "--config", str(self.base / "m.yaml"), *arguments, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        return done.returncode, json.loads(done.stdout)

    def append(self, number: int) -> None:
        with open(self.base / "notes" / "log.jsonl", "a") as file:
            file.write(json.dumps({"id": f"n{number}", "text": f"pier {number}"}) + "\n")

    def carried(self) -> bool:
        backend = self.call("status")[1]["backends"][0]
        return bool(backend["acknowledged_through"] and not backend["waiting"])


@pytest.fixture
def memferry(tmp_path: Path) -> Iterator[Memferry]:
    memferry = Memferry(tmp_path)
    try:
        yield memferry
    finally:
        memferry.call("service", "uninstall")


def test_a_life(memferry: Memferry) -> None:
    memferry.append(1)
    code, installed = memferry.call("service", "install")
    assert (code, installed["changed"], installed["running"]) == (0, True, True)
    await_(lambda: _systemctl("show", "--property=ActiveState", "--value", UNIT) == "active")
    assert memferry.carried()
    assert _systemctl("is-enabled", UNIT) == "enabled"
    await_(lambda: "1 new" in _systemctl("show", "--property=StatusText", "--value", UNIT))

    first = pid()
    assert memferry.call("service", "install")[1]["changed"] is False
    assert pid() == first
    os.kill(first, signal.SIGKILL)
    await_(lambda: pid() not in (0, first))
    memferry.append(2)
    await_(memferry.carried)

    assert memferry.call("service", "stop")[0] == 0
    assert memferry.call("service", "status")[0] == 1
    assert _systemctl("show", "--property=Result", "--value", UNIT) == "success"
    assert memferry.call("service", "start")[0] == 0
    assert memferry.call("service", "uninstall")[1]["removed"]
    assert _systemctl("show", "--property=LoadState", "--value", UNIT) == "not-found"
    assert not memferry.call("service", "status")[1]["running"]


def test_a_wrong_configuration_is_not_tried_for_ever(memferry: Memferry) -> None:
    assert memferry.call("service", "install")[0] == 0
    (memferry.base / "m.yaml").write_text("spaces: 3\n")
    os.kill(pid(), signal.SIGKILL)
    await_(lambda: _systemctl("show", "--property=ActiveState", "--value", UNIT) == "failed")
    assert _systemctl("show", "--property=ExecMainStatus", "--value", UNIT) == "2"
