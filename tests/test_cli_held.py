"""held, policy and audit, from their arguments to what they print."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from memferry.agent import service
from memferry.agent.commands import trial
from memferry.agent.intake.judging import Judging
from memferry.cli.main import run
from tests.backends.samples import unpacked
from tests.policies import desks

RULES = """
- name: codename
  do: hold
  text: Zeus
  reason: under embargo
- name: addresses
  do: redact
  finding: email
"""


class Desk:
    """A space with a rules file, and the command line."""

    def __init__(self, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.base = base
        self._capsys = capsys
        (base / "notes").mkdir()
        self.rules(RULES)
        (base / "memferry.yaml").write_text(
            f"machine: ant\nstate: {base / 'state'}\nspaces: [{{name: notes, path: {base / 'notes'}}}]\n"
            f"backends: {{vault: {{type: local, path: {base / 'vault'}}}}}\nagent: {{settle_ms: 0}}\n"
            f"policy: {{rules_file: rules.yaml}}\n"
        )

    def rules(self, text: str) -> None:
        (self.base / "rules.yaml").write_text(text)

    def write(self, file: str, text: str) -> Path:
        (self.base / "notes" / file).write_text(text)
        return self.base / "notes" / file

    def text(self, *arguments: str, exit_code: int = 0) -> str:
        code = run(["--config", str(self.base / "memferry.yaml"), *arguments])
        said = self._capsys.readouterr()
        assert code == exit_code, said.err
        return said.err if exit_code == 2 else said.out

    def stored(self) -> str:
        """All that a vault holds, in one text."""
        bodies = [segment.read_bytes() for segment in (self.base / "vault").rglob("*.zst")]
        return "".join(unpacked(body).decode() for body in bodies)

    def json(self, *arguments: str) -> Any:
        return json.loads(self.text(*arguments, "--json"))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    for module in (service, trial):
        monkeypatch.setattr(module, "Judging", partial(Judging, search=desks.search))
    return Desk(tmp_path, capsys)


def test_held_lists_decides_and_remembers(desk: Desk) -> None:
    assert desk.text("held") == "nothing is held\n"
    desk.write("a.md", "the password: hunter2000 works")
    desk.write("b.md", "Zeus")
    listed = desk.text("held")
    assert "rules.codename: under embargo\n" in listed
    assert "password (hold): the password: hu••• works" in listed
    (one,) = desk.json("held", "--rule", "secrets")["held"]
    assert one["name"] in listed
    assert "hu•••" in desk.text("held", "show", one["name"])
    said = desk.text("held", "allow", one["name"], "--reason", "from a manual")
    assert said == "decided about 1 finding\n1 record may leave now, 0 records taken back\n"
    decisions = desk.text("held", "--decisions")
    assert "allow  notes: password  from a manual" in decisions
    said = desk.text("held", "keep", decisions.split()[0])
    assert "0 records may leave now, 1 record taken back" in said
    assert "hunter2000" not in desk.text("held", "--all")
    assert desk.json("held", "--space", "notes")["total"] > 0


@pytest.mark.parametrize("moved", ["in place", "to another file", "renamed"])
def test_what_is_private_no_more_can_be_let_go(desk: Desk, moved: str) -> None:
    text = "the boiler is behind the kitchen door on the left"
    private, public = json.dumps({"text": text, "private": True}), json.dumps({"text": text})
    note = f"private: true\n\n{text}\n"
    file = desk.write("l.jsonl", f"{private}\n") if moved != "renamed" else desk.write("n.md", note)
    desk.text("push")
    if moved == "in place":
        desk.write("l.jsonl", f"{public}\n")
    elif moved == "to another file":
        desk.write("l.jsonl", "")
        desk.write("m.jsonl", f"{public}\n")
    else:
        file.unlink()
        desk.write("m.md", f"{text}\n")
    assert text not in desk.stored()
    listed = desk.json("held")["held"]
    (gone,) = [one for one in listed if one["rule"].startswith("labels")]
    assert "not there any more" in gone["way_out"]
    assert "let go of 1 record that stood" in desk.text("held", "allow", gone["name"])
    assert text in desk.stored()
    assert desk.json("held")["total"] == 0


def test_what_still_stands_somewhere_is_held_again(desk: Desk) -> None:
    text = "the boiler is behind the kitchen door on the left"
    private = json.dumps({"text": text, "private": True})
    desk.write("a.jsonl", f"{private}\n")
    desk.write("b.jsonl", f"{private}\n")
    desk.text("push")
    (one,) = desk.json("held")["held"]
    desk.write(one["file"], "")
    desk.text("held", "allow", one["name"])
    assert text not in desk.stored()
    assert desk.json("held")["total"] == 1


def test_held_says_what_it_does_not_know(desk: Desk) -> None:
    assert "which one?" in desk.text("held", "allow", exit_code=2)
    assert "no held record is called abc" in desk.text("held", "show", "abc", exit_code=2)
    desk.write("b.md", "Zeus")
    (one,) = desk.json("held")["held"]
    assert "no decision can undo" in desk.text("held", "redact", one["name"], exit_code=2)


def test_policy_test_shows_every_verdict_and_stores_nothing(desk: Desk) -> None:
    file = desk.write(
        "log.jsonl", '{"id":"a","text":"open"}\n{"id":"b","text":"ann@example.org"}\n{"id":"c","text":"Zeus"}\n'
    )
    assert desk.text("policy", "test", str(file)) == (
        "at 0: leaves\nat 25: redacted\n    email (redact): an•••\n"
        "at 61: held (rules.codename): under embargo\n3 records: leaves 1, redacted 1, held 1\n"
    )
    assert not (desk.base / "state").exists()
    assert not (desk.base / "vault").exists()


def test_policy_test_takes_a_text_too(desk: Desk) -> None:
    assert "held (secrets.password)" in desk.text("policy", "test", "password: hunter2000")
    assert "held (labels.mark)" in desk.text("policy", "test", "a <private>b</private>", "--space", "notes")
    assert "leaves 1" in desk.text("policy", "test", "nothing at all")
    assert "there is no space note" in desk.text("policy", "test", "x", "--space", "note", exit_code=2)
    assert "what?" in desk.text("policy", "test", exit_code=2)


def test_policy_test_says_what_is_not_read_at_all(desk: Desk) -> None:
    desk.write(".memferryignore", "secret.md\n")
    assert "held (paths.ignore)" in desk.text("policy", "test", str(desk.write("secret.md", "x")))


def test_policy_lint_names_lines_and_doubts(desk: Desk) -> None:
    assert desk.text("policy", "lint") == "2 rules, all understood\n"
    desk.rules("- {name: a, do: hold, pth: x}\n")
    assert "rules.yaml, line 1: [0].pth" in desk.text("policy", "lint", exit_code=2)
    assert "rules.yaml, line 1" in desk.text("push", exit_code=2)
    desk.rules(
        "- {name: all, do: allow, finding: '*'}\n- {name: b, do: hold, finding: '*', path: x}\n"
        "- {name: c, do: hold, space: note}\n- {name: d, do: redact, finding: private-block, format: jsonl}\n"
    )
    doubts = desk.json("policy", "lint")["doubts"]
    assert [doubt.partition(": rule ")[2] for doubt in doubts] == [
        "all: lets go everything that the scanner finds",
        "b: rule all decides before it, always",
        "c: there is no space 'note' here; did you mean 'notes'?",
        "d: only documents can be redacted of their <private> blocks; others stay held",
    ]


def test_audit_shows_what_left(desk: Desk) -> None:
    assert desk.text("audit") == "nothing has left yet\n"
    desk.write("a.md", "open")
    desk.text("push")
    sending, acknowledged = desk.json("audit")
    assert (sending["did"], acknowledged["did"]) == ("sending", "acknowledged")
    shown = desk.text("audit", "--backend", "vault", "--since", "1h", "--limit", "2")
    assert "sending       vault  operations 1 to 2 (notes: 1)  rules " in shown
    assert desk.json("audit", "--backend", "nas") == []
    assert "--limit: must be a whole number, 1 or more" in desk.text("audit", "--limit", "0", exit_code=2)
