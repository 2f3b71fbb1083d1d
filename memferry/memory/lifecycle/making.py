"""From an event to an object of a view, and what goes with it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

from memferry.errors import MemoryRefused
from memferry.memory.lifecycle import tree
from memferry.memory.lifecycle.records import ID_OF_TYPE, Fields, derived_id, hashed, labelled, view_object
from memferry.memory.lifecycle.turn import Turn
from memferry.memory.lifecycle.words import (
    HORIZONS,
    LEVELS,
    OBJECT_TYPES,
    ORDINARY,
    PRIVATE,
    VISIBILITIES,
    guessed_type,
    is_private,
    one_of,
    share,
    slug,
    strings,
)  # fmt: skip

_AS_SAID = ("review_at", "due_at", "evidence_ref", "decision_key", "why")


class Waiting(NamedTuple):
    """An event that nobody has worked on, and the ledger in which it lies."""

    event: Fields
    file: str

    @property
    def id(self) -> str:
        return str(self.event["event_id"])

    @property
    def ts(self) -> str:
        return str(self.event.get("ts_wall") or "")

    @property
    def payload(self) -> Mapping[str, Any]:
        payload: Mapping[str, Any] = self.event["payload"]
        return payload

    @property
    def summary(self) -> str:
        return str(self.payload.get("summary", "")).strip()

    @property
    def is_private(self) -> bool:
        return is_private(self.event.get("visibility"), self.payload.get("tags"), self.summary)


def waiting(turn: Turn, verb: str, scope: str | None, instance: str | None, limit: int) -> list[Waiting]:
    """What `verb` has not worked on yet, in the order of the ledgers, at most `limit`. Those without a summary are
    left out: there is nothing to make of them."""
    sql = "select path, offset, length from waiting where verb = ?"
    values: list[object] = [verb]
    for name, wanted in (("scope", scope), ("instance", instance)):
        if wanted:
            sql += f" and {name} = ?"
            values.append(slug(wanted))
    lies = turn.index.db.execute(f"{sql} order by verb, path, offset", values)
    there = (Waiting(event, tree.own_name(file)) for file, event in _events(turn.root, lies))
    return list(islice((one for one in there if one.summary), limit))


def _events(root: str, lies: Iterable[tuple[str, int, int]]) -> Iterator[tuple[str, Fields]]:
    """The events that lie there, each ledger opened once."""
    for file, group in groupby(lies, key=itemgetter(0)):
        with open(os.path.join(root, *file.split("/")), "rb") as opened:
            for _, offset, length in group:
                opened.seek(offset)
                yield file, json.loads(opened.read(length))


def object_at(turn: Turn, id_: str) -> Fields:
    """An object of a view, as it was written; MemoryRefused where there is none of this id."""
    rows = turn.index.rows("select path, offset, length from objects where id = ?", id_)
    if not rows:
        raise MemoryRefused(f"there is no object {id_}", hint="see views/, or `memferry memory attach`")
    return next(_events(turn.root, rows))[1]


def object_from(turn: Turn, one: Waiting, type_: str, zone: str, horizon: str) -> tuple[Fields, bool]:
    """The object that an event becomes, and whether it is there already: a crash may have come between it and the note
    that it was made. Its id follows from the event, so two machines that make it make one."""
    event, payload = one.event, one.payload
    type_ = one_of(payload.get(type_, "fact"), OBJECT_TYPES, "") or guessed_type(one.summary)
    visibility = PRIVATE if one.is_private else one_of(event.get("visibility"), VISIBILITIES, ORDINARY)
    required: Fields = {
        "id": derived_id(ID_OF_TYPE[type_], one.ts, one.id, zone), "type": type_, "scope": event["scope"],
        "ts": turn.ts, "summary": one.summary, "status": "active",
        "horizon": one_of(payload.get("horizon"), HORIZONS, horizon),
        "salience": one_of(payload.get("salience"), LEVELS, "medium"), "confidence": share(payload.get("confidence")),
        "tags": strings(payload.get("tags")), "event_refs": [one.id], "visibility": visibility,
        "owner": str(event.get("owner") or event.get("instance_id") or "agent"),
    }  # fmt: skip
    source = [*strings(payload.get("source")), f"{zone}:{one.file}"]
    optional: Fields = {name: str(payload.get(name) or "") for name in _AS_SAID}
    optional |= {"project": event.get("project"), "source": source, "assumptions": strings(payload.get("assumptions"))}
    made = view_object(required, optional)
    known = turn.index.one("select id from objects where event_ref = ? and type = ?", one.id, type_)
    if known is None:
        return made, False
    return hashed({name: value for name, value in made.items() if name != "hash"} | {"id": known}), True


def mirror(turn: Turn, thing: Fields, origin: str, priority: str = "medium") -> None:
    """A commitment of a project stands on its agenda, too, and is as private there."""
    if thing["type"] != "commitment" or not thing.get("project"):
        return
    if turn.index.one("select 1 from told where what = 'agenda' and id = ?", thing["id"]):
        return
    item = agenda_item(
        turn, thing["id"], thing["summary"], priority=priority, owner=thing["owner"], tags=thing["tags"],
        origin=origin, due_at=thing.get("due_at"), private=thing["visibility"] == PRIVATE,
    )  # fmt: skip
    turn.append(tree.agenda(thing["project"]), {"op": "add", "ts": turn.ts, "item": item})


def agenda_item(
    turn: Turn, id_: str, summary: str, *, priority: str, owner: str, tags: list[str], origin: str,
    due_at: str | None, private: bool,
) -> Fields:  # fmt: skip
    """An item as an agenda lists it."""
    item: Fields = {
        "id": id_, "summary": summary, "status": "active", "priority": priority, "owner": owner,
        "created_at": turn.ts, "tags": tags, "origin": origin,
    }  # fmt: skip
    if due_at:
        item["due_at"] = due_at
    return labelled(item, private=private)
