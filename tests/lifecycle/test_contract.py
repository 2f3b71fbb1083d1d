"""Instructions for the reference tool go on working: its flags, its defaults, the names in what it answers."""

from __future__ import annotations

import json
import shutil
from argparse import ArgumentParser
from typing import Any, NamedTuple

import pytest

from memferry.cli.memory import _parser
from memferry.cli.memory_verbs import VERBS
from memferry.memory.lifecycle.records import line
from tests.lifecycle.trees import SAMPLE, Tree


class Contract(NamedTuple):
    """`flags`: names with their defaults, None where there is none. `run`: an example; `answers`: names in what it
    answers, beside `ok`."""

    flags: dict[str, Any]
    run: str
    answers: str


_SAID = {
    "scope": None, "summary": None, "project": None, "instance_id": None, "run_id": None, "salience": "medium",
    "confidence": 0.7, "tags": None, "review_at": None, "due_at": None, "evidence_ref": None, "why": None,
    "decision_key": None, "visibility": "project", "dry_run": False,
}  # fmt: skip
_CORRECTED = ("horizon", "salience", "tags", "review_at", "evidence_ref", "why", "assumptions", "decision_key")
CONTRACTS = {
    "init": Contract({"force": False}, "init", "root created_dirs written_meta"),
    "sync": Contract(
        {"instance_id": None, "run_id": None, "scope": None, "project": None, "note": None, "dry_run": False},
        "sync start --instance-id ins-a", "dry_run action instance_id run_id scope project",
    ),
    "attach": Contract(
        {"project": None, "scope": None, "top_decisions": 5, "top_commitments": 5, "dry_run": False},
        "attach --project atlas", "dry_run project scope attach_path decision_count commitment_count capsule",
    ),
    "capture": Contract(
        _SAID | {"proposed_type": "fact", "horizon": "day", "source": None, "assumptions": None, "ts": None},
        "capture --scope global --summary x", "dry_run event_id scope instance_id run_id path proposed_type",
    ),
    "distill": Contract(
        {"scope": None, "instance_id": None, "limit": 200, "dry_run": False},
        "distill", "dry_run scanned created_count created",
    ),
    "publish": Contract(
        _SAID | {"object_type": "fact", "horizon": "week"},
        "publish --scope global --summary x", "dry_run event_id path scope project",
    ),
    "reduce": Contract(
        {"scope": None, "limit": 500, "reindex": False, "dry_run": False},
        "reduce", "dry_run scanned created_count conflict_count created conflicts index",
    ),
    "lease": Contract(
        {"instance_id": None, "scope": None, "key": None, "ttl_seconds": 900, "dry_run": False},
        "lease list", "action count leases",
    ),
    "reconcile": Contract(
        {"id": None, "summary": None, "confidence": None, "resolve_conflict": None, "dry_run": False}
        | dict.fromkeys(_CORRECTED),
        "reconcile --id {object} --summary y", "dry_run supersedes new_id path",
    ),
    "checkpoint": Contract(
        dict.fromkeys(("project", "scope", "instance_id", "run_id", "now", "next", "risks", "decisions", "commitments"))
        | {"dry_run": False},
        "checkpoint --project atlas", "dry_run project scope state_path event_id",
    ),
    "handoff": Contract(
        dict.fromkeys(("project", "summary", "scope", "instance_id", "run_id", "next_actions", "risks"))
        | {"open_questions": None, "dry_run": False},
        "handoff --project atlas --summary x", "dry_run project resume_path event_id",
    ),
    "agenda": Contract(
        dict.fromkeys(("project", "add", "close", "update", "summary", "due_at", "status_filter", "owner", "tags"))
        | {"list": False, "status": "completed"},
        "agenda --project atlas --list", "action path count items",
    ),
    "hygiene": Contract(
        {"reindex": False, "rotate": False, "max_lines": 800, "archive_before": None, "prune": False, "dry_run": False},
        "hygiene", "dry_run rotated archived index",
    ),
    "validate": Contract({"strict": False}, "validate", "errors warnings error_count warning_count"),
    "diagnose": Contract(
        {"scope": None, "project": None, "stale_seconds": 1800, "dry_run": False},
        "diagnose", "dry_run score health metrics findings_created",
    ),
    "optimize": Contract(
        {"max_actions": 5, "execute": False, "dry_run": False},
        "optimize", "dry_run execute plans executions planned_count executed_count",
    ),
    "stats": Contract(
        {"scope": None}, "stats", "scope events views scopes active_instances open_conflicts open_findings"
    ),
}  # fmt: skip


def parser(verb: str) -> ArgumentParser:
    return _parser(verb, VERBS[verb], "memoryctl")


