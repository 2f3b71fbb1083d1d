"""optimize: what could be done about the open findings; with --execute, what is safe is done."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any, NamedTuple

from memferry.memory.lifecycle import tree
from memferry.memory.lifecycle.capsules import written
from memferry.memory.lifecycle.catalogue import reindexed
from memferry.memory.lifecycle.diagnosing import SHORTEST_STALE_S, Vitals, measured
from memferry.memory.lifecycle.leasing import release_stale
from memferry.memory.lifecycle.records import EXECUTION, FINDING, PLAN, Fields, hashed, labelled
from memferry.memory.lifecycle.turn import Turn

_TOP = 5


class Remedy(NamedTuple):
    """What helps against a finding. `perform`: does it and answers details; None: only a person may. `cures`: whether
    the finding is over with that."""

    action: str
    perform: Callable[[Turn, Vitals], Fields] | None = None
    cures: bool = True


def _reindex(turn: Turn, vitals: Vitals) -> Fields:
    details: Fields = {}
    turn.afterwards.append(lambda: details.update(reindexed(turn)))
    return details


def _clean_leases(turn: Turn, vitals: Vitals) -> Fields:
    return {"released": release_stale(turn)}


def _attach(turn: Turn, vitals: Vitals) -> Fields:
    for project in vitals.attach_missing.evidence:
        written(turn, project, f"project:{project}", _TOP, _TOP)
    return {"refreshed_projects": vitals.attach_missing.evidence}


REMEDIES = {
    "reduce_lag": Remedy("hygiene.reindex", _reindex, cures=False),
    "index_stale": Remedy("hygiene.reindex", _reindex),
    "stale_lease": Remedy("lease.cleanup", _clean_leases),
    "attach_missing": Remedy("attach.refresh", _attach),
    "conflict_backlog": Remedy("reconcile.manual"),
    "duplicate_active_decision_key": Remedy("reconcile.with-lease"),
    "stale_instance": Remedy("sync.cleanup"),
}
"""By rule. An index does not make events reduced, so that finding stays until somebody reduces."""

_UNKNOWN = Remedy("review.manual")
_OPEN = """select id, rule, severity, private from findings where status = 'open'
           order by case severity when 'high' then 0 when 'medium' then 1 else 2 end, ts, id limit ?"""


def optimize(turn: Turn, asked: Namespace) -> Fields:
    """Plan for the gravest findings, and carry out what is safe if asked to."""
    turn.refuse_damage("")
    vitals = measured(turn, "", "", SHORTEST_STALE_S, [])
    plans, executions = [], []
    for finding, rule, severity, private in turn.index.rows(_OPEN, max(1, asked.max_actions)):
        remedy = REMEDIES.get(rule, _UNKNOWN)
        plan = _plan(turn, finding, rule, severity, remedy, private=bool(private))
        turn.append(tree.PLANS, plan)
        plans.append(plan)
        if asked.execute and remedy.perform is not None and turn.keeps:
            executions.append(_execute(turn, plan, remedy, remedy.perform(turn, vitals), private=bool(private)))
    return {
        "execute": asked.execute, "plans": plans, "executions": executions, "planned_count": len(plans),
        "executed_count": len(executions),
    }  # fmt: skip


def _plan(turn: Turn, finding: str, rule: str, severity: str, remedy: Remedy, *, private: bool) -> Fields:
    return hashed(labelled(
        {"schema_version": PLAN, "plan_id": turn.new_id("pln"), "finding_id": finding, "rule_id": rule,
         "severity": severity, "action": remedy.action, "safe_auto_execute": remedy.perform is not None,
         "status": "planned", "ts": turn.ts},
        private=private,
    ))  # fmt: skip


def _execute(turn: Turn, plan: Fields, remedy: Remedy, details: Fields, *, private: bool) -> Fields:
    """The note that it was done, and, where that cures it, that the finding is closed."""
    done: dict[str, Any] = labelled(
        {"schema_version": EXECUTION, "execution_id": turn.new_id("exe"), "plan_id": plan["plan_id"],
         "finding_id": plan["finding_id"], "action": remedy.action, "success": True, "details": dict(details),
         "ts": turn.ts},
        private=private,
    )  # fmt: skip
    done = hashed(done)
    turn.append(tree.EXECUTIONS, done)
    if remedy.cures:
        turn.append(tree.FINDINGS, hashed(labelled(
            {"schema_version": FINDING, "finding_id": plan["finding_id"], "status": "closed",
             "reason": f"auto-optimized via {remedy.action}", "ts": turn.ts},
            private=private,
        )))  # fmt: skip
    return done
