"""init: what is found, what is written, and what is never overwritten."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import memferry
from memferry import config
from memferry.agent.commands.discover import discover
from memferry.cli.main import run

SAMPLE = Path(memferry.__file__).parent / "sample"

Init = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user's home, with nothing in it but a project to stand in."""
    home = tmp_path / "home"
    (home / "atlas").mkdir(parents=True)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(home / variable.lower()))
    monkeypatch.chdir(home / "atlas")
    return home


@pytest.fixture
def init(home: Path, capsys: pytest.CaptureFixture[str]) -> Init:
    def init(*arguments: str) -> tuple[int, dict[str, Any]]:
        exit_code = run(["init", "--json", "--config", str(home / "m.yaml"), *arguments])
        return exit_code, json.loads(capsys.readouterr().out)

    return init


def ledger(folder: Path, *lines: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.jsonl").write_text("".join(f'{{"id": "{line}", "text": "{line}"}}\n' for line in lines))


def document(path: Path, text: str = "Remember the harbour.") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# -- what is found


def test_the_memory_of_a_project_is_found_where_one_stands(init: Init, home: Path) -> None:
    ledger(home / "atlas" / ".memory", "one", "two")
    document(home / "atlas" / "spark-memory" / "topic.json", '[{"id": "a", "sensitivity": "private"}, {"id": "b"}]')
    document(home / "atlas" / ".opencode" / "memory" / "feedback" / "x.md")
    exit_code, found = init()
    assert exit_code == 0
    assert [(space["name"], space["records"], space["files"], space["held"]) for space in found["spaces"]] == [
        ("atlas", 2, 1, {}),
        ("atlas-spark", 1, 1, {"labels.sensitivity": 1}),
        ("atlas-opencode", 1, 1, {}),
    ]


def test_claude_code_is_found_at_home_and_its_transcripts_only_when_asked_for(init: Init, home: Path) -> None:
    project = home / ".claude" / "projects" / "-home-me-code-atlas"
    document(project / "memory" / "MEMORY.md")
    ledger(project, "said")
    assert [space["name"] for space in init()[1]["spaces"]] == ["claude-home-me-code-atlas"]
    with_transcripts = init("--transcripts", "--force")[1]["spaces"]
    assert [space["name"] for space in with_transcripts] == ["claude-home-me-code-atlas", "claude-transcripts"]
    assert with_transcripts[1]["records"] == 1


def test_a_folder_that_is_named_counts_although_it_is_of_no_known_format(init: Init, home: Path) -> None:
    document(home / "notes" / "deep" / "plan.md")
    document(home / "atlas" / "plan.md")
    assert init()[0] == 2
    found = init(str(home / "notes"))[1]
    assert [(space["name"], space["records"]) for space in found["spaces"]] == [("notes", 1)]


def test_the_memory_of_every_project_below_is_found_and_nothing_else(init: Init, home: Path) -> None:
    code = home / "code"
    ledger(code / "atlas" / ".memory", "one")
    document(code / "atlas" / "spark-memory" / "topic.json", '[{"id": "b"}]')
    document(code / "group" / "web" / ".opencode" / "memory" / "x.md")
    for file in ("README.md", "node_modules/p/README.md", "node_modules/p/.memory/a.md", "venv/lib/.memory/a.md"):
        document(code / "atlas" / file)
    document(code / "atlas" / "py" / "pyvenv.cfg")
    ledger(code / "atlas" / "py" / ".memory", "no")
    ledger(code / ".hidden" / ".memory", "no")
    ledger(code / "a" / "b" / "c" / "d" / ".memory", "too deep")
    for folder in (code, home):
        found = init(str(folder), "--force")[1]
        assert [(space["name"], space["records"]) for space in found["spaces"]] == [
            ("atlas", 1), ("atlas-spark", 1), ("web-opencode", 1),
        ]  # fmt: skip
        assert found["passed_over"] == []


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["atlas/README.md", "atlas/.git/HEAD", "plan.md"], "it holds projects (atlas)"),
        (["web/README.md", "web/package.json"], "it holds projects (web)"),
        (["README.md", "pyproject.toml"], "a program's sources"),
        (["picture.png", "node_modules/p/README.md"], "no file that memferry reads"),
    ],
    ids=["projects", "sources below", "sources", "nothing"],
)
def test_a_folder_that_is_no_notes_is_passed_over_and_named(
    init: Init, home: Path, capsys: pytest.CaptureFixture[str], files: list[str], reason: str
) -> None:
    document(home / "notes" / "plan.md")
    for file in files:
        document(home / "named" / file)
    found = init(str(home / "named"), str(home / "notes"))[1]
    assert [space["name"] for space in found["spaces"]] == ["notes"]
    (passed_over,) = found["passed_over"]
    assert passed_over["path"] == str(home / "named")
    assert reason in passed_over["reason"]
    assert run(["init", "--config", str(home / "m.yaml"), str(home / "named"), str(home / "notes")]) == 0
    assert f"passed over {home / 'named'}: " in capsys.readouterr().out
    exit_code, answer = init(str(home / "named"))
    assert (exit_code, reason in answer["error"]) == (2, True)


def test_the_home_folder_is_never_carried_whole(init: Init, home: Path) -> None:
    document(home / "plan.md")
    for folder in (home, home.parent):
        exit_code, answer = init(str(folder))
        assert (exit_code, "home folder" in answer["error"]) == (2, True)


