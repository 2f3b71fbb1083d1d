"""Every command on the sample, from its arguments to what it prints."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zstandard

import memferry
from memferry.agent.commands import status
from memferry.agent.lock import StateLock
from memferry.cli.main import run
from tests.agent.machines import Typed
from tests.support import damage_schema

PACKAGE = str(Path(memferry.__file__).parent.parent)
NO_TEXT = b"cr\xe5ate table"
SECRETS = (b"heart clinic", b"in confidence", b"Salary", b"salaries", b"84,000", b"snaps at people")


class Demo:
    """The sample, carried once."""

    def __init__(self, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.base = base
        self._capsys = capsys

    def text(self, *arguments: str, exit_code: int = 0) -> str:
        assert run(["--config", str(self.base / "memferry.yaml"), *arguments]) == exit_code
        return self._capsys.readouterr().out

    def json(self, *arguments: str, exit_code: int = 0) -> Any:
        return json.loads(self.text(*arguments, "--json", exit_code=exit_code))

    def append(self, text: str) -> None:
        with open(self.base / "sample" / "notes" / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"id": text.replace(" ", "-"), "text": text}) + "\n")


@pytest.fixture
def demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Demo:
    assert run(["init", "--sample", str(tmp_path / "demo")]) == 0
    demo = Demo(tmp_path / "demo", capsys)
    demo.text("sync-memory")
    return demo


# -- carrying


def test_what_is_held_is_named_by_rule_and_leaves_in_no_form(demo: Demo) -> None:
    labels = {"labels.mark": 1, "labels.private": 1, "labels.sensitivity": 1, "labels.visibility": 4}
    assert demo.json("status")["held"] == labels | {"lineage": 2, "overlap": 1}
    for path in (demo.base / "vault").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".zst":
                content += zstandard.ZstdDecompressor().decompressobj().decompress(content)
            assert not any(secret in content for secret in SECRETS), path


def test_a_report_has_every_part(demo: Demo) -> None:
    demo.append("the tide table is wrong")
    report = demo.json("sync-memory", "--tag", "fresh", "--content-type", "observation")
    assert (report["new"], report["modified"], report["exit_code"]) == (1, 0, 0)
    vault = report["backends"]["vault"]
    (stored,) = vault["stored"]
    assert (stored["key"], stored["excerpt"]) == ("the-tide-table-is-wrong", "the tide table is wrong")
    assert (stored["type"], "fresh" in stored["tags"]) == ("observation", True)
    assert stored["storage_id"]
    assert vault["checkpoint"]["to"] > vault["checkpoint"]["from"]
    assert vault["capacity"]["used_bytes"] > 0
    assert report["next_sync"]["suggested_at"]
    parts = {"unchanged", "held", "excluded", "duplicates", "failed", "totals", "pulled", "skipped", "halted"}
    assert parts <= report.keys()


def test_the_report_for_people_says_the_same(demo: Demo) -> None:
    demo.append("the tide table is wrong")
    shown = demo.text("sync-memory")
    assert re.search(r"^carried  1 new, 0 modified", shown, re.MULTILINE)
    assert re.search(r"^to vault: \d+ operations? sent, checkpoint \d+ -> \d+ \(.* used, .* free", shown, re.MULTILINE)
    assert "the tide table is wrong" in shown
    assert "from vault: nothing new from other machines" in shown


def test_a_dry_run_changes_nothing(demo: Demo) -> None:
    demo.append("the tide table is wrong")
    assert "would carry" in demo.text("push", "--dry-run")
    assert demo.json("status")["backends"][0]["waiting"] == 0
    assert demo.json("push")["new"] == 1


def test_only_and_exclude_say_what_it_is_about(demo: Demo) -> None:
    demo.append("the tide table is wrong")
    assert demo.json("push", "--only", "harbour")["new"] == 0
    assert demo.json("sync-memory", "--exclude", "*.jsonl")["new"] == 0
    assert demo.json("push", "--only", "notes")["new"] == 1


@pytest.mark.parametrize(
    ("command", "error", "hint"),
    [
        (("push", "--only", "habour"), "there is no space, format or `space/file` called habour", "'harbour'"),
        (("push", "--only", "notes", "--only", "documnt"), "called documnt", "'document'"),
        (("sync-memory", "--only", "notes/deplyo.md"), "no file deplyo.md in space notes", "notes/deploy.md"),
        (("recall", "ticket", "--space", "note"), "there is no space note", "'notes'"),
        (("held", "--space", "note"), "there is no space note", "'notes'"),
        (("held", "--rule", "secret"), "there is no rule secret", "'secrets'"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_the_nearest(
    demo: Demo, command: Sequence[str], error: str, hint: str
) -> None:
    """In a scheduled job nobody would notice that nothing is carried."""
    answer = demo.json(*command, exit_code=2)
    assert error in answer["error"]
    assert hint in answer["hint"]


@pytest.mark.parametrize("name", ["document", "files", "notes", "notes/deploy.md", "notes/gone.md"])
def test_a_name_that_exists_or_did_is_no_mistake(demo: Demo, name: str) -> None:
    gone = demo.base / "sample" / "notes" / "gone.md"
    gone.write_text("here today")
    demo.text("push")
    gone.unlink()
    demo.text("push", "--only", name)


def test_a_space_that_is_not_there_is_told_to_who_wants_a_file_of_it(demo: Demo) -> None:
    (demo.base / "sample" / "notes").rename(demo.base / "away")
    demo.text("push", "--only", "harbour")
    assert demo.json("push", "--only", "notes/deploy.md", exit_code=1)["halted"] != []


def test_a_format_is_that_of_a_space_too(demo: Demo) -> None:
    demo.append("the tide table is wrong")
    assert demo.json("push", "--only", "diasync")["new"] == 0
    assert demo.json("push", "--only", "files")["new"] == 1


def test_a_backend_that_is_not_configured_is_named(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.json("push", "--backend", "nas", exit_code=2)["hint"] == "known: vault"


def test_what_cannot_be_delivered_needs_a_person_and_says_what_to_do(demo: Demo) -> None:
    demo.append("the tide table is wrong")
    vault = demo.base / "vault"
    vault.rename(demo.base / "elsewhere")
    vault.write_text("in the way")
    shown = demo.text("push", exit_code=4)
    assert re.search(r"^  ! vault: ", shown, re.MULTILINE)
    status = demo.text("status", exit_code=1)
    assert "  ! backend vault: " in status
    assert re.search(r"^backend vault .* failing since 20[-0-9: ]+, next try 20[-0-9: ]+$", status, re.MULTILINE)
    vault.unlink()
    (demo.base / "elsewhere").rename(vault)
    demo.text("push")
    demo.text("status")


def test_pull_tells_what_came(demo: Demo) -> None:
    assert demo.text("pull") == "from vault: nothing new from other machines\n"
    assert demo.json("pull")["backends"]["vault"]["taken"] == 0
    assert demo.json("pull", "--dry-run")["dry_run"]


# -- asking


def test_status_for_people(demo: Demo) -> None:
    shown = demo.text("status")
    assert "ok · machine sample-machine · service not running" in shown
    assert re.search(r"^space harbour +9 files, 7 records held$", shown, re.MULTILINE)
    assert re.search(r"^backend vault +everything acknowledged, last 2", shown, re.MULTILINE)


def test_a_disk_that_is_nearly_full_is_a_problem(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is full, nobody can write down that it is."""
    monkeypatch.setattr(status, "LEAST_FREE_BYTES", 1 << 60)
    shown = demo.text("status", exit_code=1)
    assert re.search(r"^  ! state .*/state: [\d.]+ MB are left on its disk", shown, re.MULTILINE)
    assert demo.json("status", exit_code=1)["problems_total"] == 1
    assert "MB are left on its disk" in demo.text("doctor", exit_code=1)


