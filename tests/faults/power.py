"""B3: the power fails. What was acknowledged is there when it comes back; nothing is half there."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path

from memferry.durable import is_temp
from tests.faults import disk, oracle
from tests.faults.bar import Trial, bar, meanwhile
from tests.faults.crashes import killed
from tests.faults.disk import Disk
from tests.faults.lines import Book, joined
from tests.faults.machine import Machine, said

LEDGERS = 3
AT_ONCE = 10
LONGEST_S = 2.5
"""In which a service comes as far as its index."""
SYNCED = 3
"""Of four times that an agent writes, so often it syncs."""
SETTLED = 0.3
"""How often the disks had the time to write what nobody had synced."""


class Writer:
    """An agent whose ledgers lie on that disk."""

    def __init__(self, space: Path, book: Book, chance: random.Random) -> None:
        self._space = space
        self._book = book
        self._chance = chance

    def begin(self) -> None:
        """Its ledgers are there, and stay: one that vanished would halt the space, rightly."""
        for number in range(LEDGERS):
            (self._space / f"ledger-{number}.jsonl").write_bytes(joined(self._book.next(1, private=False)))
        os.sync()

    def write(self) -> None:
        """A few lines at the end of a ledger."""
        with open(self._space / f"ledger-{self._chance.randrange(LEDGERS)}.jsonl", "ab") as ledger:
            ledger.write(joined(self._book.next(AT_ONCE)))
            ledger.flush()
            if self._chance.randrange(4) < SYNCED:
                os.fdatasync(ledger.fileno())

    def lines(self) -> set[str]:
        """What lies there now that may leave. What it wrote may be gone with the power, synced or not: one that is
        under way just then says that it was done."""
        there = {line for file in self._space.iterdir() for line in file.read_text().splitlines()}
        return self._book.public & there

    def write_until(self, stop: threading.Event) -> None:
        """All the time, as long as there is power."""
        with suppress(OSError):
            while not stop.wait(0.05):
                self.write()


@bar("B3", "the power fails at random moments", tools=("mkfs.ext4", "mount", "umount"), forbidden=disk.forbidden)
def power_cuts(trial: Trial) -> None:
    chance, book = random.Random(f"{trial.seed}/B3"), Book(trial.seed)
    machine = Machine(trial.folder("b3"))
    writer = Writer(machine.space, book, chance)
    with _disks(machine) as disks:
        writer.begin()
        for number in range(trial.pick(8, 200)):
            acknowledged = _until_the_cut(trial, disks, machine, writer, chance)
            for one in disks:
                one.come_back()
            trial.result.n += 1
            _look(trial, machine, acknowledged, f"cut {number}")
        answer = machine.push()
        trial.result.expect(answer.code == 0, f"the last push: {said(answer)}")
        machine.judge(trial.result, writer.lines(), book, f"after {trial.result.n} cuts")
        machine.check_restore(trial.result, book, f"after {trial.result.n} cuts")
        verified = machine.call("verify", "--json")
        trial.result.expect(verified.code == 0, f"verify: {said(verified)}")


@contextmanager
def _disks(machine: Machine) -> Iterator[Sequence[Disk]]:
    """One each for the ledgers, the state and the vault: on one and the same, what is synced takes the rest with it."""
    with ExitStack() as stack:
        yield [stack.enter_context(disk.mounted(at)) for at in (machine.space, machine.state, machine.vault)]


def _until_the_cut(
    trial: Trial, disks: Sequence[Disk], machine: Machine, writer: Writer, chance: random.Random
) -> Collection[str]:
    """The power goes just when a push has said that all is stored, or amid whatever the agent does. Returns what was
    acknowledged before."""

    def cut(*, settled: bool = False) -> None:
        for one in disks if settled else ():
            one.settle()
        for one in disks:
            one.cut()

    writer.write()
    carried = writer.lines()
    answer = machine.push()
    trial.result.expect(answer.code == 0, f"a push: {said(answer)}")
    if chance.random() < 0.5:
        cut()
    else:
        stop, settled = threading.Event(), chance.random() < SETTLED
        with meanwhile(lambda: writer.write_until(stop), stop):
            killed(
                machine,
                chance.choice(("run", "push")),
                chance.uniform(0.1, LONGEST_S),
                first=partial(cut, settled=settled),
            )
    return carried if answer.code == 0 else ()


def _look(trial: Trial, machine: Machine, acknowledged: Collection[str], when: str) -> None:
    """Before memferry starts again: as the power left it."""
    content = oracle.read_vault(machine.vault)
    lost = set(acknowledged) - content.bodies.keys()
    trial.result.lost += len(lost)
    trial.result.expect(not lost, f"{when}: {len(lost)} that were acknowledged are gone")
    trial.result.expect(not content.problems, f"{when}: {' '.join(content.problems[:2])}")
    empty = [file.name for file in oracle.files(machine.vault) if not file.stat().st_size and not is_temp(file.name)]
    trial.result.torn += len(empty)
    trial.result.expect(not empty, f"{when}: empty under their names: {' '.join(empty)}")
    through, covered = _checkpoint(machine.state), _covered(machine.vault)
    trial.result.expect(through <= covered, f"{when}: the checkpoint is at {through}, the vault's head at {covered}")


def _checkpoint(state: Path) -> int:
    """Through which operation the state believes it is acknowledged. Looked at in a copy: opening mends."""
    with tempfile.TemporaryDirectory() as folder:
        for file in state.glob("state.db*"):
            shutil.copy(file, folder)
        with closing(sqlite3.connect(Path(folder, "state.db"))) as database:
            return int(database.execute("select total(through) from checkpoint").fetchone()[0])


def _covered(vault: Path) -> int:
    """Through which operation a vault's heads say they have everything; 0 where one cannot be read."""
    try:
        return min(int(json.loads(head.read_bytes())["last_seq"]) for head in vault.glob("machines/*/head.json"))
    except ValueError:
        return 0
