"""Which files of a space are read at all: excludes, ignore files, markers, hidden folders.

Patterns are those of gitignore, relative to the folder that states them. `PathRules` is pure; `read_rules` makes one
from what lies on disk, and `still_hold` says whether it is still that.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memferry.errors import ConfigError, SpaceMissing
from memferry.model import Hold
from memferry.policies.own import Own, looks_own

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".memferryignore"
"""Holds patterns of what is not read in its folder and below."""
OFF_MARKER = ".memferry-off"
"""Nothing in its folder and below is read."""
ON_MARKER = ".memferry-on"
"""Where a space is `opt_in`, only its folder and what lies below is read."""
MARKERS = frozenset({IGNORE_FILE, OFF_MARKER, ON_MARKER})

_KNOWS_NO_CASE = sys.platform in ("win32", "darwin")

NEVER_ENTERED = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv"})

OWN = Hold("paths.own", "it is memferry's own, which is never carried")
EXCLUDED = Hold("paths.exclude", "excluded in the configuration")
IGNORED = Hold("paths.ignore", f"ignored by {IGNORE_FILE}")
OFF = Hold("paths.off", f"its folder is marked {OFF_MARKER}")
NOT_ON = Hold("paths.opt-in", f"no folder above it is marked {ON_MARKER}")
HIDDEN = Hold("paths.hidden", "hidden, and not included in the configuration")
UNSEEN = Hold("paths.unseen", "nobody could look yet for what its folder says about it")


class PathRules:
    """The rules of one space. `exclude`, `include`: patterns of its configuration; `include` brings back what is hidden
    and what the format leaves out, never what is excluded. `markers`: path -> text of the marker files found in it.
    `hidden`: whether files and folders with a leading dot are read like others. `own`: paths of what is memferry's.
    `folders`: in which markers were looked for, the top one empty; None: in all."""

    def __init__(
        self,
        exclude: Sequence[str] = (),
        include: Sequence[str] = (),
        *,
        opt_in: bool = False,
        markers: Mapping[str, str] | None = None,
        hidden: bool = True,
        own: Collection[str] = (),
        folders: Collection[str] | None = None,
    ) -> None:
        self.markers = markers = markers or {}
        self._exclude = _spec([*map(_folded, exclude)], "exclude")
        self._include = _spec(include, "include")
        self._opt_in = opt_in
        self._off = frozenset(_folders_of(OFF_MARKER, markers))
        self._on = frozenset(_folders_of(ON_MARKER, markers))
        self._ignores = {
            folder: _spec(
                [_folded(line.rstrip("\r")) for line in markers[folder + IGNORE_FILE].split("\n")], folder + IGNORE_FILE
            )
            for folder in _folders_of(IGNORE_FILE, markers)
        }
        self._hidden = hidden
        self._own = frozenset(f"{_folded(_composed(path))}/" for path in own)
        self._folders = folders

    def verdict(self, file: str) -> Hold | None:
        """`file`: a path inside the space, `/`-separated. None: it may be read."""
        file = _composed(file)
        if self.is_own(file):
            return OWN
        folders = ["", *_folders_above(file)]
        if not self._off.isdisjoint(folders):
            return OFF
        if self._opt_in and self._on.isdisjoint(folders):
            return NOT_ON
        if _matches(self._exclude, _folded(file)):
            return EXCLUDED
        if any(_matches(self._ignores.get(folder), _folded(file[len(folder) :])) for folder in folders):
            return IGNORED
        shown = self._hidden or not _is_hidden(file) or _matches(self._include, file)
        return None if shown else HIDDEN

    def verdict_here(self, file: str) -> Hold | None:
        """The same of a file that is there now. Its folder may have come after the markers were read, or could not be
        listed then and can be now: what it says about its files is not known."""
        is_seen = self._folders is None or file.rpartition("/")[0] in self._folders
        return self.verdict(file) or (None if is_seen else UNSEEN)

    def is_own(self, path: str) -> bool:
        """Whether a file or folder is memferry's, or lies in what is."""
        path = _folded(_composed(path))
        return bool(self._own) and not self._own.isdisjoint([*_folders_above(path), f"{path}/"])

    def includes(self, file: str) -> bool:
        """Whether the configuration asks for it although its format leaves it out."""
        return _matches(self._include, _composed(file)) and self.verdict(file) is None

    def leaves_out(self, path: str) -> bool:
        """Whether what may be a file or a folder is not asked for: that it cannot be read is then no news."""
        return not self.descends(path) or any(map(self.verdict, (path, f"{path}/")))

    def descends(self, folder: str) -> bool:
        """Whether to look into a folder. Markers do not keep anybody out: they are read anew each time."""
        if folder.rpartition("/")[2] in NEVER_ENTERED or self.is_own(folder):
            return False
        if _is_hidden(folder) and not self._hidden and self._include is None:
            return False
        return not _matches(self._exclude, _folded(_composed(folder)) + "/")


