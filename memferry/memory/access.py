"""How often entries were recalled: a counter for each machine, and the sum of all is what counts.

A recall only writes to `.memferry/`, which is never carried. The next real change (something is learned or digested)
moves those counts into `access/<counter>.json`, an array like any other, which then travels along. Only one machine
ever writes each of these, so they merge by lying side by side; a count that names a held entry is held with it.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from memferry.durable import explained, write_durably
from memferry.errors import MemferryError
from memferry.memory import arrays, locks
from memferry.memory.importance import Access, iso, seconds

FOLDER = "access"
PENDING = "access.json"
COUNTER = "counter"

Counts = Mapping[str, Access]


def totals(folder: Path) -> Counts:
    """Of every machine, by entry id. What cannot be read counts nothing: a counter is no memory."""
    found: dict[str, Access] = defaultdict(Access)
    for file in files(folder):
        for entry_id, one in _read(file).items():
            found[entry_id] = found[entry_id].and_also(one)
    return found


def files(folder: Path) -> Iterator[Path]:
    """Where counts lie: those that travel, and what this machine counted since."""
    yield from sorted((folder / FOLDER).glob("*.json"))
    yield _pending(folder)


def count(folder: Path, ids: Iterable[str], now: float) -> None:
    """Each of these was recalled once more."""
    with explained(folder), locks.held(locks.beside(folder, f"{PENDING}.lock")):
        once = dict.fromkeys(ids, Access(1, now))
        write_durably(_pending(folder), _written(_summed(_read(_pending(folder)), once)))


def publish(folder: Path) -> None:
    """Let the counts of this machine travel with what just changed."""
    if not _pending(folder).exists():
        return
    with explained(folder), locks.held(locks.beside(folder, f"{PENDING}.lock")):
        pending = _read(_pending(folder))
        counter = _counter(folder)
        target = folder / FOLDER / f"{counter}.json"
        target.parent.mkdir(exist_ok=True)
        write_durably(target, _written(_summed(_read(target), pending), f"access-{counter}-"))
        _pending(folder).unlink(missing_ok=True)


def _summed(some: Counts, others: Counts) -> Counts:
    return {one: some.get(one, Access()).and_also(others.get(one, Access())) for one in sorted({*some, *others})}


def _pending(folder: Path) -> Path:
    return folder / locks.FOLDER / PENDING


def _counter(folder: Path) -> str:
    """This machine's name for this folder, made once. A copy of the folder is another one: its file is."""
    path = locks.beside(folder, COUNTER)
    with suppress(FileNotFoundError, ValueError):
        name, inode = path.read_text("ascii").split()
        if int(inode) == path.stat().st_ino:
            return name
    name = os.urandom(4).hex()
    path.write_text("", "ascii")
    path.write_text(f"{name} {path.stat().st_ino}", "ascii")
    return name


def _read(file: Path) -> dict[str, Access]:
    with suppress(OSError, MemferryError):
        return {
            entry["ref"]: Access(int(entry["count"]), seconds(entry["last"]))
            for entry in arrays.entries(file.read_bytes(), file)
            if type(entry.get("ref")) is str and type(entry.get("count")) is int and "last" in entry
        }
    return {}


def _written(counts: Counts, prefix: str = "") -> bytes:
    lines = [
        json.dumps({"id": f"{prefix}{one}", "ref": one, "count": access.times, "last": iso(access.last or 0.0)})
        for one, access in counts.items()
    ]
    return arrays.Array(arrays.EMPTY, 1, True).with_entries([line.encode() for line in lines]).content
