"""B20: what is uploaded over SFTP is never seen in part, and is on the server's disk before it has its name."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from pathlib import Path

from memferry.backends.ssh.store import SshStore
from memferry.durable import is_temp
from memferry.errors import NotFound
from tests.backends import sshd
from tests.backends.sshd import Sshd
from tests.faults import uploader
from tests.faults.bar import Trial, bar


@bar("B20", "a reader beside an uploader that is killed", tools=("sshd", "ssh-keygen"))
def uploads_seen_while_they_happen(trial: Trial) -> None:
    chance = random.Random(f"{trial.seed}/B20")
    uploads, kills = trial.pick(300, 10_000), trial.pick(10, 200)
    with sshd.running(trial.folder("server"), logged=True) as server:
        reader = _Reader(server, trial)
        reader.start()
        done = _killed_again_and_again(server, trial, chance, uploads, kills)
        reader.stop()
        _finish(server, trial, done, uploads)
        _judge(server, trial, uploads)
        trial.result.notes.append(f"{kills} kills, {reader.reads} reads beside {uploads} uploads")


def _killed_again_and_again(server: Sshd, trial: Trial, chance: random.Random, uploads: int, kills: int) -> int:
    """How many uploads were acknowledged before the last kill. The next run starts behind the last one that was."""
    done = 0
    for number in range(kills):
        with _spawn(server, trial, done, uploads - done) as process:
            for _ in range(chance.randrange(1, max(2, 2 * uploads // kills))):
                done = _said(process.stdout.readline(), done)  # type: ignore[union-attr]
            timer = threading.Timer(chance.uniform(0, 0.02), process.kill)
            timer.start()
            done = _said(process.communicate()[0], done)
            timer.join()
        code = process.returncode
        trial.result.expect(code in (0, -9), f"start {number} ended with {code}")
        trial.result.n += 1
    return done


def _said(output: bytes, before: int) -> int:
    """How many uploads are done, after what the uploader printed."""
    numbers = output.split()
    return int(numbers[-1]) + 1 if numbers else before


def _finish(server: Sshd, trial: Trial, done: int, uploads: int) -> None:
    process = _spawn(server, trial, min(done, uploads - 1), max(1, uploads - done))
    process.communicate()
    trial.result.expect(process.returncode == 0, f"the last run ended with {process.returncode}")


def _spawn(server: Sshd, trial: Trial, first: int, count: int) -> subprocess.Popen[bytes]:
    settings = json.dumps(server.settings()._asdict())
    arguments = [sys.executable, "-m", "tests.faults.uploader", settings, *map(str, (trial.seed, first, count))]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])


def _judge(server: Sshd, trial: Trial, uploads: int) -> None:
    vault = server.home / "vault"
    files = {path.relative_to(vault).as_posix(): path for path in vault.rglob("*") if path.is_file()}
    temps = [name for name in files if is_temp(files[name].name)]
    trial.result.expect(not temps, f"{len(temps)} temp files are left after the last run")
    for number in range(uploads):
        path = files.get(uploader.key(number))
        trial.result.lost += path is None
        trial.result.torn += path is not None and path.read_bytes() != uploader.value(trial.seed, number)
    log = server.sftp_log.read_text("utf-8", "replace")
    synced, named = log.count("fsync (handle"), log.count("rename old")
    trial.result.expect(synced >= named >= uploads, f"{synced} fsyncs for {named} files")


class _Reader(threading.Thread):
    """Lists and reads through a connection of its own, as another machine would."""

    def __init__(self, server: Sshd, trial: Trial) -> None:
        super().__init__(daemon=True)
        self._store = SshStore(server.settings())
        self._trial = trial
        self._stopping = threading.Event()
        self.reads = 0

    def run(self) -> None:
        chance = random.Random(f"{self._trial.seed}/reader")
        while not self._stopping.is_set():
            entries = list(self._store.entries())
            for entry in [*chance.sample(entries, min(5, len(entries))), *(e for e in entries if "head" in e.key)]:
                self._read(entry.key)
        self._store.close()

    def _read(self, key: str) -> None:
        try:
            data = self._store.get(key)
        except NotFound:
            self._trial.result.expect(False, f"{key} was listed and is gone")
            return
        self.reads += 1
        self._trial.result.torn += not uploader.whole(data)

    def stop(self) -> None:
        self._stopping.set()
        self.join()
