"""The truth on disk: every regular file below a space's root, by scandir and stat; and what that says against
what was known. Nothing is opened here."""

from __future__ import annotations

import os
import stat as modes
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias

from memferry import windows
from memferry.backends import names
from memferry.errors import SpaceMissing

Listing: TypeAlias = "tuple[list[Found | Skipped], list[str]]"
"""The files of one folder and the paths of its sub-folders, both by name."""

NOT_UTF8 = "has a name that is not UTF-8"
IS_LINK = "is a link"
NO_FILE = "is not a regular file"
TOO_LONG = "has a path that not every system can store"
NEXT_STEPS = {
    NOT_UTF8: "rename it",
    IS_LINK: "put the file itself here, or carry the folder that it leads to as a space of its own",
    NO_FILE: "name it in .memferryignore",
    TOO_LONG: f"shorten it to {names.MAX_PATH_BYTES:,} bytes, or make a folder on its way a space of its own",
}
_LARGEST = 2**63 - 1
_KIND, _REGULAR = 0o170000, 0o100000
_JUNCTION = 0xA0000003  # Windows: a folder that is a link
_WINDOWS = sys.platform == "win32"  # where DirEntry.stat has neither inode nor device
_KNOWS_NO_CASE = sys.platform in ("win32", "darwin")  # mostly; there a file answers to names that nobody gave it
_new = tuple.__new__  # makes a named tuple in two thirds of the time of calling its class
_by_name = attrgetter("name")


class Stat(NamedTuple):
    """What tells one state of a file from another. Times in ns since 1970. All numbers fit 64 bits: `device` and
    `inode` are folded, and times that lie further than 292 years from 1970 count as that far."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @property
    def identity(self) -> tuple[int, int]:
        return self.device, self.inode

    @property
    def doubted(self) -> Stat:
        """The same moment, to be remembered where not all of the file was compared: no scan takes it for unchanged."""
        return self._replace(ctime_ns=-self.ctime_ns)


class Found(NamedTuple):
    """A regular file. `file`: path below the root, `/`-separated."""

    file: str
    stat: Stat


class Skipped(NamedTuple):
    """A file or folder that is there and is not read; `file` shows bytes that are not UTF-8 escaped."""

    file: str
    reason: str

    @property
    def hint(self) -> str:
        """What a person can do about it."""
        return NEXT_STEPS.get(self.reason, "let this user read it, or name it in .memferryignore")


class Changes(NamedTuple):
    """What a scan says against what was known.

    `changed`: new files, and files whose stat differs. `vanished`: known files that are not there; one that is
    skipped, or lies in a skipped folder, counts as there. `moved`: new name -> old name of files that seem to be
    one, by device and inode, a rotated file's new name too. An inode may have been given to another file, so only
    the content can confirm a move: the cursor of a ledger, the digest of a document.
    """

    changed: tuple[Found, ...]
    vanished: tuple[str, ...]
    moved: Mapping[str, str]
    skipped: tuple[Skipped, ...]


def stat_of(result: os.stat_result) -> Stat:
    return _new(
        Stat,
        (
            result.st_dev & _LARGEST,
            result.st_ino & _LARGEST,
            result.st_size,
            max(-_LARGEST, min(result.st_mtime_ns, _LARGEST)),
            max(-_LARGEST, min(_ctime_ns(result), _LARGEST)),
        ),
    )


def _ctime_ns(result: os.stat_result) -> int:
    """On Windows the time of creation: what Python calls ctime there is that for a name, and since 3.12 something else
    for an open file."""
    ctime_ns: int = getattr(result, "st_birthtime_ns", result.st_ctime_ns) if _WINDOWS else result.st_ctime_ns
    return ctime_ns


def walk(
    root: Path, *, under: str = "", descend: Callable[[str], bool] = lambda folder: True
) -> Iterator[Found | Skipped]:
    """Every file below `root`: the files of a folder by name, then its sub-folders by name.

    `under`: only this folder or file below the root; nothing when it is gone. `descend`: asked with each folder's
    path before it is read. No link is followed, so a loop of links does not exist; other file systems are entered.
    Files that come or go meanwhile may be in the result or not.

    Raises SpaceMissing when the root cannot be listed, also when that happens on the way: never read as empty.
    """
    before = _root_identity(root)
    files, inner = _way(root, under, descend) if under else _folder(root, "")
    folders: list[str] = []
    while True:
        yield from files
        folders.extend(folder for folder in reversed(inner) if descend(folder))
        if not folders:
            break
        files, inner = _folder(root, folders.pop())
    if _root_identity(root) != before:
        raise SpaceMissing(f"{root} was replaced while it was read", hint="try again")


def look(root: Path, file: str) -> Found | Skipped | None:
    """One file below `root`, without following a link on the way; None when there is no such file.

    Raises SpaceMissing like `walk`.
    """
    _root_identity(root)
    files, _ = _way(root, file, lambda folder: True)
    return files[0] if files else None


def stat_at(root: Path, file: str) -> Stat | None:
    """What lies there now, link or not; None when nothing does, or it cannot be told."""
    try:
        return stat_of(os.lstat(_at(root, file)))
    except OSError:
        return None


def changes(seen: Iterable[Found | Skipped], known: Mapping[str, Stat]) -> Changes:
    """Pure. `known`: the files that this scan would have met (all of the space, or those below its `under`)."""
    seen = list(seen)
    skipped = tuple([one for one in seen if type(one) is Skipped])
    present: dict[str, Stat] = dict([one for one in seen if type(one) is Found])
    if present == known:  # nearly always, and told fastest as a whole
        return Changes((), (), {}, skipped)
    changed = tuple([Found(file, stat) for file, stat in present.items() if known.get(file) != stat])
    hidden = {one.file for one in skipped}
    vanished = tuple([file for file in known if file not in present and not _lies_in(file, hidden)])
    return Changes(changed, vanished, _moves(changed, vanished, known), skipped)


def _moves(changed: Iterable[Found], vanished: Iterable[str], known: Mapping[str, Stat]) -> dict[str, str]:
    arrived = [one for one in changed if one.file not in known or known[one.file].identity != one.stat.identity]
    left = {known[file].identity: file for file in vanished}
    left |= {known[one.file].identity: one.file for one in arrived if one.file in known}
    moves = {}
    for one in arrived:
        old = left.pop(one.stat.identity, None)
        if old is not None:
            moves[one.file] = old
    return moves


def _lies_in(file: str, hidden: set[str]) -> bool:
    if not hidden:
        return False
    end = len(file)
    while end > 0:
        if file[:end] in hidden:
            return True
        end = file.rfind("/", 0, end)
    return False


# -- reading folders


if sys.platform == "win32":

    def _at(root: Path, file: str) -> str:
        """Of any length, and with nothing normalised."""
        return "\\".join((windows.extended(os.path.abspath(root)).rstrip("\\"), *file.split("/")))

else:

    def _at(root: Path, file: str) -> str:
        return os.path.join(root, file)


def _root_identity(root: Path) -> tuple[int, int]:
    try:
        found = os.stat(_at(root, ""))
    except OSError as error:
        raise missing(root, error) from error
    if not modes.S_ISDIR(found.st_mode):
        raise SpaceMissing(f"{root} is not a folder", hint="check the path of this space in the configuration")
    return found.st_dev, found.st_ino


def missing(root: Path, error: OSError) -> SpaceMissing:
    """The error that a space's folder cannot be read."""
    return SpaceMissing(
        f"{root} cannot be read: {error.strerror}",
        hint="mount its disk or check the path of this space in the configuration; nothing counts as deleted",
    )


