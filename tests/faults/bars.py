"""All bars, by name."""

from __future__ import annotations

from tests.faults import (
    crashes,
    damage,
    delivery,
    hostile,
    many,
    notification,
    outage,
    states,
    tailing,
    tampering,
    uploads,
    vanishing,
    wholes,
)
from tests.faults.bar import BARS

MODULES = (
    crashes,
    states,
    tailing,
    wholes,
    notification,
    outage,
    delivery,
    uploads,
    damage,
    vanishing,
    hostile,
    many,
    tampering,
)
NAMES = tuple(sorted(BARS, key=lambda name: int(name[1:])))
