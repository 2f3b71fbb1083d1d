"""Names of topics: each is a file's name on Linux, macOS and Windows, and the same file on all three."""

from __future__ import annotations

import os
import re
from pathlib import Path

from memferry.errors import ConfigError

SUFFIX = ".json"
LONGEST = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NOT_IN_NAMES = r"[^a-z0-9]+"  # compiled only for a name that is none
_OF_WINDOWS = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})


def check(topic: str) -> str:
    """`topic`, if it can be one's name. Raises ConfigError with one that can."""
    if _NAME.fullmatch(topic) and topic.lower() not in _OF_WINDOWS:
        return topic
    near = re.sub(_NOT_IN_NAMES, "-", topic.lower()).strip("-")[:LONGEST]
    near = f"topic-{near}".rstrip("-") if near in _OF_WINDOWS or not near else near
    rule = f"letters (a-z), digits, '_' and '-', at most {LONGEST}"
    raise ConfigError(f"{topic!r} cannot be a topic's name", hint=f"use {near!r}: {rule}")


def is_topic(file: str) -> bool:
    """Whether a file of a space is a topic's."""
    return file.endswith(SUFFIX) and _NAME.fullmatch(file.removesuffix(SUFFIX)) is not None


def file_of(folder: Path, topic: str) -> str:
    """The topic's file in a folder: also the one that is there in other letter case, which elsewhere is the same."""
    wanted = check(topic) + SUFFIX
    try:
        present = os.listdir(folder)
    except FileNotFoundError:
        return wanted
    if wanted in present:
        return wanted
    return next((name for name in sorted(present) if name.lower() == wanted.lower() and is_topic(name)), wanted)
