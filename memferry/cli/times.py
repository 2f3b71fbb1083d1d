"""Times as people type them."""

from __future__ import annotations

import re
import time

from memferry.errors import ConfigError
from memferry.values import iso, seconds

_AGO = re.compile(r"(\d{1,4})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 24 * 7}
_DAY = r"\d{4}-\d\d-\d\d"
_DATE = re.compile(rf"{_DAY}(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?")


def since(text: str, now: float | None = None, *, option: str = "--since") -> str:
    """The moment (ISO, UTC) of a date or time, UTC where it names no zone; or of `12h`, `7d`, `2w` before `now`."""
    if ago := _AGO.fullmatch(text):
        return iso((time.time() if now is None else now) - int(ago[1]) * _HOURS[ago[2]] * 3600)
    at = seconds(text) if _DATE.fullmatch(text) else None
    if at is None:
        raise ConfigError(f"{option} {text} is not a time", hint="use a date like 2026-11-01, or 12h, 7d, 2w")
    return iso(at)


def until(text: str, now: float | None = None) -> str:
    """Likewise; a date is meant with its whole day."""
    at = since(text, now, option="--until")
    return f"{text}T23:59:59Z" if re.fullmatch(_DAY, text) else at
