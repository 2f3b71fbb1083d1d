"""The ring of an encrypted vault: its keys, generation by generation, and who has them. A value; pure.

Every member knows all keys, so what a ring says is proved by them: a changed ring of the same generation must hold the
very same keys, and one with a newer generation is sealed with those of the generation before
(docs/adr/0006-encryption.md).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from typing import Annotated

import msgspec

VERSION = 1

_Text = Annotated[str, msgspec.Meta(max_length=200)]
_Hex = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class Unacceptable(Exception):
    """This ring cannot take the place of the one that is known; the message ends a sentence about it."""


class Member(msgspec.Struct, frozen=True):
    """A machine that has the keys. `recipient`: its age recipient."""

    machine: _Text
    name: _Text
    recipient: _Text


class Generation(msgspec.Struct, frozen=True):
    """One set of keys. `identity`, `recipient`: the age key pair that everything is encrypted to. `mac`: 32 bytes, hex.
    `began`: by machine, sequence and SHA-256 of its head when this generation began. Heads of older generations beyond
    these count for nothing: whoever was revoked then still has their keys."""

    identity: _Text
    recipient: _Text
    mac: _Hex
    began: Mapping[str, tuple[_Count, _Hex]] = {}

    def __repr__(self) -> str:
        return f"Generation({self.recipient})"


class Ring(msgspec.Struct, frozen=True):
    """`vault`: the vault's random id, hex. `generations`: oldest first, never empty. `recovery`: the age recipient of
    the recovery key; `proof`: by which its holder knows the vault again, hex. `revoked`: machines that had the keys of
    older generations. `place`: the key under which it lies in the vault, empty elsewhere. `mac`: over everything else,
    hex."""

    version: _Count
    vault: _Text
    generations: Annotated[tuple[Generation, ...], msgspec.Meta(min_length=1)]
    members: tuple[Member, ...]
    recovery: _Text
    proof: _Hex
    revoked: tuple[Member, ...] = ()
    place: str = ""
    mac: str = ""

    @property
    def number(self) -> int:
        """Of the newest generation, from 1."""
        return len(self.generations)

    @property
    def newest(self) -> Generation:
        """The keys that everything new is sealed with."""
        return self.generations[-1]

    @property
    def recipients(self) -> frozenset[str]:
        """Who may open this ring: its members, the recovery key, and whoever has the newest keys already."""
        return frozenset({member.recipient for member in self.members} | {self.recovery, self.newest.recipient})

    def __repr__(self) -> str:
        return f"Ring({self.vault}, generation {self.number}, {len(self.members)} members)"


# -- making rings


def first(vault: str, keys: Generation, founder: Member, recovery: str, proof: str) -> Ring:
    """The ring of a new vault."""
    return _sealed(Ring(VERSION, vault, (keys,), (founder,), recovery, proof))


def with_members(ring: Ring, members: Collection[Member]) -> Ring:
    """The ring with these members too. A machine that comes back is no longer revoked."""
    known = {member.recipient for member in ring.members}
    added = tuple(member for member in members if member.recipient not in known)
    back = {member.recipient for member in added}
    revoked = tuple(member for member in ring.revoked if member.recipient not in back)
    return _sealed(msgspec.structs.replace(ring, members=ring.members + added, revoked=revoked))


def without(ring: Ring, doomed: Collection[Member], keys: Generation) -> Ring:
    """The ring of the next generation, which has new `keys` that the `doomed` members do not get."""
    members = tuple(member for member in ring.members if member not in doomed)
    revoked = (*ring.revoked, *(member for member in ring.members if member in doomed))
    generations = (*ring.generations, keys)
    return _sealed(msgspec.structs.replace(ring, generations=generations, members=members, revoked=revoked))


def placed(ring: Ring, place: str) -> Ring:
    """The ring as it lies under a key of the vault; empty: anywhere else."""
    return _sealed(msgspec.structs.replace(ring, place=place))


# -- believing rings


def accepted(known: Ring, offered: Ring) -> Ring:
    """`known`, brought up to date by `offered`. Unacceptable if that is no ring of the same vault that only adds
    members, or adds one generation that its predecessor's keys vouch for."""
    if offered.vault != known.vault:
        raise Unacceptable("belongs to another vault")
    if offered.generations[: known.number] != known.generations:
        raise Unacceptable("has other keys than those known here")
    if offered.number > known.number + 1 or not is_sound(offered):
        raise Unacceptable("is not sealed with the keys known here")
    if offered.number == known.number:
        return with_members(known, offered.members)
    return offered


def proof(recovery: str, vault: str, keys: Generation) -> str:
    """What only the recovery key (an age identity) can make of a vault's id and its first keys: age itself does not
    tell who wrote what it decrypts, and a server that knew the recipient could put up a ring of its own."""
    return hmac.new(recovery.encode(), f"memferry recovery {vault} {keys.mac}".encode(), "sha256").hexdigest()


def is_vouched_for(ring: Ring, recovery: str) -> bool:
    """Whether the holder of this recovery key made the vault of this ring."""
    return hmac.compare_digest(ring.proof, proof(recovery, ring.vault, ring.generations[0]))


def is_sound(ring: Ring) -> bool:
    """Whether its MAC was made with the keys of the generation before the newest."""
    return hmac.compare_digest(ring.mac, _mac(ring))


def _sealed(ring: Ring) -> Ring:
    return msgspec.structs.replace(ring, mac=_mac(ring))


def _mac(ring: Ring) -> str:
    vouching = ring.generations[-2] if ring.number > 1 else ring.newest
    return mac(vouching, "ring", encode(msgspec.structs.replace(ring, mac="")))


# -- bytes


def encode(ring: Ring) -> bytes:
    """As JSON, the same bytes for the same ring."""
    return msgspec.json.encode(ring)


def decode(data: bytes) -> Ring:
    """A ring from JSON. Unacceptable if it is none, or of a later version."""
    try:
        found = msgspec.json.decode(data, type=Ring)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unacceptable("is not a ring of keys") from None  # the cause could quote a key
    if found.version != VERSION:
        raise Unacceptable(f"has version {found.version}; pip install --upgrade memferry")
    return found


def mac(keys: Generation, purpose: str, data: bytes) -> str:
    """HMAC-SHA256 over `data` in hex, by a key of its own for each `purpose`."""
    key = hmac.digest(bytes.fromhex(keys.mac), f"memferry {purpose}".encode(), "sha256")
    return hmac.new(key, data, "sha256").hexdigest()


def fingerprint(ring: Ring) -> str:
    """What people compare between machines: equal where the newest keys are."""
    digest = hashlib.sha256(f"{ring.vault} {ring.newest.recipient}".encode()).hexdigest()
    return "-".join(digest[at : at + 4] for at in range(0, 16, 4))
