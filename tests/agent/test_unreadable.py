"""A space that cannot be read stops alone, and says so."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from memferry.agent.commands import verbs
from memferry.agent.commands.status import status
from memferry.agent.service import opened
from memferry.config import Config, load
from memferry.errors import ConfigError, MemferryError


@pytest.fixture
def config(unprivileged: Path) -> Config:
    """Two spaces, `n` and `n2`, of a user to whom permissions apply."""
    return two_spaces(unprivileged)


def two_spaces(home: Path, format_: str = "") -> Config:
    for name in ("n", "n2"):
        (home / name).mkdir()
        (home / name / "a.md").write_text(f"plums of {name}\n")
    file = home / "memferry.yaml"
    spaces = ", ".join(f"{{name: {name}, path: {name}{format_}}}" for name in ("n", "n2"))
    file.write_text(
        f"machine: laptop\nstate: st\nspaces: [{spaces}]\n"
        "backends: {vault: {type: local, path: vault}}\nagent: {settle_ms: 0}\npolicy: {secrets: off}\n"
    )
    return load({}, file=str(file))


@contextmanager
def closed(path: Path, mode: int) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


def do(config: Config, command: str, **arguments: object) -> dict[str, Any]:
    with opened(config, "test") as agent:
        return verbs.perform(agent, command, arguments)


def troubles(config: Config) -> list[tuple[str, str]]:
    problems: Any = status(config)["problems"]
    return [(one["subject"], one["text"]) for one in problems]


@pytest.mark.parametrize("format_", ["", ", format: files"])
@pytest.mark.parametrize("mode", [0o000, 0o600, 0o300])
def test_a_folder_that_cannot_be_read_halts_its_space_alone(unprivileged: Path, mode: int, format_: str) -> None:
    config = two_spaces(unprivileged, format_)
    with closed(unprivileged / "n", mode):
        report = do(config, "push")
        assert report["files"]["read"] == ["n2/a.md"]
        assert report["halted"] == [f"space n: {unprivileged}/n cannot be read: Permission denied"]
        assert report["exit_code"] == 1
        assert troubles(config) == [("n", f"halted: {unprivileged}/n cannot be read: Permission denied")]
        assert do(config, "explain", target="n2/a.md")["answers"][0]["verdict"] == "carried"
        do(config, "pull")
    assert do(config, "push")["files"]["read"] == ["n/a.md"]
    assert troubles(config) == []


def test_an_ignore_file_that_cannot_be_read_halts_its_space(config: Config, unprivileged: Path) -> None:
    """Nobody knows what it would keep back."""
    ignore = unprivileged / "n/.memferryignore"
    ignore.write_text("a.md\n")
    with closed(ignore, 0):
        report = do(config, "push")
        assert report["files"]["read"] == ["n2/a.md"]
        assert report["halted"] == [f"space n: {ignore} cannot be read"]
        assert troubles(config) == [("n", f"halted: {ignore} cannot be read")]
    assert do(config, "push")["files"]["read"] == []
    assert troubles(config) == []


def test_a_folder_that_was_read_and_closes_withdraws_nothing(config: Config, unprivileged: Path) -> None:
    do(config, "push")
    with closed(unprivileged / "n", 0):
        assert do(config, "push")["withdrawn"] == 0
    again = do(config, "push")
    assert (again["new"], again["withdrawn"], again["exit_code"]) == (0, 0, 0)


def test_a_pattern_in_the_configuration_is_still_an_error_of_it(tmp_path: Path) -> None:
    config = two_spaces(tmp_path, ', exclude: ["!"]')
    with pytest.raises(ConfigError):
        do(config, "push")


def test_a_link_to_where_one_may_not_look_is_no_obstacle(config: Config, unprivileged: Path) -> None:
    (unprivileged / "closed/inner").mkdir(parents=True)
    (unprivileged / "n/link").symlink_to(unprivileged / "closed/inner")
    with closed(unprivileged / "closed", 0):
        assert do(config, "push")["halted"] == []


def test_rules_are_tried_out_only_where_they_can_be_read(config: Config, unprivileged: Path) -> None:
    from memferry.agent.commands import trial

    (unprivileged / "n/.memferryignore").write_bytes(b"\xff")
    with pytest.raises(MemferryError, match="cannot be read"):
        trial.test(config, str(unprivileged / "n/a.md"), None)


def test_a_pull_says_that_it_cannot_be_read_and_not_that_it_is_not_there(config: Config) -> None:
    do(config, "push")
    with closed(config.spaces[0].path, 0):
        report = do(config, "pull")
    assert report["passed_over"] == []
    (halted,) = report["halted"]
    assert "space n: " in halted
    assert "cannot be read: Permission denied" in halted


@pytest.mark.parametrize("ledger", [True, False])
def test_a_file_that_cannot_be_read_to_its_end_is_named_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: bool
) -> None:
    """A bad sector, or a server that went away."""
    config = two_spaces(tmp_path)
    if ledger:
        (tmp_path / "n/a.md").rename(tmp_path / "n/a.jsonl")
        (tmp_path / "n/a.jsonl").write_text('{"id": "1"}\n')
    bad = (tmp_path / "n").glob("a.*").__next__()
    ways = {"read": os.read, "pread": os.pread}

    def failing(name: str, descriptor: int, *arguments: int) -> bytes:
        if os.path.samestat(os.fstat(descriptor), bad.stat()):
            raise OSError(errno.EIO, "Input/output error")
        return ways[name](descriptor, *arguments)

    with monkeypatch.context() as patch:
        for name in ways:
            patch.setattr(os, name, partial(failing, name))
        report = do(config, "push")
    assert (report["new"], report["exit_code"]) == (1, 1)
    assert troubles(config) == [(f"n/{bad.name}", f"{bad.name} cannot be read: Input/output error")]
    assert do(config, "push")["new"] == 1
    assert troubles(config) == []
