"""A vault on a real sshd behind a line that can be harmed, and the machines that share it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from memferry.durable import is_temp
from tests.backends import sshd
from tests.backends.sshd import Sshd
from tests.faults import oracle
from tests.faults.bar import Result
from tests.faults.machine import SETTINGS, Machine, said
from tests.faults.proxy import Proxy

TOOLS = ("sshd", "ssh-keygen")


class Far(NamedTuple):
    """A server, and the only way there."""

    server: Sshd
    proxy: Proxy

    @property
    def vault(self) -> Path:
        return self.server.home / "vault"

    def yaml(self, **settings: object) -> str:
        """Of a backend whose vault lies there, encrypted, by way of the proxy."""
        known = self.server.folder / "known_by_the_proxy"
        known.write_text(f"[127.0.0.1]:{self.proxy.port} {sshd.public(self.server.host_keys['ed25519'])}\n")
        return self.server.yaml("vault", encryption=None, port=self.proxy.port, known_hosts=str(known), **settings)

    def machine(
        self, base: Path, name: str = "ant", *, agent: str = SETTINGS, more: str = "", **settings: object
    ) -> Machine:
        """`more`: YAML of further backends."""
        return Machine(base, name=name, agent=agent, vault=self.vault, backend=self.yaml(**settings) + more)

    def check_tidy(self, result: Result, machine: Machine) -> None:
        """Nothing lies there but what counts: what a cut left was cleared away by the next delivery, where nobody else
        writes."""
        temps = [path.name for path in oracle.files(self.vault / "machines") if is_temp(path.name)]
        result.expect(not temps, f"{len(temps)} temp files are left on the server")
        unlisted = oracle.unlisted(self.vault, machine.identities)
        result.expect(not unlisted, f"{len(unlisted)} segments are left on the server that no head lists")


@contextmanager
def far_away(folder: Path, *, recording: bool = False) -> Iterator[Far]:
    with sshd.running(folder) as server, Proxy(server.port, recording=recording) as proxy:
        yield Far(server, proxy)


def check_trees(result: Result, machines: Sequence[Machine], public: set[str]) -> None:
    """Every machine has every public entry, once, in whichever of its ledgers."""
    for machine in machines:
        ledgers = sorted(machine.space.rglob("*.jsonl"))
        lines = Counter(line for ledger in ledgers for line in ledger.read_text().split("\n")[:-1] if line in public)
        lost, doubled = len(public - lines.keys()), lines.total() - len(lines)
        result.lost += lost
        result.doubled += doubled
        result.expect(not (lost or doubled), f"{machine.name} misses {lost} entries and has {doubled} twice")


def join(first: Machine, other: Machine) -> None:
    """`other` gets the keys of the vault that `first` has made. RuntimeError if it does not."""
    key = first.base / "recovery.txt"
    key.unlink(missing_ok=True)
    for machine, arguments in ((first, ("machines", "recovery")), (other, ("join", "--recovery"))):
        answer = machine.call(*arguments, "--file", str(key))
        if answer.code:
            raise RuntimeError(f"{machine.name} did not join: {said(answer)}")
