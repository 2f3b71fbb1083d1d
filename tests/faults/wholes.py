"""B10, B11: files that are rewritten as a whole, and names and types that nobody expects."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from tests.faults import oracle
from tests.faults.bar import Trial, bar
from tests.faults.lines import Book, joined
from tests.faults.machine import Machine, said, until

ENTRIES = 20
PARTS = 5
PAUSE_S = 0.02
HELD_UP_S = 0.15
"""Most of what a file must rest before it is read (`settle_ms` of the machine)."""
QUIET_S = 0.5


# -- B10


@bar("B10", "JSON arrays and documents rewritten while they are scanned")
def rewritten(trial: Trial) -> None:
    machine, book = Machine(trial.folder("b10")), Book(trial.seed)
    chance = random.Random(f"{trial.seed}/B10")
    page, array = machine.space / "page.md", machine.space / "entries.json"
    rewrites = trial.pick(60, 5000)
    stalled = 0
    with machine.running():
        for number in range(rewrites):
            for part in _rewrite(page, _page(book, number), chance):  # as far as anybody could tell, a version
                book.public.add(part.decode())
                stalled += 1
            stalled += len(_rewrite(array, _array(book, number), chance))
            if number % 10 == 9:  # the writer rests, and what it wrote becomes a version
                time.sleep(QUIET_S)
            trial.result.n += 1
        last = {_page(book, rewrites - 1).decode(), *_bodies(book, rewrites - 1)}
        arrived = machine.await_content(last, "the final version", 10)
        trial.result.expect(arrived, "the final version was not published within 10 s")
        _check_unchanged(trial, machine, page, array)
    content = oracle.read_vault(machine.vault)
    trial.result.expect(content.retracts == 0, f"{content.retracts} retractions: half an array was believed")
    machine.judge(trial.result, last, book, f"after {rewrites} rewrites")
    trial.result.notes.append(f"{len(content.bodies)} versions were published; the writer was held up {stalled} times")


def _page(book: Book, number: int) -> bytes:
    text = "\n".join(json.loads(book.entry(serial, number, private=False))["text"] for serial in range(ENTRIES))
    page = f"# version {number}\n\n{text}\n\nend of version {number}\n"
    book.public.add(page)
    return page.encode()


def _bodies(book: Book, number: int) -> list[str]:
    return [book.entry(100 + serial, number, private=False) for serial in range(ENTRIES)]


def _array(book: Book, number: int) -> bytes:
    return ("[\n" + ",\n".join(_bodies(book, number)) + "\n]\n").encode()


def _rewrite(path: Path, content: bytes, chance: random.Random) -> list[bytes]:
    """At once by a rename, or slowly in place. Returns what lay there for so long that it looked finished: a busy
    computer may hold up the writer amid its work."""
    if chance.random() < 0.5:
        draft = path.with_name(f".{path.name}.draft")
        draft.write_bytes(content)
        draft.replace(path)
        return []
    step = len(content) // PARTS + 1
    looked_finished = []
    with open(path, "wb", buffering=0) as file:
        since = time.monotonic()
        for at in range(0, len(content), step):
            file.write(content[at : at + step])
            if time.monotonic() - since > HELD_UP_S:
                looked_finished.append(content[:at])
            since = time.monotonic()
            time.sleep(chance.random() * PAUSE_S)
    return looked_finished


def _check_unchanged(trial: Trial, machine: Machine, *paths: Path) -> None:
    """The same bytes once more, both ways: nothing is uploaded."""
    until(lambda: machine.push().code == 0, "a quiet push")
    before = oracle.fingerprint(machine.vault)
    for path in paths:
        content = path.read_bytes()
        path.write_bytes(content)
        draft = path.with_name(f".{path.name}.draft")
        draft.write_bytes(content)
        draft.replace(path)
    answer = machine.push()
    trial.result.expect(answer.code == 0, f"push of an unchanged rewrite: {said(answer)}")
    trial.result.expect(oracle.fingerprint(machine.vault) == before, "an unchanged rewrite was uploaded")


# -- B11


@bar("B11", "hostile names and types")
def hostile(trial: Trial) -> None:
    machine, book = Machine(trial.folder("b11")), Book(trial.seed)
    skipped = set(_odd_things(machine.space, book))
    crowd = machine.space / "crowd"
    crowd.mkdir()
    for number in range(trial.pick(400, 100_000)):
        (crowd / f"{number:06}.jsonl").write_bytes(joined(book.next(1)))
        trial.result.n += 1
    with _socket(machine.space / "socket.jsonl"):
        answer = machine.push(timeout_s=trial.pick(60, 3600))
        again = machine.push(timeout_s=trial.pick(60, 3600))
    unreadable = 1 if os.geteuid() else 0  # nothing is unreadable to root
    trial.result.expect(answer.code == again.code == unreadable, f"push: {said(answer)}, then {said(again)}")
    problems = machine.status()["problems"]
    trial.result.expect(all(problem["hint"] for problem in problems), "status does not say what to do about each")
    named = {problem["subject"] for problem in problems}
    for name in sorted({"socket.jsonl", *skipped}):
        shown = any(name in subject for subject in named)
        trial.result.expect(shown, f"status does not say why {name} was skipped")
    machine.judge(trial.result, book.public, book, "all other files")


def _odd_things(space: Path, book: Book) -> Iterator[str]:
    """Makes them all; yields by what name status should know those that cannot be read."""
    _odd_names(space, book)
    with open(os.path.join(os.fsencode(space), b"bad-\xff-name.jsonl"), "wb") as file:
        file.write(b"{}\n")
    yield "bad-"
    os.mkfifo(space / "pipe.jsonl")
    yield "pipe.jsonl"
    (space / "inner").mkdir()
    (space / "inner" / "loop").symlink_to(space)
    yield "inner/loop"
    (space / "outside.jsonl").symlink_to("/etc/hostname")
    yield "outside.jsonl"
    with contextlib.suppress(PermissionError):  # only root makes devices
        os.mknod(space / "device.jsonl", 0o020600, os.makedev(1, 5))
        yield "device.jsonl"
    if os.geteuid():
        closed = space / "closed.jsonl"
        closed.write_bytes(joined(["{}"]))
        closed.chmod(0)
        yield "closed.jsonl"


def _odd_names(space: Path, book: Book) -> None:
    """Files that are to be carried, whatever they are called."""
    names = [
        "new\nline.jsonl", "tab\there.jsonl", " spaced .jsonl", "-rf.jsonl", "quote'\".jsonl", "per%20cent.jsonl",
        "a?b#c.jsonl", "back\\slash.jsonl", "UPPER.jsonl", "upper.jsonl", "x" * 249 + ".jsonl", "😀.jsonl",
        "\u202egnp.jsonl", unicodedata.normalize("NFC", "é.jsonl"), unicodedata.normalize("NFD", "é.jsonl"),
        "line\u2028sep.jsonl",
    ]  # fmt: skip
    for name in names:
        (space / name).write_bytes(joined(book.next(2)))


@contextlib.contextmanager
def _socket(path: Path) -> Iterator[None]:
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(path.parent)  # the path of a socket may not be long
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)
        yield
