"""Digests and keyed fingerprints. Pure: the secret is an argument."""

from __future__ import annotations

import hashlib


def digest(content: bytes) -> bytes:
    """SHA-256 of a record's content: 32 bytes."""
    return hashlib.sha256(content).digest()


class Fingerprinter:
    """Keyed 64-bit fingerprints: equal inputs meet again, and without the secret nothing can be guessed from them.

    Plain hashes of short private text fall to a dictionary in milliseconds (docs/how-it-works.md), so
    nothing derived from a record is stored unkeyed. `secret`: 32 bytes that never leave this machine.
    """

    __slots__ = ("_empty",)

    def __init__(self, secret: bytes) -> None:
        self._empty = hashlib.blake2b(key=secret, digest_size=8)

    def __call__(self, text: bytes) -> int:
        """Signed 64-bit integer, as SQLite stores it."""
        hasher = self._empty.copy()
        hasher.update(text)
        return int.from_bytes(hasher.digest(), "little", signed=True)

    def key(self, space: str, key: str) -> int:
        """Fingerprint of a record's key in its space; also of an id that another record refers to."""
        return self(f"{space}\0{key}".encode("utf-8", "surrogatepass"))
