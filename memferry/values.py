"""Numbers and times as records say them: anybody may have written them, so nothing here raises. Pure."""

from __future__ import annotations

import time


def number(value: object) -> float | None:
    """What a field says; None where it is no number that can be computed with, or one beyond a double."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if abs(found) < float("inf") else None


def seconds(text: object, *, zone_h: int = 0) -> float | None:
    """Since 1970, of an ISO date or time; None where it is none. `zone_h`: hours ahead of UTC of one without a zone."""
    from datetime import datetime, timedelta, timezone  # only where it is needed: `learn` starts faster without

    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=timezone(timedelta(hours=zone_h)))).timestamp()


def iso(at: float) -> str:
    """Seconds since 1970 as they are written everywhere: `2026-11-21T10:00:00Z`."""
    if at < 0:
        return _iso_before_1970(at)
    year, month, day, hour, minute, second, *_ = time.gmtime(at)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"


def _iso_before_1970(at: float) -> str:
    """`time.gmtime` of Windows knows none of it."""
    from datetime import UTC, datetime, timedelta

    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    earliest = (datetime.min.replace(tzinfo=UTC) - epoch).total_seconds()
    moment = epoch + timedelta(seconds=max(at // 1, earliest))
    return f"{moment.replace(tzinfo=None).isoformat()}Z"
