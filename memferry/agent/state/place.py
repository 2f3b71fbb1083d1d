"""Where each backend lay when it was last used: at another place, what was acknowledged says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

ACKNOWLEDGED = "acknowledged elsewhere"
"""In the state: the last seq that was, at a place where a backend lies no more."""
_SAYS_WHERE = ("type", "host", "port", "user", "path", "url", "collection", "per_space")


def key(backend: str) -> str:
    """In the state, under which the mark of its place is kept."""
    return f"place of {backend}"


def mark(settings: Mapping[str, Any]) -> str:
    """Another one for another place. A checksum: there is no secret in these settings, and none gets into the state."""
    return f"{crc32(repr([settings.get(name) for name in _SAYS_WHERE]).encode()):08x}"
