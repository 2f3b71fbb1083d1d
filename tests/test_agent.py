"""Whole journeys of records: real files, a real state, a real vault."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from memferry.agent import doorbell
from memferry.agent.commands import verbs
from memferry.agent.commands.doctor import doctor
from memferry.agent.commands.status import status
from memferry.agent.files.scan import stat_of
from memferry.agent.lock import holder
from memferry.agent.outcome import Outcome
from memferry.agent.scope import Scope
from memferry.agent.service import opened
from memferry.cli.main import run
from memferry.config import load
from memferry.errors import ConfigError, Halted, StateError
from memferry.recall.asking import NOTE
from memferry.recall.index import connect
from tests.agent.machines import Machine

# -- what vanishes


def test_a_held_file_that_vanished_is_not_said_to_be_in_the_backends(ant: Machine) -> None:
    for number in range(4):
        ant.write(f"{number}.md", f"note {number}\n")
    ant.write("p.md", "---\nprivate: true\n---\n")
    ant.do("push")
    (ant.tree / "p.md").unlink()
    (ant.tree / "1.md").unlink()
    ant.do("push")
    assert ant.status()["spaces"][0]["gone"] == 1


def test_a_vanished_file_withdraws_nothing_and_is_restored(ant: Machine, tmp_path: Path) -> None:
    for number in range(3):
        ant.write(f"{number}.md", f"note {number}\n")
    ant.do("push")
    (ant.tree / "1.md").unlink()
    ant.do("push")
    ant.do("restore", machine="ant", to=str(tmp_path / "back"))
    assert (tmp_path / "back" / "notes" / "1.md").read_text() == "note 1\n"


def test_most_of_a_space_gone_halts_until_confirmed(ant: Machine) -> None:
    for number in range(5):
        ant.write(f"{number}.md", f"note {number}\n")
    ant.do("push")
    for number in range(4):
        (ant.tree / f"{number}.md").unlink()
    ant.append("new.jsonl", {"id": "n"})
    report = ant.do("push")
    assert report["exit_code"] == 1
    assert report["halted"] == ["space notes: 4 of 5 files vanished at once"]
    assert ant.status()["state"] == "halted"
    assert not any(op["op"] == "file" and op.get("gone") for op in ant.stored())
    assert ant.do("push", accept_deletions=True)["exit_code"] == 0
    assert sum(op["op"] == "file" and op.get("gone", False) for op in ant.stored()) == 4
    assert ant.status()["state"] == "ok"


def test_a_renamed_ledger_is_not_a_vanished_one_even_if_it_has_grown(ant: Machine) -> None:
    ant.append("log.jsonl", {"id": "k1"})
    ant.do("push")
    (ant.tree / "log.jsonl").rename(ant.tree / "log.jsonl.1")
    ant.append("log.jsonl.1", {"id": "k2"})
    assert ant.do("push")["exit_code"] == 0
    assert len(ant.bodies()) == 2


def test_a_missing_space_halts_and_the_others_go_on(ant: Machine) -> None:
    ant.write("a.md", "note\n")
    ant.do("push")
    ant.tree.rename(ant.tree.with_name("elsewhere"))
    report = ant.do("push")
    assert report["exit_code"] == 1
    assert "is not there" in report["halted"][0]
    ant.tree.with_name("elsewhere").rename(ant.tree)
    assert ant.do("push")["exit_code"] == 0
    assert ant.status()["state"] == "ok"


def test_a_space_that_goes_amid_the_work_halts_alone(ant: Machine) -> None:
    ant.write("a.md", "note\n")
    with opened(ant.config, "test") as agent:
        agent.ingest_all(Scope())
        ant.tree.rename(ant.tree.with_name("elsewhere"))
        for files in (None, ["a.md"]):
            with pytest.raises(Halted, match="cannot be read"):
                agent.ingest(agent.trees["notes"], Scope(), Outcome(1), files)
            assert [problem.subject for problem in agent.state.problems()] == ["notes"]
        assert agent.deliver()["vault"].error is None
    assert len(ant.bodies()) == 1


def test_a_removed_entry_is_withdrawn_from_every_byte(ant: Machine) -> None:
    entries = [{"id": f"e{n}", "content": f"the lantern number {n} hangs by the door"} for n in range(5)]
    ant.write("topic.json", json.dumps(entries))
    ant.do("push")
    ant.write("topic.json", json.dumps(entries[:4]))
    assert ant.do("push")["removed"] == 1
    assert b"number 4" not in ant.outside()
    assert len(ant.bodies()) == 4
    ant.write("topic.json", json.dumps(entries))
    ant.do("push")
    assert len(ant.bodies()) == 5


def test_many_removed_entries_halt(ant: Machine) -> None:
    entries = [{"id": f"e{n}", "content": f"lantern {n}"} for n in range(5)]
    ant.write("topic.json", json.dumps(entries))
    ant.do("push")
    ant.write("topic.json", "[]")
    assert "5 of 5 entries were removed at once" in ant.do("push")["halted"][0]
    assert ant.do("push")["exit_code"] == 1, "it stays halted"
    assert len(ant.bodies()) == 5
    assert ant.do("push", accept_deletions=True)["removed"] == 5
    assert ant.bodies() == []


def test_a_blank_version_replaces_nothing(ant: Machine) -> None:
    ant.write("a.md", "a full note\n")
    ant.write("b.md", "another\n")
    ant.do("push")
    ant.write("a.md", "")
    assert [ant.do("push")["exit_code"] for _ in range(2)] == [1, 1], "as long as it is"
    assert "a full note\n" in ant.bodies()
    assert "" not in ant.bodies()
    (problem,) = ant.status()["problems"]
    assert "is blank now" in problem["text"]
    ant.write("a.md", "a full note\n")
    assert ant.do("push")["exit_code"] == 0, "as it was before: nothing is wrong with it any more"
    assert ant.status()["problems"] == []


@pytest.mark.parametrize("again", ["", "\n\n"])
def test_a_document_that_was_blank_before_may_be_blank(ant: Machine, again: str) -> None:
    ant.write("a.md", "\n")
    ant.do("push")
    ant.write("a.md", again)
    assert ant.do("push")["exit_code"] == 0
    assert ant.do("push", force=True)["exit_code"] == 0
    ant.write("a.md", "full\n")
    ant.do("push")
    ant.write("a.md", again)
    assert ant.do("push")["exit_code"] == 1


def test_a_damaged_file_is_bad_news_until_it_is_repaired_removed_or_left_out(ant: Machine) -> None:
    ant.write("good.json", '[{"id": "e1", "content": "walnut"}]\n')
    damaged = [ant.write(f"{name}.json", "") for name in ("repaired", "removed", "left-out")]
    for _ in range(2):
        report = ant.do("push")
        assert report["exit_code"] == 1
        assert [one["file"] for one in report["failed"]] == [
            "notes/left-out.json", "notes/removed.json", "notes/repaired.json"
        ]  # fmt: skip
        assert {one["next_step"] for one in report["failed"]} == {"repair the file, or remove it"}
    assert ant.do("push", only=("notes/good.json",))["exit_code"] == 0, "this run is not about them"
    damaged[0].write_text("[]\n")
    damaged[1].unlink()
    ant.write(".memferryignore", "left-out.json\n")
    assert ant.do("push")["exit_code"] == 0
    assert ant.status()["problems"] == []
    ant.write("good.json", "[{")
    (failed,) = ant.do("push")["failed"]
    assert failed["next_step"] == "repair the file; its last good version is kept"


# -- what becomes private


def test_a_document_that_becomes_private_leaves_no_trace(ant: Machine) -> None:
    ant.write("open.md", "harmless\n")
    ant.write("diary-of-canary.md", "the copper saddle is under the walnut tree\n")
    ant.do("push")
    assert b"copper saddle" in ant.outside()
    ant.write("diary-of-canary.md", "---\nprivate: true\n---\nthe copper saddle is under the walnut tree\n")
    ant.do("push")
    assert b"copper saddle" not in ant.outside()
    assert b"diary-of-canary" not in ant.outside()
    assert b"copper" not in b"".join(path.read_bytes() for path in (ant.base / "ant" / "state").glob("state.db*"))


def test_what_names_a_later_private_record_is_withdrawn(ant: Machine) -> None:
    ant.append("a.jsonl", {"id": "child-1", "supersedes": "parent-1", "text": "an orchid by the window sill"})
    ant.do("push")
    assert b"orchid" in ant.outside()
    ant.append("a.jsonl", {"id": "parent-1", "visibility": "private", "text": "secret"})
    ant.do("push")
    assert b"orchid" not in ant.outside()


def test_what_repeats_a_later_private_record_is_withdrawn(ant: Machine) -> None:
    text = "the thunder over the glacier will reach the harbour before the violin is packed"
    ant.write("a.md", f"Today: {text}.\n")
    ant.do("push")
    assert b"thunder" in ant.outside()
    ant.append("b.jsonl", {"id": "p", "visibility": "private", "text": text})
    ant.do("push")
    assert b"thunder" not in ant.outside()


def test_a_label_that_is_lifted_is_carried_with_what_it_held(ant: Machine) -> None:
    lines = [{"id": "parent-1", "visibility": "private"}, {"id": "child-1", "supersedes": "parent-1"}, {"id": "c"}]
    ant.append("a.jsonl", *lines)
    ant.do("push")
    assert len(ant.bodies()) == 1
    lines[0]["visibility"] = "project"
    ant.write("a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    ant.do("push")
    ant.do("push")
    assert len(ant.bodies()) == 3


def test_forgotten_stays_away_although_it_is_still_in_its_file(ant: Machine) -> None:
    ant.append("a.jsonl", {"id": "k1", "text": "pepper and anchor"}, {"id": "k2"})
    ant.do("push")
    assert ant.do("forget", targets=["k1"])["withdrawn"] == 1
    ant.do("push", force=True)
    assert b"pepper" not in ant.outside()
    (answer,) = ant.do("explain", target="k1")["answers"]
    assert answer["verdict"] == "forgotten"
    with pytest.raises(ConfigError, match="nothing is known under k9"):
        ant.do("forget", targets=["k9"])


@pytest.mark.parametrize("form", ["{}\n{}\n", "[{}, {}]"], ids=["ledger", "array"])
def test_all_that_came_from_a_file_can_be_forgotten_by_its_name(ant: Machine, form: str) -> None:
    """A version that another file's has replaced, too."""
    suffix = "json" if form.startswith("[") else "jsonl"
    one, other = ['{"id": "k1", "text": "walnut"}', '{"id": "k2"}'], ['{"id": "k1", "text": "fig"}', '{"id": "k3"}']
    ant.write(f"a.{suffix}", form.format(*one))
    ant.write(f"b.{suffix}", form.format(*other))
    ant.do("push")
    assert b"walnut" in ant.outside()
    assert ant.do("forget", targets=[f"notes/a.{suffix}"])["withdrawn"] == 2
    assert b"walnut" not in ant.outside()
    assert [op["key"] for op in ant.stored() if op["op"] == "put"] == ["k3"]


