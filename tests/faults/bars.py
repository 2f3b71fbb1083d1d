"""All bars, by name."""

from __future__ import annotations

from tests.faults import (
    acknowledgement,
    crashes,
    damage,
    delivery,
    hostile,
    index,
    living,
    malformed,
    many,
    network,
    notification,
    outage,
    power,
    private,
    races,
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
    power,
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
    private,
    malformed,
    races,
    living,
)
NAMES = tuple(sorted(BARS, key=by_number))
