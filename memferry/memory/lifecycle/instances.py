"""instance start, heartbeat and stop: which sessions are at work."""

from __future__ import annotations

from argparse import Namespace

from memferry.memory.lifecycle import tree
from memferry.memory.lifecycle.leasing import release_all, tell_double_leases
from memferry.memory.lifecycle.records import CURSOR, INSTANCE, Fields, hashed
from memferry.memory.lifecycle.turn import Turn
from memferry.memory.lifecycle.words import slug

STOPPED = "memory.instance.stopped"
_EVENTS = {"start": "memory.instance.started", "heartbeat": "memory.instance.heartbeat", "stop": STOPPED}


def instance(turn: Turn, asked: Namespace) -> Fields:
    """Tell that an instance began, lives or ended. One that ends gives its leases back."""
    turn.refuse_damage("coordination/")
    told = tell_double_leases(turn)
    name, scope = slug(asked.instance_id), asked.scope or "global"
    project = slug(asked.project) if asked.project else ""
    run = asked.run_id or turn.new_id("run")
    turn.append(tree.INSTANCES, hashed({
        "schema_version": INSTANCE, "event": _EVENTS[asked.action], "instance_id": name, "run_id": run, "scope": scope,
        "project": project, "note": asked.note or "", "ts": turn.ts,
    }))  # fmt: skip
    if asked.action == "start":
        turn.append(tree.CURSORS, {
            "schema_version": CURSOR, "op": "set", "instance_id": name, "scope": scope,
            "cursor": published(turn, scope), "ts": turn.ts,
        })  # fmt: skip
    if asked.action == "stop":
        release_all(turn, name)
    return {"action": asked.action, "instance_id": name, "run_id": run, "scope": scope, "project": project} | told


def published(turn: Turn, scope: str | None) -> int:
    """How many events the bus of a scope holds; of all scopes for None."""
    rows = turn.index.rows("select scope, number from tally where zone = 'bus' and kind = 'memory.published'")
    return sum(number for name, number in rows if not scope or slug(name) == slug(scope))
