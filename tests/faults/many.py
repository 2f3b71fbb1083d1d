"""B26, B27, B28: several machines on one vault. What is withdrawn is gone everywhere and stays away, and a copied or
restored state is told from its original."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

from tests.backends.samples import unpacked
from tests.faults import oracle
from tests.faults.bar import Trial, bar
from tests.faults.lines import Book, joined
from tests.faults.machine import Machine, said

LEDGER = "ledger.jsonl"


class Fleet:
    """Machines that share the vault of the first one."""

    def __init__(self, trial: Trial, name: str, *names: str) -> None:
        self.trial = trial
        self.base = trial.folder(name)
        self.machines = [self._machine(one) for one in names]
        self.vault = self.machines[0].vault

    def _machine(self, name: str) -> Machine:
        machine = Machine(self.base / name)
        self.connect(machine, name)
        return machine

    def connect(self, machine: Machine, name: str) -> None:
        """Its own name, and the vault of all."""
        text = machine.config.read_text()
        vault = self.base / "vault"
        machine.config.write_text(
            text.replace("machine: ant", f"machine: {name}").replace("path: vault", f"path: {vault}")
        )
        machine.vault = vault

    def sync(self, *machines: Machine, rounds: int = 1) -> None:
        for _ in range(rounds):
            for machine in machines or self.machines:
                answer = machine.call("sync-memory", "--json")
                self.trial.result.expect(answer.code == 0, f"{machine.base.name}: {said(answer)}")

    def lines(self, machine: Machine) -> list[str]:
        """Every ledger line that a machine has, in whichever file."""
        found = (path.read_text().split("\n")[:-1] for path in sorted(machine.space.rglob("*.jsonl")))
        return [line for lines in found for line in lines]

    def texts(self, machine: Machine) -> str:
        return "\n".join(path.read_text() for path in oracle.files(machine.space))

    def expect_lines(self, expected: set[str], what: str) -> None:
        """On every machine, each once."""
        for machine in self.machines:
            lines = self.lines(machine)
            self.trial.result.lost += len(expected - set(lines))
            self.trial.result.doubled += len(lines) - len(set(lines))
            self.trial.result.torn += len(set(lines) - expected)
            if set(lines) != expected or len(lines) != len(expected):
                self.trial.result.failures.append(
                    f"{what}: {machine.base.name} has {len(lines)} of {len(expected)} lines"
                )


def public(book: Book, count: int) -> list[str]:
    return book.next(count, private=False)


def keys(lines: list[str]) -> list[str]:
    return [json.loads(line)["id"] for line in lines]


# -- B26


@bar("B26", "entries withdrawn that are everywhere already, with kills")
def retraction(trial: Trial) -> None:
    count, kills = trial.pick(60, 1000), trial.pick(4, 100)
    fleet, book = Fleet(trial, "b26", "ant", "bee", "cat"), Book(trial.seed)
    ant, bee, cat = fleet.machines
    doomed, kept = public(book, count), public(book, count)
    array = [json.loads(line) for line in public(book, 20)]
    (ant.space / LEDGER).write_bytes(joined(doomed + kept))
    (ant.space / "entries.json").write_text(json.dumps(array))
    fleet.sync(rounds=2)
    trial.result.expect(set(doomed) <= set(fleet.lines(cat)), "the entries never arrived")
    gone = array[: len(array) // 4]
    (ant.space / "entries.json").write_text(json.dumps(array[len(gone) :]))
    _withdraw_with_kills(trial, ant, keys(doomed), kills)
    trial.result.n += len(doomed) + len(gone)
    _expect_gone(trial, fleet, [*doomed, *(one["text"] for one in gone)])
    for machine in (bee, cat):
        answer = machine.call("pull", "--json")
        trial.result.expect(answer.code == 0, f"the pull of {machine.base.name}: {said(answer)}")
        _expect_none(trial, fleet.texts(machine), [*doomed, *(one["text"] for one in gone)], machine.base.name)
        trial.result.lost += len(set(kept) - set(fleet.lines(machine)))


def _withdraw_with_kills(trial: Trial, machine: Machine, wanted: list[str], kills: int) -> None:
    """Killed at random times and started again; then once to its end."""
    chance = random.Random(f"{trial.seed}/B26")
    for _ in range(kills):
        process = machine.spawn("forget", *wanted)
        time.sleep(chance.uniform(0.1, 1.2))
        process.kill()
        process.wait()
    answer = machine.call("forget", *wanted, "--json")
    trial.result.expect(answer.code in (0, 2), f"forget: {said(answer)}")  # 2: all of it was done before
    answer = machine.push()
    trial.result.expect(answer.code == 0, f"the push after it: {said(answer)}")


def _expect_gone(trial: Trial, fleet: Fleet, texts: list[str]) -> None:
    stored = b"".join(unpacked(path.read_bytes()) for path in fleet.vault.rglob("*.zst")).decode()
    _expect_none(trial, stored.replace('\\"', '"'), texts, "the vault")


def _expect_none(trial: Trial, there: str, texts: list[str], where: str) -> None:
    left = sum(text in there for text in texts)
    trial.result.leaked += left
    trial.result.expect(not left, f"{left} withdrawn entries are still in {where}")


# -- B27


@bar("B27", "a machine that was away while what it holds was withdrawn")
def resurrection(trial: Trial) -> None:
    """There is no horizon: retractions are kept for ever. Nor does it help to have lost one's state meanwhile."""
    for lost in (False, True):
        _away(trial, trial.pick(60, 600), state_lost=lost)


