"""Ledgers that `hygiene` compressed into `archive/`, read as `ledgers` reads the others."""

from __future__ import annotations

import os
from collections.abc import Iterator

from memferry.agent.files.gzipped import Broken, Unfinished, read_gz_lines
from memferry.agent.files.tail import Chunk
from memferry.filelock import FLAGS
from memferry.memory.lifecycle.ledgers import Line, decoded

FOLDER = "archive/"
SUFFIX = ".gz"
ZONES = ("streams/", "bus/", "views/")


def ledger_of(file: str) -> str | None:
    """The ledger of which a file is the compressed copy; None for what nobody compressed here."""
    name = file.removeprefix(FOLDER).removesuffix(SUFFIX)
    return name if file == f"{FOLDER}{name}{SUFFIX}" and name.startswith(ZONES) else None


def read(path: str) -> Iterator[Line]:
    """Every line; or a single one, of number 0, with what is wrong with the file as a whole. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | FLAGS)
    try:
        yield from _lines(descriptor)
    finally:
        os.close(descriptor)


def _lines(descriptor: int) -> Iterator[Line]:
    number = 1
    for part in read_gz_lines(descriptor):
        if isinstance(part, Broken):
            yield Line(0, 0, 0, {}, f"it {part.reason}")
        elif isinstance(part, Chunk):
            offset = part.start
            for raw in part.lines.split(b"\n")[:-1]:
                if raw.strip():
                    yield decoded(raw, number, offset)
                offset, number = offset + len(raw) + 1, number + 1
        else:
            problem = "it is cut off" if isinstance(part, Unfinished) else "it is too long to be read"
            yield Line(number, part.start, part.size_bytes, {}, problem)
            number += 1
