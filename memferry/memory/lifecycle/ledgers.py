"""Ledgers on disk: appended whole lines, durably; read without doubt about what a line says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from memferry.filelock import FLAGS, NO_SUCH_SYNC, sync_file
from memferry.formats.strict_json import Unreadable, loads

BLOCK = 1 << 20
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | FLAGS

HALF = "it is half a line, as a crash leaves it"
"""What is wrong with an object that ends before it is closed. Nobody was told that it had been written."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


class Line(NamedTuple):
    """One line of a ledger: where it lies and what it says. `problem`: why it cannot be read, "" where it can."""

    number: int
    offset: int
    length: int
    fields: dict[str, Any]
    problem: str = ""


# -- writing


def append(root: str, file: str, lines: Sequence[bytes]) -> bool:
    """Add whole lines, durably. A half line that a crash left is ended first, so that it spoils no other; returns
    whether there was one.

    What a full disk lets in of them is taken out again. Raises OSError.
    """
    path = os.path.join(root, *file.split("/"))
    try:
        descriptor = os.open(path, _APPEND, 0o644)
    except FileNotFoundError:
        make_folders(os.path.dirname(path))
        descriptor = os.open(path, _APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        ended = size == 0 or _last_byte(descriptor, size) == b"\n"
        _write(descriptor, (b"" if ended else b"\n") + b"".join(lines), size)
        sync_file(descriptor)
    finally:
        os.close(descriptor)
    if size == 0:
        sync_folder(os.path.dirname(path))
    return not ended


def _last_byte(descriptor: int, size: int) -> bytes:
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1)


def _write(descriptor: int, content: bytes, size: int) -> None:
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def make_folders(path: str) -> None:
    """Durably, with those above it."""
    if os.path.isdir(path):
        return
    above = os.path.dirname(path) or "."
    make_folders(above)
    with suppress(FileExistsError):
        os.mkdir(path)
    sync_folder(above)


def sync_folder(path: str) -> None:
    """Make what was made and renamed in it durable; nothing to do on Windows and on some network disks."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_file(descriptor)
    except OSError as error:
        if error.errno not in NO_SUCH_SYNC:
            raise
    finally:
        os.close(descriptor)


# -- reading


def read(path: str, *, offset: int = 0, number: int = 1) -> Iterator[Line]:
    """The whole lines from byte `offset` on, which begins line `number`. One without its newline is not there yet."""
    rest = b""
    with open(path, "rb") as file:
        file.seek(offset)
        while block := file.read(BLOCK):
            *whole, rest = (rest + block).split(b"\n")
            for raw in whole:
                if raw.strip():
                    yield decoded(raw, number, offset)
                offset += len(raw) + 1
                number += 1


def decoded(raw: bytes, number: int, offset: int) -> Line:
    """A line that is there as a whole."""
    try:
        fields = loads(raw)
    except Unreadable as doubt:
        return Line(number, offset, len(raw), {}, HALF if _is_half(raw) else doubt.reason)
    if not isinstance(fields, dict):
        return Line(number, offset, len(raw), {}, "it is not a JSON object")
    return Line(number, offset, len(raw), fields)


def _is_half(raw: bytes) -> bool:
    """Whether it begins an object, and ends inside of it."""
    marks = _STRING.sub(b"", raw)
    return raw.startswith(b"{") and (b'"' in marks or marks.count(b"{") > marks.count(b"}"))
