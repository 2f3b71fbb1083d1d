"""Whole journeys of records to a server and back: real files, a real state, a real sshd."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memferry.agent.commands import verbs
from memferry.agent.commands.doctor import doctor
from memferry.agent.service import opened
from memferry.backends.encryption.keys import Keys
from memferry.backends.ssh.store import SshStore
from memferry.backends.vault.backend import Vault
from tests.agent.machines import Typed
from tests.backends import sshd
from tests.backends.samples import contents, holds
from tests.backends.sshd import Sshd
from tests.faults.far import far_away


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd.running(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def on_server(tmp_path: Path, server: Sshd, capsys: pytest.CaptureFixture[str]) -> Callable[..., Typed]:
    """Makes a machine whose vault lies there."""

    def made(name: str, *, backend: str = "", **more: Any) -> Typed:
        nearby = server.yaml(tmp_path / "vault", request_timeout_s=5, **more)
        return Typed(tmp_path, name, capsys, backend=backend or nearby)

    return made


def round_trips(backend: Any) -> int:
    """Of the store behind a backend and its wrappers."""
    while not isinstance(backend, Vault):
        backend = backend._backend
    store = backend._store
    assert isinstance(store, SshStore)
    return store.round_trips


@pytest.fixture
def laptop(on_server: Callable[..., Typed]) -> Typed:
    return on_server("laptop")


@pytest.fixture
def desktop(on_server: Callable[..., Typed]) -> Typed:
    return on_server("desktop")


def test_there_and_back(laptop: Typed, desktop: Typed, tmp_path: Path) -> None:
    laptop.log("the tide is high", "the harbour is full")
    (laptop.tree / "page.md").write_text("# A page\n\nof the log book\n")
    report = laptop.do("push")
    assert report["new"] == 3
    assert report["backends"]["vault"]["error"] is None
    assert report["backends"]["vault"]["capacity"]["used_bytes"] > 0

    taken = desktop.do("pull")["backends"]["vault"]
    assert taken["taken"] == 3
    assert (desktop.tree / "page.md").read_text() == "# A page\n\nof the log book\n"
    assert (desktop.tree / "log@laptop.jsonl").read_bytes() == (laptop.tree / "log.jsonl").read_bytes()
    assert desktop.do("push")["new"] == 0  # what was pulled is not pushed back

    restored = tmp_path / "restored"
    desktop.do("restore", machine="laptop", to=str(restored))
    assert contents(restored / "notes") == contents(laptop.tree)
    assert laptop.do("verify")["exit_code"] == 0


def test_a_vault_on_a_server_is_encrypted_unless_it_is_said_otherwise(
    tmp_path: Path, on_server: Callable[..., Typed]
) -> None:
    laptop, desktop = (on_server(name, encryption=None) for name in ("laptop", "desktop"))
    laptop.log("the tide is high", "the harbour is full")
    laptop.do("push")
    there = contents(tmp_path / "vault")
    assert there
    assert not any(holds(there, word) for word in (b"the tide is high", b"log.jsonl", b"laptop", b"notes"))
    desktop.run("pull", exit_code=4)

    key = tmp_path / "recovery.txt"
    laptop.run("machines", "recovery", "--file", str(key))
    desktop.run("join", "--recovery", "--file", str(key))
    assert desktop.do("pull")["backends"]["vault"]["taken"] == 2
    assert (desktop.tree / "log@laptop.jsonl").read_bytes() == (laptop.tree / "log.jsonl").read_bytes()

    desktop.log("a gull on the pier")
    desktop.do("push")
    assert laptop.do("pull")["backends"]["vault"]["taken"] == 1
    assert [one.do("verify")["exit_code"] for one in (laptop, desktop)] == [0, 0]
    assert not holds(contents(tmp_path / "vault"), b"gull")


def test_a_new_vault_asks_nobody_for_keys(on_server: Callable[..., Typed]) -> None:
    laptop, desktop = (on_server(name, encryption=None) for name in ("laptop", "desktop"))
    for command in ("pull", "machines", "doctor"):
        desktop.run(command)
        assert "no keys" not in desktop.out
    laptop.log("the tide is high")
    laptop.run("sync-memory")
    for command, exit_code in (("pull", 4), ("machines", 4), ("doctor", 1)):
        desktop.run(command, exit_code=exit_code)
        assert "no keys" in desktop.out


def test_a_sync_that_finds_nothing_new_takes_three_round_trips(laptop: Typed, desktop: Typed) -> None:
    """Each pull in a process of its own, as by a command; and two on a connection that is kept."""
    laptop.log("the tide is high")
    laptop.do("push")
    desktop.do("pull")
    trips = []
    for _ in range(2):
        with opened(desktop.config, "test") as agent, agent.backend("vault") as backend:
            for _ in range(2):
                before = round_trips(backend)
                verbs.perform(agent, "sync-memory", {})
                trips.append(round_trips(backend) - before)
    assert trips == [3, 2, 3, 2]


def test_what_a_command_of_its_own_costs_where_there_is_something_to_do(laptop: Typed, desktop: Typed) -> None:
    """Beside the connection, in round trips."""

    def trips(machine: Typed, command: str) -> int:
        with opened(machine.config, "test") as agent, agent.backend("vault") as backend:
            verbs.perform(agent, command, {})
            return round_trips(backend)

    laptop.log("the tide is high")
    laptop.do("push")
    desktop.do("pull")
    laptop.log("the tide is low")
    assert trips(laptop, "push") <= 18
    assert trips(desktop, "pull") == 9, "the last three are for the index of what can be searched"


def test_a_push_with_nothing_to_send_connects_to_nobody(laptop: Typed, server: Sshd) -> None:
    laptop.log("the tide is high")
    laptop.do("push")
    before = server.connections
    assert laptop.do("push")["backends"]["vault"]["sent"] == 0
    assert server.connections == before
    server.stop()  # nor does it notice when nobody is there
    assert laptop.do("push")["backends"]["vault"]["error"] is None


def test_one_connection_is_enough_for_everything(laptop: Typed, server: Sshd) -> None:
    laptop.log("the tide is high")
    laptop.do("push")
    before = server.connections
    with opened(laptop.config, "test") as agent:
        for turn in range(5):
            laptop.log(f"number {turn}")
            verbs.perform(agent, "sync-memory", {})
            verbs.perform(agent, "verify", {})
    assert server.connections - before == 1


def test_what_is_forgotten_is_gone_from_the_server(laptop: Typed, desktop: Typed, tmp_path: Path) -> None:
    laptop.log("the tide is high", "a word too much", "the harbour is full")
    laptop.do("push")
    desktop.do("pull")
    assert holds(contents(tmp_path / "vault"), b"a word too much")
    laptop.do("forget", targets=["a-word-too-much"])
    assert holds(contents(tmp_path / "vault"), b"a word too much") == []
    assert holds(contents(tmp_path / "vault"), b"the harbour is full")
    desktop.do("pull")
    assert "a word too much" not in (desktop.tree / "log@laptop.jsonl").read_text()


def test_damage_on_the_server_is_found_and_repaired(laptop: Typed, tmp_path: Path) -> None:
    laptop.log("the tide is high", "the harbour is full")
    laptop.do("push")
    before = contents(tmp_path / "vault")
    (segment,) = (tmp_path / "vault").rglob("*.zst")
    segment.write_bytes(segment.read_bytes()[:-3] + b"???")
    (found,) = laptop.do("verify")["backends"]
    assert [finding["problem"] for finding in found["findings"]] == ["changed"]
    laptop.do("verify", repair=True)
    assert laptop.do("verify")["exit_code"] == 0
    after = contents(tmp_path / "vault")
    assert {key: after[key] for key in before if key.endswith(".zst")} == {
        key: value for key, value in before.items() if key.endswith(".zst")
    }


def test_a_server_that_is_down_loses_nothing(laptop: Typed, server: Sshd, tmp_path: Path) -> None:
    laptop.log("the tide is high")
    laptop.do("push")
    server.stop()
    laptop.log("the harbour is full")
    failed = laptop.do("push")["backends"]["vault"]
    assert "no SSH server listens there" in failed["error"]
    assert failed["hint"]

    (backend,) = laptop.status()["backends"]
    assert backend["waiting"] > 0
    shown = laptop.run("status", exit_code=1)
    assert "no SSH server listens there" in shown
    assert failed["hint"] in shown

    (checks,) = [[check for check in doctor(laptop.config) if not check.good]]
    assert [check.what for check in checks] == ["backend vault, connection"]
    assert checks[0].hint

    server.start()
    server.trust()
    assert laptop.do("push")["backends"]["vault"]["error"] is None
    assert holds(contents(tmp_path / "vault"), b"the harbour is full")
    assert all(check.good for check in doctor(laptop.config))
    (backend,) = laptop.status()["backends"]
    assert backend["waiting"] == 0


def test_a_host_key_that_changed_stops_everything_with_exit_code_4(laptop: Typed, server: Sshd, tmp_path: Path) -> None:
    laptop.log("the tide is high")
    laptop.do("push")
    before = contents(tmp_path / "vault")
    server.known_hosts.write_text(f"{server.name} {sshd.public(sshd.keygen(tmp_path / 'other'))}\n")
    laptop.log("the harbour is full")
    for command in ("push", "pull", "sync-memory"):
        laptop.run(command, exit_code=4)
        assert "is not the one that is known" in laptop.out + laptop.err
        assert "ssh-keygen -R" in laptop.out + laptop.err
    assert contents(tmp_path / "vault") == before


def test_a_state_that_was_lost_comes_back_from_the_server(laptop: Typed, tmp_path: Path) -> None:
    laptop.log("the tide is high", "the harbour is full")
    laptop.do("push")
    before = contents(tmp_path / "vault")
    for path in (laptop.state).iterdir():
        path.unlink()
    assert laptop.do("push")["backends"]["vault"]["sent"] == 0
    assert contents(tmp_path / "vault") == before


@pytest.mark.parametrize(
    ("folder", "command"), [("invites", "machines invite"), ("keys", "join --recovery --file key")]
)
def test_what_a_killed_command_left_where_all_write_goes_after_a_day(
    tmp_path: Path, on_server: Callable[..., Typed], folder: str, command: str
) -> None:
    with far_away(tmp_path / "far") as far:
        ant, bee, cat = (on_server(name, backend=far.yaml()) for name in ("ant", "bee", "cat"))
        ant.log("the tide is high")
        ant.run("push")
        (bee.home / "key").write_text(Keys(ant.state).recovery("vault") or "")
        killed = bee if folder == "keys" else ant
        far.proxy.delay_s = 0.02
        left = kill_while_it_writes(killed, command, far.vault / folder)

        far.proxy.delay_s = 0
        ant.let_in(cat)
        assert left.exists()  # for all they know it is being written
        os.utime(left, (left.stat().st_mtime - 48 * 3600,) * 2)
        killed.run(*command.replace("key", str(bee.home / "key")).split())
        assert not left.exists()
        ant.let_in(bee)
        assert [one.do("sync-memory")["exit_code"] for one in (ant, bee, cat)] == [0, 0, 0]


def kill_while_it_writes(machine: Typed, command: str, folder: Path) -> Path:
    """Kill a command at a moment at which it has a temp file in a folder; that file."""
    assert machine.config  # and its file
    whole = [sys.executable, "-m", "memferry", "--config", str(machine.file), *command.split()]
    process = subprocess.Popen(whole, cwd=machine.home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        for path in folder.glob(".memferry-*.tmp"):
            process.kill()
            process.wait()
            return path
    raise AssertionError("it was done before it was killed")
