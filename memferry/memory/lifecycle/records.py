"""Events, objects and notes as they stand in a ledger: fields in their order, ids and hashes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import JSONEncoder
from typing import Any, NamedTuple, TypeAlias

from memferry.memory.lifecycle.words import compact, unique
from memferry.policies.hashes import content_hash, idempotency_key, sha1_of

Fields: TypeAlias = dict[str, Any]

EVENT = "diasync-v1-event"
OBJECT = "diasync-v1-object"
INSTANCE = "diasync-v1-instance-event"
CURSOR = "diasync-v1-cursor-event"
LEASE = "diasync-v1-lease-event"
CONFLICT = "diasync-v1-conflict-event"
REDUCER = "diasync-v1-reducer-event"
FINDING = "diasync-v1-finding-event"
PLAN = "diasync-v1-optimization-plan"
EXECUTION = "diasync-v1-optimization-execution"
SCORECARD = "diasync-v1-health-scorecard"
TREND = "diasync-v1-health-trend"

ID_OF_TYPE = {"fact": "fac", "decision": "dec", "commitment": "com"}

REQUIRED_OF_EVENT = (
    "schema_version", "event_id", "type", "scope", "instance_id", "run_id", "actor", "ts_wall", "lc", "causal_refs",
    "visibility", "owner", "payload", "idempotency_key", "hash",
)  # fmt: skip
REQUIRED_OF_OBJECT = (
    "schema_version", "id", "type", "scope", "ts", "summary", "status", "horizon", "salience", "confidence", "tags",
    "event_refs", "visibility", "owner", "hash",
)  # fmt: skip

_LINE_ENDS = {ord(char): f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}
_compact = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Who(NamedTuple):
    """Whose event it is, where it belongs, and who may see it. `project`: a slug, "" for none."""

    scope: str
    project: str
    instance: str
    run: str
    visibility: str
    owner: str


def line(fields: Mapping[str, object]) -> bytes:
    """A ledger line with its newline. What some readers take for the end of a line is written as an escape."""
    text = _compact(fields)
    if not text.isascii():
        text = text.translate(_LINE_ENDS)
    return text.encode() + b"\n"


def hashed(fields: Fields) -> Fields:
    """`fields` with their hash behind them."""
    return fields | {"hash": content_hash(fields)}


def derived_id(prefix: str, ts: str, *sources: str) -> str:
    """The id of what is made from `sources`: the same wherever and however often that is done."""
    text = "\n".join(sources).encode()
    return f"{prefix}-{compact(ts)}-{sha1_of(text)[:8]}"


def event(
    type_: str, who: Who, payload: Fields, *, event_id: str, ts: str, lc: int, refs: Sequence[str] = ()
) -> Fields:
    """An event. `lc`: Lamport's clock, later than everything its writer had seen."""
    fields: Fields = {
        "schema_version": EVENT, "event_id": event_id, "type": type_, "scope": who.scope,
        "instance_id": who.instance, "run_id": who.run, "actor": "agent", "ts_wall": ts, "lc": lc,
        "causal_refs": unique(refs), "visibility": who.visibility, "owner": who.owner, "payload": payload,
    }  # fmt: skip
    if who.project:
        fields["project"] = who.project
    fields["idempotency_key"] = idempotency_key(fields)
    return hashed(fields)


def view_object(required: Fields, optional: Mapping[str, object]) -> Fields:
    """An object of a view; of the optional fields those that say something."""
    fields: Fields = {"schema_version": OBJECT} | required
    fields |= {name: value for name in _OPTIONAL if (value := optional.get(name))}
    return hashed(fields)


_OPTIONAL = (
    "project", "source", "review_at", "due_at", "evidence_ref", "supersedes", "decision_key", "why", "assumptions",
)  # fmt: skip


def labelled(fields: Fields, *, private: bool) -> Fields:
    """`fields`, which stay on this machine if they are about something private."""
    return fields | {"visibility": "private"} if private else fields
