"""Names that a folder takes for one: `Plan.md` and `plan.md` on Windows and most Macs, and the same letters put
together in two ways (Unicode normalisation). The folder itself is asked, for no system has one rule for all its disks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from unicodedata import normalize

from memferry.backends import names
from memferry.durable import Folder
from memferry.errors import MemferryError


def clash(file: str, other: str) -> MemferryError:
    """The error that a file cannot be written, for another one lies there."""
    mine, there = names.shown(file), names.shown(other)
    return MemferryError(
        f"{mine} and {there} are one name on this disk: nothing was written over {there}, and {mine} waits",
        hint=f"rename {there}; or for {mine}, {names.RENAME_THERE}",
    )


def taken(root: Path, file: str) -> str | None:
    """The path of what lies where `file` would, or a folder above it would, and is spelled otherwise. Raises plain
    OSErrors."""
    above = ""
    with ExitStack() as stack:
        folder = stack.enter_context(Folder.open(root))
        *folders, last = file.split("/")
        for part in folders:
            there = called(folder, part)
            if there != part:
                return there and above + there
            folder = stack.enter_context(folder.sub(part))
            above += part + "/"
        there = called(folder, last)
        return None if there in (None, last) else f"{above}{there}"


def called(folder: Folder, name: str) -> str | None:
    """What that is called which lies under a name; None: nothing does."""
    found = _found(folder, name)
    if found is None:
        return None
    others = (other for spelled in _spellings(name) if (other := _found(folder, spelled)))
    if not any(os.path.samestat(found, other) for other in others):
        return name  # they are told apart here, which is known without reading the whole folder
    there = folder.names()
    if name in there:
        return name
    return next((one for one in there if (other := _found(folder, one)) and os.path.samestat(found, other)), None)


def _spellings(name: str) -> Iterator[str]:
    """Others, of which a folder that is not exact takes at least one for the same."""
    cases = (_swapped(name, str.isascii), _swapped(name, str.isalpha))
    forms = (*cases, normalize("NFC", name), normalize("NFD", name))
    return (form for form in dict.fromkeys(forms) if form != name)


def _swapped(name: str, wanted: Callable[[str], bool]) -> str:
    """Upper case for lower and the other way round, where one letter is one letter in both."""
    swapped = ((char, char.swapcase()) for char in name)
    return "".join(other if wanted(char) and len(other) == 1 else char for char, other in swapped)


def _found(folder: Folder, name: str) -> os.stat_result | None:
    """None also where one cannot look: whoever writes there is told why."""
    with suppress(OSError):
        return folder.stat(name)
    return None
