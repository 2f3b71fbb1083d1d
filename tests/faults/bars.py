"""All bars, by name."""

from __future__ import annotations

from tests.faults import (
    acknowledgement,
    crashes,
    damage,
    delivery,
    hostile,
    index,
    many,
    network,
    notification,
    outage,
    states,
    tailing,
    tampering,
    uploads,
    vanishing,
    wholes,
)
from tests.faults.bar import BARS, by_number

MODULES = (
    crashes,
    states,
    tailing,
    wholes,
    notification,
    outage,
    acknowledgement,
    network,
    delivery,
    uploads,
    damage,
    vanishing,
    hostile,
    many,
    tampering,
    index,
)
NAMES = tuple(sorted(BARS, key=by_number))
