"""The words of a `.memory` tree: what a value may be, how names become paths, how times are written. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from memferry.values import seconds

OBJECT_TYPES = ("fact", "decision", "commitment")
HORIZONS = ("now", "day", "week", "month", "quarter", "year")
LEVELS = ("low", "medium", "high")
VISIBILITIES = ("private", "project", "global")
STATUSES = ("active", "completed", "cancelled", "superseded", "invalid")
AGENDA_STATUSES = ("active", "completed", "cancelled")
EVENT_TYPES = (
    "memory.instance.started", "memory.instance.heartbeat", "memory.instance.stopped", "memory.captured",
    "memory.distilled", "memory.published", "memory.reduced", "memory.reconciled", "memory.checkpointed",
    "memory.handoff",
)  # fmt: skip

# Patterns are compiled when they are first used: a capture needs few of them.

PRIVATE = "private"
ORDINARY = "project"
DEFAULT_CONFIDENCE = 0.7
NOBODY = "instance-unknown"

_OTHER_THAN_SLUG = r"[^a-z0-9]+"
_DATE = r"\d{4}-\d\d-\d\d"
_MONTH = r"\d{4}-(?:0[1-9]|1[0-2])"
_PRIVATE_MARK = r"(?i)<\s*/?\s*private[\s/>]"
_DECIDING = r"(?i)decide|decision|tradeoff|adopt|choose"
_PROMISING = r"(?i)must|next|follow-up|deadline|due|todo|commit"


@lru_cache(1024)
def slug(name: str) -> str:
    """`project:demo` -> `project-demo`. A name without a Latin letter or digit is `default`."""
    return re.sub(_OTHER_THAN_SLUG, "-", name.strip().lower()).strip("-") or "default"


def csv(text: str | None) -> list[str]:
    """The parts of `a, b,c`, each once."""
    return unique(part.strip() for part in (text or "").split(","))


def unique(words: Iterable[str]) -> list[str]:
    """Each word once, in order, without the empty ones."""
    return [word for word in dict.fromkeys(words) if word]


def strings(value: object) -> list[str]:
    """The strings of a JSON array that anybody may have written."""
    return unique(item.strip() for item in value if isinstance(item, str)) if isinstance(value, list) else []


def project_of(scope: str, project: str | None) -> str:
    """The project that is named, else the one in a scope such as `project:demo`; "" for none."""
    if project:
        return slug(project)
    kind, _, name = scope.partition(":")
    return slug(name) if kind == "project" and name else ""


def is_private(visibility: object, tags: object = (), text: str = "") -> bool:
    """Whether something must stay on its machine. A label that is not known may mean that, so it does."""
    said = isinstance(tags, list) and any(isinstance(tag, str) and tag.strip().lower() == PRIVATE for tag in tags)
    marked = "<" in text and re.search(_PRIVATE_MARK, text) is not None
    return visibility not in (ORDINARY, "global") or said or marked


def guessed_type(summary: str) -> str:
    """What kind of object a summary speaks of, where its event names one that does not exist."""
    if re.search(_DECIDING, summary):
        return "decision"
    return "commitment" if re.search(_PROMISING, summary) else "fact"


# -- times


def compact(ts: str) -> str:
    """The digits of a timestamp, as they stand in ids."""
    return "".join(filter(str.isdigit, ts))[:14].ljust(14, "0")


def seconds_of(ts: object) -> float:
    """Seconds since 1970 of an ISO time, UTC where it names no zone. ValueError for anything else."""
    found = seconds(ts)
    if found is None:
        raise ValueError("not a time")
    return found


def is_date(text: object) -> bool:
    """Whether it is a day of the calendar, as YYYY-MM-DD."""
    from datetime import date

    if not isinstance(text, str) or not re.fullmatch(_DATE, text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_month(text: str) -> bool:
    """Whether it is a month, as YYYY-MM."""
    return re.fullmatch(_MONTH, text) is not None


# -- numbers


def share(value: Any) -> float:
    """A confidence between 0 and 1 from what a record says; the default where it says nothing of use."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return DEFAULT_CONFIDENCE
    return max(0.0, min(1.0, float(value)))


def one_of(value: object, allowed: tuple[str, ...], default: str) -> str:
    """`value` where it is one of the words that are allowed."""
    return value if isinstance(value, str) and value in allowed else default
