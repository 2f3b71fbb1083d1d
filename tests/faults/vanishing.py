"""B24: a source that is gone, empty, closed or blank is not a wish to forget."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable

from tests.faults import oracle
from tests.faults.bar import Trial, bar
from tests.faults.lines import Book, joined
from tests.faults.machine import Machine, said

FILES = 6
EACH = 20


def renamed(machine: Machine) -> None:
    machine.space.rename(machine.base / "away")


def replaced_by_an_empty_one(machine: Machine) -> None:
    """What an unmounted disk leaves behind: the folder it was mounted on."""
    machine.space.rename(machine.base / "away")
    machine.space.mkdir()


def emptied(machine: Machine) -> None:
    shutil.copytree(machine.space, machine.base / "away")
    for path in machine.space.iterdir():
        path.unlink()


def mostly_deleted(machine: Machine) -> None:
    shutil.copytree(machine.space, machine.base / "away")
    for number in range(FILES - 1):
        (machine.space / f"ledger-{number}.jsonl").unlink()
    (machine.space / "entries.json").unlink()


def closed(machine: Machine) -> None:
    shutil.copytree(machine.space, machine.base / "away")
    machine.space.chmod(0)


def array_blanked(machine: Machine) -> None:
    shutil.copytree(machine.space, machine.base / "away")
    (machine.space / "entries.json").write_text("[]\n")


def array_gone(machine: Machine) -> None:
    shutil.copytree(machine.space, machine.base / "away")
    (machine.space / "entries.json").unlink()


def ledgers_blanked(machine: Machine) -> None:
    shutil.copytree(machine.space, machine.base / "away")
    for path in machine.space.glob("*.jsonl"):
        os.truncate(path, 0)


def pages_blanked(machine: Machine) -> None:
    shutil.copytree(machine.space, machine.base / "away")
    for path in machine.space.glob("*.md"):
        os.truncate(path, 0)


HALTS: tuple[Callable[[Machine], None], ...] = (
    renamed, replaced_by_an_empty_one, emptied, mostly_deleted, closed, array_blanked,
)  # fmt: skip
GOES_ON: tuple[Callable[[Machine], None], ...] = (array_gone, ledgers_blanked, pages_blanked)


@bar("B24", "a source that vanished, whole or in part")
def vanished(trial: Trial) -> None:
    for number in range(trial.pick(1, 20)):
        for fault in HALTS + GOES_ON:
            if fault is closed and os.geteuid() == 0:
                trial.result.notes.append("chmod 000 keeps root from nothing: not tried")
                continue
            _try(trial, fault, trial.seed + number, f"b24-{fault.__name__}-{number}")


def _try(trial: Trial, fault: Callable[[Machine], None], seed: int, name: str) -> None:
    machine, book = Machine(trial.folder(name)), Book(seed)
    _fill(machine, book)
    first = machine.push()
    trial.result.expect(first.code == 0, f"{name}: the first push: {said(first)}")
    fault(machine)
    answer = machine.push()
    if fault in HALTS:
        state = machine.status()["state"]
        trial.result.expect(answer.code == 1, f"{name}: went on: {said(answer)}")
        trial.result.expect(state == "halted", f"{name}: status is {state}")
    else:
        trial.result.expect(answer.code in (0, 1), f"{name}: {said(answer)}")
    _check_nothing_withdrawn(trial, machine, book, name)
    _bring_back(machine)
    answer = machine.push()
    trial.result.expect(answer.code == 0, f"{name}: the push when it was back: {said(answer)}")
    _check_nothing_withdrawn(trial, machine, book, f"{name}, back")
    trial.result.n += 1


def _fill(machine: Machine, book: Book) -> None:
    for number in range(FILES):
        (machine.space / f"ledger-{number}.jsonl").write_bytes(joined(book.next(EACH)))
    array = book.next(EACH * 10, private=False)
    (machine.space / "entries.json").write_text("[" + ",".join(array) + "]\n")
    (one,) = book.next(1, private=False)
    page = f"# page\n\n{json.loads(one)['text']}\n"
    (machine.space / "page.md").write_text(page)
    book.public.remove(one)
    book.public.add(page)


def _check_nothing_withdrawn(trial: Trial, machine: Machine, book: Book, what: str) -> None:
    content = oracle.read_vault(machine.vault)
    trial.result.expect(content.retracts == 0, f"{what}: {content.retracts} retractions were sent")
    machine.judge(trial.result, book.public, book, what)


def _bring_back(machine: Machine) -> None:
    if machine.space.exists():
        machine.space.chmod(0o700)
        shutil.rmtree(machine.space)
    (machine.base / "away").rename(machine.space)
