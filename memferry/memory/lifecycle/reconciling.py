"""reconcile: a correction, which supersedes what it corrects and rewrites nothing."""

from __future__ import annotations

from argparse import Namespace

from memferry.errors import MemoryRefused
from memferry.memory.lifecycle import tree
from memferry.memory.lifecycle.making import mirror, object_at
from memferry.memory.lifecycle.records import CONFLICT, ID_OF_TYPE, Fields, hashed, labelled, view_object
from memferry.memory.lifecycle.turn import Turn
from memferry.memory.lifecycle.words import (
    HORIZONS,
    LEVELS,
    PRIVATE,
    VISIBILITIES,
    csv,
    is_private,
    one_of,
    share,
    strings,
)  # fmt: skip

_TEXTS = ("review_at", "evidence_ref", "why", "decision_key")


def reconcile(turn: Turn, asked: Namespace) -> Fields:
    """A new object in place of an old one; with --resolve-conflict the conflict is settled by it."""
    turn.refuse_damage("views/", "coordination/conflicts")
    base = object_at(turn, asked.id)
    if base["type"] not in ID_OF_TYPE:
        raise MemoryRefused(
            f"{asked.id} is of a type that is not known: {base['type']}", hint="see `memferry memory validate`"
        )
    conflict_is_private = _conflict(turn, asked.resolve_conflict) if asked.resolve_conflict else False
    thing = _corrected(turn, asked, base, private=conflict_is_private)
    file = tree.view(thing["type"], thing["scope"], turn.ts)
    turn.append(file, thing)
    if asked.resolve_conflict:
        turn.append(tree.CONFLICTS, hashed(labelled(
            {"schema_version": CONFLICT, "op": "resolve", "conflict_id": asked.resolve_conflict,
             "reason": "resolved by reconcile", "ts": turn.ts},
            private=conflict_is_private,
        )))  # fmt: skip
    mirror(turn, thing, "reconcile", priority="high")
    return {"supersedes": asked.id, "new_id": thing["id"], "path": turn.path(file)}


def _corrected(turn: Turn, asked: Namespace, base: Fields, *, private: bool) -> Fields:
    """As private as what it corrects and as the conflict that it settles."""
    tags = csv(asked.tags) or strings(base.get("tags"))
    private = private or is_private(base.get("visibility"), tags, asked.summary) or turn.quotes_private(asked.summary)
    visibility = PRIVATE if private else one_of(base.get("visibility"), VISIBILITIES, PRIVATE)
    required: Fields = {
        "id": turn.new_id(ID_OF_TYPE[base["type"]]), "type": base["type"], "scope": base["scope"], "ts": turn.ts,
        "summary": asked.summary.strip(), "status": "active",
        "horizon": asked.horizon or one_of(base.get("horizon"), HORIZONS, "week"),
        "salience": asked.salience or one_of(base.get("salience"), LEVELS, "medium"),
        "confidence": asked.confidence if asked.confidence is not None else share(base.get("confidence")),
        "tags": tags, "event_refs": [*strings(base.get("event_refs")), f"reconcile:{asked.id}"],
        "visibility": visibility, "owner": str(base.get("owner") or "agent"),
    }  # fmt: skip
    optional: Fields = {name: getattr(asked, name) or base.get(name) for name in _TEXTS}
    optional |= {"project": base.get("project"), "source": strings(base.get("source")), "due_at": base.get("due_at")}
    optional |= {"supersedes": asked.id, "assumptions": csv(asked.assumptions) or strings(base.get("assumptions"))}
    return view_object(required, optional)


def _conflict(turn: Turn, id_: str) -> bool:
    """Whether an open conflict is private; MemoryRefused where it is not open."""
    rows = turn.index.rows("select private from conflicts where id = ? and opened and not resolved", id_)
    if not rows:
        raise MemoryRefused(f"there is no open conflict {id_}", hint="see coordination/conflicts.jsonl")
    return bool(rows[0][0])
