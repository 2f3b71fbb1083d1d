"""Times as people type them."""

from __future__ import annotations

import re
import time

from memferry.errors import ConfigError

_AGO = re.compile(r"(\d{1,4})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 24 * 7}
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?")


def since(text: str, now: float | None = None, *, option: str = "--since") -> str:
    """A date or time as records have it (ISO, UTC), from one like it, or from `12h`, `7d`, `2w` before `now`."""
    import datetime

    if ago := _AGO.fullmatch(text):
        start = datetime.datetime.fromtimestamp(time.time() if now is None else now, datetime.UTC)
        at = start - datetime.timedelta(hours=int(ago[1]) * _HOURS[ago[2]])
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        if _DATE.fullmatch(text):
            at = datetime.datetime.fromisoformat(text)
            return text if at.tzinfo is None else at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        pass
    raise ConfigError(f"{option} {text} is not a time", hint="use a date like 2026-11-01, or 12h, 7d, 2w")
