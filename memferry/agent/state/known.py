"""What is known of files and records, as values. Pure."""

from __future__ import annotations

from typing import NamedTuple

from memferry.agent.files.scan import Stat
from memferry.agent.files.tail import Cursor

HELD = 0
"""`Seen.seq` of a record that stays at home."""
FORGOTTEN = -1
"""The user, or another machine, withdrew it: it stays away."""
FOREIGN = -2
"""The version of another machine is current here."""
WITHDRAWN = -3
"""Its owner removed it; it is welcome again when written anew."""
KNOWN = "what is known of a record"
"""What a row of `record` says, where that is not what the journal has."""


class Seen(NamedTuple):
    """What is known of a record's key. `digest`: the first 8 bytes of its content's digest as an integer (of one that
    was withdrawn: the HLC of that); `seq`: of the newest put, or HELD, FORGOTTEN, FOREIGN, WITHDRAWN; `place`: the
    first place it was put in."""

    digest: int
    seq: int
    place: int


class KnownFile(NamedTuple):
    """One file as it was last read.

    `position`: the next free one behind what `cursor` has read; `placed`: positions in use, more than that while a
    rewritten ledger is read again; `cleared`: whether anything of it is stored, so that its name may be told;
    `layouts`: (from position, layout id), ascending; `content`: fingerprint of a whole file's bytes;
    `noted_mtime_ns`: what a restore would set.
    """

    id: int
    space: str
    path: str
    format: str
    stat: Stat | None = None
    cursor: Cursor | None = None
    content: int | None = None
    layouts: tuple[tuple[int, int], ...] = ()
    position: int = 0
    placed: int = 0
    cleared: bool = False
    noted_mtime_ns: int | None = None
    frame: str | None = None
    gone: bool = False

    def place(self, position: int) -> int:
        """The number under which `record` and `place` know this position."""
        layout = next(layout for start, layout in reversed(self.layouts) if start <= position)
        return layout << 32 | position


def digest_number(digest: bytes) -> int:
    """The first 8 bytes of a digest as SQLite stores integers."""
    return int.from_bytes(digest[:8], "little", signed=True)


def hex_number(digest: str) -> int:
    """The same of one in hex, as operations carry it."""
    return digest_number(bytes.fromhex(digest))
