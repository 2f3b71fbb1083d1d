"""The values that move through memferry. No I/O; one word per thing (docs/how-it-works.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec


class Source(msgspec.Struct, frozen=True):
    """The file that a record was read from.

    `file`: path inside the space, `/`-separated. `derived`: text made from other records of the space
    (an agenda, an attach capsule); it is read after them, so that what it repeats is already known.
    """

    space: str
    file: str
    format: str
    derived: bool = False


class Around(msgspec.Struct, frozen=True, gc=False):
    """The object around a JSON array of entries: its bytes without the entries, and its other members."""

    body: bytes
    fields: object


class Record(msgspec.Struct, frozen=True, gc=False):
    """One parsed unit of a file: a ledger line, an array entry, a document.

    `key`: its own id, the path of a document, else the digest in hex. `digest`: 32 bytes.
    `body`: exactly as in the file (a line without its newline). `start`: byte offset of a ledger line,
    index of an array entry, 0 for a document. `fields`: parsed JSON, or a document's front matter.
    `text`: a document's text behind its front matter, None for JSON. `problem`: why it could not be parsed; such a
    record is held. `around`: what surrounds it and speaks for it: who does not keep that does not keep this.
    `redacted`: something was cut out; the file has the original.
    """

    source: Source
    key: str
    digest: bytes
    body: bytes
    start: int
    fields: object = None
    text: str | None = None
    type: str | None = None
    tags: tuple[str, ...] = ()
    ts: str | None = None
    problem: str | None = None
    around: Around | None = None
    redacted: bool = False


class Hold(msgspec.Struct, frozen=True):
    """A verdict: the record stays at home. `rule` and `reason` never carry content."""

    rule: str
    reason: str


if TYPE_CHECKING:

    class Cleared(Record, frozen=True):
        """A record that passed every policy: made by `policies.chain` alone, and the only thing that can be queued.

        A type of its own to the checker, the record itself at run time (mypy cannot take a NewType of a Struct)."""

else:
    Cleared = Record


class Put(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="op", tag="put"):
    """One version of one record. `position`: its ordinal among the file's cleared records (offsets would
    tell where held ones lie). `digest`, `base`: hex; `base` is the digest it replaces. `body`: UTF-8 text. `redacted`:
    something was cut out of it, and a marker put there; the machine that wrote it keeps the original."""

    seq: int
    hlc: str
    space: str
    key: str
    file: str
    position: int
    digest: str
    format: str
    body: str
    base: str | None = None
    type: str | None = None
    tags: tuple[str, ...] = ()
    ts: str | None = None
    redacted: bool = False


class Place(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="op", tag="place"):
    """The same version once more, in another place: `put` is the seq of the operation with its body."""

    seq: int
    hlc: str
    space: str
    file: str
    position: int
    put: int


class Note(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="op", tag="file"):
    """What happened to a file. `mtime_ns`: for restore. `was`: its name before a rename. `keep`: a rewrite left
    the first `keep` positions alone and voids the rest. `frame`: the bytes around a JSON array's entries
    (before, between, after). `gone`: it vanished, which withdraws nothing."""

    seq: int
    hlc: str
    space: str
    file: str
    format: str = ""
    mtime_ns: int | None = None
    was: str | None = None
    keep: int | None = None
    frame: tuple[str, str, str] | None = None
    gone: bool = False


class Retract(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="op", tag="retract"):
    """Withdraw operations everywhere, named by (machine id, seq): a key may itself be what became private."""

    seq: int
    hlc: str
    space: str
    ops: tuple[tuple[str, int], ...]


class Settle(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="op", tag="settle"):
    """A person has settled a conflict: these versions, named by (machine id, seq), lost it for good. Their text stays
    in the logs. A digest would outlive its record here, should that become private one day."""

    seq: int
    hlc: str
    space: str
    ops: tuple[tuple[str, int], ...]


class Sighting(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="op", tag="sighting"):
    """The operations of `machine` up to seq `through` were there at `hlc` already, although their clock said later."""

    seq: int
    hlc: str
    machine: str
    through: int


Op: TypeAlias = Put | Place | Note | Retract | Settle | Sighting


class Sealed(msgspec.Struct, frozen=True):
    """Consecutive operations of this machine, as one zstd frame of JSON lines: what the outbox queues.

    `first`..`last`: seqs, inclusive; some may be missing where they were withdrawn. `retracts`: seqs of this
    machine that the Retract operations inside name.
    """

    first: int
    last: int
    count: int
    raw_bytes: int
    frame: bytes
    retracts: tuple[int, ...] = ()


class Identity(msgspec.Struct, frozen=True):
    """One installation. `id`: 32 hex digits. `epoch`: random, new whenever a state is made or rebuilt.
    `installation`: fingerprint of this computer and state directory, by which a lost state finds its log again."""

    id: str
    name: str
    epoch: str
    installation: str
