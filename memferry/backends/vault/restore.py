"""Rebuilding a machine's files from its log: byte for byte what was there, less what was held."""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import sqlite3
import sys
import tempfile
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from memferry import durable, windows
from memferry.backends import names
from memferry.backends.vault.layout import File, Layouts
from memferry.durable import Folder
from memferry.errors import ConfigError, QuotaExceeded, TargetRefused, TransientError
from memferry.model import Op

KEPT = ".memferry-kept"
"""Folder of the target for what no file shows any more."""
SHOWN_CHARACTERS = 1000
"""Of a name that was left out."""
_SCRATCH = ".memferry-restore-"
_ARRAY = ("[\n", ",\n", "\n]\n")
_STEP_BYTES = 1 << 20
_GZIP = 31
_OF_A_NAME = {
    errno.EEXIST: "its name and that of another file are one on this disk",
    errno.EINVAL: "this disk cannot store its name",
    errno.EILSEQ: "this disk cannot store its name",
    errno.ENAMETOOLONG: "its name is too long for this disk",
    errno.ENOTDIR: "a link or a file lies where its folder would be",
    errno.ELOOP: "a link or a file lies where its folder would be",
}
_TOO_LONG_ON_WINDOWS = {3, 206}  # ERROR_PATH_NOT_FOUND, ERROR_FILENAME_EXCED_RANGE: both have the number of ENOENT
"""What an error says of one file's name, while others can be written."""
_ELSEWHERE = "restore into an empty folder on a disk that can store it"


class LeftOut(NamedTuple):
    """A file that was not restored, for its name: `file` as it may be printed, `space/path`. `strange`: no memferry
    writes such a name."""

    file: str
    reason: str
    next_step: str
    strange: bool = False


class RestoreReport(NamedTuple):
    """What was restored: `files` with their `records`, `kept_aside`: versions that no file shows any more, the `bytes`
    of all of it, and how many of the versions are `redacted`: the originals never left their machine. `left_out`: what
    was not."""

    files: int
    records: int
    kept_aside: int
    bytes: int
    redacted: int = 0
    left_out: tuple[LeftOut, ...] = ()

    @property
    def exit_code(self) -> int:
        """4: the log names what no memferry writes. 1: a file cannot be stored here."""
        strange = any(one.strange for one in self.left_out)
        return TargetRefused.exit_code if strange else int(bool(self.left_out))


