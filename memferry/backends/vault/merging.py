"""Which neighbouring segments to merge, so that a log of a million records has tens of them. Pure.

A log-structured merge: a segment belongs to a tier by its weight, each tier spanning a factor of `FAN_IN`, and `FAN_IN`
of one tier become one of the next. So every record is rewritten at most once per tier, and no more than
`FAN_IN - 1` segments of each tier wait behind the full ones, which are never touched again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

FAN_IN = 8
TIERS = 4
"""How many tiers lie below the full segments."""


def tier(weight: int, target: int) -> int:
    """0 for the smallest, `TIERS` for a full segment, one that weighs at least `target`."""
    found = TIERS
    while found and weight < target:
        target //= FAN_IN
        found -= 1
    return found


def groups(weights: Sequence[int], target: int) -> list[slice]:
    """Neighbours to merge, for segments of these weights in the order of their log: slices that together cover all of
    them, in order; a slice of one is left alone."""
    merged: list[slice] = []
    sums: list[int] = []
    for at, weight in enumerate(weights):
        merged.append(slice(at, at + 1))
        sums.append(weight)
        while due := _due([tier(weight, target) for weight in sums]):
            merged[due] = [slice(merged[due][0].start, merged[due][-1].stop)]
            sums[due] = [sum(sums[due])]
    return merged


def _due(tiers: Sequence[int]) -> slice | None:
    """The neighbours at the end of the log that are to become one."""
    end = len(tiers)
    newest = tiers[-1]
    if newest == TIERS:  # nothing more will be merged with those before it: at most one of them stays small
        waiting = len(list(takewhile(lambda tier: tier < TIERS, tiers[-2::-1])))
        return slice(end - 1 - waiting, end - 1) if waiting > 1 else None
    if end > 1 and tiers[-2] < newest:  # what is older is never smaller
        return slice(end - 2, end)
    alike = len(list(takewhile(lambda tier: tier == newest, reversed(tiers))))
    return slice(end - FAN_IN, end) if alike >= FAN_IN else None