@pytest.mark.skipif(sys.platform == "win32", reason="about limits of POSIX")
@pytest.mark.parametrize("command", [("status",), ("recall", "--tier", "core", "ticket")])
def test_a_disk_that_is_full_ends_no_answer(demo: Demo, command: Sequence[str]) -> None:
    """No file may grow: for SQLite that is a disk without room."""
    demo.text("recall", "ticket", "--tier", "core")
    demo.append("the tide table is wrong")
    demo.text("push")
    limited = f"ulimit -f 0; exec {sys.executable} -m memferry --config {demo.base}/memferry.yaml {' '.join(command)}"
    done = subprocess.run(["sh", "-c", limited], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "ticket" in done.stdout or "everything acknowledged" in done.stdout


def test_status_tells_of_rules_that_cannot_be_loaded_before_anything_was_carried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "m.yaml"
    config.write_text("state: state\npolicy: {rules_file: none.yaml}\n")
    for command, exit_code in (("status", 1), ("push", 2), ("status", 1)):
        assert run(["--config", str(config), command]) == exit_code
    shown = capsys.readouterr().out
    assert shown.count("nothing has been carried yet") == 2
    assert shown.count("! policy rules: halted: the rules in") == 2


def test_without_a_backend_nothing_is_called_carried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ant = Typed(tmp_path, "ant", capsys)
    ant.log("a1")
    path = ant.config.source
    path.write_text(re.sub(r"backends:\n.*\n", "", path.read_text()))
    assert run(["--config", str(path), "push"]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"^to carry  1 new", shown, re.MULTILINE)
    assert "no backend is configured, so nothing was carried anywhere" in shown
    assert "waits in the journal: add a backend" in shown
    assert run(["--config", str(path), "status"]) == 0
    assert "no backend is configured, so nothing is carried anywhere" in capsys.readouterr().out
    for command in ("verify", "pull"):
        assert run(["--config", str(path), command]) == 1
        assert "no backend is configured, so there is nothing" in capsys.readouterr().out


def test_status_before_anything_was_carried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.yaml").write_text("state: state\n")
    assert run(["--config", str(tmp_path / "m.yaml"), "status"]) == 0
    assert "run `memferry push`" in capsys.readouterr().out


def test_explain_tells_the_rule_for_a_path_a_file_of_a_space_and_a_key(demo: Demo, monkeypatch: Any) -> None:
    monkeypatch.chdir(demo.base)
    assert "held (labels.private)" in demo.text("explain", "sample/notes/salaries.md")
    assert "held (overlap)" in demo.text("explain", "harbour/views/attach/harbour.md")
    (answer,) = demo.json("explain", "les-0002")["answers"]
    assert answer["verdict"] == "carried"
    assert "nothing is known of nobody" in demo.json("explain", "nobody", exit_code=2)["error"]


def test_recall_finds_what_was_carried(demo: Demo) -> None:
    hits = demo.json("recall", "ticket", "machines", "--limit", "2", "--shareable")
    assert len(hits) == 2
    assert {"key", "space", "text", "score", "origins", "why"} <= hits[0].keys()
    assert [hit["key"] for hit in demo.json("recall", "ticket", "--type", "decision")] == ["les-0002"]
    assert [hit["key"] for hit in demo.json("recall", "ticket", "--tag", "money")] == ["les-0002"]
    assert {hit["space"] for hit in demo.json("recall", "ticket", "--space", "harbour")} == {"harbour"}
    assert demo.json("recall", "ferry", "--since", "2026-11-30") == []
    assert all(hit["ts"] <= "2026-11-01" for hit in demo.json("recall", "ticket", "--until", "2026-10-01"))
    assert demo.json("recall", "ticket", "--machine", "sample-machine", "--shareable") != []
    assert "known: sample-machine" in demo.json("recall", "x", "--machine", "nobody", exit_code=2)["hint"]
    assert "[ticket]" in demo.text("recall", "ticket")
    assert "words " in demo.text("recall", "ticket", "--explain")
    assert "--limit: must be a whole number" in demo.json("recall", "x", "--limit", "0", exit_code=2)["error"]
    assert "no word to look for" in demo.json("recall", "?!", exit_code=2)["error"]


def test_recall_marks_what_is_held_and_leaves_it_out_of_what_may_be_passed_on(demo: Demo) -> None:
    assert {hit["held"] for hit in demo.json("recall", "clinic", "--tier", "core")} == {True}
    assert "held, stays here" in demo.text("recall", "clinic")
    assert demo.text("recall", "clinic", "--shareable") == "nothing found\n"


def shareable(demo: Demo) -> list[str]:
    """Ids of the topic `harbour`; and the list of topics says as many, and names no other."""
    found = sorted(one["id"] for one in demo.json("recall", "--topic", "harbour", "--shareable")["entries"])
    listed = [(one["topic"], one["entries"], one["private"]) for one in demo.json("recall", "--shareable")["topics"]]
    assert listed == ([("harbour", len(found), 0)] if found else [])
    return found


def test_of_a_topic_only_what_may_leave_is_passed_on(demo: Demo) -> None:
    demo.text("learn", "--topic", "ada", "--content", "Ada goes to the heart clinic", "--sensitivity", "private")
    demo.text("learn", "--topic", "harbour", "--content", "Gulls steal sandwiches")
    assert shareable(demo) == ["les-0001", "les-0002", "les-0004"], "the new one was not judged yet"
    demo.text("push")
    assert len(shareable(demo)) == 4
    demo.text("forget", "les-0004")
    assert "les-0004" not in shareable(demo)


def test_a_label_counts_before_it_was_read(demo: Demo) -> None:
    topic = demo.base / "sample" / "spark-memory" / "harbour.json"
    entries = json.loads(topic.read_text())
    topic.write_text(json.dumps([entries[0] | {"tags": ["private"]}, *entries[1:]]))
    assert shareable(demo) == ["les-0002", "les-0004"]
    topic.write_text(json.dumps({"visibility": "private", "entries": entries}))
    assert shareable(demo) == []


def test_what_was_cut_out_of_an_entry_is_not_passed_on(demo: Demo) -> None:
    config = demo.base / "memferry.yaml"
    config.write_text(config.read_text().replace("rules: []", "rules: [{name: m, do: redact, text: migrations}]"))
    demo.text("push")
    assert "[redacted:" in demo.text("recall", "ferry", "leaves", "--shareable")
    assert shareable(demo) == ["les-0002", "les-0004"]


def test_nothing_of_a_topic_is_passed_on_before_the_first_push(demo: Demo) -> None:
    other = ("--state", str(demo.base / "other"))
    assert demo.json("recall", "--shareable", *other)["topics"] == []
    assert demo.text("recall", "--topic", "harbour", "--shareable", *other) == "nothing found\n"
    (demo.base / "state" / "state.db").write_bytes(b"not a database" * 1000)
    assert "memferry doctor" in demo.json("recall", "--shareable", exit_code=1)["hint"]


def test_what_may_be_passed_on_waits_until_what_was_withdrawn_is_out_of_the_index(demo: Demo) -> None:
    note = demo.base / "sample" / "notes" / "ferry.md"
    note.write_text("the zanzibar ferry")
    demo.text("push")
    assert demo.json("recall", "zanzibar", "--shareable") != []
    note.write_text("---\nprivate: true\n---\nthe zanzibar ferry")
    demo.text("push")
    with StateLock(demo.base / "state", "another"):
        assert demo.json("recall", "zanzibar") != []
        demo.json("recall", "zanzibar", "--shareable", exit_code=3)
    assert demo.json("recall", "zanzibar", "--shareable") == []


def test_what_may_be_passed_on_is_what_the_files_say_now(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    note = demo.base / "sample" / "notes" / "ferry.md"
    note.write_text("the zanzibar ferry")
    demo.text("push")
    assert demo.json("recall", "zanzibar", "--shareable") != []
    note.write_text("---\nprivate: true\n---\nthe zanzibar ferry")
    with StateLock(demo.base / "state", "another"):
        capsys.readouterr()
        run(["--config", str(demo.base / "memferry.yaml"), "recall", "zanzibar", "--shareable"])
        shown = capsys.readouterr()
        assert shown.out == "nothing found\n"
        assert "answers were left out: their files cannot be read, or were changed and not read yet" in shown.err
    assert demo.json("recall", "zanzibar", "--shareable") == []
    assert demo.json("recall", "zanzibar") != []


@pytest.mark.parametrize(("text", "said"), [("---\nprivate: true\n---\nthe zanzibar ferry", False), ("open", True)])
def test_recall_beside_a_busy_service_tells_only_of_what_is_missing(
    demo: Demo, capsys: pytest.CaptureFixture[str], text: str, *, said: bool
) -> None:
    demo.json("recall", "ticket")
    (demo.base / "sample" / "notes" / "ferry.md").write_text(text)
    demo.text("push")
    with StateLock(demo.base / "state", "another"):
        assert run(["--config", str(demo.base / "memferry.yaml"), "recall", "ticket"]) == 0
    assert ("records are not in the index yet" in capsys.readouterr().err) is said


@pytest.mark.parametrize(("option", "done"), [("--rebuild", "rebuilt"), ("--embed", "embedded")])
def test_recall_makes_an_index_or_vectors_without_a_question(demo: Demo, option: str, done: str) -> None:
    assert demo.json("recall", option)[done]


def test_recall_makes_a_damaged_index_again(demo: Demo) -> None:
    index = demo.base / "state" / "index.db"
    assert demo.json("recall", "ticket", "--shareable") != []
    index.write_bytes(b"not a database" * 1000)
    assert "recall --rebuild" in demo.json("recall", "ticket", exit_code=1)["hint"]
    assert demo.json("recall", "ticket", "--shareable", "--rebuild") != []


def test_recall_makes_an_index_again_whose_tables_are_damaged(demo: Demo) -> None:
    demo.json("recall", "ticket")
    damage_schema(demo.base / "state" / "index.db", "entry", NO_TEXT)
    assert "recall --rebuild" in demo.json("recall", "ticket", exit_code=1)["hint"]
    assert demo.json("recall", "ticket", "--rebuild") != []


@pytest.mark.parametrize(
    ("table", "sql"),
    [
        ("meta", NO_TEXT),
        ("checkpoint", b"create table checkpoint(backend text primary key, another integer) without rowid"),
    ],
    ids=["not readable", "readable"],
)
def test_a_state_whose_tables_are_damaged_is_made_again(demo: Demo, table: str, sql: bytes) -> None:
    damage_schema(demo.base / "state" / "state.db", table, sql)
    demo.append("written later")
    assert "doctor --rebuild" in demo.json("push", exit_code=1)["hint"]
    assert "memferry doctor" in demo.json("status", exit_code=1)["hint"]
    assert "!!  state: " in demo.text("doctor", exit_code=1)
    demo.text("doctor", "--rebuild")
    pushed = demo.json("push")
    assert pushed["new"] == (1 if table == "meta" else 0)  # else it was read before, and was taken over
    assert pushed["backends"]["vault"]["sent"] >= 1
    assert demo.json("recall", "written later", "--limit", "1")[0]["text"] == "written later"


def test_doctor_notices_tables_in_which_sqlite_finds_nothing_wrong(demo: Demo) -> None:
    file = demo.base / "state" / "state.db"
    assert "ok  state: ok" in demo.text("doctor")
    with closing(sqlite3.connect(file)) as database:
        (sql,) = database.execute("select sql from sqlite_schema where name = 'counter'").fetchone()
    damage_schema(file, "counter", sql.replace("integer", "intager").encode())
    assert "!!  state: its tables are not those that were made" in demo.text("doctor", exit_code=1)


def test_conflicts_and_doctor_and_verify_of_a_whole_installation(demo: Demo) -> None:
    assert demo.text("conflicts") == "no conflicts\n"
    assert demo.json("doctor")["good"]
    assert "ok  backend vault: machines: sample-machine" in demo.text("doctor")
    assert demo.text("verify") == "vault: intact\n"


def test_doctor_finds_what_is_wrong(demo: Demo) -> None:
    (demo.base / "sample" / "notes").rename(demo.base / "moved")
    shown = demo.text("doctor", exit_code=1)
    assert "!!  space notes: " in shown
    assert "mount its disk" in shown


@pytest.mark.skipif(sys.platform != "linux", reason="/sys is where nobody can make a file, not even root")
def test_doctor_finds_folders_that_cannot_be_written_to(demo: Demo) -> None:
    settings = demo.base / "memferry.yaml"
    space, vault = demo.base / "sample" / "notes", demo.base / "vault"
    text = settings.read_text()
    settings.write_text(text.replace('"sample/notes"', "/sys/kernel").replace('"vault"', "/sys/kernel/mm"))
    shown = demo.text("doctor", exit_code=1)
    assert "!!  space notes: it cannot be read and written: /sys/kernel" in shown
    assert "!!  backend vault, folder: nothing can be written there: /sys/kernel" in shown
    assert shown.count("    let this user write to /sys/kernel") == 2
    settings.write_text(text)
    before = {folder: sorted(os.listdir(folder)) for folder in (space, vault, vault / "machines")}
    demo.text("doctor")
    assert {folder: sorted(os.listdir(folder)) for folder in before} == before


def test_a_vault_that_is_gone_is_told_by_whoever_looks(demo: Demo) -> None:
    """As an unmounted disk leaves its folder: empty."""
    vault = demo.base / "vault"
    vault.rename(demo.base / "unmounted")
    vault.mkdir()
    assert "!!  backend vault: no log lies there" in demo.text("doctor", exit_code=1)
    assert "! removed FORMAT: nothing lies there, though there was a vault" in demo.text("verify", exit_code=1)
    for command in ("pull", "machines"):
        shown = demo.text(command, exit_code=1)
        assert "vault is empty, though there was a vault" in shown
        assert "mount its disk" in shown
    assert list(vault.iterdir()) == []
    assert "repaired: " in demo.text("verify", "--repair")
    assert demo.text("verify") == "vault: intact\n"
    assert "machines: sample-machine" in demo.text("doctor")


def test_where_no_vault_was_yet_nothing_is_called_whole(demo: Demo) -> None:
    for name in ("state", "vault"):
        (demo.base / name).rename(demo.base / f"{name}-before")
    shown = demo.text("verify", exit_code=1)
    assert "! vault: there is no vault in vault" in shown
    assert "no machine has written there yet" in demo.text("machines")
    assert "correct its path" in shown
    assert demo.json("verify", exit_code=1)["backends"][0]["findings"] == []
    demo.text("pull")
    demo.text("push")
    assert demo.text("verify") == "vault: intact\n"


# -- taking back


def test_restore_gives_the_files_back(demo: Demo) -> None:
    report = demo.json("restore", "--machine", "sample-machine", "--to", str(demo.base / "out"))
    assert (report["files"], report["records"]) == (11, 16)
    sample, out = demo.base / "sample", demo.base / "out"
    piers = Path("notes", "piers.md")
    assert (out / piers).read_bytes() == (sample / piers).read_bytes()
    assert (out / piers).stat().st_mtime_ns == (sample / piers).stat().st_mtime_ns
    assert not (out / "notes" / "salaries.md").exists()
    assert "no machine nobody" in demo.json("restore", "--machine", "nobody", "--to", "x", exit_code=2)["error"]


def test_restore_is_relative_to_where_one_stands(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo.base)
    assert "restored 11 files" in demo.text("restore", "--machine", "sample-machine", "--to", "here")
    assert (demo.base / "here" / "notes" / "deploy.md").exists()


def test_forget_takes_it_out_of_everything(demo: Demo) -> None:
    assert demo.text("forget", "les-0004", "--dry-run").startswith("would withdraw 1 record\n  ")
    assert demo.text("forget", "les-0004") == "withdrew 1 record\n  gone from vault\n"
    assert demo.json("recall", "tide", "--shareable") == []
    assert "forgotten" in demo.text("explain", "les-0004")


def test_verify_finds_damage_and_repairs_it(demo: Demo) -> None:
    segment = next((demo.base / "vault").rglob("*.zst"))
    segment.unlink()
    shown = demo.text("verify", exit_code=1)
    assert re.search(r"! removed \S+ \(of sample-machine\): ", shown)
    assert "verify --backend vault --repair" in shown
    assert "repaired: " in demo.text("verify", "--repair")
    assert demo.text("verify") == "vault: intact\n"


# -- beside others


def test_a_second_instance_leaves_with_a_code_of_its_own(demo: Demo) -> None:
    with StateLock(demo.base / "state", "another"):
        answer = demo.json("push", exit_code=3)
    assert "another" in answer["error"] + answer["hint"]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM cannot be caught there")
def test_run_logs_into_a_pipe_and_stops_when_told(demo: Demo) -> None:
    command = [sys.executable, "-m", "memferry", "--config", str(demo.base / "memferry.yaml"), "run", "--json"]
    environ = os.environ | {"PYTHONPATH": PACKAGE}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert re.fullmatch(r'ts=\S+Z level=info part=agent\.daemon\.run msg="started: 3 spaces, .+"\n', first)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out) == {"new": 0, "held": 0}
    assert "\x1b" not in err