@pytest.mark.parametrize("lost", [False, True], ids=["known", "lost"])
def test_what_was_rotated_away_is_not_forgotten_under_the_name_it_had(ant: Machine, lost: bool) -> None:
    ant.append("a.jsonl", {"id": "k1", "text": "walnut"})
    ant.do("push")
    (ant.tree / "a.jsonl").rename(ant.tree / "a-1.jsonl")
    ant.append("a.jsonl", {"id": "k2", "text": "fig"})
    ant.do("push")
    if lost:
        shutil.rmtree(ant.state)
    assert ant.do("forget", targets=["notes/a.jsonl"])["withdrawn"] == 1
    assert b"fig" not in ant.outside()
    assert b"walnut" in ant.outside()


def test_what_a_file_held_that_another_has_replaced_since_is_forgotten_with_it(ant: Machine) -> None:
    ant.append("a.jsonl", {"id": "k1", "text": "walnut"})
    ant.append("b.jsonl", {"id": "k2", "text": "fig"})
    ant.do("push")
    (ant.tree / "b.jsonl").rename(ant.tree / "a.jsonl")
    ant.do("push")
    assert ant.do("forget", targets=["notes/a.jsonl"])["withdrawn"] == 2
    assert not {b"walnut", b"fig"} & set(ant.outside().split(b'"'))