def test_every_verb_of_the_reference_is_there() -> None:
    assert CONTRACTS.keys() == VERBS.keys() - {"instance"}, "`instance` is the name that it has here besides"


@pytest.mark.parametrize("verb", CONTRACTS)
def test_a_verb_has_the_flags_and_the_defaults(verb: str) -> None:
    known = {action.dest: action.default for action in parser(verb)._actions}
    assert CONTRACTS[verb].flags.items() <= known.items()
    assert known["root"] == ".memory"


@pytest.mark.parametrize("verb", CONTRACTS)
def test_a_verb_answers_what_is_expected(tree: Tree, verb: str) -> None:
    tree.do("publish", "--scope", "global", "--summary", "x")
    (made,) = tree.do("reduce")["created"]
    answer = tree.do(*CONTRACTS[verb].run.format(object=made["object_id"]).split())
    assert {"ok", *CONTRACTS[verb].answers.split()} <= answer.keys()


def test_the_answers_inside_have_their_names_too(tree: Tree) -> None:
    tree.do("publish", "--scope", "global", "--summary", "x")
    assert tree.do("reduce")["created"][0].keys() == {"event_id", "object_id", "object_type", "path"}
    assert tree.do("hygiene")["index"].keys() == {
        "catalog_entries", "id_entries", "instance_entries", "open_conflicts", "open_findings",
    }  # fmt: skip
    assert tree.do("diagnose")["metrics"].keys() == {
        "active_instances", "stale_instances", "open_conflicts", "stale_leases", "reduce_lag", "attach_missing",
        "duplicate_active_decision_keys",
    }  # fmt: skip
    lease = tree.do("lease", "acquire", "--instance-id", "Ins A", "--key", "k")["lease"]
    assert lease["instance_id"] == "ins-a"
    assert (
        tree.do("lease", "release", "--instance-id", "ins-a", "--key", "k")["release"]["lease_id"] == lease["lease_id"]
    )


def test_flags_may_be_shortened(tree: Tree) -> None:
    tree.do("capture", "--sc", "global", "--sum", "Exports are CSV", "--inst", "ins-a", "--vis", "private")
    (event,) = tree.lines("streams/global/ins-a/*.jsonl")
    assert event["visibility"] == "private"
    assert "could match" in tree.ask("capture", "--s", "global", "--summary", "x")["error"]


@pytest.mark.parametrize(
    ("proposed", "made"),
    [("commitment", "commitment"), (None, "fact"), ("rumour", "decision")],
    ids=["said", "not said", "no type"],
)
def test_the_type_of_what_others_captured(tree: Tree, proposed: str | None, made: str) -> None:
    """Only where a type is named that does not exist, the words decide."""
    tree.do("capture", "--scope", "global", "--summary", "We decide on CSV")
    (file,) = tree.path.glob("streams/*/*/*.jsonl")
    event = json.loads(file.read_bytes())
    event["payload"] = {"summary": "We decide on CSV"} | ({"proposed_type": proposed} if proposed else {})
    file.write_bytes(line(event))
    assert tree.do("distill")["created"][0]["object_type"] == made


def test_no_reader_takes_a_line_for_two(tree: Tree) -> None:
    """Python's `str.splitlines`, with which other tools rotate, knows more ends of lines than JSON does."""
    summary = "one\u2028two\u2029three\x85four\x0bfive"
    tree.do("capture", "--scope", "global", "--summary", summary)
    (file,) = tree.path.glob("streams/*/*/*.jsonl")
    (whole,) = file.read_text("utf-8").splitlines()
    assert json.loads(whole)["payload"]["summary"] == summary
    tree.do("distill")
    assert tree.do("validate", "--strict")["error_count"] == 0


def test_a_tree_of_the_reference_is_valid_here_and_goes_on(tree: Tree) -> None:
    """Its hashes and keys were computed by other code than that which checks them."""
    shutil.copytree(SAMPLE, tree.path)
    report = tree.do("validate", "--strict")
    assert (report["errors"], report["warnings"]) == ([], [])
    events = tree.lines("streams/*/*/*.jsonl") + tree.lines("bus/*/*.jsonl")
    assert len(events) > 100
    for verb in ("distill", "reduce"):
        tree.do(verb, "--limit", "1000")
    tree.do("publish", "--scope", "project:atlas", "--summary", "One more fact")
    assert tree.do("reduce")["created_count"] == 1
    assert tree.do("validate", "--strict")["error_count"] == 0
    worked_on = [line["event_id"] for line in tree.lines("_meta/reduced_event_ids.jsonl")]
    assert len(worked_on) == len(set(worked_on)), "nothing that the other one reduced is reduced again"