def _folder(root: Path, folder: str) -> Listing:
    try:
        with os.scandir(_at(root, folder)) as found:
            entries = sorted(found, key=_by_name)
    except OSError as error:
        if not folder:
            raise missing(root, error) from error
        return _unlisted(folder, error)
    files: list[Found | Skipped] = []
    folders: list[str] = []
    prefix = f"{folder}/" if folder else ""
    is_quick = not _WINDOWS and len(prefix.encode()) + names.MAX_NAME_BYTES <= names.MAX_PATH_BYTES
    for entry in entries:
        name = entry.name
        try:
            found_stat = os.lstat(entry.path) if _WINDOWS else entry.stat(follow_symlinks=False)
        except OSError as error:
            files.extend(_unlisted(prefix + name, error)[0])
            continue
        mtime_ns, ctime_ns = found_stat.st_mtime_ns, found_stat.st_ctime_ns
        usual = is_quick and 0 <= mtime_ns <= _LARGEST and 0 <= ctime_ns <= _LARGEST and name.isascii()
        if usual and found_stat.st_mode & _KIND == _REGULAR:  # the common case, without a call
            files.append(_new(Found, (prefix + name, _new(Stat, (
                found_stat.st_dev & _LARGEST, found_stat.st_ino & _LARGEST, found_stat.st_size, mtime_ns, ctime_ns,
            )))))  # fmt: skip
        else:
            _sort_in(prefix + name, found_stat, files, folders)
    return files, folders


def _sort_in(file: str, found: os.stat_result, files: list[Found | Skipped], folders: list[str]) -> None:
    kind = found.st_mode & _KIND
    if not _is_utf8(file):
        files.append(Skipped(_shown(file), NOT_UTF8))
    elif len(file.encode()) > names.MAX_PATH_BYTES:
        files.append(Skipped(file, TOO_LONG))
    elif kind == modes.S_IFREG:
        files.append(Found(file, stat_of(found)))
    elif kind == modes.S_IFLNK or getattr(found, "st_reparse_tag", 0) == _JUNCTION:
        files.append(Skipped(file, IS_LINK))
    elif kind == modes.S_IFDIR:
        folders.append(file)
    else:
        files.append(Skipped(file, NO_FILE))


def _way(root: Path, file: str, descend: Callable[[str], bool]) -> Listing:
    """What `file` is, when every folder on the way is one and may be entered; else what is in the way, if anything."""
    parts = file.split("/")
    for depth in range(1, len(parts) + 1):
        path = "/".join(parts[:depth])
        try:
            found = os.lstat(_at(root, path))
        except OSError as error:
            return _unlisted(path, error)
        if not _is_spelled_so(root, path):
            return [], []
        files: list[Found | Skipped] = []
        folders: list[str] = []
        _sort_in(path, found, files, folders)
        if depth == len(parts) or (files and isinstance(files[0], Skipped)):
            return files, folders
        if not all(map(descend, folders)):
            break
    return [], []


def _is_spelled_so(root: Path, path: str) -> bool:
    """A disk that takes two spellings for one name finds a file under both; it is called as its folder lists it."""
    if not _KNOWS_NO_CASE:
        return True
    folder, _, name = path.rpartition("/")
    with suppress(OSError), os.scandir(_at(root, folder)) as entries:
        return any(entry.name == name for entry in entries)
    return True


def _unlisted(path: str, error: OSError) -> Listing:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return [], []
    return [Skipped(_shown(path), f"cannot be read: {error.strerror}")], []


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")
