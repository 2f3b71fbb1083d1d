"""`memferry run` while a backend is away, with nothing but its own clock to make it try again; and told to stop."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from memferry.agent.commands import verbs
from memferry.agent.commands.status import status
from memferry.agent.lock import holder
from memferry.agent.service import opened
from memferry.config import Config
from tests.support import config_for

OWN_CLOCK = "agent: {scan_interval_s: 3600, pull_interval_s: 1, debounce_ms: 20, settle_ms: 20}\n"


class Site:
    """Machines and the disk that holds their vault, which can be unplugged."""

    def __init__(self, base: Path) -> None:
        self.base = base
        (base / "disk").mkdir()

    def machine(self, name: str) -> Config:
        config = config_for(self.base, name, vault="disk/vault", more=OWN_CLOCK)
        config.spaces[0].path.mkdir(exist_ok=True)
        return config

    def append(self, name: str, key: str) -> None:
        with open(self.base / name / "notes" / "log.jsonl", "a") as file:
            file.write(json.dumps({"id": key, "text": f"the pier {key}"}) + "\n")

    def holds(self, name: str, key: str) -> bool:
        """Whether a file of this machine has it, from whichever machine."""
        return any(f'"{key}"' in path.read_text() for path in (self.base / name / "notes").rglob("*.jsonl"))

    def unplug(self) -> None:
        (self.base / "disk").rename(self.base / "unplugged")

    def plug_in(self) -> None:
        (self.base / "unplugged").rename(self.base / "disk")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@contextmanager
def running(config: Config) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "memferry", "--config", str(config.source), "run"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            await_(lambda: (held := holder(config.state)) is not None and held.purpose == "run")
            yield process
        finally:
            process.terminate()


def await_(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def push(config: Config) -> Any:
    with opened(config, "push") as agent:
        return verbs.perform(agent, "push", {})


def vault(config: Config) -> Any:
    found: Any = status(config)["backends"]
    return found[0]


def test_what_came_while_it_was_away_is_delivered_when_it_is_back(site: Site) -> None:
    ant = site.machine("ant")
    site.append("ant", "k0")
    push(ant)  # from now on a vault that is not there is one that is away
    site.unplug()
    with running(ant):
        site.append("ant", "k1")
        await_(lambda: vault(ant)["failures"] >= 2)
        away = vault(ant)
        assert away["waiting"]
        assert "is not there" in away["error"]
        assert away["failing_since"] < away["next_attempt_at"] <= time.time() + 300
        site.plug_in()
        await_(lambda: not vault(ant)["waiting"])
        await_(lambda: not vault(ant)["failures"])  # it is recovered a moment after it has acknowledged
        assert (vault(ant)["failing_since"], vault(ant)["error"]) == (None, None)
        assert status(ant)["problems"] == []


def test_one_with_nothing_to_send_hears_of_it_by_pulling_and_pulls_when_it_is_back(site: Site) -> None:
    ant, bee = site.machine("ant"), site.machine("bee")
    site.append("bee", "k0")
    push(bee)
    with running(bee):
        await_(lambda: status(bee)["service"] and not vault(bee)["waiting"])
        site.append("ant", "k1")
        push(ant)
        await_(lambda: site.holds("bee", "k1"))
        site.append("ant", "k2")
        push(ant)
        site.unplug()
        await_(lambda: site.holds("bee", "k2") or vault(bee)["failures"] >= 2)
        site.plug_in()
        await_(lambda: site.holds("bee", "k2"))
        await_(lambda: vault(bee)["failures"] == 0)
        assert status(bee)["problems"] == []


def test_it_pushes_and_pulls_when_it_is_told(site: Site) -> None:
    ant, bee = site.machine("ant"), site.machine("bee")
    site.append("ant", "k1")
    push(ant)
    site.append("bee", "k0")
    push(bee)
    with running(bee):
        assert verbs.ask(bee, "pull", {})["exit_code"] == 0
        assert site.holds("bee", "k1")
        site.unplug()
        site.append("bee", "k2")
        assert verbs.ask(bee, "push", {})["exit_code"] == 1
        site.plug_in()
        assert verbs.ask(bee, "push", {})["exit_code"] == 0
        assert not vault(bee)["waiting"]


def test_it_ends_amid_a_long_first_scan_and_goes_on_from_there(site: Site) -> None:
    ant = site.machine("ant")
    for number in range(3000):
        (ant.spaces[0].path / f"page-{number}.md").write_text(f"# pier {number}\n")
    with running(ant) as process:
        process.terminate()
        assert process.wait(timeout=30) == 0
    assert push(ant)["exit_code"] == 0
    assert status(ant)["spaces"][0]["files"] == 3000
    assert not vault(ant)["waiting"]
