"""Where something stands in a text, in characters and in bytes."""

from __future__ import annotations

from typing import NamedTuple


class Spot(NamedTuple):
    """A secret in a view: characters `start`..`end`, half-open."""

    rule: str
    start: int
    end: int


class Places:
    """From bytes to characters; cheap where one asks in order."""

    def __init__(self, text: str, raw: bytes) -> None:
        self._raw = None if len(text) == len(raw) else raw
        self._byte = self._char = 0

    def __call__(self, at: int) -> int:
        if self._raw is None:
            return at
        if at < self._byte:
            self._byte = self._char = 0
        self._char += len(self._raw[self._byte : at].decode("utf-8", "ignore"))
        self._byte = at
        return self._char
