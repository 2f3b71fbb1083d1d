"""Machines of a test: each with a tree, a state and a clock of its own, all with one vault."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from memferry.agent.commands import machines, verbs
from memferry.agent.commands.status import status
from memferry.agent.service import opened
from memferry.agent.state.journal import unseal
from memferry.backends.encryption.keys import Keys
from memferry.cli.main import run
from memferry.config import Config
from memferry.model import Put
from tests.backends.samples import unpacked
from tests.support import config_for

QUICK = "agent: {settle_ms: 0}\n"


class Machine:
    """Below `base/name`, its `home`: its tree `notes`, `state` and configuration `file`. `offset_s`: how far its clock
    is ahead. `vault`: the folder that it shares with others, `encryption`: of it; or another `backend`, in YAML."""

    def __init__(
        self, base: Path, name: str, *, offset_s: float = 0.0, encryption: str = "none", vault: str = "vault",
        backend: str = "",
    ) -> None:  # fmt: skip
        self.base = base
        self.name = name
        self.offset_s = offset_s
        self.encryption = encryption
        self.home = base / name
        self.file = self.home / "memferry.yaml"
        self.tree = self.home / "notes"
        self.tree.mkdir(parents=True, exist_ok=True)
        self._vault = vault
        self._backend = backend

    @property
    def config(self) -> Config:
        """As its file says, which is written anew."""
        return config_for(
            self.base, self.name, vault=self._vault, encryption=self.encryption, backend=self._backend, more=QUICK
        )

    @property
    def state(self) -> Path:
        return self.home / "state"

    def do(self, command: str, **arguments: object) -> dict[str, Any]:
        with opened(self.config, "test") as agent:
            agent.state.clock = lambda: time.time() + self.offset_s
            return verbs.perform(agent, command, arguments)

    def let_in(self, other: Machine) -> None:
        """Give it the keys of the encrypted vault, by the recovery key, which is quick."""
        key = Keys(self.state).recovery("vault")
        assert key
        machines.recover(other.config, "vault", key)

    def sync(self) -> dict[str, Any]:
        self.do("push")
        pulled = self.do("pull")["backends"]["vault"]
        self.do("push")
        return pulled

    def write(self, file: str, text: str) -> Path:
        path = self.tree / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        return path

    def read(self, file: str) -> str:
        return (self.tree / file).read_text(encoding="utf-8")

    def append(self, file: str, *records: dict[str, object]) -> None:
        path = self.tree / file
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="\n") as opened_:
            opened_.writelines(json.dumps(record) + "\n" for record in records)

    def log(self, *texts: str) -> None:
        """One line each in `log.jsonl`, under its own words."""
        self.append("log.jsonl", *({"id": text.replace(" ", "-"), "text": text} for text in texts))

    def text(self) -> str:
        """Of all files."""
        return "".join(path.read_text() for path in sorted(self.tree.rglob("*")) if path.is_file())

    def lines(self) -> list[str]:
        """Keys of all ledger lines, in whichever file."""
        found = (path.read_text().split("\n")[:-1] for path in sorted(self.tree.rglob("*.jsonl")))
        return sorted(json.loads(line)["id"] for lines in found for line in lines)

    def copies(self) -> list[Path]:
        return sorted(self.tree.rglob("*.conflict-*"))

    def conflicts(self) -> list[dict[str, Any]]:
        return self.do("conflicts")["conflicts"]

    def status(self) -> dict[str, Any]:
        return status(self.config)

    def stored(self) -> list[dict[str, Any]]:
        """Operations in the vault, of all machines."""
        return [
            json.loads(line)
            for path in sorted((self.base / "vault").rglob("*.zst"))
            for line in unpacked(path.read_bytes()).split(b"\n")[:-1]
        ]

    def bodies(self) -> list[str]:
        return [op["body"] for op in self.stored() if op["op"] == "put"]

    def outside(self) -> bytes:
        """Every byte of the vault, raw and unpacked."""
        files = {path: path.read_bytes() for path in (self.base / "vault").rglob("*") if path.is_file()}
        return b"".join([*files.values(), *(unpacked(data) for path, data in files.items() if path.suffix == ".zst")])

    def strays(self) -> list[str]:
        """Keys of stored versions that the state knows of no record, so that nobody could withdraw them."""
        with opened(self.config, "test") as agent:
            sql = "select id, seq from record where seq > 0 union select id, seq from version where seq > 0"
            known = set(agent.state.rows(sql))
            ops = [op for sealed in agent.journal.sealed(1, agent.journal.last_seq) for op in unseal(sealed)]
            puts = [op for op in ops if isinstance(op, Put)]
            return [put.key for put in puts if (agent.fingerprint.key(put.space, put.key), put.seq) not in known]

    def keep_state(self) -> Path:
        """A backup of the state directory."""
        kept = self.base / f"{self.name}-kept"
        shutil.copytree(self.state, kept)
        return kept

    def restore_state(self, kept: Path) -> None:
        shutil.rmtree(self.state)
        shutil.copytree(kept, self.state)


class Typed(Machine):
    """One that is used by the command line. `out`, `err`: what the last command printed."""

    def __init__(self, base: Path, name: str, capsys: pytest.CaptureFixture[str], **more: Any) -> None:
        super().__init__(base, name, **more)
        self.out = self.err = ""
        self._capsys = capsys

    def run(self, *arguments: str, exit_code: int = 0) -> str:
        self.config  # noqa: B018 - as the file is to be
        self._capsys.readouterr()
        found = run(["--config", str(self.file), *arguments])
        self.out, self.err = self._capsys.readouterr()
        assert found == exit_code, self.out + self.err
        return self.out

    def json(self, *arguments: str, exit_code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", exit_code=exit_code))

    def shows(self) -> dict[str, Any]:
        """The vault's machines by name, and what is said of its keys."""
        (backend,) = self.json("machines")["backends"]
        found: dict[str, Any] = backend | {one["name"]: one for one in backend["machines"]}
        return found


def quiet(*machines: Machine) -> None:
    """Sync until everybody has heard of everything."""
    for _ in range(3):
        for machine in machines:
            machine.sync()
