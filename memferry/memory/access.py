"""How often entries were recalled: a counter for each machine, and the sum of all is what counts.

A counter is an array like any other, `access/<counter>.json`, which travels along, and only one machine ever writes it:
so counters merge by lying side by side, and a count that names a held entry is held with it. A recall writes the next
state of this machine's counter to `.memferry/`, which is never carried. The next real change (something is learned or
digested) moves it into place. Each state holds all that was counted before, and stands for the one that travels until
it takes its place by a rename: whatever is cut short is neither lost nor counted twice.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from memferry.durable import Folder, explained, write_durably
from memferry.errors import MemferryError
from memferry.memory import arrays, locks
from memferry.memory.importance import Access
from memferry.values import iso, seconds

FOLDER = "access"
"""Of the counters that travel; and, in `.memferry/`, of the next state of this machine's own."""
LOCK = "access.lock"
COUNTER = "counter"

Counts = Mapping[str, Access]


def totals(folder: Path) -> Counts:
    """Of every machine, by entry id. What cannot be read counts nothing: a counter is no memory."""
    found: dict[str, Access] = defaultdict(Access)
    for name in {file.name for file in files(folder)}:
        for entry_id, one in _latest(folder, name).items():
            found[entry_id] = found[entry_id].and_also(one)
    return found


def files(folder: Path) -> Iterator[Path]:
    """Where counts lie, also those that wait to travel."""
    yield from sorted((folder / FOLDER).glob("*.json"))
    yield from _next(folder).glob("*.json")


def count(folder: Path, ids: Iterable[str], now: float) -> None:
    """Each of these was recalled once more."""
    with explained(folder), locks.held(locks.beside(folder, LOCK)):
        own = _own(folder)
        counts = _latest(folder, own.name)
        for one in sorted(set(ids)):
            counts[one] = counts.get(one, Access()).and_also(Access(1, now))
        own.parent.mkdir(mode=0o700, exist_ok=True)
        write_durably(own, _written(counts, f"access-{own.stem}-"))


def is_waiting(folder: Path) -> bool:
    """Whether there is a count that does not travel yet."""
    try:
        return bool(os.listdir(_next(folder)))
    except FileNotFoundError:
        return False


def publish(folder: Path) -> None:
    """Let the counts of this machine travel with what just changed."""
    if not is_waiting(folder):
        return
    with explained(folder), locks.held(locks.beside(folder, LOCK)):
        own = _own(folder)
        for other in _next(folder).iterdir():
            if other.name != own.name:  # a crash left it, or it came with a copy of the folder: then it is not ours
                other.unlink()
        if own.exists():
            (folder / FOLDER).mkdir(exist_ok=True)
            os.replace(own, folder / FOLDER / own.name)
            for changed in (folder, folder / FOLDER, own.parent):
                with Folder.open(changed) as opened:
                    opened.sync()


def _latest(folder: Path, name: str) -> dict[str, Access]:
    """A counter; its next state, where there is one that can be read."""
    return _read(_next(folder) / name) or _read(folder / FOLDER / name)


def _next(folder: Path) -> Path:
    return folder / locks.FOLDER / FOLDER


def _own(folder: Path) -> Path:
    return _next(folder) / f"{_counter(folder)}.json"


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


def _written(counts: Counts, prefix: str) -> bytes:
    lines = [
        json.dumps({"id": f"{prefix}{one}", "ref": one, "count": access.times, "last": iso(access.last or 0.0)})
        for one, access in counts.items()
    ]
    return arrays.Array(arrays.EMPTY, 1, True).with_entries([line.encode() for line in lines]).content
