"""diagnose: how healthy a memory is, as one number and as findings that say what to do."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Any, NamedTuple

from memferry.memory.lifecycle import tree
from memferry.memory.lifecycle.conflicts import Collisions
from memferry.memory.lifecycle.instances import STOPPED, published
from memferry.memory.lifecycle.leasing import stale, tell_double_leases
from memferry.memory.lifecycle.records import FINDING, SCORECARD, TREND, Fields, hashed, labelled
from memferry.memory.lifecycle.turn import Turn
from memferry.memory.lifecycle.words import seconds_of, slug

SHORTEST_STALE_S = 60
FRESH_S, OLD_S = 20 * 60, 60 * 60
GREEN, YELLOW = 85, 65

_DUPLICATES = """select scope, decision_key, count(*), max(private) from objects indexed by objects_key
                 where active and decision_key != '' and type = 'decision'{} group by scope, decision_key
                 having count(*) > 1"""


class Counted(NamedTuple):
    """What was found of one kind: how many, which, and whether a private record is among them."""

    number: int
    evidence: list[str]
    private: bool = False


class Vitals(NamedTuple):
    """What health is computed from. `age_s`: since the last reduce, None: there never was one; `published`: events on
    the bus."""

    active_instances: int
    stale_instances: Counted
    open_conflicts: Counted
    stale_leases: Counted
    reduce_lag: Counted
    attach_missing: Counted
    duplicate_keys: Counted
    published: int
    age_s: float | None

    def metrics(self) -> dict[str, int]:
        """The numbers that a score card shows."""
        return {
            "active_instances": self.active_instances,
            "stale_instances": self.stale_instances.number,
            "open_conflicts": self.open_conflicts.number,
            "stale_leases": self.stale_leases.number,
            "reduce_lag": self.reduce_lag.number,
            "attach_missing": self.attach_missing.number,
            "duplicate_active_decision_keys": self.duplicate_keys.number,
        }

    @property
    def private(self) -> bool:
        """Whether a private record is counted in them."""
        return any(part.private for part in self if isinstance(part, Counted))


def score_of(vitals: Vitals) -> int:
    """100 without what is wrong, 0 at least. Pure."""
    lost = (
        min(20, 10 * vitals.stale_instances.number),
        min(24, 8 * vitals.open_conflicts.number),
        min(16, 8 * vitals.stale_leases.number),
        min(20, vitals.reduce_lag.number),
        min(10, 5 * vitals.attach_missing.number),
        staleness(vitals.published, vitals.age_s),
        min(20, 10 * vitals.duplicate_keys.number),
    )
    return max(0, 100 - sum(lost))


def staleness(published: int, age_s: float | None) -> int:
    """What old views cost: 0, 5 or 10; nothing where there is nothing to reduce."""
    if not published:
        return 0
    if age_s is None or age_s > OLD_S:
        return 10
    return 5 if age_s > FRESH_S else 0


def health_of(score: int) -> str:
    """green, yellow or red."""
    return "green" if score >= GREEN else "yellow" if score >= YELLOW else "red"


class Rule(NamedTuple):
    """What a finding says. `metric`: the name of its number."""

    id: str
    severity: str
    summary: str
    recommendation: str
    metric: str


RULES = {
    "stale_instances": Rule(
        "stale_instance", "high", "Active instances have stale heartbeats.",
        "Run memory-sync heartbeat or stop stale instances.", "count",
    ),
    "open_conflicts": Rule(
        "conflict_backlog", "high", "Unresolved conflict backlog detected.",
        "Run memory-reconcile on highest-impact conflict keys.", "count",
    ),
    "stale_leases": Rule(
        "stale_lease", "medium", "Expired leases remain unreleased in ledger.",
        "Run memory-optimize with execute to clean stale leases.", "count",
    ),
    "reduce_lag": Rule(
        "reduce_lag", "medium", "Published bus events are waiting for reduction.",
        "Run memory-reduce and then memory-hygiene --reindex.", "lag",
    ),
    "attach_missing": Rule(
        "attach_missing", "medium", "Projects are missing attach capsules.",
        "Run diasync-memory attach flow for missing projects.", "missing",
    ),
    "duplicate_keys": Rule(
        "duplicate_active_decision_key", "high", "Duplicate active decision keys detected.",
        "Acquire lease and reconcile duplicated decision chains.", "duplicate_keys",
    ),
}  # fmt: skip
"""By the part of `Vitals` that they are about, in the order in which they are told."""


def diagnose(turn: Turn, asked: Namespace) -> Fields:
    """Measure, tell what is new, and keep a score card."""
    turn.refuse_damage("")
    collisions = Collisions(turn)
    collisions.between_machines()
    told = tell_double_leases(turn)
    fresh = [*collisions.opened, *told.get("conflicts", [])]
    scope, project = asked.scope or "", slug(asked.project) if asked.project else ""
    vitals = measured(turn, scope, project, max(SHORTEST_STALE_S, asked.stale_seconds), fresh)
    findings = [
        _finding(turn, rule, getattr(vitals, part), scope, project, asked.stale_seconds)
        for part, rule in RULES.items()
        if getattr(vitals, part).number and not _is_open(turn, rule.id, scope, project)
    ]
    for finding in findings:
        turn.append(tree.FINDINGS, finding)
    score = score_of(vitals)
    _keep_score(turn, {"scope": scope, "project": project, "score": score, "health": health_of(score)}, vitals)
    return {
        "score": score, "health": health_of(score), "metrics": vitals.metrics(), "findings_created": findings,
    } | told  # fmt: skip


def measured(turn: Turn, scope: str, project: str, stale_s: int, fresh: list[Fields]) -> Vitals:
    """`fresh`: conflicts that this very command opens."""
    index = turn.index
    running = index.rows("select origin, id, ts from instances where event != ?", STOPPED)
    quiet = [id_ for origin, id_, ts in running if not origin and _age(turn, ts) > stale_s]
    open_ones = index.rows("select id, private from conflicts where opened and not resolved order by number")
    open_ones += [(conflict["conflict_id"], "visibility" in conflict) for conflict in fresh]
    ended = stale(turn)
    last_reduce = index.one("select value from facts where name = 'last_reduce'")
    return Vitals(
        len(running),
        Counted(len(quiet), quiet),
        Counted(len(open_ones), [id_ for id_, _ in open_ones], any(private for _, private in open_ones)),
        Counted(len(ended), [f"{row[1]}::{row[2]}" for row in ended], any(row[4] for row in ended)),
        _lag(turn, scope),
        _unattached(turn),
        _duplicates(turn, scope, project),
        published(turn, scope),
        None if last_reduce is None else _age(turn, last_reduce),
    )


def _age(turn: Turn, ts: str) -> float:
    try:
        return turn.seconds - seconds_of(ts)
    except ValueError:
        return float("inf")


def _lag(turn: Turn, scope: str) -> Counted:
    sql = "select count(*), max(private) from waiting where verb = 'reduce'"
    rows = turn.index.rows(f"{sql} and scope = ?", slug(scope)) if scope else turn.index.rows(sql)
    number, private = rows[0]
    return Counted(number, [f"lag={number}"], bool(private))


def _unattached(turn: Turn) -> Counted:
    folder = os.path.join(turn.root, "projects")
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()) if os.path.isdir(folder) else []
    missing = [name for name in names if not os.path.exists(os.path.join(turn.root, "views", "attach", f"{name}.md"))]
    return Counted(len(missing), missing)


def _duplicates(turn: Turn, scope: str, project: str) -> Counted:
    wanted = (" and slug = ?" if scope else "") + (" and project = ?" if project else "")
    values = [value for value in (slug(scope) if scope else "", project) if value]
    rows: list[Any] = turn.index.rows(_DUPLICATES.format(wanted), *values)
    evidence = [f"{name}::{key}" for name, key, _, _ in rows]
    return Counted(sum(number - 1 for _, _, number, _ in rows), evidence, any(private for *_, private in rows))


def _is_open(turn: Turn, rule: str, scope: str, project: str) -> bool:
    sql = "select 1 from findings where rule = ? and scope = ? and project = ? and status = 'open'"
    return turn.index.one(sql, rule, scope, project) is not None


def _finding(turn: Turn, rule: Rule, found: Counted, scope: str, project: str, stale_s: int) -> Fields:
    metric = {rule.metric: found.number}
    if rule.id == "stale_instance":
        metric["threshold_seconds"] = max(SHORTEST_STALE_S, stale_s)
    return hashed(labelled(
        {"schema_version": FINDING, "finding_id": turn.new_id("fdg"), "rule_id": rule.id, "severity": rule.severity,
         "scope": scope, "project": project, "summary": rule.summary, "evidence": found.evidence,
         "recommendation": rule.recommendation, "metric": metric, "status": "open", "ts": turn.ts},
        private=found.private,
    ))  # fmt: skip


def _keep_score(turn: Turn, said: Fields, vitals: Vitals) -> None:
    """A number that counts something private tells that it is there, so it stays here."""
    card = {"schema_version": SCORECARD, "ts": turn.ts} | said | {"metrics": vitals.metrics()}
    turn.append(tree.SCORECARDS, hashed(labelled(card, private=vitals.private)))
    trend = {"schema_version": TREND, "ts": turn.ts} | said
    turn.append(tree.TRENDS, labelled(trend, private=vitals.private))
