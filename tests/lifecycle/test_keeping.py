"""hygiene and the index: what is put away or made anew changes nothing that is known."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

from tests.lifecycle.trees import SAMPLE, Tree
from tests.support import damage_schema


def fill(tree: Tree, count: int, ts: str = "2026-03-01T10:00:00Z") -> None:
    for number in range(count):
        tree.do("capture", "--scope", "global", "--summary", f"Note number {number}", "--ts", ts)


def test_long_ledgers_are_cut_into_parts_and_known_as_before(tree: Tree) -> None:
    fill(tree, 5)
    tree.do("distill", "--limit", "3")
    before = tree.lines("streams/*/*/2026-03-01*.jsonl")
    tree.do("hygiene", "--rotate", "--max-lines", "2")
    names = [path.name for path in sorted(tree.path.glob("streams/*/*/2026-03-01*"))]
    assert names == [f"2026-03-01-p0{number}.jsonl" for number in (1, 2, 3)]
    assert tree.lines("streams/*/*/2026-03-01*.jsonl") == before
    assert tree.do("distill")["created_count"] == 2
    fill(tree, 3)
    tree.do("hygiene", "--rotate", "--max-lines", "2")
    assert len(tree.lines("streams/*/*/2026-03-01-p*.jsonl")) == 8
    assert tree.do("distill")["created_count"] == 3
    assert tree.do("validate", "--strict")["error_count"] == 0


def test_a_rotation_that_was_cut_short_is_finished_and_doubles_nothing(tree: Tree) -> None:
    fill(tree, 4)
    (file,) = tree.path.glob("streams/*/*/2026-03-01.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    file.with_name("2026-03-01-p01.jsonl").write_bytes(b"".join(lines[:2]))
    tree.do("hygiene", "--rotate", "--max-lines", "2")
    assert len(tree.lines("streams/*/*/2026-03-01*.jsonl")) == 4
    assert tree.do("distill")["created_count"] == 4


def test_what_other_tools_look_for_by_name_stays(tree: Tree) -> None:
    shutil.copytree(SAMPLE, tree.path)
    tree.do("hygiene", "--rotate", "--max-lines", "20")
    assert (tree.path / "coordination" / "conflicts.jsonl").exists()
    assert tree.do("stats")["open_conflicts"] == 22


def test_old_ledgers_are_compressed_and_none_that_waits_goes(tree: Tree) -> None:
    fill(tree, 2)
    kept = tree.do("hygiene", "--archive-before", "2026-06", "--prune")["archived"]
    assert [one["pruned"] for one in kept] == [False]
    tree.do("distill")
    (gone,) = tree.do("hygiene", "--archive-before", "2026-06", "--prune")["archived"]
    assert gone["pruned"]
    assert not Path(gone["source"]).exists()
    assert tree.do("distill")["created_count"] == 0
    fill(tree, 1)
    tree.do("distill")
    tree.do("hygiene", "--archive-before", "2026-06", "--prune")
    with gzip.open(gone["target"]) as opened:
        assert len(opened.read().splitlines()) == 3


def test_a_decision_that_binds_is_not_pruned(tree: Tree) -> None:
    """Its summary is what a later one is compared with."""
    decide = ("publish", "--scope", "global", "--object-type", "decision", "--decision-key", "format", "--summary")
    tree.do(*decide, "Exports are CSV")
    (made,) = tree.do("reduce")["created"]
    archived = tree.do("hygiene", "--archive-before", "9999-01", "--prune")["archived"]
    assert {Path(one["source"]).parts[-4]: one.get("kept_because") for one in archived if "views" in one["source"]} == {
        "views": "it holds decisions that are active"
    }
    tree.do(*decide, "Exports are Parquet")
    (conflict,) = tree.do("reduce")["conflicts"]
    assert conflict["evidence"][0] == made["object_id"]


def test_an_index_that_is_gone_old_or_damaged_is_made_anew(tree: Tree) -> None:
    fill(tree, 3)
    tree.do("distill", "--limit", "1")
    database = tree.path / "index" / "memferry.db"
    database.write_bytes(b"no database" * 500)
    assert tree.do("distill", "--limit", "1")["created_count"] == 1
    damage_schema(database, "files", b"cr\xe5ate table")
    assert tree.do("distill", "--limit", "0")["created_count"] == 0
    shutil.rmtree(tree.path / "index")
    assert tree.do("distill")["created_count"] == 1


def test_a_ledger_that_was_rewritten_is_read_anew(tree: Tree) -> None:
    fill(tree, 3)
    tree.do("distill", "--limit", "0")
    (file,) = tree.path.glob("streams/*/*/2026-03-01.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0])
    assert tree.do("stats")["events"] == {"memory.captured": 1}
    file.unlink()
    assert tree.do("stats")["events"] == {}
    os.makedirs(file.parent, exist_ok=True)
    file.write_bytes(b"".join(lines))
    assert tree.do("distill")["created_count"] == 3


def test_an_index_that_cannot_be_kept_is_done_without(tree: Tree) -> None:
    fill(tree, 2)
    database = tree.path / "index" / "memferry.db"
    database.unlink()
    database.mkdir()
    assert tree.do("distill")["created_count"] == 2
    assert tree.do("distill")["created_count"] == 0
