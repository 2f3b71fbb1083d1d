"""What a line must say that is neither an event nor an object. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from memferry.memory.lifecycle.records import CONFLICT, FINDING, INSTANCE, LEASE, Fields
from memferry.memory.lifecycle.words import seconds_of

_NAMES: Mapping[object, tuple[str, ...]] = {
    CONFLICT: ("conflict_id",),
    FINDING: ("finding_id",),
    INSTANCE: ("instance_id",),
    LEASE: ("scope", "key"),
}


def problem_of(zone: str, fields: Fields) -> str | None:
    """Why nobody can tell what a note means; None where it is clear. `zone`: where its ledger lies."""
    if zone == "projects":
        return _agenda(fields)
    if zone == "_meta":
        return _missing(fields, ("event_id",))
    schema = fields.get("schema_version")
    known = _NAMES.get(schema, ()) if isinstance(schema, str) else ()
    return _missing(fields, known) or (_times(fields) if schema == LEASE else None)


def _agenda(fields: Fields) -> str | None:
    match fields.get("op"):
        case "add":
            item = fields.get("item")
            return _missing(item, ("id",)) if isinstance(item, dict) else "it adds no item"
        case "close" | "update":
            return _missing(fields, ("target_id",))
        case _:
            return "it is not an entry of an agenda"


def _missing(fields: Fields, names: tuple[str, ...]) -> str | None:
    return next((f"it names no {name}" for name in names if not isinstance(fields.get(name), str)), None)


def _times(fields: Fields) -> str | None:
    """A lease whose end cannot be read might still be held."""
    try:
        for name in ("ts", "expires_at") if fields.get("op") == "acquire" else ("ts",):
            seconds_of(fields.get(name))
    except ValueError:
        return "its times cannot be read"
    return None
