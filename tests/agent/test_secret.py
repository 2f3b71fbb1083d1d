"""The secret of a machine's fingerprints: without the right one everything would be new, and be sent twice."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from memferry.agent.commands.doctor import doctor
from memferry.agent.recovery import identity
from memferry.errors import StateError
from tests.agent.machines import Machine


def _loses(ant: Machine) -> None:
    (ant.config.state / identity.SECRET_FILE).unlink()


def _takes_another(ant: Machine) -> None:
    (ant.config.state / identity.SECRET_FILE).write_bytes(bytes(32))


def _empties(ant: Machine) -> None:
    (ant.config.state / identity.SECRET_FILE).write_bytes(b"")


@pytest.mark.parametrize("hurt", [_loses, _takes_another, _empties])
def test_a_state_without_its_secret_is_refused_and_doubles_nothing(
    ant: Machine, hurt: Callable[[Machine], None]
) -> None:
    ant.append("l.jsonl", {"id": "one", "text": "hello"}, {"id": "two", "text": "held", "visibility": "private"})
    ant.do("push")
    hurt(ant)
    with pytest.raises(StateError) as refused:
        ant.do("push")
    assert "secret.key" in str(refused.value)
    assert "memferry doctor --rebuild" in refused.value.hint
    assert [check.finding for check in doctor(ant.config) if check.what == "state" and not check.good] == [
        str(refused.value)
    ]
    if hurt is _empties:
        _loses(ant)
    doctor(ant.config, rebuild=True)
    ant.append("l.jsonl", {"id": "three", "text": "more"})
    assert ant.do("push")["new"] == 1
    assert [op["key"] for op in ant.stored() if op["op"] == "put"] == ["one", "three"]


def test_the_secret_is_there_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies while it makes the first one leaves none: an empty one would be known to everybody."""

    def dies(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("memferry.durable.sync_file", dies)
        with pytest.raises(KeyboardInterrupt):
            identity.secret(tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(identity.secret(tmp_path)) == 32


def test_processes_that_start_together_agree_on_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: identity.secret(tmp_path), range(64)))
    assert len(found) == 1
    assert os.listdir(tmp_path) == [identity.SECRET_FILE]