def test_entries_that_were_pulled_into_a_file_are_forgotten_with_it(ant: Machine, bee: Machine) -> None:
    ant.write("topic.json", '[{"id": "k1", "text": "walnut"}]')
    ant.do("push")
    bee.write("topic.json", '[{"id": "k2", "text": "fig"}]')
    bee.sync()
    assert bee.do("forget", targets=["notes/topic.json"])["withdrawn"] == 2
    ant.sync()
    assert not {b"walnut", b"fig"} & set(ant.outside().split(b'"'))


def test_what_is_held_later_in_a_renamed_file_is_counted_and_released_there(ant: Machine) -> None:
    ant.write("p.json", '[{"id": "p1", "text": "walnut"}]')
    ant.append("a.jsonl", {"id": "r1", "source_event_id": "p1"}, {"id": "r2"})
    ant.do("push")
    (ant.tree / "a.jsonl").rename(ant.tree / "a-1.jsonl")
    ant.do("push")
    ant.write("p.json", '[{"id": "p1", "text": "walnut", "private": true}]')
    ant.do("push")
    (space,) = ant.status()["spaces"]
    assert space["held"] == sum(ant.status()["held"].values()) == 2
    assert {one["file"] for one in ant.do("held", limit=50)["held"]} == {"p.json", "a-1.jsonl"}
    ant.write("p.json", '[{"id": "p1", "text": "walnut"}]')
    ant.do("push")
    assert ant.status()["held"] == {}


