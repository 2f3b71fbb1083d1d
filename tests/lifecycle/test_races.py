"""Many processes in one tree: nothing is lost, nothing is doubled, one wins."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest

from memferry.memory import locks
from tests.lifecycle.trees import Tree, answers


def test_of_fifty_who_want_a_lease_one_gets_it(tree: Tree) -> None:
    tree.do("init")
    said = answers([
        tree.start("lease", "acquire", "--instance-id", f"ins-{number}", "--key", "format") for number in range(50)
    ])  # fmt: skip
    assert [answer["ok"] for answer in said].count(True) == 1
    assert len(tree.lines("coordination/leases.jsonl")) == 1
    assert all("already held by" in answer["error"] for answer in said if not answer["ok"])


def test_what_is_published_while_others_reduce_becomes_an_object_once(tree: Tree) -> None:
    started = []
    for number in range(8):
        started.append(tree.start("publish", "--scope", "global", "--summary", f"Fact number {number}"))
        started.append(tree.start("capture", "--scope", "global", "--summary", f"Note number {number}"))
        started.append(tree.start("reduce" if number % 2 else "distill"))
    said = answers(started)
    assert all(answer["ok"] for answer in said)
    tree.do("reduce")
    tree.do("distill")
    summaries = [made["summary"] for made in tree.lines("views/*/*/*.jsonl")]
    assert sorted(summaries) == sorted(f"{what} number {number}" for number in range(8) for what in ("Fact", "Note"))
    clocks = [event["lc"] for event in tree.lines("streams/*/*/*.jsonl") + tree.lines("bus/*/*.jsonl")]
    assert len(set(clocks)) == len(clocks) == 24
    assert tree.do("validate", "--strict")["error_count"] == 0


def test_a_tree_is_founded_once_by_many(tree: Tree) -> None:
    said = answers([tree.start("init") for _ in range(8)])
    assert all(answer["ok"] for answer in said)
    assert tree.do("validate", "--strict")["error_count"] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be killed there as a crash does")
def test_what_is_killed_again_and_again_gets_done_and_doubles_nothing(tree: Tree) -> None:
    for number in range(30):
        tree.do(
            "publish", "--scope", "project:atlas", "--summary", f"We must do {number}", "--object-type", "commitment"
        )
    for gap_s in [0.05, 0.1, 0.15, 0.2, 0.25] * 2:
        process = tree.start("reduce", "--limit", "7")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(gap_s)  # not to wait for anything: a crash comes whenever it comes
        process.kill()
        process.communicate()
    tree.do("reduce")
    for ledger, number in (
        ("views/*/*/*", 30),
        ("projects/*/*", 30),
        ("coordination/reducers", 30),
        ("_meta/red*", 30),
    ):
        assert len(tree.lines(f"{ledger}.jsonl")) == number
    assert tree.do("validate", "--strict")["error_count"] == 0


def test_a_command_that_hangs_is_named_to_who_waits_and_nothing_is_written(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 0.05)
    tree.do("init")
    before = tree.content()
    with locks.held(tree.path / "index" / "lock"):
        said = tree.ask("capture", "--scope", "global", "--summary", "Too late")
    assert not said["ok"]
    assert "index/lock was held by another process" in said["error"]
    assert tree.content() == before
