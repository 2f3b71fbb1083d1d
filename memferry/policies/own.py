"""What memferry keeps for itself: its state, vaults, indexes, the configuration. No space ever carries it: a vault
would feed itself for ever, and the state says what stays on this machine.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

VAULT_FILE = "FORMAT"
VAULT_WORD = b'"memferry-vault"'
STATE_FILES = frozenset({"state.db", "secret.key"})
TELLING = STATE_FILES | {VAULT_FILE}
"""Where a file of such a name comes, its folder may have become a vault or a state."""
_LONGEST_FORMAT = 4096


class Own:
    """`paths`: absolute, of files and folders, which need not be there yet. A folder is told by its identity, however
    it is spelled or mounted, and by its real path. Made anew for each look: folders come and go."""

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._real = {Path(os.path.realpath(path)): path for path in paths}
        self._tails: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
        for real in self._real:
            there, tail = _nearest_folder(real)
            if identity := _identity(there):
                self._tails[identity].add(tail)

    def around(self, path: Path) -> Path | None:
        """Which of these a path is, or lies in."""
        real = Path(os.path.realpath(path))
        for folder in (real, *real.parents):
            if folder in self._real:
                return self._real[folder]
            if "" in self._tails.get(_identity(folder) or (0, 0), ()):
                return folder
        return None

    def below(self, root: Path) -> Iterator[str]:
        """Those in a folder by their real paths, relative to it, `/`-separated."""
        top = Path(os.path.realpath(root))
        return (real.relative_to(top).as_posix() for real in self._real if real != top and real.is_relative_to(top))

    def tails(self, folder: str) -> Collection[str]:
        """Those whose nearest folder this is, relative to it; "": it is one itself."""
        return self._tails.get(_identity(folder) or (0, 0), ())


def looks_own(folder: str, names: Collection[str]) -> bool:
    """Whether a folder with these files is somebody's vault, or a state of another machine."""
    return STATE_FILES.issubset(names) or (VAULT_FILE in names and _is_vault(os.path.join(folder, VAULT_FILE)))


def _is_vault(path: str) -> bool:
    if not os.path.isfile(path):  # opening a pipe would wait for ever
        return False
    try:
        with open(path, "rb") as file:
            return VAULT_WORD in file.read(_LONGEST_FORMAT)
    except OSError:
        return False


def _nearest_folder(path: Path) -> tuple[Path, str]:
    """The folder that is there, and what is left of the path below it."""
    for folder in (path, *path.parents):
        if os.path.isdir(folder):
            return folder, path.relative_to(folder).as_posix() if folder != path else ""
    return path, ""


def _identity(path: str | Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
