"""From an operation to points: ids and payloads. Pure.

A record is one point, or several when it is long. Its id follows from who wrote it, its space and its key, so a new
version of a record replaces the old one, and a repeated delivery changes nothing. What identifies the writer is its
installation, not its state: that may be lost and made again. Ids are keyed, because a plain hash of a key can be
guessed, and no digest is in a payload (docs/adr/0009-qdrant.md).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from memferry.cutting import stretches
from memferry.model import Identity, Put

CHUNK_CHARACTERS = 2000
MOST_CHUNKS = 1 << 17
"""More than the longest record that a journal holds comes to."""
DOCUMENT = "document"
METADATA = "metadata"

Payload: TypeAlias = dict[str, object]

_encode = msgspec.json.Encoder(order="deterministic").encode


class Draft(NamedTuple):
    """A point without its vector, which is to be made of `text`."""

    id: str
    payload: Payload
    text: str


class Drawing:
    """Makes points of this machine's records. `prose`: what a person would read of one. `texts` False: the payload
    tells nothing that could be read, only what keeping it up to date needs."""

    def __init__(self, me: Identity, prose: Callable[[Put], str], *, texts: bool) -> None:
        self._me = me
        self._prose = prose
        self._texts = texts
        key = hashlib.blake2b(me.installation.encode(), digest_size=16, person=b"memferry-qdrant").digest()
        self._namespace = uuid.UUID(bytes=key)
        self.home = home(me)

    def points(self, put: Put) -> list[Draft]:
        """Its points, in order. The first says how many there are."""
        pieces = list(stretches(self._prose(put), CHUNK_CHARACTERS))
        return [self._point(put, piece, number, len(pieces)) for number, piece in enumerate(pieces)]

    def ids(self, space: str, key: str, numbers: range) -> list[str]:
        """Of the points of a record by their numbers."""
        return [str(uuid.uuid5(self._namespace, f"{space}\0{key}\0{number}")) for number in numbers]

    def _point(self, put: Put, piece: str, number: int, count: int) -> Draft:
        (id_,) = self.ids(put.space, put.key, range(number, number + 1))
        metadata = self._bookkeeping(put, number, count) | (self._facts(put) if self._texts else {})
        payload: Payload = {DOCUMENT: piece, METADATA: metadata} if self._texts else {METADATA: metadata}
        return Draft(id_, payload, in_context(piece, put.type, put.ts, put.file))

    def _bookkeeping(self, put: Put, number: int, count: int) -> Payload:
        return {
            "home": self.home, "machine": self._me.id, "seq": put.seq, "hlc": put.hlc, "chunk": number, "chunks": count,
        }  # fmt: skip

    def _facts(self, put: Put) -> Payload:
        """A key that is a digest says nothing, and could be guessed from."""
        told = {
            "origin": self._me.name, "space": put.space, "file": put.file, "format": put.format, "tags": list(put.tags),
            "key": put.key if put.key != put.digest else None, "type": put.type, "ts": put.ts,
        }  # fmt: skip
        return {name: value for name, value in told.items() if value is not None}


def home(me: Identity) -> str:
    """What all points of one installation share; tells nothing about it."""
    return hashlib.blake2b(me.installation.encode(), digest_size=8, person=b"memferry-home").hexdigest()


def metadata_of(payload: Mapping[str, object]) -> Mapping[str, object]:
    """What memferry keeps in a payload; empty where somebody else wrote it."""
    found = payload.get(METADATA)
    return found if isinstance(found, dict) else {}


def is_newer(there: Mapping[str, object], put: Put, me: Identity) -> bool:
    """Whether the point that is `there` holds a later version than `put`, which comes late: it was refused once. Seqs
    begin anew with a state from a backup, and clocks are put right: only where both say so it is later."""
    metadata = metadata_of(there)
    seq, hlc = metadata.get("seq"), metadata.get("hlc")
    return (
        metadata.get("machine") == me.id
        and isinstance(seq, int) and isinstance(hlc, str)
        and seq > put.seq and hlc > put.hlc
    )  # fmt: skip


def chunks_of(payload: Mapping[str, object]) -> int:
    """How many points the record of a payload has; a server may say anything."""
    found = metadata_of(payload).get("chunks")
    return min(found, MOST_CHUNKS) if isinstance(found, int) else 1


def in_context(piece: str, type_: object, ts: object, file: object) -> str:
    """What the vector is made of: a record is also found by what it is, and by when and where it was written."""
    facts = [fact for fact in (type_, ts[:10] if isinstance(ts, str) else None, file) if isinstance(fact, str)]
    return "\n".join([*facts, piece])


def fingerprint(payload: Mapping[str, object]) -> bytes:
    """To compare payloads by, here; 16 bytes, and never stored."""
    return hashlib.blake2b(_encode(payload), digest_size=16).digest()
