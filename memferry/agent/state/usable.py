"""Which rules were last seen to be usable: while they are the same, `status` need not load them, which takes time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from zlib import crc32

from memferry.places import DECISIONS

if TYPE_CHECKING:
    from memferry.config import Config

USABLE = "rules usable"
"""In the state: the mark of those that were."""


def mark(config: Config) -> str:
    """Another one when the rules, or a file that they depend on, are others; empty where there are none."""
    policy = config.policy
    named = [file for file in (policy.rules_file, policy.marker_key_file) if file is not None]
    decided = _seen(os.path.join(config.state, DECISIONS))
    if not (policy.rules or named or decided):
        return ""
    return f"{crc32(repr((policy.rules, [(str(file), _seen(file)) for file in named], decided)).encode()):08x}"


def _seen(file: str | os.PathLike[str]) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
