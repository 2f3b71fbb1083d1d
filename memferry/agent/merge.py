"""What an operation of another machine means for what this one has. Pure."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Version(NamedTuple):
    """One version of a record: its digest (hex), when it was written (HLC), by which machine (id)."""

    digest: str
    hlc: str
    machine: str


class Decision(Enum):
    """What to do with an incoming version."""

    NOTHING = "nothing"
    """It is here already, or was here and has been replaced since."""
    TAKE = "take"
    """Nothing here, or it was made from what is here: it becomes current."""
    CONFLICT_TAKE = "conflict, take"
    """Neither knew of the other and it is the later: it becomes current, ours is kept beside it."""
    CONFLICT_KEEP = "conflict, keep"
    """Neither knew of the other and ours is the later: ours stays, it is kept beside."""


def decide(
    incoming: Version,
    base: str | None,
    current: Version | None,
    *,
    seen_before: bool,
    prefix: int,
) -> Decision:
    """`base`: digest that `incoming` replaced where it was written. `seen_before`: this machine had it before
    `current`. `prefix`: 1 when the incoming content is longer and begins with ours, -1 when ours is the longer, else 0.

    The same on every machine in any order: the outcome depends on the two versions alone.
    """
    if current is None:
        return Decision.TAKE
    if incoming.digest == current.digest or seen_before:
        return Decision.NOTHING
    if base == current.digest or prefix > 0:
        return Decision.TAKE
    if prefix < 0:
        return Decision.NOTHING
    later = (incoming.hlc, incoming.machine) > (current.hlc, current.machine)
    return Decision.CONFLICT_TAKE if later else Decision.CONFLICT_KEEP


def prefix(incoming: str, ours: str | None) -> int:
    """1: `incoming` goes on where `ours` ends; -1: the other way round; 0: neither."""
    if ours is None:
        return 0
    if incoming.startswith(ours):
        return 1
    return -1 if ours.startswith(incoming) else 0
