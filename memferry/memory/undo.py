"""What a digest took out of a topic, kept beside it so that it can come back. Never carried, never thrown away.

One file for each digest in `.memferry/<file>.digests/`, written before the topic is. A digest that was undone keeps its
file under another name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from memferry.durable import explained, write_durably
from memferry.errors import ConfigError, MemferryError, StateError
from memferry.memory import arrays, locks, records

FOLDER_SUFFIX = ".digests"
UNDONE = ".undone"
SUFFIX = ".json"
_NUMBER = re.compile(r"[0-9]{1,18}")
ELSEWHERE = "a digest is undone on the machine that made it"


class Change(NamedTuple):
    """One digest. `at`: when (UTC). `removed`, `added`: entries, as they stood and stand in the file."""

    at: str
    removed: Sequence[bytes]
    added: Sequence[bytes]


class Undone(NamedTuple):
    """What came back (`restored`), what was taken out again (`removed`), and what stayed because somebody changed or
    digested it meanwhile (`left`): ids."""

    at: str
    restored: tuple[str, ...]
    removed: tuple[str, ...]
    left: tuple[str, ...]


def next_file(path: Path) -> Path:
    """Where the next digest of a topic is remembered."""
    folder = _folder(path)
    folder.mkdir(mode=0o700, exist_ok=True)
    names = (file.name.split(".")[0] for file in folder.glob("*.json*"))
    taken = (int(name) for name in names if _NUMBER.fullmatch(name))  # a sync service's copy is `000001 2.json`
    return folder / f"{1 + max(taken, default=0):06}{SUFFIX}"


def remember(file: Path, change: Change) -> None:
    """Durably."""
    text = {"at": change.at, "removed": _texts(change.removed), "added": _texts(change.added)}
    write_durably(file, json.dumps(text, ensure_ascii=False, indent=1).encode())


def undo(path: Path, *, dry_run: bool) -> Undone:
    """Take the last digest of a topic back. Raises ConfigError when there is none."""
    with locks.alone(path):
        file = max(_folder(path).glob(f"*{SUFFIX}"), default=None)
        if file is None:
            raise ConfigError(f"no digest of {path.stem} was made here that could be undone", hint=ELSEWHERE)
        change = _read(file)
        done = _undone(path, change, path.read_bytes())[0]
        if not dry_run:
            arrays.edit(path, lambda content, _: _undone(path, change, content)[1])
            with explained(file):
                file.rename(file.with_name(file.name + UNDONE))
    return done


def latest(folder: Path) -> Path | None:
    """The topic in a folder that was digested last, unless that was undone."""
    made = [
        (file.stat().st_mtime_ns, folder / file.parent.name.removesuffix(FOLDER_SUFFIX))
        for file in (folder / locks.FOLDER).glob(f"*{FOLDER_SUFFIX}/*{SUFFIX}")
    ]
    return max(made)[1] if made else None


def meant_to_go(path: Path) -> set[str]:
    """Ids of entries that digests and their undoing took out of an array, so that nobody takes it for an accident."""
    found: set[str] = set()
    for file in _folder(path, make=False).glob("*.json*"):
        with suppress(MemferryError):
            change = _read(file)
            found.update(_ids(change.added if file.name.endswith(UNDONE) else change.removed))
    return found


def _undone(path: Path, change: Change, content: bytes) -> tuple[Undone, bytes]:
    """What undoing comes to, and the file after it."""
    now = records.snapshot(content, path)
    present = {record.key: record for record in now.records}
    removed, added = (records.snapshot(records.rendered(some), path).records for some in (change.removed, change.added))
    back = [one for one in removed if one.key not in present]
    out = {one.key for one in added if one.key in present and present[one.key].digest == one.digest}
    left = tuple(one.key for one in added if one.key not in out)
    bodies = [record.body for record in now.records if record.key not in out] + [one.body for one in back]
    done = Undone(change.at, tuple(one.key for one in back), tuple(sorted(out)), left)
    return done, records.rendered(bodies, now)


def _folder(path: Path, *, make: bool = True) -> Path:
    name = f"{path.name}{FOLDER_SUFFIX}"
    return locks.beside(path.parent, name) if make else path.parent / locks.FOLDER / name


def _read(file: Path) -> Change:
    try:
        fields = json.loads(file.read_bytes())
        return Change(fields["at"], _bytes(fields["removed"]), _bytes(fields["added"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"{file} is damaged", hint="restore it from a backup; what it held is not undone") from error


def _texts(bodies: Sequence[bytes]) -> list[str]:
    return [body.decode() for body in bodies]


def _bytes(texts: Sequence[str]) -> list[bytes]:
    return [text.encode() for text in texts]


def _ids(bodies: Sequence[bytes]) -> Iterator[str]:
    for body in bodies:
        entry_id = json.loads(body).get("id")
        if type(entry_id) is str:
            yield entry_id
