"""B22: what somebody does to the files of a vault is found, named rightly, and put right."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from memferry.backends.base import Finding, HeadSeen
from memferry.backends.encryption.keys import Keys
from memferry.backends.local import LocalStore
from memferry.backends.vault import backend as vaults
from memferry.backends.vault.backend import Vault
from memferry.model import Sealed
from tests.backends.samples import ME, Journal, puts, seal
from tests.faults.bar import Trial, bar

ROWS, IN_A_ROW = 12, 40
CLEAN_RUNS = 10
FAULTS = ("remove", "flip", "truncate", "foreign")
NAMED = {
    "remove": {"removed", "missing-head"},
    "flip": {"changed"},
    "truncate": {"truncated"},
    "foreign": {"foreign"},
}
HEADS_TELL_LESS = {"changed", "truncated", "reordered"}
"""A flipped byte of a head may be its last one, or one of the machine's id."""


@bar("B22", "files of a vault are removed, flipped, cut and added")
def damaged_and_repaired(trial: Trial) -> None:
    for encryption in ("none", "age"):
        chance = random.Random(f"{trial.seed}/B22/{encryption}")
        site = _Site(trial.folder(encryption), encryption)
        for _ in range(CLEAN_RUNS):
            trial.result.expect(not site.found(), f"{encryption}: a whole vault is called damaged")
        for number in range(trial.pick(60, 1000) // 2):
            _once(trial, site, chance, f"{encryption}, trial {number}")


def _once(trial: Trial, site: _Site, chance: random.Random, what: str) -> None:
    key, fault = site.harm(chance)
    trial.result.n += 1
    harmed = site.contents()
    problems = {finding.problem for finding in site.found()}
    trial.result.expect(site.contents() == harmed, f"{what}: verify wrote")
    wanted = HEADS_TELL_LESS if fault == "flip" and "head.json" in key else NAMED[fault]
    if key.startswith("keys/") or key.endswith("head.json.age"):
        wanted = wanted | {"changed"}  # how long they should be stands nowhere
    trial.result.expect(problems and problems <= wanted, f"{what}: {fault} of {key} is called {problems}")
    site.repair()
    left = site.found()
    trial.result.expect(not left, f"{what}: {fault} of {key} is not repaired: {left}")
    trial.result.lost += site.lost()


class _Site:
    """One machine's log in a folder. `folder`: its keys lie beside."""

    def __init__(self, folder: Path, encryption: str) -> None:
        self._path = folder / "vault"
        self._keys = Keys(folder / "state")
        self._encryption = encryption
        rows: Sequence[Sealed] = [seal(puts(IN_A_ROW * row + 1, IN_A_ROW * (row + 1))) for row in range(ROWS)]
        self._journal = Journal(rows)
        self._seen: HeadSeen | None = None
        vault = self._vault()
        for row in rows:
            vault.deliver([row])
        self._seen = vault.head_seen()

    def _vault(self) -> Vault:
        vault = vaults.opened(
            LocalStore(self._path, name="vault"), {"encryption": self._encryption}, ME, self._keys,
            name="vault", encryption="none",
        )  # fmt: skip
        vault.expect(self._seen)
        return vault

    def contents(self) -> dict[str, tuple[bytes, int]]:
        """Every file, and when it was written."""
        files = (path for path in self._path.rglob("*") if path.is_file())
        return {path.relative_to(self._path).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    def harm(self, chance: random.Random) -> tuple[str, str]:
        """Do something to one file; returns which, and what."""
        fault = chance.choice(FAULTS)
        key = chance.choice(sorted(key for key in self.contents() if not key.startswith("lost+found/")))
        path = self._path / key
        data = path.read_bytes()
        match fault:
            case "remove":
                path.unlink()
            case "flip":
                at, bit = chance.randrange(len(data)), chance.randrange(8)
                path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
            case "truncate":
                path.write_bytes(data[: chance.randrange(len(data))])
            case _:
                key = f"{key.rpartition('/')[0]}/stranger-{chance.randrange(10**9)}.txt".lstrip("/")
                (self._path / key).write_bytes(chance.randbytes(50))
        return key, fault

    def found(self) -> Sequence[Finding]:
        return self._vault().verify({ME.id: self._seen} if self._seen else {})

    def repair(self) -> None:
        vault = self._vault()
        vault.repair(vault.verify({ME.id: self._seen} if self._seen else {}), self._journal)
        self._seen = vault.head_seen()

    def lost(self) -> int:
        """Operations that are not there, or not as they were."""
        there = {op.seq: op for op in self._vault().read(ME.id)}
        return sum(there.get(op.seq) != op for op in self._journal.ops)
