"""Numbers and times as records say them: anybody may have written them, so nothing here raises. Pure."""

from __future__ import annotations


def number(value: object) -> float | None:
    """What a field says; None where it is no number that can be computed with, or one beyond a double."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if abs(found) < float("inf") else None
