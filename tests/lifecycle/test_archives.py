"""validate looks into what hygiene put away, too."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memferry.memory.lifecycle.records import hashed, line
from tests.lifecycle.trees import Tree

SAID = ("--scope", "global", "--summary", "Exports are CSV", "--proposed-type", "decision")
STREAM = "archive/streams/global/instance-unknown/2026-03-01.jsonl.gz"


@pytest.fixture
def put_away(tree: Tree) -> Tree:
    """A tree with two archives: of a stream, and of the view that was made of it, which only lies there."""
    tree.do("capture", *SAID, "--ts", "2026-03-01T10:00:00Z")
    tree.do("distill")
    (view,) = tree.path.glob("views/*/*/*.jsonl")
    view.rename(view.with_name("2026-03.jsonl"))
    tree.do("hygiene", "--archive-before", "2026-04")
    view.with_name("2026-03.jsonl").unlink()
    assert len(list(tree.path.glob("archive/**/*.gz"))) == 2
    return tree


def view_of(tree: Tree) -> Path:
    (archive,) = tree.path.glob("archive/views/*/*/*.gz")
    return archive


def test_an_archive_is_read_and_nothing_is_wrong_with_it(put_away: Tree) -> None:
    assert put_away.do("validate", "--strict")["error_count"] == 0


def test_what_corrects_an_archived_object_corrects_something_that_is_there(put_away: Tree) -> None:
    (old,) = [json.loads(raw) for raw in gzip.decompress(view_of(put_away).read_bytes()).splitlines()]
    file = put_away.path / "views" / "decisions" / "global" / "2026-11.jsonl"
    new = {name: value for name, value in old.items() if name != "hash"} | {"id": "dec-1", "supersedes": old["id"]}
    file.write_bytes(line(hashed(new)))
    assert put_away.do("validate", "--strict")["warnings"] == []
    view_of(put_away).unlink()
    assert put_away.ask("validate", "--strict")["warnings"] == [f"supersedes target missing: dec-1 -> {old['id']}"]


def test_an_archive_beside_its_ledger_doubles_nothing_and_a_forged_one_does(put_away: Tree) -> None:
    ledger = put_away.path / "views" / "decisions" / "global" / "2026-03.jsonl"
    archived = gzip.decompress(view_of(put_away).read_bytes())
    ledger.write_bytes(archived)
    assert put_away.do("validate", "--strict")["error_count"] == 0
    thing = json.loads(archived)
    ledger.write_bytes(line(hashed({name: value for name, value in thing.items() if name != "hash"} | {"why": "x"})))
    (error,) = put_away.ask("validate")["errors"]
    assert f"duplicate object id {thing['id']}" in error


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped(content: bytes) -> bytes:
    return content[:-6] + bytes([content[-6] ^ 1]) + content[-5:]


def _line_cut(content: bytes) -> bytes:
    return gzip.compress(gzip.decompress(content)[:-1])


def _line_damaged(content: bytes) -> bytes:
    return gzip.compress(gzip.decompress(content) + b'{"cut\n')


def _forged(content: bytes) -> bytes:
    return gzip.compress(gzip.decompress(content).replace(b"CSV", b"XML"))


@pytest.mark.parametrize(
    ("hurt", "errors"),
    [
        (_cut, [f"{STREAM}: it ends too early: cut, or still being written"]),
        (_flipped, [f"{STREAM}: it is damaged, or is not gzip"]),
        (lambda content: b"no gzip", [f"{STREAM}: it is damaged, or is not gzip"]),
        (lambda content: b"", [f"{STREAM}: it ends too early: cut, or still being written"]),
        (lambda content: gzip.compress(bytes(20_000_000)), [f"{STREAM}: it unpacks to more than 250 times its size"]),
        (_line_cut, [f"{STREAM}:1: it is cut off"]),
        (_line_damaged, [f"{STREAM}:2: it is half a line, as a crash leaves it"]),
        (_forged, [f"{STREAM}:1: hash mismatch", f"{STREAM}:1: idempotency_key mismatch"]),
    ],
    ids=["cut", "flipped", "no gzip", "empty", "bomb", "line cut", "line damaged", "forged"],
)
def test_a_damaged_archive_is_named(put_away: Tree, hurt: Callable[[bytes], bytes], errors: list[str]) -> None:
    path = put_away.path / STREAM
    path.write_bytes(hurt(path.read_bytes()))
    before = put_away.content()
    report = put_away.ask("validate")
    assert (report["ok"], report["errors"]) == (False, errors)
    assert put_away.content() == before


@pytest.mark.parametrize(
    "file", ["archive/notes.txt", "archive/notes.jsonl.gz", "archive/coordination/leases.jsonl.gz", "archive/x/y.gz"]
)
def test_a_foreign_file_in_the_archive_is_named(put_away: Tree, file: str) -> None:
    (put_away.path / file).parent.mkdir(exist_ok=True)
    (put_away.path / file).write_bytes(gzip.compress(b"{}\n"))
    (error,) = put_away.ask("validate")["errors"]
    assert error.startswith(f"{file}: it is not a")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_is_named_and_not_followed(put_away: Tree, tmp_path: Path) -> None:
    path = put_away.path / STREAM
    os.rename(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert put_away.ask("validate")["errors"] == [f"{STREAM}: it is a link; no link is followed"]