def test_a_thorough_look_finds_an_edit_that_the_stat_hides(ant: Machine) -> None:
    ant.append("a.jsonl", {"id": "k1", "text": "one"}, {"id": "k2"})
    ant.do("push")
    with opened(ant.config, "test") as agent:  # as if the stat had been the same
        ant.write("a.jsonl", '{"id": "k1", "text": "two"}\n{"id": "k2"}\n')
        known = agent.catalog.files.find("notes", "a.jsonl")
        assert known is not None
        with agent.state.transaction():
            agent.catalog.files.save(known._replace(stat=stat_of((ant.tree / "a.jsonl").stat())))
        assert verbs.perform(agent, "push", {})["modified"] == 0
        assert verbs.perform(agent, "push", {"thorough": True})["modified"] == 1
    assert any("two" in body for body in ant.bodies())


# -- plan


def test_a_dry_run_says_what_a_run_does_and_changes_nothing(ant: Machine) -> None:
    ant.append("a.jsonl", {"id": "k1"}, {"id": "k2", "visibility": "private"}, {"id": "k1"})
    ant.write("n.md", "# n\n")
    rehearsed = ant.do("push", dry_run=True)
    assert not (ant.base / "vault").exists()
    done = ant.do("push")
    names = ("new", "modified", "unchanged", "held", "duplicates", "excluded", "failed")
    assert {name: rehearsed[name] for name in names} == {name: done[name] for name in names}
    assert rehearsed["backends"]["vault"]["would_send_bytes"] > 0


# -- the vault's disk


def test_the_folders_of_a_vault_are_made_at_first_and_missed_later(ant: Machine) -> None:
    ant.append("a.jsonl", {"id": "k1"})
    disk = ant.base / "disk"
    config = ant.config._replace(backends={"vault": {"type": "local", "path": str(disk / "deep" / "vault")}})
    for records, code in (([], 0), ([{"id": "k2"}], 1)):
        ant.append("a.jsonl", *records)
        with opened(config, "test") as agent:
            report = verbs.perform(agent, "push", {})
        assert report["exit_code"] == code
        if not records:
            disk.rename(ant.base / "unmounted")
    assert "is not there" in report["backends"]["vault"]["error"]
    assert not disk.exists()
    assert [problem["area"] for problem in status(config)["problems"]] == ["backend"]
    (ant.base / "unmounted").rename(disk)
    with opened(config, "test") as agent:
        agent.state.execute("update checkpoint set next_attempt_at = next_attempt_at + 60")
        assert agent.deliver(patient=False) == {}, "it rests after a failure"
        assert verbs.perform(agent, "push", {})["exit_code"] == 0
    assert status(config)["problems"] == []


def test_a_vault_that_is_gone_is_made_anew_by_a_repair_in_the_process_that_saw_it(ant: Machine) -> None:
    ant.log("one")
    with opened(ant.config, "test") as agent:
        verbs.perform(agent, "push", {})
        shutil.rmtree(ant.base / "vault")
        ant.log("two")
        assert "though there was" in verbs.perform(agent, "push", {})["backends"]["vault"]["error"]
        (report,) = verbs.perform(agent, "verify", {"repair": True})["backends"]
        assert report["error"] is None
        assert all(one["done"] for one in report["repaired"])
        verbs.perform(agent, "push", {})
    assert len(ant.bodies()) == 2
    assert ant.do("verify")["exit_code"] == 0


