"""The pages about the memory: their commands run, their table is complete, every verb shows an example."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memferry.cli.memory import run
from memferry.cli.memory_verbs import VERBS
from tests.lifecycle.trees import PACKAGE, Tree

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.skipif(sys.platform == "win32", reason="the page is for a POSIX shell")
@pytest.mark.skipif(shutil.which("jq") is None, reason="the page takes ids out of answers with jq")
def test_an_agents_day_can_be_lived(tmp_path: Path) -> None:
    page = (DOCS / "agents-day.md").read_text("utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    program = tmp_path / "bin" / "memferry"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m memferry "$@"\n')
    program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL,
        env=os.environ | {"PATH": path, "PYTHONPATH": PACKAGE},
    )  # fmt: skip
    tree = Tree(tmp_path / ".memory")
    assert {command.split()[2] for command in re.findall(r"memferry memory \w+", page)} <= set(VERBS)
    assert tree.do("stats")["open_conflicts"] == 0
    capsule = tree.do("attach", "--project", "atlas")["capsule"]
    assert "Exports are CSV, and Parquet on request" in capsule
    assert "is Parquet worth it?" in capsule
    assert "locked until Friday" not in capsule


def test_the_page_names_every_verb() -> None:
    table = (DOCS / "memory.md").read_text("utf-8").split("## The verbs")[1].split("\n## ")[0]
    assert [*re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE), "sync"] == sorted(
        VERBS, key=lambda verb: (verb == "sync", list(VERBS).index(verb))
    )


@pytest.mark.parametrize("program", ["memoryctl", "memferry memory"])
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_an_example(verb: str, program: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run([verb, "--help"], program)
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert f"examples:\n  {program} {verb}" in shown
    assert "--root DIR" in shown


@pytest.mark.parametrize("verb", VERBS)
def test_every_example_can_be_typed(verb: str, tree: Tree) -> None:
    for example in VERBS[verb].examples:
        answer = tree.ask(*shlex.split(example))
        assert answer["ok"] or "there is no object" in answer["error"], answer


def test_the_verbs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {verb} " in shown for verb in VERBS)


@pytest.mark.parametrize(
    "command", [["-m", "memferry", "memory"], ["-m", "memferry", "--json", "memory"]], ids=["alone", "behind a flag"]
)
def test_it_is_a_command_of_memferry(command: list[str], tmp_path: Path) -> None:
    said = ["capture", "--scope", "global", "--summary", "Füße\u200b", "--root", str(tmp_path / "m")]
    ran = subprocess.run(
        [sys.executable, *command, *said], capture_output=True, text=True, check=True, encoding="utf-8",
        env=os.environ | {"PYTHONPATH": PACKAGE, "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert json.loads(ran.stdout)["ok"]
    assert Tree(tmp_path / "m").lines("streams/**/*.jsonl")[0]["payload"]["summary"] == "Füße\u200b"
    refused = subprocess.run(
        [sys.executable, *command, "dream"], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": PACKAGE},
    )  # fmt: skip
    assert refused.returncode == 1
    assert "dream" in json.loads(refused.stdout)["error"]


@pytest.mark.parametrize("said", ["-v", "-vv", "--json", "--config m.yaml", "--state=x", "--state x --verbose"])
def test_it_takes_what_every_command_takes(said: str, tree: Tree) -> None:
    given = said.split()
    written = [["agenda", "--project", "a", "--add", "Ship it", "--ow", "bot"], ["stats"]]
    for verb, *flags in written:
        assert tree.ask(verb, *flags, *given)["ok"]
        assert tree.ask(verb, *given, *flags)["ok"]
        assert tree.ask(*given, verb, *flags)["ok"]
    for wrong in (["stats", "--config"], ["-v", "dream"]):
        assert not tree.ask(*wrong)["ok"]


def test_an_answer_waits_for_nothing_heavy() -> None:
    code = "import sys, memferry.cli.memory; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": PACKAGE},
    )  # fmt: skip
    heavy = {"msgspec", "sqlite3", "pathlib", "datetime", "logging", "yaml", "memferry.config", "secrets", "subprocess"}
    assert heavy.isdisjoint(ran.stdout.split())
