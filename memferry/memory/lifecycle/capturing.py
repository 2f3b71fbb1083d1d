"""capture and publish: what an instance says becomes an event, its own or everybody's."""

from __future__ import annotations

from argparse import Namespace

from memferry.memory.lifecycle import tree
from memferry.memory.lifecycle.records import Fields, Who
from memferry.memory.lifecycle.turn import Turn
from memferry.memory.lifecycle.words import NOBODY, PRIVATE, csv, is_private, project_of, slug

_SAID_AS_IS = ("review_at", "due_at", "evidence_ref", "why")


def capture(turn: Turn, asked: Namespace) -> Fields:
    """An event in the stream of one instance."""
    payload = _payload(asked, "proposed_type") | {"source": csv(asked.source)}
    payload |= _said(asked)
    if assumptions := csv(asked.assumptions):
        payload["assumptions"] = assumptions
    if asked.decision_key:
        payload["decision_key"] = asked.decision_key
    who = _who(turn, asked, payload)
    event = turn.event("memory.captured", who, payload, ts=asked.ts or turn.ts)
    file = tree.stream(who.scope, who.instance, event["ts_wall"])
    turn.append(file, event)
    return {
        "event_id": event["event_id"], "scope": who.scope, "instance_id": who.instance, "run_id": who.run,
        "path": turn.path(file), "proposed_type": asked.proposed_type, "visibility": who.visibility,
    }  # fmt: skip


def publish(turn: Turn, asked: Namespace) -> Fields:
    """An event on the bus, which `reduce` turns into an object."""
    payload = _payload(asked, "object_type") | _said(asked)
    if asked.decision_key:
        payload["decision_key"] = asked.decision_key
    who = _who(turn, asked, payload)
    event = turn.event("memory.published", who, payload)
    file = tree.bus(who.scope, turn.ts)
    turn.append(file, event)
    return {
        "event_id": event["event_id"], "path": turn.path(file), "scope": who.scope, "project": who.project,
        "visibility": who.visibility,
    }  # fmt: skip


def _payload(asked: Namespace, type_name: str) -> Fields:
    return {
        "summary": asked.summary, type_name: getattr(asked, type_name), "horizon": asked.horizon,
        "salience": asked.salience, "confidence": asked.confidence, "tags": csv(asked.tags),
    }  # fmt: skip


def _said(asked: Namespace) -> Fields:
    return {name: getattr(asked, name) for name in _SAID_AS_IS if getattr(asked, name)}


def _who(turn: Turn, asked: Namespace, payload: Fields) -> Who:
    """A tag or a mark in the text says `private` as well as the label does."""
    words = " ".join(str(payload.get(name, "")) for name in ("summary", "why"))
    private = is_private(asked.visibility, payload["tags"], words)
    instance = slug(asked.instance_id or NOBODY)
    return Who(
        asked.scope, project_of(asked.scope, asked.project), instance, asked.run_id or turn.new_id("run"),
        PRIVATE if private else asked.visibility, instance,
    )  # fmt: skip
