"""Bad input is a JSON error that names it, exit code 1, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from memferry.cli.memory import run
from memferry.memory.lifecycle import ledgers
from tests.lifecycle.trees import Tree

SAID = ("--scope", "global", "--summary", "x")


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """What a verb prints that fails; its exit code is 1."""

    def ask(root: Path, *argv: str) -> dict[str, Any]:
        capsys.readouterr()
        assert run([*argv, "--root", str(root)]) == 1
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert answer["ok"] is False
        return answer

    return ask


Refused: TypeAlias = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["capture", *SAID, "--proposed-type", "rumour"], "rumour"),
        (["publish", *SAID, "--object-type", "rumour"], "rumour"),
        (["capture", *SAID, "--visibility", "friends"], "friends"),
        (["capture", *SAID, "--due-at", "2026-02-30"], "2026-02-30"),
        (["capture", *SAID, "--review-at", "20261201"], "20261201"),
        (["capture", *SAID, "--ts", "yesterday"], "yesterday"),
        (["capture", *SAID, "--confidence", "nan"], "nan"),
        (["capture", "--scope", "global"], "--summary"),
        (["capture", "--scope", "global", "--summary", "  "], "--summary"),
        (["capture", "--scope", "global", "--summary", "\udcff"], "--summary"),
        (["capture", *SAID, "--horizont", "day"], "--horizont"),
        (["distill", "--limit", "-1"], "--limit"),
        (["reconcile", "--id", "dec-1", "--summary", "x"], "dec-1"),
        (["reconcile", "--summary", "x"], "--id"),
        (["instance", "start"], "--instance-id"),
        (["attach"], "--project"),
        (["agenda", "--project", "p", "--update", "agd-1", "--summary", "x"], "agd-1"),
        (["agenda", "--project", "p", "--add", "x", "--due-at", "2026-13-01"], "2026-13-01"),
        (["publish", *SAID, "--due-at", "soon"], "soon"),
        (["reconcile", "--id", "dec-1", "--summary", "x", "--review-at", "2026-02-29"], "2026-02-29"),
        (["agenda", "--project", "p", "--close", "agd-1"], "agd-1"),
        (["agenda", "--project", "p"], "exactly one action"),
        (["agenda", "--project", "p", "--list", "--add", "x"], "exactly one action"),
        (["lease", "acquire", "--key", "k"], "--instance-id"),
        (["lease", "acquire", "--instance-id", "a"], "--key"),
        (["lease", "steal"], "steal"),
        (["hygiene", "--archive-before", "2026-13"], "2026-13"),
        (["hygiene", "--rotate", "--max-lines", "0"], "--max-lines"),
        (["dream"], "dream"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else None,
)
def test_it_is_named_and_nothing_is_written(tree: Tree, refused: Refused, argv: list[str], named: str) -> None:
    assert named in refused(tree.path, *argv)["error"]
    assert not tree.path.exists()


def test_a_conflict_or_an_object_that_is_not_there_is_named_and_nothing_is_written(
    tree: Tree, refused: Refused
) -> None:
    tree.do("capture", *SAID)
    (made,) = tree.do("distill")["created"]
    before = tree.content()
    for argv, named in (
        (["--id", "fac-1"], "fac-1"),
        (["--id", made["object_id"], "--resolve-conflict", "cnf-1"], "cnf-1"),
    ):
        assert named in refused(tree.path, "reconcile", "--summary", "y", *argv)["error"]
    assert tree.content() == before


@pytest.mark.parametrize(
    "verb",
    [["init"], ["capture", *SAID], ["distill"], ["stats"], ["validate"], ["lease", "list"], ["hygiene", "--dry-run"]],
    ids=str,
)
def test_a_root_that_is_a_file(tmp_path: Path, refused: Refused, verb: list[str]) -> None:
    (tmp_path / "notes").write_text("mine")
    assert str(tmp_path / "notes") in refused(tmp_path / "notes", *verb)["error"]
    assert list(tmp_path.iterdir()) == [tmp_path / "notes"]
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize(
    "damage",
    ["cut}", '{"cut"}', "[]", '{"schema_version":"diasync-v1-event"}', '{"event_id":"a","event_id":"b"}', '{"a":NaN}',
     '{"a":"\\ud800"}', b"\xff".decode("latin-1")],
)  # fmt: skip
@pytest.mark.parametrize(
    ("verb", "file"),
    [
        (["distill"], "streams/global/ins-a/2026-01-01.jsonl"),
        (["reduce"], "bus/global/2026-01-01.jsonl"),
        (["attach", "--project", "p"], "views/decisions/global/2026-01.jsonl"),
        (["lease", "acquire", "--instance-id", "a", "--key", "k"], "coordination/leases.jsonl"),
        (["diagnose"], "governance/findings/findings.jsonl"),
        (["agenda", "--project", "p", "--list"], "projects/p/agenda.jsonl"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_damaged_line(tree: Tree, refused: Refused, verb: list[str], file: str, damage: str) -> None:
    if file.startswith(("coord", "gov", "proj")) and damage.startswith('{"schema'):
        damage = damage.replace("event", file.rpartition("/")[2].removesuffix("s.jsonl") + "-event")
    tree.do("capture", *SAID)
    tree.do("publish", *SAID)
    (tree.path / file).parent.mkdir(parents=True, exist_ok=True)
    (tree.path / file).write_bytes(b"\n" + damage.encode("latin-1" if damage == "\xff" else "utf-8") + b"\n")
    before = tree.content()
    assert f"{file} line 2" in refused(tree.path, *verb)["error"]
    report = refused(tree.path, "validate")
    assert any(error.startswith(f"{file}:2: ") for error in report["errors"])
    assert tree.content() == before


def test_a_line_that_was_repaired_is_read(tree: Tree) -> None:
    tree.do("publish", *SAID)
    (file,) = tree.path.glob("bus/*/*.jsonl")
    whole = file.read_bytes()
    file.write_bytes(whole + b"}\n")
    assert not tree.ask("reduce")["ok"]
    file.write_bytes(whole)
    assert tree.do("reduce")["created_count"] == 1


@pytest.mark.parametrize(
    ("file", "verb"),
    [
        ("streams/notes.jsonl", ["distill"]), ("bus/global/notes.jsonl", ["reduce"]),
        ("coordination/mine.jsonl", ["lease", "list"]), ("views/facts/notes.txt", ["validate"]),
        ("notes.md", ["validate"]), ("streams/global/a/b/2026-01-01.jsonl", ["distill"]),
    ],
)  # fmt: skip
def test_a_foreign_file(tree: Tree, refused: Refused, file: str, verb: list[str]) -> None:
    tree.do("capture", *SAID)
    (tree.path / file).parent.mkdir(parents=True, exist_ok=True)
    (tree.path / file).write_text('{"a": 1}\n')
    before = tree.content()
    for argv in (verb, ["validate"]):
        answer = refused(tree.path, *argv)
        assert file in " ".join([answer.get("error", ""), *answer.get("errors", [])])
    assert tree.content() == before


def test_a_half_line_of_a_crash_spoils_no_other(tree: Tree) -> None:
    tree.do("capture", *SAID)
    (file,) = tree.path.glob("streams/*/*/*.jsonl")
    with file.open("ab") as opened:
        opened.write(b'{"event_id":"evt-half')
    answer = tree.do("distill")
    assert answer["created_count"] == 1
    (ended,) = answer["notices"]
    assert ended.startswith(f"{file}: ")
    assert "half a line" in ended
    assert "notices" not in tree.do("capture", *SAID)
    answer = tree.do("distill")
    assert answer["created_count"] == 1
    assert [notice.partition(": ")[0] for notice in answer["notices"]] == [f"{file} line 2"]
    assert len(tree.do("diagnose")["notices"]) == 1
    assert any("half a line" in error for error in tree.ask("validate")["errors"])


@pytest.mark.parametrize("kept", [1, 0.3, 0.6, 0.97, -1])
def test_a_line_is_passed_over_wherever_a_crash_cut_it(tree: Tree, kept: float) -> None:
    """Behind an inner object, in a string, in a character of several bytes."""
    tree.do("publish", "--scope", "global", "--summary", 'über "Fährmänner" {und} \\ Schlüssel')
    (file,) = tree.path.glob("bus/*/*.jsonl")
    whole = file.read_bytes().removesuffix(b"\n")
    cut = {1: whole.index(b"\xc3") + 1, -1: whole.rindex(b"}", 0, -1) + 1}.get(kept, int(len(whole) * kept))
    file.write_bytes(whole[:cut])
    tree.do("publish", *SAID)
    answer = tree.do("reduce")
    assert answer["created_count"] == 1
    assert any("line 1: it is half a line" in notice for notice in answer["notices"])


def test_half_a_line_of_an_agenda_is_passed_over_and_named(tree: Tree) -> None:
    tree.do("agenda", "--project", "p", "--add", "x")
    file = tree.path / "projects/p/agenda.jsonl"
    with file.open("ab") as opened:
        opened.write(b'{"op":"add","item":{"id"')
    tree.do("agenda", "--project", "p", "--add", "y")
    answer = tree.do("agenda", "--project", "p", "--list")
    assert [notice.partition(": ")[0] for notice in answer["notices"]] == [f"{file} line 2"]


def test_half_a_line_is_named_once_however_many_turns_it_takes(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memferry.memory.lifecycle.slices.SLICE", 1)
    for _ in range(3):
        tree.do("capture", *SAID)
    (file,) = tree.path.glob("streams/*/*/*.jsonl")
    file.write_bytes(b'{"half\n' + file.read_bytes())
    answer = tree.do("distill", "--limit", "3")
    assert (answer["created_count"], len(answer["notices"])) == (3, 1)


def test_a_link_is_not_followed(tree: Tree, tmp_path: Path) -> None:
    first = tree.do("capture", *SAID)
    file = Path(str(first["path"]))
    outside = tmp_path / "outside.jsonl"
    file.rename(outside)
    file.symlink_to(outside)
    before = outside.read_bytes()
    assert str(file) in tree.ask("capture", *SAID)["error"]
    assert outside.read_bytes() == before


def test_a_fault_is_an_answer_without_content(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("what nobody may see")

    monkeypatch.setattr("memferry.memory.lifecycle.capturing.capture", broken)
    error = tree.ask("capture", *SAID)["error"]
    assert error.startswith("fault: KeyError at ")
    assert "nobody" not in error


def test_an_empty_word_is_nothing_said(tree: Tree) -> None:
    """Scripts pass what they do not know as an empty string."""
    tree.do("capture", *SAID, "--tags", "", "--project", "", "--due-at", "", "--instance-id", "")
    (event,) = tree.lines("streams/**/*.jsonl")
    assert event["instance_id"] == "instance-unknown"
    assert "due_at" not in event["payload"]


@pytest.mark.parametrize("scope", [{"a": 1}, 10**20])
def test_a_note_whose_scope_is_no_text_stops_no_verb(tree: Tree, scope: object) -> None:
    tree.do("capture", *SAID)
    note = {"schema_version": "instance.v1", "instance_id": "i", "scope": scope}
    (tree.path / "coordination").mkdir(exist_ok=True)
    (tree.path / "coordination" / "instances.jsonl").write_text(json.dumps(note) + "\n")
    tree.do("stats")


def test_a_clock_beyond_every_number_of_writes_is_no_clock(tree: Tree) -> None:
    tree.do("capture", *SAID)
    (stream,) = tree.path.glob("streams/**/*.jsonl")
    made = json.loads(stream.read_text())
    stream.write_text(json.dumps(made | {"lc": 10**20}) + "\n")
    tree.do("stats")
    tree.do("capture", *SAID)
    assert tree.lines("streams/**/*.jsonl")[-1]["lc"] < 10


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("1e999", "a number is out of range"),
        ("[" * 100 + "]" * 100, "nested too deeply"),
        ("[" + "{}," * 30_000 + "{}]", "more than 30,000 objects and keys"),
        ('"\\ud800"', "half of a surrogate pair"),
        ("NaN", "NaN or Infinity"),
        ('1,"x":2', "a key appears twice"),
    ],
    ids=lambda value: value[:20],
)
def test_a_line_that_could_be_read_in_two_ways_is_damaged(value: str, reason: str) -> None:
    """As strictly as what is carried: or one of both would take it for public, and the other not."""
    line = ledgers.decoded(b'{"x":' + value.encode() + b"}", 3, 0)
    assert (line.fields, line.problem) == ({}, reason)
