"""From a capture to an object: each event once, in the form that other tools read."""

from __future__ import annotations

import errno
import re
import shutil
from typing import Any

import pytest

from memferry.memory.lifecycle import ledgers
from tests.lifecycle.trees import SAMPLE, Tree


def capture(tree: Tree, summary: str, *more: str) -> str:
    answer = tree.do("capture", "--scope", "project:atlas", "--summary", summary, *more)
    return str(answer["event_id"])


def publish(tree: Tree, summary: str, *more: str) -> str:
    return str(tree.do("publish", "--scope", "project:atlas", "--summary", summary, *more)["event_id"])


def decide(tree: Tree, summary: str, *more: str) -> str:
    return publish(tree, summary, "--object-type", "decision", "--decision-key", "format", *more)


# -- the form


@pytest.mark.parametrize(
    ("pattern", "argv"),
    [
        ("streams/project-atlas/ins-main/*.jsonl", ["capture", "--tags", "ui,db"]),
        ("bus/project-atlas/*.jsonl", ["publish", "--tags", "ui,db"]),
    ],
)
def test_an_event_has_the_fields_of_the_reference_in_their_order(tree: Tree, pattern: str, argv: list[str]) -> None:
    tree.do(*argv, "--scope", "project:atlas", "--summary", "Exports are CSV", "--instance-id", "Ins Main")
    made = tree.lines(pattern)[0]
    known = next(
        event for event in Tree(SAMPLE).lines(pattern)
        if event["type"] == made["type"] and set(event["payload"]) == set(made["payload"])
    )  # fmt: skip
    assert list(made) == list(known)
    assert list(made["payload"]) == list(known["payload"])
    assert {name: type(value) for name, value in made.items()} == {name: type(value) for name, value in known.items()}


def test_an_object_has_the_fields_of_the_reference_in_their_order(tree: Tree) -> None:
    capture(tree, "I will write the note", "--proposed-type", "commitment", "--due-at", "2026-12-01")
    tree.do("distill")
    made, known = (
        next(one for one in where.lines("views/commitments/project-atlas/*.jsonl") if "stream" in one["source"][0])
        for where in (tree, Tree(SAMPLE))
    )
    assert list(made) == list(known)
    assert list(tree.lines("projects/atlas/agenda.jsonl")[0]["item"]) == list(
        Tree(SAMPLE).lines("projects/atlas/agenda.jsonl")[0]["item"]
    )


def test_the_lists_of_the_index_are_those_of_the_reference(tree: Tree) -> None:
    shutil.copytree(SAMPLE, tree.path)
    tree.do("hygiene", "--reindex")
    for name in ("id_map", "conflicts_open", "instances_active"):
        file = f"index/{name}.jsonl"
        assert (tree.path / file).read_bytes() == (SAMPLE / file).read_bytes()


def test_lamports_clock_runs_on_through_a_lost_index(tree: Tree) -> None:
    for summary in ("one", "two"):
        capture(tree, summary)
    shutil.rmtree(tree.path / "index")
    capture(tree, "three")
    assert [event["lc"] for event in tree.lines("streams/*/*/*.jsonl")] == [1, 2, 3]


# -- each once


def test_what_was_captured_becomes_an_object_once(tree: Tree) -> None:
    event = capture(tree, "Exports are CSV", "--tags", "io", "--why", "asked for")
    first, second = tree.do("distill"), tree.do("distill")
    assert (first["created_count"], second["created_count"]) == (1, 0)
    (made,) = tree.lines("views/facts/*/*.jsonl")
    assert made["event_refs"] == [event]
    assert made["why"] == "asked for"
    assert tree.lines("_meta/distilled_event_ids.jsonl")[0]["event_id"] == event


def test_reduce_takes_only_what_was_published_on_the_bus(tree: Tree) -> None:
    capture(tree, "Captured only")
    publish(tree, "Published")
    assert tree.do("reduce")["created_count"] == 1
    assert tree.do("reduce")["created_count"] == 0
    assert [one["summary"] for one in tree.lines("views/*/*/*.jsonl")] == ["Published"]


def test_limits_and_scopes_leave_the_rest_for_later(tree: Tree) -> None:
    for number in range(5):
        publish(tree, f"Fact {number}")
    assert tree.do("reduce", "--scope", "project:other")["created_count"] == 0
    assert tree.do("reduce", "--limit", "2")["created_count"] == 2
    assert tree.do("reduce", "--scope", "project:atlas")["created_count"] == 3


@pytest.mark.parametrize(("limit", "made"), [("100", 7), ("5", 5)])
def test_long_work_is_done_in_turns(tree: Tree, monkeypatch: pytest.MonkeyPatch, limit: str, made: int) -> None:
    for number in range(7):
        publish(tree, f"Fact {number}")
    decide(tree, "Exports are CSV")
    decide(tree, "Exports are Parquet")
    monkeypatch.setattr("memferry.memory.lifecycle.slices.SLICE", 2)
    answer = tree.do("reduce", "--limit", limit, "--reindex")
    conflicts = int(limit == "100")
    assert (answer["created_count"], len(answer["created"])) == (made + conflicts, made + conflicts)
    assert (answer["conflict_count"], len(answer["conflicts"])) == (conflicts, conflicts)
    assert answer["index"]["id_entries"] == len(tree.lines("views/*/*/*.jsonl")) == made + conflicts


