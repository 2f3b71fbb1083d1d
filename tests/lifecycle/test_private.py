"""What derives from something private says so itself, and nothing of it leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.agent.machines import Machine
from tests.lifecycle.trees import SAMPLE, Tree

SECRET = "The vault door opens at noon on Fridays only"


def keep_to_itself(tree: Tree) -> None:
    """A private life beside a public one, through every verb that derives something."""
    for visibility, said in (("private", SECRET), ("project", "The team meets on Mondays")):
        more = ("--scope", "project:atlas", "--visibility", visibility)
        tree.do("capture", *more, "--summary", f"{said}, we must go", "--proposed-type", "commitment")
        tree.do("capture", *more, "--summary", f"{said}, so we chose that", "--proposed-type", "decision")
        tree.do("publish", *more, "--summary", f"{said}, is published", "--object-type", "decision",
                "--decision-key", f"{visibility}-door")  # fmt: skip
    tree.do("distill")
    tree.do("reduce")
    tree.do("publish", "--scope", "project:atlas", "--summary", "Doors are open", "--object-type", "decision",
            "--decision-key", "private-door")  # fmt: skip
    conflict = tree.do("reduce")["conflicts"][0]
    tree.do("lease", "acquire", "--instance-id", "ins-a", "--scope", "project:atlas", "--key", "private-door")
    tree.do("diagnose")
    tree.do("optimize", "--execute")
    items = tree.do("agenda", "--project", "atlas", "--list")["items"]
    tree.do("agenda", "--project", "atlas", "--close", next(item["id"] for item in items if "visibility" in item))
    tree.do("checkpoint", "--project", "atlas", "--now", f"{SECRET}, is published", "--next", "Wait")
    tree.do("attach", "--project", "atlas")
    tree.do("reconcile", "--id", conflict["evidence"][0], "--summary", "Doors are shut",
            "--resolve-conflict", conflict["conflict_id"])  # fmt: skip


def says_private(record: dict[str, Any]) -> bool:
    return "private" in (record.get("visibility"), record.get("item", {}).get("visibility"))


def test_what_is_made_of_something_private_says_so(tree: Tree) -> None:
    keep_to_itself(tree)
    records = [record for file in ("streams", "bus", "views", "coordination", "governance", "projects")
               for record in tree.lines(f"{file}/**/*.jsonl")]  # fmt: skip
    hidden = {name for record in records if says_private(record) for name in own_ids(record)}
    for record in records:
        about = json.dumps(record)
        if record.get("payload", {}).get("summary") == "Doors are open":
            continue  # what somebody tells everybody is not private because something private is about the same
        if SECRET in about or "private-door" in about or any(name in about for name in hidden):
            assert says_private(record), record
    assert all(map(says_private, tree.lines("governance/health/*.jsonl")))  # it counts a private conflict
    assert sum(map(says_private, records)) >= 15
    assert not all(map(says_private, records))


def own_ids(record: dict[str, Any]) -> list[str]:
    ids = (record.get(name) for name in ("event_id", "id", "conflict_id", "finding_id", "lease_id", "plan_id"))
    return [id_ for id_ in (*ids, record.get("item", {}).get("id")) if id_]


def test_texts_mark_what_is_private(tree: Tree) -> None:
    keep_to_itself(tree)
    capsule = (tree.path / "views" / "attach" / "atlas.md").read_text()
    block = capsule.partition("## Active Commitments")[2].partition("<private>")[2].partition("</private>")[0]
    assert SECRET in block
    assert "The team meets" not in block
    state = (tree.path / "projects" / "atlas" / "state.md").read_text()
    assert state.index("<private>") < state.index(SECRET) < state.index("</private>")


def test_nothing_private_leaves_and_the_rest_does(ant: Machine) -> None:
    tree = Tree(ant.tree)
    keep_to_itself(tree)
    hidden = [name for record in tree.lines("**/*.jsonl") if says_private(record) for name in own_ids(record)]
    ant.do("push")
    left = "".join(unpacked(ant.base / "vault"))
    assert SECRET not in left
    assert [name for name in hidden if name in left] == []
    for said in ("we must go", "so we chose that", "is published"):
        assert f"The team meets on Mondays, {said}" in left


def test_what_is_made_in_a_tree_of_the_reference_keeps_its_private_to_itself(ant: Machine) -> None:
    """Its conflicts and its agenda carry no label."""
    shutil.copytree(SAMPLE, ant.tree, dirs_exist_ok=True)
    tree = Tree(ant.tree)
    (private, *_) = (thing for thing in tree.lines("views/*/*/*.jsonl") if says_private(thing))
    tree.do("diagnose")
    tree.do("optimize", "--execute")
    tree.do("attach", "--project", "atlas", "--top-decisions", "99", "--top-commitments", "99")
    tree.do("checkpoint", "--project", "atlas", "--now", f"On with {private['id']}", "--decisions", private["id"])
    tree.do("reconcile", "--id", private["id"], "--summary", "Something else altogether")
    tree.do("hygiene")
    assert says_private(tree.lines("governance/health/scorecards.jsonl")[-1])
    assert "<private>" in (tree.path / "projects" / "atlas" / "state.md").read_text()
    ant.do("push")
    left = "".join(unpacked(ant.base / "vault"))
    assert "PRIVATE-CANARY" not in left
    assert "Something else altogether" not in left
    assert private["id"] not in left


def unpacked(vault: Path) -> list[str]:
    found = []
    for segment in sorted(vault.rglob("*.zst")):
        with segment.open("rb") as file:
            reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            found.append(reader.read().decode())
    assert found
    return found


@pytest.mark.parametrize(
    "argv",
    [["--tags", "ui,Private"], ["--summary", "Open <private>x</private>"], ["--visibility", "private"]],
    ids=["tag", "mark", "label"],
)
def test_every_way_to_say_private_is_heard(tree: Tree, argv: list[str]) -> None:
    tree.do("capture", "--scope", "global", "--summary", "Something", *argv)
    tree.do("distill")
    records = tree.lines("streams/**/*.jsonl") + tree.lines("views/**/*.jsonl")
    assert len(records) == 3
    assert all(map(says_private, records))


def test_a_label_that_nobody_knows_is_taken_for_private(tree: Tree) -> None:
    """As the policies do: it may mean that."""
    tree.do("capture", "--scope", "global", "--summary", "Something")
    (file,) = tree.path.glob("streams/*/*/*.jsonl")
    file.write_text(file.read_text().replace('"visibility":"project"', '"visibility":"friends"'))
    tree.do("distill")
    assert tree.lines("views/**/*.jsonl")[0]["visibility"] == "private"
