"""Names at a destination: which may be used, and what lies under them in a vault. Pure."""

from __future__ import annotations

import hashlib
import re
import sys
from typing import NamedTuple

from memferry import durable
from memferry.errors import InvalidValue, TargetRefused

FORMAT_KEY = "FORMAT"
MACHINES = "machines/"
KEYS = "keys/"
INVITES = "invites/"
LOST = "lost+found/"
"""Where `repair` moves what does not belong to a vault. Also what file systems call the folder that they keep for
themselves."""

RENAME_THERE = "rename it on the machine that wrote it, and `memferry forget` its old name there"
"""What frees a file that cannot be written here: that its old name is gone from a disk withdraws nothing."""

WHO_ELSE = "no memferry writes this: ask who else can write to that backend"
"""What to do about something in a log that cannot have come from a file."""

ON_WINDOWS = sys.platform == "win32"
ABANDONED_S = 24 * 3600
_LITTER = frozenset({".DS_Store", ".directory", ".localized", "Thumbs.db", "desktop.ini"})
MAX_PATH_BYTES = 1024
"""Of a key, and of a file's path in its space: no more can be written on every system."""
MAX_NAME_BYTES = 255
"""Of one part of a path, on every file system that is in use."""
_NOT_PORTABLE = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
_RESERVED = frozenset({"CON", "PRN", "AUX", "NUL"} | {f"{port}{n}" for port in ("COM", "LPT") for n in range(10)})
_MACHINE = re.compile(r"[0-9a-f]{32}")
_SEGMENT = re.compile(r"([0-9]{12,16})-([0-9]{12,16})-([0-9a-f]{16})\.jsonl\.zst")
_KEYS = re.compile(r"keys/([1-9][0-9]{0,8})(?:-[0-9a-f]{16})?\.age")
_INVITE = re.compile(r"invites/[0-9a-f]{8}\.(?:age|taken)")
_RANGE = re.compile(r"([0-9]{12,16})-([0-9]{12,16})-")


class SegmentName(NamedTuple):
    """What the name of a segment says: seqs `first`..`last`, inclusive, and the `label` of its bytes."""

    first: int
    last: int
    label: str


class Scheme(NamedTuple):
    """What the objects of a log are called. `suffix`: ends the name of each."""

    suffix: str

    def head_key(self, machine: str) -> str:
        """The one object of a machine that is replaced."""
        return f"{MACHINES}{machine}/head.json{self.suffix}"

    @property
    def heads(self) -> str:
        """The pattern (`base.Gathering`) of all of these."""
        return self.head_key("*")

    def is_head(self, key: str) -> bool:
        """Whether a machine's head lies under this key."""
        parts = key.split("/")
        return len(parts) == 3 and is_machine(parts[1]) and key == self.head_key(parts[1])

    def segment(self, segment: SegmentName) -> str:
        """The name of a segment's object."""
        return f"{segment.first:012}-{segment.last:012}-{segment.label}.jsonl.zst{self.suffix}"

    def parse_segment(self, name: str) -> SegmentName | None:
        """None if `name` is not exactly a segment's."""
        found = _SEGMENT.fullmatch(name.removesuffix(self.suffix))
        parsed = SegmentName(int(found[1]), int(found[2]), found[3]) if found else None
        return parsed if parsed and self.segment(parsed) == name else None


PLAIN = Scheme("")
AGE = Scheme(".age")


def problem(path: str, *, portable: bool) -> str | None:
    """Why `path` must not be written below a root; None: it may. `portable`: no name that any system refuses, or takes
    for a drive or for a way to another folder."""
    try:
        size_bytes = len(path.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if size_bytes > MAX_PATH_BYTES:
        return "is too long"
    if "\0" in path or path.startswith("/"):
        return "is not a relative path"
    return next((why for part in path.split("/") if (why := _part_problem(part, portable))), None)


def _part_problem(part: str, portable: bool) -> str | None:
    if part in ("", ".", ".."):
        return "has an empty or dotted part"
    if len(part.encode()) > MAX_NAME_BYTES:
        return "has a part that is too long"
    if durable.is_temp(part):
        return "is a temp file's name"
    if portable and (_NOT_PORTABLE.search(part) or part[-1] in ". " or part.split(".")[0].upper() in _RESERVED):
        return "has a part that not every system can store"
    return None


def check_key(key: str) -> str:
    """`key` itself, if every store can keep it: `/`-separated, relative, portable, at most 1024 bytes. Else
    InvalidValue."""
    if why := problem(key, portable=True):
        raise InvalidValue(f"{shown(key)!r} cannot be a key: it {why}", key=shown(key), hint="rename it")
    return key


def fits_here(file: str) -> bool:
    """Whether a file of this name may be looked for, and written, below a folder of this computer."""
    return problem(file, portable=ON_WINDOWS) is None


def check_file(file: str) -> str:
    """`file` itself, if a file of this name may be written below a folder of this computer. Else TargetRefused."""
    if why := problem(file, portable=ON_WINDOWS):
        hint = f"{RENAME_THERE}; if nobody did, run `memferry verify`"
        raise TargetRefused(f"a log names the file {shown(file)!r}, which {why}", key=shown(file), hint=hint)
    return file


def shown(key: str) -> str:
    """`key` as it may be printed, whatever bytes a foreign file's name holds."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in key)


def is_machine(name: str) -> bool:
    """Whether `name` can be a machine's id: 32 hex digits."""
    return _MACHINE.fullmatch(name) is not None


def is_litter(key: str) -> bool:
    """Whether a desktop left this file behind, as they do in every folder that somebody looks at."""
    name = key.rpartition("/")[2]
    return name in _LITTER or name.startswith("._")


def is_shared(folder: str) -> bool:
    """Whether several machines write in a folder: what one finds half-written there another may be writing now."""
    return not f"{folder}/".startswith(MACHINES)


def is_abandoned(written: float, now: float) -> bool:
    """Whether nobody can be at work any more on a temp file, which takes seconds; should somebody be, the rename fails.
    Both in seconds by the clock of where it lies; a writer may have given it a time of its own, even one to come."""
    return abs(now - written) > ABANDONED_S


def segments_prefix(machine: str) -> str:
    """What the keys of a machine's segments start with."""
    return f"{MACHINES}{machine}/segments/"


def keys_key(generation: int, addition: str = "") -> str:
    """Where the keys of a generation lie; `addition`: for a member who came later, 16 hex digits."""
    return f"{KEYS}{generation}{'-' if addition else ''}{addition}.age"


def keys_generation(key: str) -> int | None:
    """Whose keys lie there; None: `key` is not where keys lie."""
    found = _KEYS.fullmatch(key)
    return int(found[1]) if found else None


def is_invite(key: str) -> bool:
    """Whether an invitation, or the mark that it was taken, lies there."""
    return _INVITE.fullmatch(key) is not None


def label(data: bytes) -> str:
    """Names a segment by its stored bytes; of an encrypted one these are random, so it tells nothing about the
    content."""
    return hashlib.sha256(data).hexdigest()[:16]


def covered_range(name: str) -> tuple[int, int] | None:
    """The seqs that a segment, or a copy that a sync tool made of it under a longer name, says it covers."""
    found = _RANGE.match(name)
    return (int(found[1]), int(found[2])) if found else None
