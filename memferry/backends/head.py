"""The head of a machine's log: the list of its segments, and the only object of a vault that is ever replaced. Pure."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Annotated, NamedTuple

import msgspec

from memferry.backends import names
from memferry.backends.base import HeadSeen, MachineLog
from memferry.errors import Damaged, TargetRefused

VERSION = 1
MAX_HEAD_BYTES = 32 << 20
FORMAT = b'{"format":"memferry-vault","version":1,"encryption":"none","compression":"zstd"}'

_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
_Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Short = Annotated[str, msgspec.Meta(max_length=200)]


class Segment(msgspec.Struct, frozen=True):
    """One segment as the head lists it. `first`..`last`: seqs, inclusive. `records`: lines. `size`: stored bytes.
    `raw`: bytes of its lines. `sha256`: of the stored bytes, hex."""

    name: Annotated[str, msgspec.Meta(max_length=80)]
    first: _Count
    last: _Count
    records: _Count
    size: _Count
    raw: _Count
    sha256: _Sha256


class Head(msgspec.Struct, frozen=True):
    """`sequence` grows by one with every replacement, `previous` is the SHA-256 of the head before it, hex.
    `last_seq`: the log covers all operations up to it, withdrawn ones included. `mac`: null while nothing is
    encrypted."""

    version: _Count
    machine: str
    name: _Short
    epoch: _Short
    installation: _Short
    sequence: _Count
    last_seq: _Count
    segments: tuple[Segment, ...]
    previous: _Sha256 | None
    mac: str | None = None


class Format(msgspec.Struct, frozen=True):
    """What the FORMAT file of a vault says."""

    format: str
    version: int
    encryption: str
    compression: str


class StoredHead(NamedTuple):
    """A head and the SHA-256 of its bytes, hex."""

    head: Head
    sha256: str

    @property
    def seen(self) -> HeadSeen:
        """What to remember of it."""
        return HeadSeen(self.head.sequence, self.sha256, self.head.last_seq)

    @property
    def log(self) -> MachineLog:
        """The log that it describes."""
        head = self.head
        return MachineLog(head.machine, head.name, head.epoch, head.installation, self.seen)


def encode(head: Head) -> bytes:
    """JSON without a newline at the end, so that a head that lost even its last byte is no JSON any more."""
    return msgspec.json.encode(head)


def sha256(data: bytes) -> str:
    """In hex, as a head keeps it."""
    return hashlib.sha256(data).hexdigest()


def parse(data: bytes, machine: str) -> StoredHead:
    """The head of `machine` from its stored bytes. Damaged if it cannot be one."""
    key = names.head_key(machine)
    if len(data) > MAX_HEAD_BYTES:
        raise Damaged("changed", f"{key} is larger than {MAX_HEAD_BYTES} bytes", key=key)
    try:
        head = msgspec.json.decode(data, type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        cut = not data.endswith(b"}") or "truncated" in str(error)
        raise Damaged("truncated" if cut else "changed", f"{key} cannot be read: {error}", key=key) from error
    if head.machine != machine:
        raise Damaged("reordered", f"{key} belongs to another machine", key=key)
    if why := _inconsistency(head):
        raise Damaged("changed", f"{key} {why}", key=key)
    return StoredHead(head, sha256(data))


def _inconsistency(head: Head) -> str | None:
    if head.version != VERSION:
        return f"says version {head.version} in a vault of version {VERSION}"
    if not head.name.isprintable():
        return "has a name that cannot be shown"
    if any(not _consistent(segment) for segment in head.segments):
        return "lists a segment whose name says something else"
    if any(one.last >= other.first for one, other in pairwise(head.segments)):
        return "lists its segments out of order"
    if head.segments and head.segments[-1].last > head.last_seq:
        return "lists a segment behind its end"
    return None


def _consistent(segment: Segment) -> bool:
    named = names.parse_segment(segment.name)
    return named == (segment.first, segment.last, segment.sha256[:16]) and segment.first <= segment.last


def check_format(data: bytes, where: str) -> None:
    """TargetRefused unless FORMAT holds what this program can read."""
    hint = "check the path: a vault that lost its FORMAT file is put right by `memferry verify --repair`"
    try:
        found = msgspec.json.decode(data, type=Format)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TargetRefused(
            f"{where} is not a memferry vault: its FORMAT file cannot be read", key=names.FORMAT_KEY, hint=hint
        ) from error
    if found.format != "memferry-vault":
        raise TargetRefused(f"{where} is not a memferry vault", key=names.FORMAT_KEY, hint=hint)
    if found.version != VERSION:
        raise TargetRefused(
            f"{where} has version {found.version}, this memferry reads version {VERSION}",
            key=names.FORMAT_KEY,
            hint="pip install --upgrade memferry",
        )
    if (found.encryption, found.compression) != ("none", "zstd"):
        raise TargetRefused(
            f"{where} is written with {found.encryption} and {found.compression}, which this memferry cannot read",
            key=names.FORMAT_KEY,
            hint="pip install --upgrade memferry",
        )
