"""distill and reduce: events become objects, each once."""

from __future__ import annotations

from argparse import Namespace

from memferry.memory.lifecycle import tree
from memferry.memory.lifecycle.conflicts import Collisions
from memferry.memory.lifecycle.making import Waiting, mirror, object_from, waiting
from memferry.memory.lifecycle.records import REDUCER, Fields, Who, labelled
from memferry.memory.lifecycle.turn import Turn
from memferry.memory.lifecycle.words import NOBODY, slug


def distill(turn: Turn, asked: Namespace) -> Fields:
    """What the streams of this machine captured becomes objects."""
    turn.refuse_damage(_zone("streams", asked.scope, asked.instance_id), "views/", "_meta/")
    found = waiting(turn, "distill", asked.scope, asked.instance_id, asked.limit)
    created = [_distilled(turn, one) for one in found]
    return {"scanned": len(found), "created_count": len(created), "created": created}


def _distilled(turn: Turn, one: Waiting) -> Fields:
    thing, is_there = object_from(turn, one, "proposed_type", "stream", "day")
    file = _file(turn, thing)
    if not is_there:
        turn.append(file, thing)
    mirror(turn, thing, "distill")
    if not turn.index.one("select 1 from told where what = 'distilled' and id = ?", one.id):
        who = _who(turn, one, thing)
        payload = {"source_event_id": one.id, "target_object_id": thing["id"], "target_type": thing["type"]}
        event = turn.event("memory.distilled", who, payload, refs=(one.id,))
        turn.append(tree.stream(who.scope, who.instance, turn.ts), event)
    turn.append(tree.DISTILLED, {"event_id": one.id, "ts": turn.ts})
    return _created(turn, one, thing, file)


def _who(turn: Turn, one: Waiting, thing: Fields) -> Who:
    """Whose event says that `thing` was made: who captured it, and for as few eyes. What is for everybody is told to
    the project only."""
    event = one.event
    instance = str(event.get("instance_id") or NOBODY)
    visibility = thing["visibility"] if one.is_private else "project"
    return Who(
        event["scope"], str(event.get("project") or ""), instance, str(event.get("run_id") or turn.new_id("run")),
        visibility, thing["owner"],
    )  # fmt: skip


def reduce(turn: Turn, asked: Namespace) -> Fields:
    """What was published on the bus becomes objects; what contradicts an active decision opens a conflict instead."""
    turn.refuse_damage(_zone("bus", asked.scope), "views/", "_meta/", "coordination/")
    collisions = Collisions(turn)
    collisions.between_machines()
    found = waiting(turn, "reduce", asked.scope, None, asked.limit)
    created = [made for one in found if (made := _reduced(turn, one, collisions)) is not None]
    answer: Fields = {
        "scanned": len(found), "created_count": len(created), "conflict_count": len(collisions.opened),
        "created": created, "conflicts": collisions.opened, "index": {},
    }  # fmt: skip
    if asked.reindex:
        from memferry.memory.lifecycle.catalogue import reindexed

        if turn.keeps:
            turn.afterwards.append(lambda: answer.update(index=reindexed(turn)))
        else:
            answer["index"] = reindexed(turn, write=False)
    return answer


def _reduced(turn: Turn, one: Waiting, collisions: Collisions) -> Fields | None:
    thing, is_there = object_from(turn, one, "object_type", "bus", "week")
    if not is_there and collisions.opens(one, thing):
        turn.append(tree.REDUCED, {"event_id": one.id, "ts": turn.ts})
        return None
    file = _file(turn, thing)
    if not is_there:
        turn.append(file, thing)
        collisions.add(thing)
    mirror(turn, thing, "reduce")
    if not turn.index.one("select 1 from told where what = 'reduce' and id = ?", one.id):
        turn.append(tree.REDUCERS, labelled(
            {"schema_version": REDUCER, "op": "reduce", "event_id": one.id, "object_id": thing["id"],
             "scope": thing["scope"], "type": thing["type"], "ts": turn.ts},
            private=one.is_private,
        ))  # fmt: skip
    turn.append(tree.REDUCED, {"event_id": one.id, "ts": turn.ts})
    return _created(turn, one, thing, file)


def _file(turn: Turn, thing: Fields) -> str:
    return tree.view(thing["type"], thing["scope"], turn.ts)


def _created(turn: Turn, one: Waiting, thing: Fields, file: str) -> Fields:
    return {"event_id": one.id, "object_id": thing["id"], "object_type": thing["type"], "path": turn.path(file)}


def _zone(zone: str, *names: str | None) -> str:
    """The part of a zone that is asked for."""
    wanted = [slug(name) for name in names if name]
    return "/".join((zone, *wanted)) + "/" if len(wanted) == len(names) else f"{zone}/"
