"""All bars, by name."""

from __future__ import annotations

from tests.faults import crashes, delivery, notification, states, tailing, uploads, vanishing, wholes
from tests.faults.bar import BARS

MODULES = (crashes, states, tailing, wholes, notification, delivery, uploads, vanishing)
NAMES = tuple(sorted(BARS, key=lambda name: int(name[1:])))