def test_it_says_where_it_stopped_looking(init: Init, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memferry.agent.commands.discover.FOLDERS", 3)
    for name in "abcd":
        ledger(home / "code" / name / ".memory", name)
    found = init(str(home / "code"))[1]
    assert [space["name"] for space in found["spaces"]] == ["a", "b"]
    assert "only 3 of its folders" in found["passed_over"][0]["reason"]


def test_a_known_tree_is_found_by_its_folders(home: Path) -> None:
    for folder in ("streams", "bus"):
        (home / "old" / folder).mkdir(parents=True)
    (one,) = discover([home / "old"], home / ".claude", asked=False, transcripts=False).found
    assert (one.space.name, one.what) == ("old", "DiaSync memory")


def test_two_projects_of_one_name_are_told_apart_and_one_place_counts_once(home: Path) -> None:
    for parent in ("a", "b"):
        ledger(home / parent / "atlas" / ".memory", "x")
    folders = [home / "a" / "atlas", home / "b" / "atlas", home / "a" / "atlas", home / "a" / "atlas" / ".memory"]
    found = discover(folders, home / ".claude", asked=True, transcripts=False).found
    assert [one.space.name for one in found] == ["atlas", "atlas-2"]


@pytest.mark.parametrize("name", ["ünï — 試験", "...", "x" * 200, " a b ", "a:b@c"])
def test_any_folder_gives_a_name_that_a_configuration_takes(init: Init, home: Path, name: str) -> None:
    try:
        document(home / name / "plan.md")
    except OSError:
        pytest.skip("this system has no such folder")
    assert init(str(home / name))[0] == 0


def test_nothing_found_writes_nothing_and_says_what_to_run(init: Init, home: Path) -> None:
    exit_code, found = init()
    assert exit_code == 2
    assert "found no memory" in found["error"]
    assert "memferry init PATH" in found["hint"]
    assert not (home / "m.yaml").exists()


def test_a_folder_that_is_not_there_is_named(init: Init, home: Path) -> None:
    exit_code, found = init(str(home / "none"))
    assert exit_code == 2
    assert f"{home / 'none'} is not a folder" in found["error"]


# -- what is written


def test_what_is_written_is_read_back_as_it_was_meant(init: Init, home: Path) -> None:
    ledger(home / "atlas" / ".memory", "one")
    written = init("--vault", str(home / "disk" / "vault"))[1]
    read = config.load({}, file=str(home / "m.yaml"))
    assert [(space.name, space.path) for space in read.spaces] == [("atlas", home / "atlas" / ".memory")]
    assert read.backends == {"vault": {"type": "local", "path": str(home / "disk" / "vault")}}
    assert read.agent == config.Agent()
    assert written["backends"] == {"vault": str(home / "disk" / "vault")}
    assert 'path: "~/atlas/.memory"' in (home / "m.yaml").read_text()


def test_the_defaults_that_are_written_in_comments_are_the_defaults(init: Init, home: Path) -> None:
    ledger(home / "atlas" / ".memory", "one")
    init()
    text = (home / "m.yaml").read_text()
    head, _, tail = text.partition("# agent:\n")
    (home / "m.yaml").write_text(head + "agent:\n" + tail.replace("#   ", "  "))
    assert config.load({}, file=str(home / "m.yaml")).agent == config.Agent()
    assert tail.count("\n") == len(config.Agent._fields)


def test_it_makes_the_machines_identity_and_no_vault_yet(init: Init, home: Path) -> None:
    ledger(home / "atlas" / ".memory", "one")
    written = init()[1]
    assert (Path(written["state"]) / "state.db").exists()
    assert written["machine"]
    assert not Path(written["backends"]["vault"]).exists()


def test_what_it_foretells_is_what_a_sync_does(init: Init, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foretold = init("--sample", str(home / "demo"))[1]["spaces"]
    assert run(["--config", str(home / "m.yaml"), "push", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert sum(space["records"] for space in foretold) == report["new"] > 0
    assert sum(sum(space["held"].values()) for space in foretold) == report["held"]["total"] > 0


def test_a_configuration_that_is_there_is_kept(init: Init, home: Path) -> None:
    ledger(home / "atlas" / ".memory", "one")
    (home / "m.yaml").write_text("machine: mine\n")
    exit_code, answer = init()
    assert exit_code == 2
    assert "is there already" in answer["error"]
    assert "--force" in answer["hint"]
    assert (home / "m.yaml").read_text() == "machine: mine\n"
    assert init("--force")[0] == 0
    assert (home / "m.yaml").read_text() != "machine: mine\n"
    assert init()[0] == 0, "the same once more is no harm"


# -- the sample


def test_the_sample_lies_in_one_folder_and_can_be_made_twice(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert run(["init", "--sample", "demo"]) == 0
        assert "next: memferry --config demo" in capsys.readouterr().out
    demo = home / "atlas" / "demo"
    read = config.load({}, file=str(demo / "memferry.yaml"))
    assert [space.path for space in read.spaces] == [
        demo / "sample" / name for name in ("harbour", "notes", "spark-memory")
    ]
    assert read.state == demo / "state"
    assert read.backends["vault"]["path"] == str(demo / "vault")
    assert {path.name for path in home.iterdir()} - {".cache"} == {"atlas"}  # where the scanner compiles its rules


def test_the_sample_is_what_the_tool_would_write() -> None:
    """Its events and objects carry the hashes that DiaSync gives them."""
    ledgers = [path for path in (SAMPLE / "harbour").rglob("*.jsonl") if path.name != "agenda.jsonl"]
    records = [json.loads(line) for path in ledgers for line in path.read_text("utf-8").rstrip("\n").split("\n")]
    assert len(records) == 14
    for record in records:
        body = {name: value for name, value in record.items() if name != "hash"}
        canonical = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        assert record["hash"] == "sha1:" + hashlib.sha1(canonical.encode()).hexdigest()
