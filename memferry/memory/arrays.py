"""A topic's file, a JSON array of entries that several programs rewrite, changed without losing what lies in it.

Only its end is touched where entries are added: every other byte stays as it was. What is no such array is never
overwritten.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from memferry.durable import Folder, explained
from memferry.errors import MemferryError, TransientError

EMPTY = b"[\n]\n"
BEFORE, BETWEEN, AFTER = b"\n  ", b",\n  ", b"\n"

ATTEMPTS = 100

Entry: TypeAlias = dict[str, Any]
Stamp: TypeAlias = tuple[int, int, int]
"""Inode, size and mtime: what tells one state of a file from another."""


class Array(NamedTuple):
    """A file's bytes. `end`: where the next entry goes; `empty`: whether there is none yet."""

    content: bytes
    end: int
    empty: bool

    def with_entries(self, bodies: Sequence[bytes]) -> Array:
        """The same, with these behind the others."""
        added = (BEFORE if self.empty else BETWEEN) + BETWEEN.join(bodies)
        rest = self.content[self.end :]
        gap = AFTER if self.empty and not rest.startswith((b"\n", b"\r\n")) else b""
        return Array(self.content[: self.end] + added + gap + rest, self.end + len(added), False)


def body(entry: Entry) -> bytes:
    """An entry as it stands in the file, in one line. Raises UnicodeEncodeError for half of a surrogate pair."""
    return json.dumps(entry, ensure_ascii=False).encode()


class Overtaken(Exception):
    """Somebody who knows no locks wrote the file since it was read."""


def edit(path: Path, change: Callable[[bytes, Stamp | None], bytes]) -> Stamp | None:
    """Durably make a file what `change` says of its content (b"" when there is none) and stamp, once more where a
    program that knows no locks wrote it meanwhile; returns its new stamp. Hold the topic's lock."""
    with explained(path), Folder.open(path.parent) as folder:
        for _ in range(ATTEMPTS):
            with suppress(Overtaken):
                return _edit_once(folder, path.name, change)
    raise TransientError(f"{path} is being written all the time", hint="try again when its writer has finished")


def _edit_once(folder: Folder, name: str, change: Callable[[bytes, Stamp | None], bytes]) -> Stamp | None:
    before, seen = read(folder, name)
    after = change(before, seen)
    if after == before:
        return seen
    with folder.writing(name, replace=True) as draft:
        draft.write(after)
        draft.flush()
        if _stamp(folder, name) != seen:
            raise Overtaken
        return _told_by(os.fstat(draft.fileno()))


def read(folder: Folder, name: str) -> tuple[bytes, Stamp | None]:
    """A whole file and what tells this state of it from another; b"" and None when there is none."""
    try:
        with folder.reading(name) as file:
            seen = _told_by(os.fstat(file.fileno()))
            return file.read(), seen
    except FileNotFoundError:
        return b"", None


def _stamp(folder: Folder, name: str) -> Stamp | None:
    try:
        return _told_by(folder.stat(name))
    except FileNotFoundError:
        return None


def _told_by(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns


def parse(content: bytes, path: Path) -> tuple[Array, list[Entry]]:
    """The entries of `content`, and where more of them go. Raises MemferryError where it is anything else."""
    if not content:
        return Array(EMPTY, 1, True), []
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise foreign(path, "is not complete JSON") from error
    if type(value) is list:
        return _whole(content, value, path)
    if type(value) is dict and type(value.get("entries")) is list:
        return _inside(content, value["entries"], path)
    raise foreign(path, "holds something else than entries")


def entries(content: bytes, path: Path) -> list[Entry]:
    """Just the entries."""
    return parse(content, path)[1]


def foreign(path: Path, problem: str) -> MemferryError:
    hint = "repair it, or move it away, or use another topic"
    return MemferryError(f"{path} {problem}; it was left as it is", hint=hint)


def _whole(content: bytes, value: list[Any], path: Path) -> tuple[Array, list[Entry]]:
    before = content.rstrip()[:-1].rstrip()
    return Array(content, len(before), not value), _checked(value, path)


def _inside(content: bytes, value: list[Any], path: Path) -> tuple[Array, list[Entry]]:
    """The array is a member of an object: where it ends, only a scanner can say."""
    from memferry.formats.array_scanner import scan
    from memferry.formats.strict_json import Unreadable, decode_text

    try:
        text = decode_text(content)
        found = scan(text)
    except Unreadable as error:
        raise foreign(path, f"cannot be read without doubt ({error.reason})") from error
    end = found.elements[-1].end if found.elements else found.inside
    return Array(content, len(text[:end].encode()), not found.elements), _checked(value, path)


def _checked(value: list[Any], path: Path) -> list[Entry]:
    if not all(type(one) is dict for one in value):
        raise foreign(path, "holds something else than entries")
    return value
