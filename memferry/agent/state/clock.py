"""Hybrid logical clock values, and what to make of a clock that is wrong. Pure. Why it is so: docs/adr/0007-clocks.md.

A value is 16 hex digits: milliseconds since 1970 in the first 12, a counter in the last 4, so text sorts as time does.
The number that it is fits SQLite's 63 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

ZERO = "0" * 16
LEEWAY_MS = 5 * 60 * 1000
"""Clocks of honest machines differ by less."""

Sightings: TypeAlias = Mapping[str, Sequence[tuple[int, str]]]
"""Machine id -> (through, hlc): its operations up to seq `through` were there at `hlc` already."""

_LAST = (1 << 63) - 1


def reading(seconds: float) -> str:
    """What a wall clock shows, in seconds since 1970."""
    return f"{max(0, int(seconds * 1000)) << 16:016x}"


def seconds(hlc: str) -> float:
    """Since 1970."""
    return (int(hlc, 16) >> 16) / 1000


def after(hlc: str) -> str:
    """The next value."""
    return f"{int(hlc, 16) + 1:016x}"


def latest(hlc: str) -> str:
    """The latest value that this machine's own clock may have shown when another one showed this."""
    return f"{min(int(hlc, 16) + (LEEWAY_MS << 16), _LAST):016x}"


def is_ahead(hlc: str, wall: str) -> bool:
    """Whether `hlc` lies further ahead of `wall` than clocks may differ."""
    return int(hlc, 16) >> 16 > (int(wall, 16) >> 16) + LEEWAY_MS


def ahead_by_s(hlc: str, wall: str) -> float:
    """How far, in seconds; negative: behind."""
    return ((int(hlc, 16) >> 16) - (int(wall, 16) >> 16)) / 1000


def effective(machine: str, seq: int, hlc: str, sightings: Sightings) -> str:
    """When an operation was written as far as all know: as it says, or earlier if somebody saw it earlier. Depends on
    what stands in the logs alone, so every machine comes to the same, whenever it reads them."""
    seen = (at for through, at in sightings.get(machine, ()) if seq <= through)
    return min([hlc, *seen])


def outvoted(newest: Iterable[str], wall: str) -> bool:
    """Whether it is this machine's own clock that is behind, since most machines are ahead of it. `newest`: the last
    value of each of the others."""
    values = list(newest)
    ahead = sum(is_ahead(hlc, wall) for hlc in values)
    return 2 * ahead > len(values) + 1
