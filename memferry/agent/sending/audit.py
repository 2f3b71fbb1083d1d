"""A local record of what left this machine, without a word of it: when, where to, how much, under which rules.

Lines of JSON in `audit.jsonl` of the state directory, only ever appended, and apart from the state, so that it outlives
one that is made again. A line stands there before the first byte of a delivery leaves, and another one when the backend
has acknowledged it: what was only begun may have arrived, too.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, Literal

import msgspec

from memferry.agent.state.journal import decode
from memferry.errors import StateError
from memferry.model import Sealed
from memferry.values import iso

FILE = "audit.jsonl"
FILE_BYTES = 4 << 20
FILES_KEPT = 8
"""Older ones are `audit.jsonl.1` and so on: 36 MiB in all, a hundred thousand deliveries and more."""

Did = Literal["sending", "acknowledged", "failed"]


class _Line(msgspec.Struct, gc=False):
    """Of an operation, what is counted."""

    op: str
    seq: int
    space: str = ""


_decoder = msgspec.json.Decoder(_Line)


class Audit:
    """Appends to the record. `rules`: the version of the rules that counts now. Raises StateError where it cannot be
    written: then nothing is sent."""

    def __init__(self, directory: Path, rules: Callable[[], str], *, clock: Callable[[], float] = time.time) -> None:
        self._path = directory / FILE
        self._rules = rules
        self._clock = clock

    def note(self, did: Did, backend: str, batch: Sequence[Sealed], refused: Sequence[int] = ()) -> None:
        """One delivery of consecutive operations, or one step of it."""
        line: dict[str, object] = {"at": iso(self._clock()), "did": did, "backend": backend}
        line |= {"first": batch[0].first, "last": batch[-1].last, "rules": self._rules()}
        if did == "sending":
            line |= _counted(batch)
        if refused:
            line["refused"] = _ranges(refused)
        self._append(json.dumps(line) + "\n")

    def _append(self, text: str) -> None:
        try:
            if self._path.exists() and self._path.stat().st_size > FILE_BYTES:
                self._rotate()
            self._path.touch(0o600)
            with self._path.open("a+b", buffering=0) as file:
                cut_short = file.tell() and not _ends_well(file)
                file.write(("\n" + text if cut_short else text).encode())
        except OSError as error:
            hint = "what leaves must be on record: free some space, or make it writable"
            raise StateError(f"{self._path} cannot be written: {error.strerror}", hint=hint) from error

    def _rotate(self) -> None:
        for number in range(FILES_KEPT, 0, -1):
            older = self._path if number == 1 else _numbered(self._path, number - 1)
            with suppress(FileNotFoundError):
                older.replace(_numbered(self._path, number))


def _ends_well(file: FileIO) -> bool:
    """Whether no crash cut the last line."""
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def read(directory: Path) -> Iterator[dict[str, Any]]:
    """All lines that are kept, the oldest first; one that a crash left half-written is left out."""
    path = directory / FILE
    for file in [_numbered(path, number) for number in range(FILES_KEPT, 0, -1)] + [path]:
        with suppress(FileNotFoundError), open(file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                with suppress(ValueError):
                    yield json.loads(line)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _counted(batch: Sequence[Sealed]) -> dict[str, object]:
    """How many records of each space, how much in all, and which operations are withdrawn."""
    spaces: Counter[str] = Counter()
    for sealed in batch:
        spaces.update(op.space for op in decode(sealed, _decoder) if op.op == "put")
    counted: dict[str, object] = {"records": dict(sorted(spaces.items())), "bytes": sum(len(s.frame) for s in batch)}
    retracted = [seq for sealed in batch for seq in sealed.retracts]
    return counted | ({"retracted": _ranges(retracted)} if retracted else {})


def _ranges(numbers: Sequence[int]) -> str:
    """`3-5,9`: thousands of neighbours are one word."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
