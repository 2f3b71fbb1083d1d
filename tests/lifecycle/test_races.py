"""Many processes in one tree: nothing is lost, nothing is doubled, one wins."""

from __future__ import annotations

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
