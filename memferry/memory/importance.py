"""How much an entry counts now: computed from what it says and how it was used, never stored. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from memferry.values import number, seconds

PER_ACCESS = 0.02
PER_WEEK = 0.01
USUAL = 0.7
WEEK_S = 7 * 24 * 3600.0
FADING_S = 30 * 24 * 3600.0
MOST_ACCESSES = 1 << 53
"""Beyond it a count says nothing, and a larger one may fit no double."""
LASTING = frozenset({"decision", "lesson"})
"""Types that do not decay."""


class Access(NamedTuple):
    """How often an entry was recalled, and when last: seconds since 1970, None for never."""

    times: int = 0
    last: float | None = None

    def and_also(self, other: Access) -> Access:
        """By both together."""
        return Access(self.times + other.times, max((self.last, other.last), key=lambda at: at or 0.0))


def own(entry: Mapping[str, Any]) -> Access:
    """What the entry itself says; who never read it counts from when it was written."""
    count = entry.get("access_count")
    times = map(seconds, (entry.get("last_accessed"), entry.get("updated_at"), entry.get("created_at")))
    uses = count if type(count) is int and 0 < count <= MOST_ACCESSES else 0
    return Access(uses, next((at for at in times if at is not None), None))


def effective(entry: Mapping[str, Any], access: Access, now: float) -> float:
    """`importance + 0.02 * accesses - 0.01 per 7 days since the last one`, without decay for what lasts."""
    stored = number(entry.get("importance"))
    return (USUAL if stored is None else stored) + PER_ACCESS * access.times - _decay(entry, access, now)


def _decay(entry: Mapping[str, Any], access: Access, now: float) -> float:
    if lasts(entry) or access.last is None:
        return 0.0
    return PER_WEEK * max(0.0, now - access.last) / WEEK_S


def lasts(entry: Mapping[str, Any]) -> bool:
    """Whether it never decays."""
    return entry.get("type") in LASTING


def fades_at(entry: Mapping[str, Any], access: Access) -> float | None:
    """From when on nobody has read it for too long; None: never."""
    return None if lasts(entry) or access.last is None else access.last + FADING_S