def read_rules(
    root: Path,
    exclude: Sequence[str] = (),
    include: Sequence[str] = (),
    *,
    opt_in: bool = False,
    own: Own | None = None,
) -> PathRules:
    """The rules of the space at `root`, with the markers that lie in it now; links are not followed. `own`: what is
    memferry's on this machine. Other vaults and states in the tree are known by what they contain.

    SpaceMissing where the root or an ignore file cannot be read or a pattern in it is none: then nobody knows what it
    would keep back. So is a root that is a vault.
    """
    own = own or Own()
    found = set(own.below(root))
    rules = PathRules(exclude, include, opt_in=opt_in, hidden=False, own=found)
    markers: dict[str, str] = {}
    seen: set[str] = set()
    for folder, folders, names in os.walk(root):  # passes over what cannot be listed, which is then not `seen`
        inside = Path(folder).relative_to(root).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        tails = own.tails(folder)
        if "" in tails or looks_own(folder, names):
            found.add(_not_the_root(root, inside))
            folders.clear()
            continue
        found.update(prefix + tail for tail in tails)
        folders[:] = [name for name in folders if rules.descends(prefix + name)]
        markers |= {prefix + name: _text(Path(folder, name)) for name in MARKERS.intersection(names)}
        seen.add(prefix[:-1])
    if not seen:
        raise SpaceMissing(f"{root} cannot be read", hint="try again; nothing counts as deleted")
    try:
        return PathRules(exclude, include, opt_in=opt_in, markers=markers, hidden=False, own=found, folders=seen)
    except ConfigError as error:
        raise SpaceMissing(f"{root}: {error}", hint=error.hint) from error


def still_hold(root: Path, rules: PathRules, files: Iterable[str]) -> bool:
    """Whether the markers above these files are what they were when `rules` were read."""
    folders = {file.rpartition("/")[0] for file in files}
    above = {"", *(above for folder in folders if folder for above in _folders_above(f"{folder}/"))}
    markers = (folder + name for folder in above for name in MARKERS)
    try:
        return all(_there(root / marker) == rules.markers.get(marker) for marker in markers)
    except SpaceMissing:
        return False


def _there(marker: Path) -> str | None:
    """Its text; None: there is none."""
    if not os.path.lexists(marker) or os.path.isdir(marker):
        return None
    return _text(marker)


def _not_the_root(root: Path, inside: str) -> str:
    if inside != ".":
        return inside
    raise SpaceMissing(f"{root} is a vault or a state of memferry, no memory", hint="correct the path of this space")


def _text(marker: Path) -> str:
    if marker.name != IGNORE_FILE:
        return ""
    try:
        return marker.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise SpaceMissing(f"{marker} cannot be read", hint="make it readable UTF-8 text, or remove it") from exc


def _spec(patterns: Sequence[str], where: str) -> GitIgnoreSpec | None:
    if not any(patterns):
        return None
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(map(_composed, patterns))
    except ValueError as exc:
        raise ConfigError(f"{where}: {exc}", hint="patterns are written as in .gitignore") from exc


def _folded(text: str) -> str:
    """What keeps something back keeps it back in upper and lower case where the disk takes the two for one, as git
    does there."""
    return text.lower() if _KNOWS_NO_CASE else text


def _matches(spec: GitIgnoreSpec | None, file: str) -> bool:
    return spec is not None and spec.match_file(file)


def _folders_of(name: str, markers: Iterable[str]) -> Iterator[str]:
    """The folders in which such a marker lies, each with a `/` at its end; the top one is empty."""
    for path in markers:
        folder, _, last = path.rpartition("/")
        if last == name:
            yield f"{folder}/" if folder else ""


def _folders_above(file: str) -> Iterable[str]:
    parts = file.split("/")[:-1]
    return ("/".join(parts[: depth + 1]) + "/" for depth in range(len(parts)))


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _composed(path: str) -> str:
    """macOS gives names apart (e + ´) that a pattern has as one (é)."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)
