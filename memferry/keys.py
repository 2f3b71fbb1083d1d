"""Digests and keyed fingerprints. Pure: the secret is an argument."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from siphashc import siphash

_SIGN = 1 << 63


def digest(content: bytes) -> bytes:
    """SHA-256 of a record's content: 32 bytes."""
    return hashlib.sha256(content).digest()


class Fingerprinter:
    """Keyed 64-bit fingerprints: equal inputs meet again, and without the secret nothing can be guessed from them.

    Plain hashes of short private text fall to a dictionary in milliseconds (docs/adr/0003-fingerprints.md), so
    nothing derived from a record is stored unkeyed. SipHash-2-4 was made for short inputs under a secret key
    (Aumasson and Bernstein, 2012). `secret`: 32 bytes that never leave this machine.
    """

    __slots__ = ("_key",)

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.blake2b(secret, digest_size=16, person=b"fingerprints").digest()

    def __call__(self, text: bytes) -> int:
        """Signed 64-bit integer, as SQLite stores it."""
        return siphash(self._key, text) - _SIGN

    def of_all(self, texts: Iterable[bytes]) -> list[int]:
        """One for each, in order."""
        key = self._key
        return [siphash(key, text) - _SIGN for text in texts]

    def key(self, space: str, key: str) -> int:
        """Fingerprint of a record's key in its space; also of an id that another record refers to."""
        return self(f"{space}\0{key}".encode("utf-8", "surrogatepass"))