def _away(trial: Trial, count: int, *, state_lost: bool) -> None:
    name = "b27-lost" if state_lost else "b27"
    fleet, book = Fleet(trial, name, "ant", "bee", "cat"), Book(trial.seed)
    ant, bee, away = fleet.machines
    doomed, kept = public(book, count), public(book, count)
    (ant.space / LEDGER).write_bytes(joined(doomed + kept))
    own = public(book, 5)
    (away.space / "own.jsonl").write_bytes(joined(own))
    fleet.sync(rounds=2)
    ant.call("forget", *keys(doomed))
    (ant.space / LEDGER).write_bytes(joined(kept))
    for _ in range(3):  # long enough that segments were merged, and the retractions lie in old ones
        more = public(book, 10)
        kept += more
        with open(ant.space / LEDGER, "ab") as ledger:
            ledger.write(joined(more))
        fleet.sync(ant, bee)
    if state_lost:
        away.lose_state()
    fleet.sync(rounds=2)
    trial.result.n += count
    fleet.expect_lines({*kept, *own}, name)
    _expect_gone(trial, fleet, doomed)


# -- B28


@bar("B28", "a state directory that was copied, or restored from a backup")
def forked(trial: Trial) -> None:
    for number in range(trial.pick(1, 20)):
        _copied(trial, f"b28-copied-{number}", trial.seed + number)
        _restored(trial, f"b28-restored-{number}", trial.seed + number)


def _copied(trial: Trial, name: str, seed: int) -> None:
    fleet, book = Fleet(trial, name, "ant", "bee"), Book(seed)
    ant, bee = fleet.machines
    (ant.space / LEDGER).write_bytes(joined(public(book, trial.pick(50, 2000))))
    fleet.sync(rounds=2)
    twin = Machine(fleet.base / "twin")
    fleet.connect(twin, "ant")
    shutil.copytree(ant.state, twin.state, ignore=shutil.ignore_patterns("*.lock"))
    shutil.copytree(ant.space, twin.space, dirs_exist_ok=True)
    fleet.machines.append(twin)
    for machine in (ant, twin):
        with open(machine.space / LEDGER, "ab") as ledger:
            ledger.write(joined(public(book, 30)))
    fleet.sync(ant, twin, bee, rounds=3)
    _expect_both_go_on(trial, fleet, book, (ant, twin), name)


def _restored(trial: Trial, name: str, seed: int) -> None:
    fleet, book = Fleet(trial, name, "ant", "bee"), Book(seed)
    ant, _ = fleet.machines
    (ant.space / LEDGER).write_bytes(joined(public(book, trial.pick(50, 2000))))
    fleet.sync(rounds=2)
    shutil.copytree(ant.state, fleet.base / "backup")
    for _ in range(2):
        with open(ant.space / LEDGER, "ab") as ledger:
            ledger.write(joined(public(book, 20)))
        fleet.sync()
    shutil.rmtree(ant.state)
    (fleet.base / "backup").rename(ant.state)
    with open(ant.space / LEDGER, "ab") as ledger:
        ledger.write(joined(public(book, 20)))
    fleet.sync(rounds=2)
    _expect_both_go_on(trial, fleet, book, (ant,), name)


def _expect_both_go_on(trial: Trial, fleet: Fleet, book: Book, machines: tuple[Machine, ...], what: str) -> None:
    fleet.expect_lines(book.public, what)
    states = [machine.status() for machine in machines]
    forks = sum(state["counters"].get("forks", 0) for state in states)
    trial.result.expect(forks == 1, f"{what}: {forks} forks were told")
    trial.result.expect(len({state["machine"]["id"] for state in states}) == len(machines), f"{what}: one id for two")
    heads = list(Path(fleet.vault, "machines").glob("*/head.json"))
    trial.result.expect(len(heads) == 2, f"{what}: {len(heads)} logs")
    content = oracle.read_vault(fleet.vault)
    trial.result.lost += len(book.public - content.bodies.keys()) + len(content.problems)
    trial.result.n += 1
