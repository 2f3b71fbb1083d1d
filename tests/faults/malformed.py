"""B31: what is doubtful stays at home with a reason, and what stands beside it is carried."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.canary.search import Place, folder, home, search
from tests.canary.traces import Traces
from tests.faults.bar import Result, Trial, bar
from tests.faults.lines import Book, joined
from tests.faults.machine import SETTINGS, Machine, said
from tests.policies import doubtful

LONGEST_BYTES = 1 << 20
SHOWN = 10
AGENT = f"{SETTINGS}\n  max_line_bytes: {LONGEST_BYTES}"


class Case(NamedTuple):
    """A file with something doubtful in it. `good`: what stands beside that; `name`: for a person."""

    name: str
    file: str
    content: bytes
    good: tuple[str, ...] = ()


@bar("B31", "what cannot be understood stays at home, alone")
def malformed(trial: Trial) -> None:
    book = Book(trial.seed)
    cases = [*_long(book, trial.pick(2, 100) << 20), *itertools.islice(_cases(book), 0, None, trial.pick(5, 1))]
    _check_files(trial, book, cases)
    for number, doubt in enumerate(DOUBTS):
        doubt(trial.result, Machine(trial.folder(f"doubt-{number}")), book)
    leaks = search(Traces([doubtful.CANARY]), _outside(trial.base))
    trial.result.n = len(cases) + len(DOUBTS)
    trial.result.leaked += len(leaks)
    trial.result.failures += sorted({str(leak) for leak in leaks})[:SHOWN]


def _long(book: Book, size_bytes: int) -> Iterator[Case]:
    """A line that is longer than any may be."""
    before, behind = book.next(2, private=False)
    line = f'{{"text": "{"x" * size_bytes} {doubtful.CANARY}"}}'
    yield Case("too long", "long.jsonl", joined((before, line, behind)), (before, behind))


def _cases(book: Book) -> Iterator[Case]:
    """Each in a file of its own, between two good lines or entries; a document alone."""
    for number, (name, raw) in enumerate(doubtful.CASES.items()):
        before, behind = book.next(2, private=False)
        content = b"\n".join((before.encode(), _named(raw, f"line-{number}"), behind.encode(), b""))
        yield Case(name, f"line-{number:04d}.jsonl", content, (before, behind))
    for number, (name, raw) in enumerate(doubtful.entries()):
        before, behind = book.next(2, private=False)
        content = b"[" + b", ".join((before.encode(), _named(raw, f"entry-{number}"), behind.encode())) + b"]"
        yield Case(name, f"array-{number:04d}.json", content, (before, behind))
    for number, (name, raw) in enumerate(doubtful.documents()):
        yield Case(name, f"page-{number:04d}.md", raw)


def _named(raw: bytes, id_: str) -> bytes:
    """They all have one id, where they have any."""
    return raw.replace(b'"bad"', f'"{id_}"'.encode())


def _check_files(trial: Trial, book: Book, cases: Sequence[Case]) -> None:
    machine = Machine(trial.folder("files"), agent=AGENT)
    for case in cases:
        (machine.space / case.file).write_bytes(case.content)
    answer = machine.push()
    trial.result.expect(answer.code == 0, f"push: {said(answer)}")
    good = {one for case in cases for one in case.good}
    machine.compare(trial.result, good, good, "beside what is doubtful")
    held = _held(machine)
    wrong = [f"{case.file} ({case.name}): {held.get(case.file, 0)} held" for case in cases if held.get(case.file) != 1]
    trial.result.failures += wrong[:SHOWN]


def _held(machine: Machine) -> dict[str, int]:
    """How many records of each file are held for a reason."""
    with contextlib.closing(sqlite3.connect(machine.state / "state.db")) as database:
        sql = (
            "select path, total(count) from holding join file on file.id = holding.file"
            " join rule on rule.id = holding.rule where rule.reason != '' group by path"
        )
        return {path: int(count) for path, count in database.execute(sql)}


# -- those who judge are in doubt themselves


def _written(machine: Machine, book: Book) -> list[str]:
    lines = book.next(3, private=False)
    lines[1] = lines[1].replace("public", doubtful.CANARY)
    book.public -= {*book.next(0), lines[1]}
    (machine.space / "ledger.jsonl").write_bytes(joined(lines))
    return [lines[0], lines[2]]


def a_policy_raises(result: Result, machine: Machine, book: Book) -> None:
    """With the content in its error; what it did not raise for goes on."""
    good = _written(machine, book)
    answer = machine.call("push", "--json", launcher=("-m", "tests.faults.launch", "doubting"))
    result.expect(answer.code == 0, f"a policy that raises: {said(answer)}")
    machine.compare(result, set(good), set(good), "beside what a policy raised for")
    result.expect(_held(machine) == {"ledger.jsonl": 1}, "what a policy raised for is not shown as held")


def _nothing_is_sent(result: Result, machine: Machine, what: str) -> None:
    answer = machine.push()
    result.expect(answer.code != 0, f"{what}: {said(answer)}")
    machine.compare(result, set(), set(), what)


def an_ignore_file_is_no_text(result: Result, machine: Machine, book: Book) -> None:
    _written(machine, book)
    (machine.space / ".memferryignore").write_bytes(b"\xff\xfe drafts/")
    _nothing_is_sent(result, machine, "an ignore file that is no text")


def an_ignore_file_is_not_there(result: Result, machine: Machine, book: Book) -> None:
    """But a link that leads nowhere is."""
    _written(machine, book)
    (machine.space / ".memferryignore").symlink_to(machine.base / "nowhere")
    _nothing_is_sent(result, machine, "an ignore file that leads nowhere")


def a_pattern_is_none(result: Result, machine: Machine, book: Book) -> None:
    _written(machine, book)
    (machine.space / ".memferryignore").write_text("drafts/\n!\n")
    _nothing_is_sent(result, machine, "a pattern that is none")


def a_setting_is_unknown(result: Result, machine: Machine, book: Book) -> None:
    _written(machine, book)
    text = machine.config.read_text()
    machine.config.write_text(text.replace("path: space}", "path: space, exlude: ['*.jsonl']}"))
    _nothing_is_sent(result, machine, "a setting that is misspelled")


DOUBTS: Sequence[Callable[[Result, Machine, Book], None]] = (
    a_policy_raises,
    an_ignore_file_is_no_text,
    an_ignore_file_is_not_there,
    a_pattern_is_none,
    a_setting_is_unknown,
)


def _outside(base: Path) -> list[Place]:
    """Everything of all machines but their own files."""
    return [
        place for one in base.iterdir() for place in (folder(one / "vault"), folder(one / "logs"), home(one / "state"))
    ]
