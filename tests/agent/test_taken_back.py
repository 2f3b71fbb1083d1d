"""What waits is taken back where its file cannot be read or is not carried any more; what a backend has stays."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.agent.machines import Machine

Change = Callable[[Machine], None]


def texts(machine: Machine) -> list[str]:
    return [op["body"] for op in machine.stored() if op["op"] == "put"]


def entries(version: int, *, more: str = "") -> str:
    return json.dumps([{"id": f"m{n}", "text": f"version {version} of {n}{more}"} for n in (1, 2)])


@pytest.fixture
def waiting(ant: Machine, bee: Machine) -> Machine:
    """The first versions were delivered and pulled elsewhere; the second ones wait for a vault that is away."""
    ant.write("plan.md", "version 1\n")
    ant.write("memory.json", entries(1))
    ant.write("log.jsonl", '{"id": "l1", "text": "version 1"}\n')
    ant.do("push")
    bee.do("pull")
    (ant.base / "vault").rename(ant.base / "away")
    ant.write("plan.md", "version 2\n")
    ant.write("memory.json", entries(2))
    with (ant.tree / "log.jsonl").open("a") as ledger:
        ledger.write('{"id": "l2", "text": "version 2"}\n')
    ant.do("push")
    return ant


def back(machine: Machine) -> None:
    (machine.base / "away").rename(machine.base / "vault")


def gone_blank(ant: Machine) -> None:
    ant.write("plan.md", "")
    ant.write("memory.json", "")


def broken(ant: Machine) -> None:
    ant.write("plan.md", "")
    ant.write("memory.json", '[{"id": "m1", "te')


@pytest.mark.parametrize("hurt", [gone_blank, broken])
def test_a_file_that_went_blank_or_broke_takes_nothing_along(waiting: Machine, bee: Machine, hurt: Change) -> None:
    """What waits may be all that is left of it."""
    hurt(waiting)
    back(waiting)
    waiting.do("push")
    bee.do("pull")
    assert bee.read("plan.md") == "version 2\n"
    assert json.loads(bee.read("memory.json")) == json.loads(entries(2))


def broken_and_private(ant: Machine) -> None:
    with (ant.tree / "plan.md").open("r+b") as file:
        file.truncate(65 << 20)
    ant.write("memory.json", '[{"id": "m1", "priv\\u0061te": tr')


def too_large(ant: Machine) -> None:
    for name in ("plan.md", "memory.json"):
        with (ant.tree / name).open("r+b") as file:
            file.truncate(65 << 20)


def excluded(ant: Machine) -> None:
    ant.write(".memferryignore", "plan.md\nmemory.json\nlog.jsonl\n")


@pytest.mark.parametrize("hurt", [broken_and_private, too_large, excluded])
def test_only_what_waits_is_taken_back(waiting: Machine, bee: Machine, hurt: Change) -> None:
    before = {name: bee.read(name) for name in ("plan.md", "memory.json")}
    hurt(waiting)
    back(waiting)
    waiting.do("push")
    assert not [text for text in texts(waiting) if "version 2" in text and "l2" not in text]
    bee.do("pull")
    assert {name: bee.read(name) for name in before} == before


@pytest.mark.parametrize("hurt", [broken_and_private, excluded])
def test_it_goes_once_it_may(waiting: Machine, bee: Machine, hurt: Change) -> None:
    hurt(waiting)
    back(waiting)
    waiting.do("push")
    (waiting.tree / ".memferryignore").unlink(missing_ok=True)
    waiting.write("plan.md", "version 2\n")
    waiting.write("memory.json", entries(2))
    waiting.do("push")
    bee.do("pull")
    assert bee.read("plan.md") == "version 2\n"
    assert json.loads(bee.read("memory.json")) == json.loads(entries(2))
    assert not list(bee.tree.glob("*conflict*"))
    assert "l2" in bee.read("log@ant.jsonl")
    assert waiting.do("verify")["exit_code"] == 0