def test_a_vault_of_a_newer_version_is_refused_and_nothing_is_lost(ant: Machine) -> None:
    ant.append("a.jsonl", {"id": "k1"})
    ant.do("push")
    marker = ant.base / "vault" / "FORMAT"
    marker.write_text(marker.read_text().replace('"version":1', '"version":2'))
    ant.append("a.jsonl", {"id": "k2"})
    report = ant.do("push")
    assert report["exit_code"] == 4
    assert "version 2" in report["backends"]["vault"]["error"]
    assert ant.do("verify")["exit_code"] == 1  # its heads say otherwise: somebody changed it
    (head,) = (ant.base / "vault").rglob("head.json")
    before = head.read_text()
    head.write_text(before.replace('"version":1', '"version":2'))
    assert ant.do("verify")["exit_code"] == 4
    head.write_text(before)
    marker.write_text(marker.read_text().replace('"version":2', '"version":1'))
    assert ant.do("push")["exit_code"] == 0
    assert len(ant.bodies()) == 2


# -- two machines


def test_two_machines_have_each_others_records(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"}, {"id": "a2", "visibility": "private"})
    ant.write("topic.json", json.dumps([{"id": "e1", "content": "from ant"}], indent=2))
    bee.write("topic.json", json.dumps([{"id": "e2", "content": "from bee"}], indent=2))
    ant.write("plan.md", "# plan\n")
    for machine in (ant, bee, ant):
        machine.do("push")
        machine.do("pull")
    assert json.loads((bee.tree / "log@ant.jsonl").read_text()) == {"id": "a1"}
    assert (bee.tree / "plan.md").read_text() == "# plan\n"
    for machine in (ant, bee):
        ids = {entry["id"] for entry in json.loads((machine.tree / "topic.json").read_text())}
        assert ids == {"e1", "e2"}
        assert machine.do("push")["backends"]["vault"]["sent"] == 0, "nothing pulled is pushed back"


def test_a_pull_that_is_only_tried_shows_the_files_and_touches_none(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"})
    ant.do("push")
    tried = bee.do("pull", dry_run=True)["backends"]["vault"]
    assert (tried["taken"], tried["files"]) == (1, ("notes/log@ant.jsonl",))
    assert list(bee.tree.iterdir()) == []
    assert bee.do("pull")["backends"]["vault"]["files"] == tried["files"]


def test_an_edit_made_from_what_is_here_goes_forward(ant: Machine, bee: Machine) -> None:
    ant.write("plan.md", "# plan\n\none\n")
    ant.do("push")
    bee.do("pull")
    bee.write("plan.md", "# plan\n\nquite another\n")
    bee.do("push")
    ant.do("pull")
    assert (ant.tree / "plan.md").read_text() == "# plan\n\nquite another\n"
    assert ant.do("conflicts")["conflicts"] == []


def test_two_edits_that_knew_nothing_of_each_other_are_both_kept_everywhere(ant: Machine, bee: Machine) -> None:
    ant.write("plan.md", "# ant's plan\n")
    ant.do("push")
    bee.write("plan.md", "# bee's plan\n")
    bee.do("push")
    for machine in (ant, bee, ant, bee):
        machine.do("pull")
        machine.do("push")
    for machine in (ant, bee):
        assert (machine.tree / "plan.md").read_text() == "# bee's plan\n", "the later one is current"
        (copy,) = machine.tree.glob("plan.conflict-ant-*.md")
        assert copy.read_text() == "# ant's plan\n"
        assert len(machine.do("conflicts")["conflicts"]) == 1


def test_a_retraction_reaches_the_other_machine(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1", "text": "walnut"}, {"id": "a2"})
    ant.write("plan.md", "# walnut plan\n")
    ant.do("push")
    bee.do("pull")
    ant.do("forget", targets=["a1", "plan.md"])
    bee.do("pull")
    assert (bee.tree / "log@ant.jsonl").read_text() == '{"id": "a2"}\n'
    assert not (bee.tree / "plan.md").exists()
    bee.do("push")
    assert b"walnut" not in bee.outside()


def test_what_another_machine_wrote_can_be_forgotten_too(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1", "text": "walnut"}, {"id": "a2"})
    ant.do("push")
    bee.do("pull")
    assert bee.do("forget", targets=["a1"])["withdrawn"] == 1
    assert (bee.tree / "log@ant.jsonl").read_text() == '{"id": "a2"}\n'
    ant.do("pull")
    ant.do("push")
    assert b"walnut" not in ant.outside()
    bee.do("pull")
    assert b"walnut" not in b"".join(path.read_bytes() for path in bee.tree.iterdir())


def test_a_retraction_takes_the_copy_that_the_other_machine_wrote_itself(ant: Machine, bee: Machine) -> None:
    for machine in (ant, bee):  # the same repository on both
        machine.append("log.jsonl", {"id": "a1", "text": "walnut"}, {"id": "a2"})
        machine.do("push")
    bee.do("pull")
    ant.do("forget", targets=["a1"])
    bee.do("pull")
    bee.do("push")
    assert b"walnut" not in bee.outside()


def test_a_space_that_is_configured_later_gets_what_was_passed_over(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"})
    ant.do("push")
    without = bee.config._replace(spaces=())
    with opened(without, "test") as agent:
        assert verbs.perform(agent, "pull", {})["backends"]["vault"]["taken"] == 0
    assert bee.do("pull")["backends"]["vault"]["taken"] == 1
    assert bee.do("pull")["backends"]["vault"]["taken"] == 0


def test_a_lost_state_knows_again_what_it_had_pulled(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"})
    ant.write("plan.md", "# plan\n")
    ant.do("push")
    bee.append("own.jsonl", {"id": "b1"})
    bee.do("push")
    bee.do("pull")
    before = bee.outside()
    shutil.rmtree(bee.base / "bee" / "state")
    report = bee.do("push")
    assert (report["new"], report["backends"]["vault"]["sent"]) == (0, 0)
    assert bee.outside() == before


def test_a_log_that_went_back_is_refused(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"})
    ant.do("push")
    shutil.copytree(ant.base / "vault", ant.base / "old")
    ant.append("log.jsonl", {"id": "a2"})
    ant.do("push")
    bee.do("pull")
    shutil.rmtree(ant.base / "vault")
    shutil.copytree(ant.base / "old", ant.base / "vault")
    refused = bee.do("pull")
    assert refused["exit_code"] == 4
    assert "went back" in refused["backends"]["vault"]["error"]
    assert bee.do("verify")["exit_code"] == 1


def test_a_machine_is_called_what_its_configuration_calls_it_by_now(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1"})
    ant.do("push")
    for name in ("owl", "ant"):
        assert ant.config
        ant.file.write_text(ant.file.read_text().replace("machine: ant", f"machine: {name}"))
        renamed = load({}, file=str(ant.file))
        ant.append("log.jsonl", {"id": name})
        with opened(renamed, "test") as agent:
            verbs.perform(agent, "push", {})
        assert status(renamed)["machine"]["name"] == name
        (shown,) = bee.do("machines")["backends"][0]["machines"]
        assert shown["name"] == name


# -- the service


@contextmanager
def running(machine: Machine) -> Iterator[subprocess.Popen[str]]:
    """`memferry run` in a process of its own, watching."""
    config = machine.config
    command = [sys.executable, "-m", "memferry", "--config", str(config.source), "run"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: (held := holder(config.state)) is not None and held.purpose == "run")
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def wait_for(true: Any, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_the_service_carries_an_append_by_itself_and_stops_cleanly(ant: Machine) -> None:
    with running(ant) as process:
        ant.append("log.jsonl", {"id": "a1"})
        wait_for(lambda: (ant.base / "vault").exists() and "a1" in "".join(ant.bodies()))
    assert process.returncode == 0


def test_a_command_beside_the_service_is_done_by_it(ant: Machine) -> None:
    with running(ant):
        ant.append("log.jsonl", {"id": "a1"})
        report = verbs.ask(ant.config, "push", {})
        assert report["exit_code"] == 0
        assert len(ant.bodies()) == 1
        with pytest.raises(ConfigError, match="nothing is known of k9"):
            verbs.ask(ant.config, "explain", {"target": "k9"})
        assert ant.status()["service"]["running"]
    assert doorbell.ring(ant.config.state, "push", {}) is None


def test_a_question_beside_the_service_is_answered_by_a_process_that_stays_for_the_next(
    ant: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ant.append("log.jsonl", {"id": "a1", "text": "the harbour is open"})
    ant.do("push")
    question = ["--config", str(ant.config.source), "recall", "harbour", "--tier", "core", "--json"]
    with running(ant):
        assert run(question) == 0
        first = capsys.readouterr().out
        wait_for((ant.state / NOTE).exists)
        monkeypatch.setattr("memferry.cli.recall.searcher", None)  # nobody reads the index here any more
        assert run(question) == 0
        assert capsys.readouterr().out == first
    assert json.loads(first)[0]["key"] == "a1"
    assert list(ant.state.glob("answering*")) == []


def test_a_model_is_loaded_where_it_stays_also_for_the_first_question(
    ant: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ant.append("log.jsonl", {"id": "a1", "text": "the kitten sleeps"})
    ant.do("push")
    ant.do("index", embed=None)
    monkeypatch.setattr("memferry.cli.recall.searcher", None)  # nobody reads the index here
    monkeypatch.setattr("memferry.cli.recall.A_MOMENT_S", 30.0)
    with running(ant):
        assert run(["--config", str(ant.config.source), "recall", "cat", "--tier", "model", "--json"]) == 0
    (hit,) = json.loads(capsys.readouterr().out)
    assert hit["key"] == "a1"
    assert "vectors" in hit["why"]["scores"]


def test_on_a_full_disk_what_is_in_the_index_answers(
    ant: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's own error for it: a file that may not grow any more."""

    def full(path: Path) -> sqlite3.Connection:
        database = connect(path)
        database.execute("pragma max_page_count = 1")  # as many as there are
        return database

    ant.append("log.jsonl", {"id": "a1", "text": "the harbour is open"})
    ant.do("push")
    ant.do("index")
    for number in range(200):
        ant.append("log.jsonl", {"id": f"b{number}", "text": "the gull cries " * 50})
    ant.do("push")
    monkeypatch.setattr("memferry.recall.index.connect", full)
    question = ["--config", str(ant.config.source), "recall", "harbour", "--tier", "core", "--json"]
    assert run(question) == 0
    shown = capsys.readouterr()
    assert [hit["key"] for hit in json.loads(shown.out)] == ["a1"]
    assert "no space left" in shown.err
    assert "free some disk space" in shown.err


def test_the_service_heeds_a_marker_that_comes_while_it_runs(ant: Machine) -> None:
    with running(ant):
        ant.write("secret/.memferry-off", "")
        wait_for(lambda: verbs.ask(ant.config, "push", {})["exit_code"] == 0)
        ant.write("secret/plan.md", "# walnut\n")
        ant.append("log.jsonl", {"id": "a1"})
        wait_for(lambda: (ant.base / "vault").exists() and "a1" in "".join(ant.bodies()))
        verbs.ask(ant.config, "push", {})
        assert b"walnut" not in ant.outside()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no umask on Windows")
def test_the_state_is_for_its_owner_alone(ant: Machine, careless: None) -> None:
    ant.append("log.jsonl", {"id": "a1"})
    ant.do("push")
    state = ant.base / "ant" / "state"
    assert state.stat().st_mode & 0o777 == 0o700
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in state.iterdir() if path.is_file()} == {
        path.name: "0o600" for path in state.iterdir() if path.is_file()
    }


@pytest.mark.skipif(sys.platform == "win32", reason="there are no modes on Windows")
@pytest.mark.parametrize("name", ["secret.key", "state.db"])
def test_doctor_says_that_a_state_is_open_to_others(ant: Machine, name: str) -> None:
    ant.append("log.jsonl", {"id": "a1"})
    ant.do("push")
    assert all(check.good for check in doctor(ant.config))
    (ant.state / name).chmod(0o666)
    (bad,) = [check for check in doctor(ant.config) if not check.good]
    assert f"{name} is open to other users (mode 666)" in bad.finding
    assert bad.hint == f"run `chmod 600 {ant.state / name}`"


def test_a_state_of_an_earlier_version_is_made_again(ant: Machine) -> None:
    ant.append("a.jsonl", {"id": "k1"}, {"id": "k2", "visibility": "private"})
    ant.do("push")
    before = ant.bodies()
    with contextlib.closing(sqlite3.connect(ant.config.state / "state.db")) as database:
        database.execute("pragma user_version = 1")
    with pytest.raises(StateError, match="earlier memferry") as caught:
        ant.do("push")
    assert "doctor --rebuild" in caught.value.hint
    with contextlib.closing(sqlite3.connect(ant.config.state / "state.db")) as database:
        database.execute("alter table file drop column stat")
    with pytest.raises(StateError, match="another version"):
        status(ant.config)
    doctor(ant.config, rebuild=True)
    assert ant.do("push")["new"] == 0
    assert ant.bodies() == before
