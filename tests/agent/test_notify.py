"""What a service manager hears: a real `memferry run`, and a real socket as systemd would open it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from memferry.agent.daemon.notify import Notifier
from memferry.config import Config
from tests.support import config_for

if sys.platform == "win32":
    pytest.skip("there is no such service manager on Windows", allow_module_level=True)

WATCHDOG_S = 2.0
PATIENCE_S = 30.0


class Manager:
    """Hears datagrams. `address`: what it gives to a service as NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))

    def hear(self, timeout_s: float = PATIENCE_S) -> str:
        """The next word. Raises TimeoutError."""
        self._socket.settimeout(timeout_s)
        self.heard.append(self._socket.recv(4096).decode())
        return self.heard[-1]

    def await_word(self, word: str) -> None:
        while not self.hear().startswith(word):
            pass

    def await_silence(self, silent_s: float) -> None:
        """Until nothing came for so long."""
        with suppress(TimeoutError):
            while True:
                self.hear(silent_s)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("only Linux has abstract sockets")
    address = f"@memferry-{secrets.token_hex(8)}" if request.param == "abstract" else os.path.relpath(tmp_path / "n")
    with closing(Manager(address)) as manager:
        yield manager


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "ant" / "notes").mkdir(parents=True)
    append(tmp_path, 1000)
    return config_for(tmp_path, "ant")


def append(base: Path, count: int) -> None:
    with open(base / "ant" / "notes" / "log.jsonl", "a", encoding="utf-8") as file:
        file.writelines(json.dumps({"id": secrets.token_hex(8), "text": "walnut"}) + "\n" for _ in range(count))


@contextmanager
def running(config: Config, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "memferry", "--config", str(config.source), "run"]
    with subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()


def watched(manager: Manager) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": f"{WATCHDOG_S * 1e6:.0f}"}


def delivered(config: Config) -> int:
    with closing(sqlite3.connect(f"file:{config.state / 'state.db'}?mode=ro", uri=True)) as database:
        return int(database.execute("select coalesce(max(through), 0) from checkpoint").fetchone()[0])


def test_it_is_ready_when_the_first_scan_is_through(manager: Manager, config: Config) -> None:
    with running(config, NOTIFY_SOCKET=manager.address):
        manager.await_word("READY=1")
        assert delivered(config) >= 1000


def test_it_says_how_it_goes_in_counts_alone(manager: Manager, config: Config) -> None:
    with running(config, NOTIFY_SOCKET=manager.address):
        manager.await_word("STATUS=")
        assert "1,000 new" in manager.heard[-1]
        assert "all delivered" in manager.heard[-1]
        append(config.source.parent.parent, 5)
        manager.await_word("STATUS=")
    assert "1,005 new" in manager.heard[-1]
    assert "walnut" not in "".join(manager.heard)


def test_it_says_that_it_stops(manager: Manager, config: Config) -> None:
    with running(config, **watched(manager)) as process:
        manager.await_word("READY=1")
        process.terminate()
        manager.await_word("STOPPING=1")
        assert process.wait(timeout=30) == 0
    manager.await_silence(0.1)
    assert manager.heard[-1] == "STOPPING=1"


def test_a_process_that_is_stopped_is_silent(manager: Manager, config: Config) -> None:
    with running(config, **watched(manager)) as process:
        manager.await_word("READY=1")
        manager.await_word("WATCHDOG=1")
        process.send_signal(signal.SIGSTOP)
        manager.await_silence(WATCHDOG_S)
        process.send_signal(signal.SIGCONT)
        manager.await_word("WATCHDOG=1")


def test_a_loop_that_hangs_is_silent_although_its_process_lives(manager: Manager, config: Config) -> None:
    with running(config, **watched(manager)) as process:
        manager.await_word("READY=1")
        manager.await_word("WATCHDOG=1")
        with closing(sqlite3.connect(config.state / "state.db", isolation_level=None)) as other:
            other.execute("begin immediate")  # for so long the loop cannot write
            append(config.source.parent.parent, 1)
            manager.await_silence(WATCHDOG_S)
            assert process.poll() is None
            other.execute("rollback")
        manager.await_word("WATCHDOG=1")


def test_without_a_watchdog_there_is_no_beat(manager: Manager, config: Config) -> None:
    with running(config, NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="2000000", WATCHDOG_PID="1"):
        manager.await_word("READY=1")
        manager.await_silence(WATCHDOG_S)
    assert "WATCHDOG=1" not in manager.heard


def test_a_manager_that_is_gone_is_no_reason_to_stop(config: Config, tmp_path: Path) -> None:
    with running(config, NOTIFY_SOCKET=str(tmp_path / "gone"), WATCHDOG_USEC="1000") as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(3)]
        process.terminate()
        said += process.stderr.readlines()
    assert process.returncode == 0
    assert sum("service manager" in line for line in said) == 1


def test_beats_come_often_enough_and_not_more(tmp_path: Path) -> None:
    now = 0.0
    with closing(Manager(str(tmp_path / "n"))) as manager:
        notifier = Notifier(manager.address, 2.0, clock=lambda: now)
        for _ in range(40):
            notifier.alive()
            now += 0.05
        manager.await_silence(0.1)
    assert manager.heard == ["WATCHDOG=1"] * 4