@pytest.mark.parametrize("lost", ["_meta/distilled_event_ids.jsonl", "projects/atlas/agenda.jsonl", "index"])
def test_what_a_crash_left_undone_is_done_and_nothing_is_doubled(tree: Tree, lost: str) -> None:
    """What says that a step is done is written last, so a crash leaves a tree that lacks the end of it."""
    capture(tree, "I will write the note", "--proposed-type", "commitment")
    tree.do("distill")
    whole = tree.content()
    path = tree.path / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    (tree.path / "_meta" / "distilled_event_ids.jsonl").unlink(missing_ok=True)
    tree.do("distill")
    assert len(tree.lines("views/commitments/*/*.jsonl")) == 1
    assert len(tree.lines("projects/atlas/agenda.jsonl")) == 1
    assert len(tree.lines("streams/*/*/*.jsonl")) == 2
    assert sorted(whole) == sorted(tree.content())


@pytest.mark.parametrize("verb", ["distill", "reduce"])
@pytest.mark.parametrize("written", range(5))
def test_a_write_that_fails_half_way_is_made_good(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, verb: str, written: int
) -> None:
    for number in range(2):
        (capture if verb == "distill" else publish)(tree, f"We must do {number}", f"--{TYPE_OF[verb]}", "commitment")
    left = iter(range(written))
    real = ledgers.append

    def append(root: str, file: str, lines: list[bytes]) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "full", file)
        real(root, file, lines)

    monkeypatch.setattr(ledgers, "append", append)
    assert tree.ask(verb)["ok"] is (written > 3)
    monkeypatch.setattr(ledgers, "append", real)
    tree.do(verb)
    for pattern, number in (
        ("views/*/*/*", 2),
        ("projects/*/*", 2),
        ("_meta/*", 2),
        (NOTED[verb], 2 + 2 * (verb == "distill")),
    ):
        assert len(tree.lines(f"{pattern}.jsonl")) == number


TYPE_OF = {"distill": "proposed-type", "reduce": "object-type"}
NOTED = {"distill": "streams/*/*/*", "reduce": "coordination/reducers"}


def test_an_object_that_another_tool_made_is_not_made_again(tree: Tree) -> None:
    shutil.copytree(SAMPLE, tree.path)
    (tree.path / "_meta" / "reduced_event_ids.jsonl").unlink()
    before = len(tree.lines("views/*/*/*.jsonl"))
    answer = tree.do("reduce", "--limit", "1000")
    assert answer["created_count"] == 155
    assert len(tree.lines("views/*/*/*.jsonl")) == before


# -- conflicts


def test_a_contradiction_opens_a_conflict_and_changes_nothing(tree: Tree) -> None:
    decide(tree, "Exports are CSV")
    tree.do("reduce")
    before = tree.lines("views/*/*/*.jsonl")
    event = decide(tree, "Exports are Parquet")
    answer = tree.do("reduce")
    assert (answer["created_count"], answer["conflict_count"]) == (0, 1)
    assert tree.lines("views/*/*/*.jsonl") == before
    (conflict,) = tree.lines("coordination/conflicts.jsonl")
    assert conflict["conflict_key"] == "decision:format"
    assert conflict["evidence"][:2] == [before[0]["id"], event]
    assert tree.do("reduce")["conflict_count"] == 0


def test_two_contradictions_in_one_run_are_seen(tree: Tree) -> None:
    decide(tree, "Exports are CSV")
    decide(tree, "Exports are Parquet")
    answer = tree.do("reduce")
    assert (answer["created_count"], answer["conflict_count"]) == (1, 1)


def test_a_correction_supersedes_and_settles_and_rewrites_nothing(tree: Tree) -> None:
    decide(tree, "Exports are CSV", "--tags", "io")
    decide(tree, "Exports are Parquet")
    answer = tree.do("reduce")
    old, conflict = answer["created"][0]["object_id"], answer["conflicts"][0]["conflict_id"]
    before = tree.content()
    new = tree.do("reconcile", "--id", old, "--summary", "Exports are both", "--resolve-conflict", conflict)["new_id"]
    assert all(content.startswith(before.get(name, b"")) for name, content in tree.content().items())
    capsule = tree.do("attach", "--project", "atlas")["capsule"]
    assert f"{new}: Exports are both" in capsule
    assert old not in capsule
    assert tree.do("stats")["open_conflicts"] == 0
    corrected = tree.lines("views/decisions/*/*.jsonl")[-1]
    assert (corrected["supersedes"], corrected["decision_key"], corrected["tags"]) == (old, "format", ["io"])


