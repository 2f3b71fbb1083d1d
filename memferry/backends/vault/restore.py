"""Rebuilding a machine's files from its log: byte for byte what was there, less what was held."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from memferry import durable
from memferry.backends import names
from memferry.backends.vault.layout import File, Layouts
from memferry.durable import Folder
from memferry.errors import ConfigError, QuotaExceeded, TargetRefused, TransientError
from memferry.model import Op

KEPT = ".memferry-kept"
"""Folder of the target for what no file shows any more."""
_SCRATCH = ".memferry-restore-"
_ARRAY = ("[\n", ",\n", "\n]\n")
_STEP_BYTES = 1 << 20
_GZIP = 31


class RestoreReport(NamedTuple):
    """What was restored: `files` with their `records`, `kept_aside`: versions that no file shows any more, the `bytes`
    of all of it, and how many of the versions are `redacted`: the originals never left their machine."""

    files: int
    records: int
    kept_aside: int
    bytes: int
    redacted: int = 0


def restore(ops: Iterable[Op], to: Path, *, machine: str = "") -> RestoreReport:
    """Write the files of a log to `to/<space>/...`, with their times, and what they no longer show to
    `to/.memferry-kept`.

    `ops`: all of one machine's log, ascending; `machine`: its id. `to` is made if it is missing. It must hold nothing
    but what would be written there, so that an interrupted restore can be repeated: else ConfigError, and nothing
    is written. TargetRefused if the log names a file outside of it. Needs the disk space twice while it runs.
    """
    with durable.explained(to):
        to.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in to.glob(_SCRATCH + "*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=to) as scratch:
            return _restore(ops, to, Path(scratch) / "layout.db", machine)


def _restore(ops: Iterable[Op], to: Path, scratch: Path, machine: str) -> RestoreReport:
    try:
        with closing(Layouts(scratch, machine=machine)) as layouts:
            _fold(ops, layouts)
            kept_aside = layouts.set_aside(lambda space: f"{KEPT}/{space}", _kept_name)
            redacted = layouts.redacted()
            files = _plan(layouts)
            there = _already_there(to, layouts, files)
            with Folder.open(to) as root:
                size = sum(_write(root, path, file, layouts, there) for path, file in files.items())
    except sqlite3.OperationalError as error:
        full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
        problem = QuotaExceeded if full else TransientError
        raise problem(
            f"the scratch database in {to} failed: {error}", hint=f"free some space on the disk of {to}"
        ) from error
    restored = [file for file in files.values() if not file.space.startswith(f"{KEPT}/")]
    return RestoreReport(len(restored), sum(file.records for file in restored), kept_aside, size, redacted)


def _fold(ops: Iterable[Op], layouts: Layouts) -> None:
    for op in ops:
        try:
            layouts.apply(op)
        except OverflowError as error:
            raise TargetRefused(
                f"operation {op.seq} holds a number that is too large", hint="memferry verify"
            ) from error


def _kept_name(file: str, format_: str, seq: int) -> str:
    """Old versions of a document cannot be joined to one file: each has its own."""
    path = PurePosixPath(file)
    return str(path.with_name(f"{path.stem}.{seq}{path.suffix}")) if format_ == "document" else file


# -- which files


def _plan(layouts: Layouts) -> dict[str, File]:
    """What to write, by path below the target. Every name is checked before the first byte is written."""
    for file in layouts.files():
        _check_names(file)
    _step_aside(layouts)
    return {f"{file.space}/{file.name}": file for file in layouts.files() if _was_a_file(file)}


def _check_names(file: File) -> None:
    space = file.space.removeprefix(f"{KEPT}/")
    if "/" in space or space.startswith(".memferry"):
        raise TargetRefused(f"a log names the space {names.shown(space)!r}, which cannot be", hint="memferry verify")
    names.check_file(space)
    names.check_file(file.name)


def _step_aside(layouts: Layouts) -> None:
    """A file that is gone makes way for a folder of its name, or for a file where its folder was."""
    files = list(layouts.files())
    live = {f"{file.space}/{file.name}" for file in files if not file.gone}
    folders = {folder for path in live for folder in _folders(path)}
    for file in files:
        path = f"{file.space}/{file.name}"
        if file.gone and (path in folders or not live.isdisjoint(_folders(path))):
            layouts.move(file.id, f"{KEPT}/{file.space}", f"{file.name}.gone")


def _folders(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


def _was_a_file(file: File) -> bool:
    """One that shows nothing was an empty ledger or array, if a note tells of it; else all that it showed was
    withdrawn."""
    if file.records:
        return True
    return not file.gone and file.mtime_ns is not None and file.format != "document" and _has_frame_if_array(file)


def _has_frame_if_array(file: File) -> bool:
    return file.format != "entries" or file.frame is not None


def _already_there(to: Path, layouts: Layouts, files: dict[str, File]) -> frozenset[str]:
    """Paths that an interrupted restore has written. ConfigError if anything else lies in the target."""
    there = frozenset(path for path in _paths(to) if not path.startswith(_SCRATCH))
    for path in sorted(there):
        if path not in files or not _is_same(to / path, _content(files[path], layouts)):
            raise ConfigError(
                f"{to} is not empty: it holds {names.shown(path)}, and nothing was overwritten",
                hint="restore into an empty folder, and move the files to their places from there",
            )
    return there


def _paths(to: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(to):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in files + links:
            yield Path(folder, name).relative_to(to).as_posix()


def _is_same(path: Path, content: Iterable[bytes]) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return all(file.read(len(step)) == step for step in content) and not file.read(1)


# -- what is in them


def _write(root: Folder, path: str, file: File, layouts: Layouts, there: frozenset[str]) -> int:
    """Returns the file's size in bytes."""
    if path in there:
        return sum(map(len, _content(file, layouts)))
    *folders, name = path.split("/")
    size = 0
    with ExitStack() as stack, durable.explained(root.path / path):
        folder = root
        for part in folders:
            folder = stack.enter_context(folder.sub(part, create=True))
        try:
            with folder.writing(name, replace=False, mtime_ns=file.mtime_ns) as target:
                for step in _content(file, layouts):
                    size += target.write(step)
        except FileExistsError as error:
            raise ConfigError(
                f"{names.shown(path)} has the name of another file on this file system",
                hint="restore to a disk that tells upper and lower case apart",
            ) from error
    return size


def _content(file: File, layouts: Layouts) -> Iterator[bytes]:
    """A file's bytes, in pieces."""
    bodies = layouts.bodies(file.id)
    if file.format == "document":
        return bodies
    if file.format == "entries":
        return _array(file.frame or _ARRAY, bodies)
    lines = (body + b"\n" for body in bodies)
    return _gzipped(_larger(lines)) if file.name.endswith(".gz") else _larger(lines)


def _array(frame: Sequence[str], bodies: Iterator[bytes]) -> Iterator[bytes]:
    before, between, after = (text.encode() for text in frame)
    yield before
    for count, body in enumerate(bodies):
        yield between + body if count else body
    yield after


def _larger(pieces: Iterator[bytes]) -> Iterator[bytes]:
    group: list[bytes] = []
    size = 0
    for piece in pieces:
        group.append(piece)
        size += len(piece)
        if size >= _STEP_BYTES:
            yield b"".join(group)
            group, size = [], 0
    yield b"".join(group)


def _gzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Without name and time in its header, so that the same lines give the same bytes."""
    packer = zlib.compressobj(wbits=_GZIP)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()
