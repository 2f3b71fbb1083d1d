"""Conflicts: what contradicts each other is told, and changes nothing until somebody reconciles it."""

from __future__ import annotations

from typing import Any

from memferry.memory.lifecycle import tree
from memferry.memory.lifecycle.making import Waiting
from memferry.memory.lifecycle.records import CONFLICT, Fields, derived_id, hashed, labelled
from memferry.memory.lifecycle.turn import Turn
from memferry.memory.lifecycle.words import PRIVATE, unique

_DECIDE = "Run memory-reconcile with explicit tradeoff and supersedes chain."
_SEEN = "decisions_compared"

_ACTIVE_DECISION = """select id, summary, private from objects indexed by objects_key
                      where scope = ? and decision_key = ? and active and decision_key != '' and type = 'decision'
                      order by ts desc, number desc limit 1"""
_DECISIONS_OF_TWO_MACHINES = """
select ours.id, theirs.id, ours.scope, ours.decision_key, ours.private or theirs.private, min(ours.ts, theirs.ts)
from objects as theirs indexed by objects_foreign
cross join objects as ours on theirs.scope = ours.scope and theirs.decision_key = ours.decision_key
where theirs.origin != '' and theirs.active and theirs.decision_key != '' and theirs.type = 'decision'
  and ours.active and ours.decision_key != '' and ours.type = 'decision'
  and ours.origin < theirs.origin and ours.summary != theirs.summary and max(ours.number, theirs.number) > ?
  and not exists (select 1 from parties join conflicts on conflicts.id = parties.conflict
                  where parties.id in (ours.id, theirs.id) and conflicts.resolved)"""


class Collisions:
    """Finds decisions that contradict an active one of the same scope and key, in one command. `opened`: conflicts that
    it opened."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._made: dict[tuple[str, str], tuple[str, str, bool]] = {}
        self.opened: list[Fields] = []

    def add(self, thing: Fields) -> None:
        """A decision that is made now stands for those behind it."""
        if thing["type"] == "decision" and thing.get("decision_key"):
            key = thing["scope"], thing["decision_key"]
            self._made[key] = thing["id"], thing["summary"], thing["visibility"] == PRIVATE

    def opens(self, one: Waiting, thing: Fields) -> bool:
        """Whether the decision contradicts one that stands; then a conflict is open."""
        if thing["type"] != "decision" or not thing.get("decision_key"):
            return False
        scope, key = thing["scope"], thing["decision_key"]
        standing = self._made.get((scope, key)) or self._standing(scope, key)
        if standing is None or standing[1] == thing["summary"]:
            return False
        summary = f"Concurrent decision collision on key '{key}'"
        evidence = [standing[0], one.id, one.file]
        private = bool(standing[2]) or one.is_private
        opened = opening(self._turn, scope, f"decision:{key}", summary, evidence, _DECIDE, private=private, ts=one.ts)
        self.opened += [opened] if opened else []
        return True

    def between_machines(self) -> None:
        """Open a conflict for every two active decisions that two machines made without knowing of each other."""
        index = self._turn.index
        seen = index.one("select value from facts where name = ?", _SEEN) or 0
        last = index.one("select max(number) from objects") or 0
        if last == seen:
            return
        for ours, theirs, scope, key, private, ts in index.rows(_DECISIONS_OF_TWO_MACHINES, seen):
            summary = f"Two machines decided differently on key '{key}'"
            pair = sorted((ours, theirs))
            opened = opening(self._turn, scope, f"decision:{key}", summary, pair, _DECIDE, private=private, ts=ts)
            self.opened += [opened] if opened else []
        self._turn.afterwards.append(lambda: note(self._turn, _SEEN, last))

    def _standing(self, scope: str, key: str) -> tuple[str, str, bool] | None:
        rows = self._turn.index.rows(_ACTIVE_DECISION, scope, key)
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None


def opening(
    turn: Turn, scope: str, key: str, summary: str, evidence: list[str], advice: str, *, private: Any, ts: str,
) -> Fields | None:  # fmt: skip
    """Plan to open a conflict; None where it is known. Its id follows from what contradicts what, so two machines that
    find the same open one."""
    names = [name for name in evidence if not name.endswith(".jsonl")]
    id_ = derived_id("cnf", ts, *names)
    if turn.index.one("select 1 from conflicts where id = ? and opened", id_):
        return None
    record = hashed(labelled(
        {"schema_version": CONFLICT, "op": "open", "conflict_id": id_, "scope": scope, "conflict_key": key,
         "summary": summary, "evidence": unique(evidence), "recommendation": advice, "ts": turn.ts},
        private=bool(private),
    ))  # fmt: skip
    turn.append(tree.CONFLICTS, record)
    return record


def note(turn: Turn, name: str, value: int) -> None:
    """Remember in the index how far something was compared."""
    turn.index.db.execute("insert or replace into facts values (?, ?)", (name, value))
