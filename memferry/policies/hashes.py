"""The hashes that DiaSync records carry of themselves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from json import JSONEncoder

try:
    from _sha1 import sha1  # type: ignore[import-not-found]  # as `random` does it: hashlib loads all of OpenSSL
except ImportError:
    from hashlib import sha1

_canonical = JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def digest(fields: Mapping[str, object], *without: str) -> str:
    """`sha1:...` of the fields in canonical JSON. The format asks for SHA-1; nothing rests on it but a check."""
    body = {name: value for name, value in fields.items() if name not in without}
    return f"sha1:{sha1_of(_canonical(body).encode())}"


def sha1_of(content: bytes) -> str:
    """In hex."""
    return str(sha1(content, usedforsecurity=False).hexdigest())


def content_hash(fields: Mapping[str, object]) -> str:
    """What the `hash` of a record must be."""
    return digest(fields, "hash")


def idempotency_key(fields: Mapping[str, object]) -> str:
    """What the `idempotency_key` of an event must be: the same for the same event told twice."""
    return digest(fields, "hash", "idempotency_key", "event_id")


def renewed(fields: object) -> dict[str, str]:
    """What the hashes of a DiaSync record must be; empty for any other record, and where it has none."""
    if not isinstance(fields, dict) or not str(fields.get("schema_version")).startswith("diasync-"):
        return {}
    made: dict[str, str] = {}
    for name, what in (("idempotency_key", idempotency_key), ("hash", content_hash)):  # the second covers the first
        if isinstance(fields.get(name), str):
            made[name] = what({**fields, **made})
    return made
