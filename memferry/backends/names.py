"""Names at a destination: which may be used, and what lies under them in a vault. Pure."""

from __future__ import annotations

import hashlib
import os
import re
from typing import NamedTuple

from memferry import durable
from memferry.errors import InvalidValue, TargetRefused

FORMAT_KEY = "FORMAT"
MACHINES = "machines/"
HEADS = f"{MACHINES}*/head.json"
LOST = "lost+found/"
"""Where `repair` moves what does not belong to a vault. Also what file systems call the folder that they keep for
themselves."""

_LITTER = frozenset({".DS_Store", ".directory", ".localized", "Thumbs.db", "desktop.ini"})
_MAX_KEY_BYTES = 1024
_MAX_NAME_BYTES = 255
_NOT_PORTABLE = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
_RESERVED = frozenset({"CON", "PRN", "AUX", "NUL"} | {f"{port}{n}" for port in ("COM", "LPT") for n in range(10)})
_DRIVE = re.compile(r"[A-Za-z]:")
_MACHINE = re.compile(r"[0-9a-f]{32}")
_SEGMENT = re.compile(r"([0-9]{12,16})-([0-9]{12,16})-([0-9a-f]{16})\.jsonl\.zst")
_RANGE = re.compile(r"([0-9]{12,16})-([0-9]{12,16})-")


class SegmentName(NamedTuple):
    """What the name of a segment says: seqs `first`..`last`, inclusive, and the `label` of its bytes."""

    first: int
    last: int
    label: str

    def __str__(self) -> str:
        return f"{self.first:012}-{self.last:012}-{self.label}.jsonl.zst"


def problem(path: str, *, portable: bool) -> str | None:
    """Why `path` must not be written below a root; None: it may. `portable`: no name that any system refuses."""
    try:
        size_bytes = len(path.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if size_bytes > _MAX_KEY_BYTES:
        return "is too long"
    if "\0" in path or path.startswith("/") or _DRIVE.match(path):
        return "is not a relative path"
    return next((why for part in path.split("/") if (why := _part_problem(part, portable))), None)


def _part_problem(part: str, portable: bool) -> str | None:
    if part in ("", ".", ".."):
        return "has an empty or dotted part"
    if len(part.encode()) > _MAX_NAME_BYTES:
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


def check_file(file: str) -> str:
    """`file` itself, if a file of this name may be written below a folder of this computer. Else TargetRefused."""
    if why := problem(file, portable=os.name == "nt"):
        hint = "nothing was written; run `memferry verify`, and where it finds nothing, use another operating system"
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


def head_key(machine: str) -> str:
    """The one object of a machine that is replaced."""
    return f"{MACHINES}{machine}/head.json"


def segments_prefix(machine: str) -> str:
    """What the keys of a machine's segments start with."""
    return f"{MACHINES}{machine}/segments/"


def label(data: bytes) -> str:
    """Names a segment by its stored bytes. An encrypted vault will key it, so that it tells nothing about the
    content."""
    return hashlib.sha256(data).hexdigest()[:16]


def parse_segment(name: str) -> SegmentName | None:
    """None if `name` is not exactly a segment's."""
    found = _SEGMENT.fullmatch(name)
    parsed = SegmentName(int(found[1]), int(found[2]), found[3]) if found else None
    return parsed if parsed and str(parsed) == name else None


def covered_range(name: str) -> tuple[int, int] | None:
    """The seqs that a segment, or a copy that a sync tool made of it under a longer name, says it covers."""
    found = _RANGE.match(name)
    return (int(found[1]), int(found[2])) if found else None
