"""A real `.memory` tree, made by the reference tool, through a vault and back."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import zstandard

from memferry.agent.commands import verbs
from memferry.agent.service import opened
from memferry.config import Config
from memferry.recall.local import HELD, searcher
from memferry.recall.search import Wanted
from tests.support import config_for

SAMPLE = Path(__file__).parent / "data" / "diasync-sample"
CANARY = b"PRIVATE-CANARY"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, synced once by machine `ant`."""
    base = tmp_path_factory.mktemp("sample")
    shutil.copytree(SAMPLE, base / "ant" / "atlas")
    assert perform(base, "push")["exit_code"] == 0
    return base


def settings(base: Path) -> Config:
    return config_for(base, "ant", space="atlas", more="agent: {settle_ms: 0}\n")


def perform(base: Path, command: str, **arguments: object) -> dict[str, Any]:
    with opened(settings(base), "test") as agent:
        return verbs.perform(agent, command, arguments)


def everything_outside(base: Path) -> bytes:
    """Every byte of the vault, raw and unpacked, and of the state."""
    parts = [
        path.read_bytes()
        for root in ("vault", "ant/state")
        for path in (base / root).rglob("*")
        if path.is_file() and not path.name.startswith(HELD)  # the one place for it, which never leaves
    ]
    return b"".join(parts) + b"".join(json.dumps(op).encode() for op in ops(base))


def ops(base: Path) -> list[dict[str, Any]]:
    found = []
    for segment in sorted((base / "vault").rglob("*.zst")):
        with (
            segment.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as lines,
        ):
            found += [json.loads(line) for line in lines.read().split(b"\n")[:-1]]
    return found


def carried_lines(tree: Path) -> list[tuple[str, bytes]]:
    """Every ledger line of a tree that is no local index."""
    files = (path for path in sorted(tree.rglob("*.jsonl")) if path.relative_to(tree).parts[0] != "index")
    return [(path.relative_to(tree).as_posix(), line) for path in files for line in path.read_bytes().split(b"\n")[:-1]]


def derived_from_private(lines: list[tuple[str, bytes]]) -> set[bytes]:
    """The lines that must stay: marked ones, and whatever names them, over any number of steps."""
    records = [(line, json.loads(line)) for _, line in lines]
    held = {line for line, _ in records if CANARY in line}
    while True:
        names = {name for line, record in records if line in held for name in own_names(record)}
        more = {line for line, _ in records if line not in held and any(name.encode() in line for name in names)}
        if not more:
            return held
        held |= more


def own_names(record: dict[str, Any]) -> set[str]:
    item = record.get("item", {})
    candidates = (record.get("event_id"), record.get("id"), record.get("conflict_id"), record.get("finding_id"))
    named_by_schema = "schema_version" in record
    return {name for name in candidates if name and named_by_schema} | ({item["id"]} if "id" in item else set())


def test_no_private_byte_leaves(base: Path) -> None:
    assert CANARY not in everything_outside(base)


def test_every_other_record_is_there_once(base: Path) -> None:
    lines = carried_lines(base / "ant" / "atlas")
    expected = {line for _, line in lines} - derived_from_private(lines)
    bodies = [op["body"].encode() for op in ops(base) if op["op"] == "put"]
    assert len(bodies) == len(set(bodies))
    assert expected <= set(bodies)


def test_no_file_that_is_wholly_private_is_named(base: Path) -> None:
    lines = carried_lines(base / "ant" / "atlas")
    held = derived_from_private(lines)
    open_files = {file for file, line in lines if line not in held}
    private_files = {file for file, _ in lines} - open_files
    told = everything_outside(base).replace((base / "ant" / "state" / "state.db").read_bytes(), b"")
    assert private_files, "the sample has such files"
    for file in private_files:
        assert file.encode() not in told


def test_restore_gives_back_every_file_less_the_held_lines(base: Path, tmp_path: Path) -> None:
    perform(base, "restore", machine="ant", to=str(tmp_path / "back"))
    source, back = base / "ant" / "atlas", tmp_path / "back" / "atlas"
    kept = {op["body"].encode() for op in ops(base) if op["op"] == "put"}
    compared = 0
    for path in sorted(back.rglob("*")):
        if path.is_dir():
            continue
        original = source / path.relative_to(back)
        content = original.read_bytes()
        if path.suffix == ".jsonl":
            content = b"".join(line + b"\n" for line in content.split(b"\n")[:-1] if line in kept)
        assert path.read_bytes() == content
        assert path.stat().st_mtime_ns == original.stat().st_mtime_ns
        compared += 1
    assert compared > 80


def test_a_second_sync_writes_nothing(base: Path) -> None:
    before = {path: path.read_bytes() for path in (base / "vault").rglob("*") if path.is_file()}
    report = perform(base, "push")
    assert (report["new"], report["modified"], report["backends"]["vault"]["sent"]) == (0, 0, 0)
    assert {path: path.read_bytes() for path in (base / "vault").rglob("*") if path.is_file()} == before


def test_a_lost_state_is_made_again_without_sending_anything_twice(base: Path) -> None:
    before = {path: path.read_bytes() for path in (base / "vault").rglob("*") if path.is_file()}
    shutil.rmtree(base / "ant" / "state")
    report = perform(base, "push")
    assert (report["new"], report["modified"], report["backends"]["vault"]["sent"]) == (0, 0, 0)
    assert {path: path.read_bytes() for path in (base / "vault").rglob("*") if path.is_file()} == before
    assert CANARY not in everything_outside(base)


def test_verify_finds_nothing_wrong(base: Path) -> None:
    assert perform(base, "verify") == {
        "backends": [{"backend": "vault", "findings": [], "repaired": [], "error": None, "hint": "", "refused": False}],
        "exit_code": 0,
    }


def test_explain_names_the_rule(base: Path) -> None:
    (answer,) = perform(base, "explain", target="evt-20261121021415-2d341d0b")["answers"]
    assert (answer["verdict"], answer["rule"]) == ("held", "labels.visibility")
    answers = perform(base, "explain", target="atlas/projects/atlas/agenda.jsonl")["answers"]
    assert {"carried", "held"} <= {answer["verdict"] for answer in answers}


def test_recall_answers_from_what_was_carried(base: Path) -> None:
    perform(base, "index")
    with contextlib.closing(searcher(settings(base), shareable=True, tier="core")) as asked:
        hits = asked.search(Wanted("nightly export ordering tenant", 5)).hits
    assert hits
    assert all(CANARY.decode() not in hit.text for hit in hits)
