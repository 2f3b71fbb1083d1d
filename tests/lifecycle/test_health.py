"""diagnose and optimize: the score, the findings, what is done about them."""

from __future__ import annotations

import shutil
import time

import pytest

from memferry.memory.lifecycle.diagnosing import Counted, Vitals, health_of, score_of
from memferry.memory.lifecycle.words import seconds_of
from tests.lifecycle.trees import SAMPLE, Tree

LONG_AGO = "2026-01-01T00:00:00Z"
NONE = Counted(0, [])
WELL = Vitals(1, NONE, NONE, NONE, NONE, NONE, NONE, 0, None)


@pytest.mark.parametrize(
    ("part", "number", "lost"),
    [
        ("stale_instances", 1, 10), ("stale_instances", 3, 20), ("open_conflicts", 2, 16), ("open_conflicts", 9, 24),
        ("stale_leases", 1, 8), ("stale_leases", 5, 16), ("reduce_lag", 7, 7), ("reduce_lag", 99, 20),
        ("attach_missing", 1, 5), ("attach_missing", 4, 10), ("duplicate_keys", 1, 10), ("duplicate_keys", 5, 20),
    ],
)  # fmt: skip
def test_what_each_trouble_costs(part: str, number: int, lost: int) -> None:
    assert score_of(WELL._replace(**{part: Counted(number, [])})) == 100 - lost


@pytest.mark.parametrize(
    ("published", "age_s", "lost"), [(0, None, 0), (1, None, 10), (1, 1200, 0), (1, 1201, 5), (1, 3601, 10)]
)
def test_what_old_views_cost(published: int, age_s: float | None, lost: int) -> None:
    assert score_of(WELL._replace(published=published, age_s=age_s)) == 100 - lost


def test_a_score_has_a_floor_and_colours() -> None:
    many = Counted(99, [])
    worst = Vitals(9, many, many, many, many, many, many, 1, None)
    assert score_of(worst) == 0
    assert [health_of(score) for score in (85, 84, 65, 64)] == ["green", "yellow", "yellow", "red"]


def test_the_score_of_the_sample_is_that_of_the_reference(tree: Tree) -> None:
    """Some seconds after it was made."""
    shutil.copytree(SAMPLE, tree.path)
    card = tree.lines("governance/health/scorecards.jsonl")[0]
    answer = at("2026-11-21T02:14:20Z", tree).do("diagnose")
    assert (answer["score"], answer["health"]) == (card["score"], card["health"])
    assert answer["metrics"] == card["metrics"]
    assert answer["findings_created"] == []


def at(ts: str, tree: Tree) -> Tree:
    """The same tree at another time."""
    return Tree(tree.path, ahead_s=seconds_of(ts) - time.time())


def old_lease(tree: Tree) -> None:
    at(LONG_AGO, tree).do("lease", "acquire", "--instance-id", "ins-a", "--key", "k")


def test_a_finding_is_told_once_until_it_is_closed(tree: Tree) -> None:
    old_lease(tree)
    assert [one["rule_id"] for one in tree.do("diagnose")["findings_created"]] == ["stale_lease"]
    assert tree.do("diagnose")["findings_created"] == []
    assert [one["rule_id"] for one in tree.do("diagnose", "--scope", "global")["findings_created"]] == ["stale_lease"]
    answer = tree.do("optimize", "--execute", "--max-actions", "1")
    assert (answer["planned_count"], answer["executed_count"]) == (1, 1)
    assert [one["op"] for one in tree.lines("coordination/leases.jsonl")] == ["acquire", "release"]
    assert [one["status"] for one in tree.lines("governance/findings/findings.jsonl")] == ["open", "open", "closed"]


def test_optimize_does_only_what_is_safe(tree: Tree) -> None:
    for summary in ("Exports are CSV", "Exports are Parquet"):
        tree.do("publish", "--scope", "project:atlas", "--summary", summary, "--object-type", "decision",
                "--decision-key", "format")  # fmt: skip
    tree.do("reduce")
    tree.do("publish", "--scope", "project:atlas", "--summary", "Not yet reduced")
    tree.do("agenda", "--project", "atlas", "--add", "Something")
    old_lease(tree)
    tree.do("diagnose")
    planned = tree.do("optimize")
    assert planned["executed_count"] == 0
    done = tree.do("optimize", "--execute")
    safe = {plan["action"]: plan["safe_auto_execute"] for plan in done["plans"]}
    assert safe == {
        "reconcile.manual": False, "lease.cleanup": True, "hygiene.reindex": True, "attach.refresh": True,
    }  # fmt: skip
    assert {one["action"] for one in done["executions"]} == {action for action, is_safe in safe.items() if is_safe}
    assert tree.do("stats")["open_conflicts"] == 1
    still = {finding["rule_id"] for finding in tree.lines("index/findings_open.jsonl")}
    assert still == {"conflict_backlog", "reduce_lag"}


def test_an_instance_that_fell_silent_is_a_finding(tree: Tree) -> None:
    at(LONG_AGO, tree).do("instance", "start", "--instance-id", "ins-a")
    answer = tree.do("diagnose")
    assert answer["metrics"]["stale_instances"] == 1
    assert answer["findings_created"][0]["evidence"] == ["ins-a"]


def test_a_look_leaves_a_tree_that_others_write_as_it_is(tree: Tree) -> None:
    shutil.copytree(SAMPLE, tree.path)
    before = sorted(tree.path.rglob("*"))
    tree.do("validate")
    tree.do("stats")
    assert sorted(tree.path.rglob("*")) == before