def restore(ops: Iterable[Op], to: Path, *, machine: str = "") -> RestoreReport:
    """Write the files of a log to `to/<space>/...`, with their times, and what they no longer show to
    `to/.memferry-kept`.

    `ops`: all of one machine's log, ascending; `machine`: its id. `to` is made if it is missing. It must hold nothing
    but what would be written there, so that an interrupted restore can be repeated: else ConfigError, and nothing
    is written. A file whose name leads elsewhere, or cannot be stored there, is left out. Needs the disk space twice
    while it runs.
    """
    _make(to)
    with _explained(to):
        for left in to.glob(_SCRATCH + "*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=to) as scratch:
            return _restore(ops, to, Path(scratch) / "layout.db", machine)


def _make(to: Path) -> None:
    with _explained(to):
        try:
            to.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
            raise ConfigError(
                f"nothing can be restored to {to}: it is no folder, and none can be made there",
                hint="name an empty or new folder",
            ) from error


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """As `durable.explained`, of a command that nobody repeats by itself."""
    try:
        yield
    except OSError as error:
        problem = durable.failure(error, path)
        if isinstance(problem, TransientError):
            problem.hint = f"look at {path}, then restore again"
        raise problem from error


def _restore(ops: Iterable[Op], to: Path, scratch: Path, machine: str) -> RestoreReport:
    try:
        with closing(Layouts(scratch, machine=machine)) as layouts:
            _fold(ops, layouts)
            layouts.set_aside(lambda space: f"{KEPT}/{space}", _kept_name)
            plan = _plan(layouts)
            there = _already_there(to, layouts, plan.files)
            with Folder.open(to) as root:
                return _carry_out(plan, root, layouts, there)
    except sqlite3.OperationalError as error:
        full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
        problem = QuotaExceeded if full else TransientError
        raise problem(
            f"the scratch database in {to} failed: {error}", hint=f"free some space on the disk of {to}"
        ) from error


def _carry_out(plan: _Plan, root: Folder, layouts: Layouts, there: frozenset[str]) -> RestoreReport:
    """One name that this disk cannot have stops no other."""
    written: list[File] = []
    left_out = list(plan.left_out)
    size = 0
    for path, file in plan.files.items():
        with _explained(root.path / path):
            try:
                size += _write(root, path, file, layouts, there)
                written.append(file)
            except OSError as error:
                why = _of_its_name(error)
                if why is None:
                    raise
                left_out.append(LeftOut(_shown(path), why, _ELSEWHERE))
    kept = [file for file in written if file.space.startswith(f"{KEPT}/")]
    aside, records = (sum(file.records for file in files) for files in (kept, written))
    redacted = layouts.redacted([file.id for file in written])
    return RestoreReport(len(written) - len(kept), records - aside, aside, size, redacted, tuple(left_out))


def _of_its_name(error: OSError) -> str | None:
    if getattr(error, "winerror", None) in _TOO_LONG_ON_WINDOWS:
        return _OF_A_NAME[errno.ENAMETOOLONG]
    return _OF_A_NAME.get(error.errno or 0)


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
    if format_ != "document":
        return file
    stem, suffix = posixpath.splitext(file)
    return _ending(stem, f".{seq}{suffix}")


def _ending(path: str, end: str) -> str:
    """`path` with something more at its end; its last part is cut where that would make it too long."""
    folder, slash, name = path.rpartition("/")
    room = max(names.MAX_NAME_BYTES - len(end.encode()), 0)
    return folder + slash + name.encode()[:room].decode(errors="ignore") + end


# -- which files


class _Plan(NamedTuple):
    """`files`: what to write, by path below the target."""

    files: Mapping[str, File]
    left_out: Sequence[LeftOut]


def _plan(layouts: Layouts) -> _Plan:
    """Every name is checked before the first byte is written."""
    unfit = {file.id: why for file in layouts.files() if (why := _unfit(file))}
    _step_aside(layouts)
    wanted = [file for file in layouts.files() if _was_a_file(file)]
    files = {_path(file): file for file in wanted if file.id not in unfit}
    return _Plan(files, [unfit[file.id] for file in wanted if file.id in unfit])


def _path(file: File) -> str:
    return f"{file.space}/{file.name}"


def _unfit(file: File) -> LeftOut | None:
    """Why a file must not be written: its name would lead out of its space, or this computer cannot have it."""
    space = file.space.removeprefix(f"{KEPT}/")
    path = _shown(_path(file))
    if "/" in space or space.startswith(".memferry"):
        return LeftOut(path, "no space is called this", names.WHO_ELSE, strange=True)
    for what, name in (("the name of its space", space), ("its name", file.name)):
        if why := names.problem(name, portable=False):
            return LeftOut(path, f"{what} {why}", names.WHO_ELSE, strange=True)
        if not names.fits_here(name):
            return LeftOut(path, f"Windows cannot store {what}", "restore on another system")
    return None


def _shown(path: str) -> str:
    return names.shown(path)[:SHOWN_CHARACTERS]


def _step_aside(layouts: Layouts) -> None:
    """A file that is gone makes way for a folder of its name, for a file where its folder was, and for one of its name
    in other letters, as after a renaming: a disk may take the two for one."""
    files = list(layouts.files())
    paths = {_path(file) for file in files}
    live = {_spelled(_path(file)) for file in files if not file.gone}
    taken = live | {folder for path in live for folder in _folders(path)}
    for file in files:
        path = _spelled(_path(file))
        if file.gone and (path in taken or not live.isdisjoint(_folders(path))):
            space, end = f"{KEPT}/{file.space}", ".gone"
            while f"{space}/{_ending(file.name, end)}" in paths:
                end += ".gone"
            layouts.move(file.id, space, _ending(file.name, end))


def _spelled(path: str) -> str:
    """The same for all names that some disk takes for one."""
    return unicodedata.normalize("NFC", path).casefold()


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


def _already_there(to: Path, layouts: Layouts, files: Mapping[str, File]) -> frozenset[str]:
    """Paths that an interrupted restore has written. ConfigError if anything else lies in the target."""
    disk = Path(windows.extended(os.path.abspath(to))) if sys.platform == "win32" else to
    there = frozenset(path for path in _paths(disk) if not path.startswith(_SCRATCH))
    for path in sorted(there):
        if path not in files or not _is_same(disk / path, _content(files[path], layouts)):
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
    """Returns the file's size in bytes. Raises plain OSErrors."""
    if path in there:
        return sum(map(len, _content(file, layouts)))
    *folders, name = path.split("/")
    size = 0
    with ExitStack() as stack:
        folder = root
        for part in folders:
            folder = stack.enter_context(folder.sub(part, create=True))
        with folder.writing(name, replace=False, mtime_ns=file.mtime_ns) as target:
            for step in _content(file, layouts):
                size += target.write(step)
    return size


def _content(file: File, layouts: Layouts) -> Iterator[bytes]:
    """A file's bytes, in pieces."""
    bodies = layouts.bodies(file.id)
    if file.format == "document":
        return bodies
    if file.format == "entries":
        return _array(file.frame or _ARRAY, bodies)
    lines = (body + b"\n" for body in bodies)
    return _gzipped(_larger(lines)) if file.name.lower().endswith(".gz") else _larger(lines)


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