# -- sessions


def leases(tree: Tree) -> list[dict[str, Any]]:
    return list(tree.do("lease", "list")["leases"])


def take(tree: Tree, instance: str, *more: str) -> dict[str, Any]:
    return tree.ask("lease", "acquire", "--instance-id", instance, "--key", "format", *more)


def test_a_lease_has_one_owner(tree: Tree) -> None:
    assert take(tree, "ins-a")["ok"]
    assert take(tree, "ins-a")["ok"]
    refused = take(tree, "ins-b")
    assert "held by ins-a until" in refused["error"]
    assert take(tree, "ins-b", "--scope", "project:other")["ok"]
    assert not tree.ask("lease", "release", "--instance-id", "ins-b", "--key", "format")["ok"]
    tree.do("lease", "release", "--instance-id", "ins-a", "--key", "format")
    assert take(tree, "ins-b")["ok"]
    assert [lease["instance_id"] for lease in leases(tree)] == ["ins-b", "ins-b"]


def test_an_instance_that_stops_gives_its_leases_back(tree: Tree) -> None:
    tree.do("instance", "start", "--instance-id", "ins-a", "--scope", "project:atlas")
    take(tree, "ins-a")
    take(tree, "ins-b", "--scope", "project:other")
    tree.do("sync", "stop", "--instance-id", "ins-a")
    assert [lease["instance_id"] for lease in leases(tree)] == ["ins-b"]
    assert tree.do("stats")["active_instances"] == 0


def test_a_cursor_starts_behind_what_was_published(tree: Tree) -> None:
    publish(tree, "Known before")
    tree.do("instance", "start", "--instance-id", "ins-a", "--scope", "project:atlas")
    assert tree.lines("coordination/cursors.jsonl")[0]["cursor"] == 1


def test_an_agenda_is_kept_by_its_ledger(tree: Tree) -> None:
    capture(tree, "I will write the note", "--proposed-type", "commitment", "--due-at", "2026-12-01")
    tree.do("distill")
    tree.do("agenda", "--project", "atlas", "--add", "Later", "--priority", "low")
    tree.do("agenda", "--project", "atlas", "--add", "Now", "--priority", "high")
    listed = tree.do("agenda", "--project", "atlas", "--list")["items"]
    assert [item["summary"] for item in listed] == ["Now", "I will write the note", "Later"]
    tree.do("agenda", "--project", "atlas", "--close", listed[0]["id"])
    tree.do("agenda", "--project", "atlas", "--update", listed[2]["id"], "--summary", "Much later")
    left = tree.do("agenda", "--project", "atlas", "--list", "--status-filter", "active")["items"]
    assert [item["summary"] for item in left] == ["I will write the note", "Much later"]


def test_a_session_is_handed_over(tree: Tree) -> None:
    tree.do("checkpoint", "--project", "atlas", "--now", "Importer", "--next", "Measure", "--risks", "old dumps,time")
    tree.do("handoff", "--project", "atlas", "--summary", "Done", "--next-actions", "measure it")
    capsule = tree.do("attach", "--project", "atlas")["capsule"]
    for said in ("- Importer", "- Measure", "- old dumps", "- Done", "- measure it"):
        assert f"\n{said}\n" in capsule
    assert (tree.path / "views" / "attach" / "atlas.md").read_text() == capsule
    known = (SAMPLE / "views" / "attach" / "atlas.md").read_text()
    assert re.findall("^#.*", capsule, re.MULTILINE) == re.findall("^#.*", known, re.MULTILINE)


# -- dry runs


@pytest.mark.parametrize(
    "argv",
    [
        ["capture", "--scope", "global", "--summary", "x"], ["publish", "--scope", "global", "--summary", "x"],
        ["distill"], ["reduce", "--reindex"], ["lease", "acquire", "--instance-id", "a", "--key", "k"],
        ["instance", "start", "--instance-id", "a"], ["checkpoint", "--project", "p"], ["attach", "--project", "p"],
        ["handoff", "--project", "p", "--summary", "x"], ["diagnose"], ["optimize", "--execute"],
        ["hygiene", "--rotate", "--max-lines", "1", "--archive-before", "2099-01", "--prune"], ["init"],
        ["agenda", "--project", "p", "--add", "x"],
    ],
    ids=lambda argv: argv[0],
)  # fmt: skip
def test_a_dry_run_writes_nothing(tree: Tree, argv: list[str]) -> None:
    assert tree.do(*argv, "--dry-run")["dry_run"]
    assert not tree.path.exists()
    for number in range(3):
        publish(tree, f"Fact {number}")
        capture(tree, f"Fact {number}")
    before = stamps(tree)
    assert tree.do(*argv, "--dry-run")["dry_run"]
    assert stamps(tree) == before


def stamps(tree: Tree) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in tree.path.rglob("*") if path.is_file()}
