"""The head of a machine's log: the list of its segments, and the only object of a vault that is ever replaced. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Annotated, NamedTuple

import msgspec

from memferry.backends import names
from memferry.backends.base import HeadSeen, MachineLog
from memferry.errors import Damaged, TargetRefused

VERSION = 1
MAX_HEAD_BYTES = 32 << 20
ENCRYPTIONS = ("none", "age")

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
    `last_seq`: the log covers all operations up to it, withdrawn ones included. Only in an encrypted vault: `mac` over
    the head, hex; `generation` of the keys that it and its segments are sealed with; `witness`: by machine, sequence
    and SHA-256 of the newest head that its writer had seen."""

    version: _Count
    machine: str
    name: _Short
    epoch: _Short
    installation: _Short
    sequence: _Count
    last_seq: _Count
    segments: tuple[Segment, ...]
    previous: _Sha256 | None
    mac: _Sha256 | None = None
    generation: _Count | msgspec.UnsetType = msgspec.UNSET
    witness: Mapping[str, tuple[_Count, _Sha256]] | msgspec.UnsetType = msgspec.UNSET


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
        generation = head.generation if isinstance(head.generation, int) else None
        return MachineLog(head.machine, head.name, head.epoch, head.installation, self.seen, generation)


class Behind(NamedTuple):
    """A log whose head is not the one that another machine has seen. `sequence`: of the one seen. `found`: sequence and
    SHA-256 of the one that is there, None if there is none."""

    machine: str
    sequence: int
    found: tuple[int, str] | None
    why: str


def behind(found: Mapping[str, StoredHead], is_expelled: Callable[[str], bool]) -> Iterator[Behind]:
    """Where the heads of a vault (by machine) contradict what others have seen: a part of it was rolled back, or is
    shown to one machine and hidden from another. `is_expelled`: whose word and log count for nothing."""
    for witness in (stored for machine, stored in found.items() if not is_expelled(machine)):
        seen = {} if isinstance(witness.head.witness, msgspec.UnsetType) else witness.head.witness
        for machine, (sequence, sha256) in seen.items():
            there = found[machine].seen[:2] if machine in found else None
            if is_expelled(machine):
                continue
            if there is None or there[0] < sequence or (there[0] == sequence and there[1] != sha256):
                is_ = f"is head {there[0]}" if there else "is missing"
                yield Behind(machine, sequence, there, f"{is_}, but machine {witness.head.name} saw head {sequence}")


def encode(head: Head) -> bytes:
    """JSON without a newline at the end, so that a head that lost even its last byte is no JSON any more."""
    return msgspec.json.encode(head)


def sha256(data: bytes) -> str:
    """In hex, as a head keeps it."""
    return hashlib.sha256(data).hexdigest()


def parse(data: bytes, machine: str, scheme: names.Scheme) -> Head:
    """The head of `machine` from its JSON. Damaged if it cannot be one."""
    key = scheme.head_key(machine)
    if len(data) > MAX_HEAD_BYTES:
        raise Damaged("changed", f"{key} is larger than {MAX_HEAD_BYTES} bytes", key=key)
    try:
        head = msgspec.json.decode(data, type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        cut = not data.endswith(b"}") or "truncated" in str(error)
        raise Damaged("truncated" if cut else "changed", f"{key} cannot be read: {error}", key=key) from error
    if head.machine != machine:
        raise Damaged("reordered", f"{key} belongs to another machine", key=key)
    if why := _inconsistency(head, scheme):
        raise Damaged("changed", f"{key} {why}", key=key)
    return head


def _inconsistency(head: Head, scheme: names.Scheme) -> str | None:
    if head.version != VERSION:
        return f"says version {head.version} in a vault of version {VERSION}"
    if not head.name.isprintable():
        return "has a name that cannot be shown"
    if any(not _consistent(segment, scheme) for segment in head.segments):
        return "lists a segment whose name says something else"
    if any(one.last >= other.first for one, other in pairwise(head.segments)):
        return "lists its segments out of order"
    if head.segments and head.segments[-1].last > head.last_seq:
        return "lists a segment behind its end"
    return None


def _consistent(segment: Segment, scheme: names.Scheme) -> bool:
    named = scheme.parse_segment(segment.name)
    return named == (segment.first, segment.last, segment.sha256[:16]) and segment.first <= segment.last


def format_file(encryption: str) -> bytes:
    """What FORMAT holds in a vault of this `encryption`."""
    return msgspec.json.encode(Format("memferry-vault", VERSION, encryption, "zstd"))


def check_format(data: bytes, where: str, encryption: str) -> None:
    """TargetRefused unless FORMAT holds what this program can read, and the `encryption` that was configured."""
    hint = "check the path: a vault that lost its FORMAT file is put right by `memferry verify --repair`"
    try:
        found = msgspec.json.decode(data, type=Format)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(f"{where} is not a memferry vault: its FORMAT file cannot be read", hint) from error
    if found.format != "memferry-vault":
        raise _refused(f"{where} is not a memferry vault", hint)
    upgrade = "pip install --upgrade memferry"
    if found.version != VERSION:
        raise _refused(f"{where} has version {found.version}, this memferry reads version {VERSION}", upgrade)
    if found.encryption not in ENCRYPTIONS or found.compression != "zstd":
        raise _refused(
            f"{where} is written with {found.encryption} and {found.compression}, which this memferry cannot read",
            upgrade,
        )
    if found.encryption != encryption:
        raise _refused(
            f"{where} has the encryption {found.encryption}, the configuration says {encryption}: nothing was written",
            f"if that is the right vault, write `encryption: {found.encryption}`; else give the backend another place",
        )


def _refused(what: str, hint: str) -> TargetRefused:
    return TargetRefused(what, key=names.FORMAT_KEY, hint=hint)
