"""What a pull does to files: shown before, done once, and left alone where it cannot be trusted."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from memferry.agent.commands import verbs
from memferry.agent.commands.doctor import doctor
from memferry.agent.service import opened
from memferry.backends import names
from memferry.config import Config, load
from memferry.formats.diasync import IDS
from tests.agent.machines import Machine, quiet
from tests.support import config_for

SAMPLE = Path(__file__).parents[1] / "data" / "diasync-sample"
EVENT = {
    "schema_version", "event_id", "type", "scope", "instance_id", "run_id", "actor", "ts_wall", "lc", "causal_refs",
    "visibility", "owner", "payload", "idempotency_key", "hash",
}  # fmt: skip
OBJECT = {
    "schema_version", "id", "type", "scope", "ts", "summary", "status", "horizon", "salience", "confidence", "tags",
    "event_refs", "visibility", "owner", "hash",
}  # fmt: skip
LEDGERS = ("streams/*/*/*.jsonl", "bus/*/*.jsonl", "views/*/*/*.jsonl")
"""What the reference tool reads (docs of the format, and its own globs)."""


# -- the plan is what happens


def edits(machine: Machine, *, dry_run: bool) -> dict[str, str]:
    pulled = machine.do("pull", dry_run=dry_run)["backends"]["vault"]
    return {edit["file"].removeprefix("notes/"): edit["how"] for edit in pulled["edits"]}


def tree(machine: Machine) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in machine.tree.rglob("*") if path.is_file()}


def test_a_dry_run_shows_each_file_and_how_and_then_it_happens(ant: Machine, bee: Machine) -> None:
    array = [{"id": "e1", "content": "one"}, {"id": "e2", "content": "two"}]
    ant.append("log.jsonl", {"id": "a1"}, {"id": "a2"})
    ant.write("topic.json", json.dumps(array))
    ant.write("plan.md", "# plan\n")
    ant.write("old.md", "# old\n")
    ant.do("push")
    bee.write("idea.md", "# bee's idea\n")
    bee.do("push")
    _expect(bee, {"log@ant.jsonl": "new", "topic.json": "new", "plan.md": "new", "old.md": "new"})
    ant.append("log.jsonl", {"id": "a3"})
    ant.write("topic.json", json.dumps([*array, {"id": "e3", "content": "three"}]))
    ant.write("plan.md", "# quite another\n")
    ant.write("idea.md", "# ant's idea\n")
    ant.do("push")
    ant.do("forget", targets=["old.md"])
    (copy,) = {"idea.conflict-bee"}
    before = tree(bee)
    shown = edits(bee, dry_run=True)
    assert tree(bee) == before
    assert {_plain(file): how for file, how in shown.items()} == {
        "log@ant.jsonl": "grows", "topic.json": "grows", "plan.md": "replaced", "old.md": "removed",
        "idea.md": "replaced", copy: "conflict copy",
    }  # fmt: skip
    assert edits(bee, dry_run=False) == shown
    changed = {
        _plain(str(Path(path).relative_to(bee.tree)))
        for path in before.items() ^ tree(bee).items()
        for path in path[:1]
    }
    assert changed == {_plain(file) for file in shown}
    ant.do("forget", targets=["a3"])
    _expect(bee, {"log@ant.jsonl": "shrinks"})
    _expect(bee, {})


def _expect(machine: Machine, wanted: dict[str, str]) -> None:
    assert edits(machine, dry_run=True) == wanted
    assert edits(machine, dry_run=False) == wanted


def _plain(file: str) -> str:
    stem, mark, _ = file.partition(".conflict-")
    return f"{stem}{mark}bee" if mark else file


# -- what is not to be trusted


def test_a_damaged_head_keeps_no_other_log_from_being_read(ant: Machine, bee: Machine, tmp_path: Path) -> None:
    ant.append("log.jsonl", {"id": "a1"})
    bee.append("log.jsonl", {"id": "b1"})
    quiet(ant, bee)
    ant.append("log.jsonl", {"id": "a2"})
    bee.append("log.jsonl", {"id": "b2"})
    for machine in (ant, bee):
        machine.do("push")
    head = tmp_path / "vault" / "machines" / ant.status()["machine"]["id"] / "head.json"
    whole = head.read_bytes()
    head.write_bytes(whole[:-9])
    cat = Machine(tmp_path, "cat")
    report = cat.do("pull")
    assert report["exit_code"] == 4
    assert cat.lines() == ["b1", "b2"]
    (refused,) = report["backends"]["vault"]["refused"]
    assert "cannot be read" in refused["error"]
    (problem,) = cat.status()["problems"]
    assert problem["area"] == "log"
    cat.do("restore", machine="bee", to=str(tmp_path / "back"))
    head.write_bytes(whole)
    assert cat.do("pull")["exit_code"] == 0
    assert cat.status()["problems"] == []
    assert cat.lines() == ["a1", "a2", "b1", "b2"]


def test_a_log_that_went_back_is_left_alone_and_the_others_are_read(ant: Machine, bee: Machine, tmp_path: Path) -> None:
    ant.append("log.jsonl", {"id": "a1"})
    ant.do("push")
    log = tmp_path / "vault" / "machines" / ant.status()["machine"]["id"]
    shutil.copytree(log, tmp_path / "old")
    ant.append("log.jsonl", {"id": "a2"})
    ant.do("push")
    cat = Machine(tmp_path, "cat")
    cat.do("pull")
    shutil.rmtree(log)
    shutil.copytree(tmp_path / "old", log)
    bee.append("log.jsonl", {"id": "b1"})
    bee.do("push")
    report = cat.do("pull")
    assert report["exit_code"] == 4
    assert "went back" in report["backends"]["vault"]["error"]
    (refused,) = report["backends"]["vault"]["refused"]
    assert refused["hint"] == "run `memferry verify --backend vault --repair` on ant"  # nobody else can
    assert refused["hint"] in [one["hint"] for one in cat.status()["problems"]]
    assert cat.lines() == ["a1", "a2", "b1"]


def test_a_name_that_windows_cannot_store_is_named_there_and_waits(
    ant: Machine, bee: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There `log:b.md` would be a stream of the file `log`, `Q: how.md` lie on another drive, and `end.` be called
    `end`."""
    odd = {"log:b.md", "Q: how.md", "back\\slash.md", "CON.md", "what?.md", "end./plan.md"}
    for name in (*odd, "plan.md"):
        ant.write(name, f"# {name}\n")
    ant.append("aux.jsonl", {"id": "a1"})
    ant.do("push")
    with monkeypatch.context() as windows:
        windows.setattr(names, "ON_WINDOWS", True)
        report = bee.do("pull")
        assert report["exit_code"] == 1
        assert {one["file"] for one in report["backends"]["vault"]["failed"]} == {f"notes/{name}" for name in odd}
        assert {"rename it on the machine that wrote it" in one["hint"] for one in bee.status()["problems"]} == {True}
        assert sorted(path.name for path in bee.tree.rglob("*") if path.is_file()) == ["aux@ant.jsonl", "plan.md"]
    assert bee.do("pull")["exit_code"] == 0
    assert all(bee.read(name) == f"# {name}\n" for name in odd)
    assert bee.status()["problems"] == []


def test_a_file_that_cannot_be_written_is_named_and_tried_again(ant: Machine, bee: Machine, tmp_path: Path) -> None:
    ant.append("deep/log.jsonl", {"id": "a1"})
    ant.write("deep/plan.md", "# plan\n")
    ant.append("flat.jsonl", {"id": "a2"})
    ant.do("push")
    (tmp_path / "elsewhere").mkdir()
    (bee.tree / "deep").symlink_to(tmp_path / "elsewhere")
    report = bee.do("pull")
    assert report["exit_code"] == 1
    assert bee.lines() == ["a2"]
    assert list((tmp_path / "elsewhere").iterdir()) == []
    failed = [one["file"] for one in report["backends"]["vault"]["failed"]]
    assert failed == ["notes/deep/log@ant.jsonl", "notes/deep/plan.md"]
    assert {problem["subject"] for problem in bee.status()["problems"] if problem["area"] == "pull"} == set(failed)
    (bee.tree / "deep").unlink()
    assert bee.do("pull")["exit_code"] == 0
    assert bee.lines() == ["a1", "a2"]
    assert bee.read("deep/plan.md") == "# plan\n"
    assert bee.status()["problems"] == []


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize(
    ("file", "first", "second", "mine"),
    [
        ("plan.md", "# Plan\n", "# Plan of ant\n", "# Plan of bee\n"),
        ("e.json", '[{"id": "e1"}]', '[{"id": "e1"}, {"id": "of-ant"}]', '[{"id": "e1"}, {"id": "of-bee"}]'),
    ],
)
def test_what_somebody_writes_while_a_pull_brings_its_version_to_the_disk_stays(
    ant: Machine, bee: Machine, monkeypatch: pytest.MonkeyPatch, is_there: bool, file: str, first: str, second: str,
    mine: str,
) -> None:  # fmt: skip
    """A slow disk takes its time to be sure of a file."""
    ant.write("other.md", "so that there is something\n")
    if is_there:
        ant.write(file, first)
    ant.do("push")
    bee.do("pull")
    ant.write(file, second)
    ant.do("push")

    def slowly(descriptor: int) -> None:
        if list(bee.tree.glob(".memferry-*.tmp")):
            bee.write(file, mine)
        os.fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr("memferry.durable.sync_file", slowly)
        pulled = bee.do("pull")["backends"]["vault"]
    assert "changed a moment ago" in str(pulled["failed"])
    assert bee.read(file) == mine
    assert not list(bee.tree.glob(".memferry-*"))
    quiet(ant, bee)
    for one in (ant, bee):
        assert "of-bee" in one.text() or "Plan of bee" in one.text()
        assert "of-ant" in one.text() or "Plan of ant" in one.text()


def test_two_machines_of_one_name_have_shards_of_their_own(ant: Machine, tmp_path: Path) -> None:
    one, two = _Same(tmp_path, "one"), _Same(tmp_path, "two")
    one.append("log.jsonl", {"id": "o1"})
    two.append("log.jsonl", {"id": "t1"})
    with opened(two.config, "test"):
        """Its name is chosen while nobody else has it."""
    one.do("push")
    two.do("push")
    ant.do("pull")
    shards = sorted(path.name for path in ant.tree.glob("log@same-*.jsonl"))
    assert len(shards) == 2
    assert ant.lines() == ["o1", "t1"]


class _Same(Machine):
    @property
    def config(self) -> Config:
        path = super().config.source
        path.write_text(path.read_text().replace(f"machine: {self.name}", "machine: same"))
        return load({}, file=str(path))


# -- withdrawn is withdrawn


@pytest.mark.parametrize("command", ["pull", "sync-memory"])
def test_so_it_can_when_it_was_removed_before_anything_else_was_done(ant: Machine, bee: Machine, command: str) -> None:
    entries = [{"id": f"e{number}"} for number in range(3)]
    ant.write("e.json", json.dumps(entries))
    ant.do("push")
    bee.do(command)
    bee.write("e.json", json.dumps(entries[1:]))
    quiet(bee, ant)
    assert _ids(ant.read("e.json")) == _ids(bee.read("e.json")) == ["e1", "e2"]


def test_an_entry_that_another_machine_wrote_can_be_removed(ant: Machine, bee: Machine) -> None:
    ant.write("topic.json", json.dumps([{"id": f"e{n}", "content": f"lantern {n}"} for n in range(4)]))
    quiet(ant, bee)
    entries = json.loads(bee.read("topic.json"))
    bee.write("topic.json", json.dumps(entries[1:]))
    assert bee.do("push")["removed"] == 1
    quiet(ant, bee)
    for machine in (ant, bee):
        assert {entry["id"] for entry in json.loads(machine.read("topic.json"))} == {"e1", "e2", "e3"}
        assert machine.status()["state"] == "ok"


def test_what_was_withdrawn_may_be_written_anew_and_pulled_twice(ant: Machine, bee: Machine, tmp_path: Path) -> None:
    ant.write("topic.json", json.dumps([{"id": f"e{n}", "content": f"lantern {n}"} for n in range(4)]))
    quiet(ant, bee)
    ant.write("topic.json", json.dumps([{"id": f"e{n}", "content": f"lantern {n}"} for n in range(3)]))
    quiet(ant, bee)
    bee.write("topic.json", json.dumps([{"id": f"e{n}", "content": f"lantern {n}"} for n in range(4)]))
    quiet(ant, bee)
    without = bee.config._replace(spaces=())
    with opened(without, "test") as agent:
        verbs.perform(agent, "pull", {})
    quiet(ant, bee)  # everything is read from its start again
    for machine in (ant, bee):
        assert len(json.loads(machine.read("topic.json"))) == 4


def test_a_retraction_told_by_two_vaults_withdraws_once(ant: Machine, bee: Machine) -> None:
    mirror = {"type": "local", "path": str(ant.base / "mirror")}
    entries = [{"id": f"e{n}", "content": f"lantern {n}"} for n in range(4)]

    def do(machine: Machine, command: str, **arguments: object) -> None:
        config = machine.config
        with opened(config._replace(backends={**config.backends, "mirror": mirror}), "test") as agent:
            verbs.perform(agent, command, arguments)

    ant.write("topic.json", json.dumps(entries))
    do(ant, "push")
    do(bee, "pull")
    ant.write("topic.json", json.dumps(entries[:3]))
    do(ant, "push")
    do(bee, "pull", backends=["vault"])
    assert "e3" not in bee.read("topic.json")
    bee.write("topic.json", json.dumps(entries))
    do(bee, "pull")
    assert "e3" in bee.read("topic.json"), "it was written anew by somebody who knew"


def test_many_retracted_entries_halt_nobody_else(ant: Machine, bee: Machine) -> None:
    ant.write("topic.json", json.dumps([{"id": f"e{n}", "content": f"lantern {n}"} for n in range(10)]))
    quiet(ant, bee)
    ant.write("topic.json", json.dumps([{"id": "e0", "content": "lantern 0"}]))
    ant.do("push", accept_deletions=True)
    quiet(bee, ant)
    assert json.loads(bee.read("topic.json")) == [{"id": "e0", "content": "lantern 0"}]
    assert bee.status()["state"] == "ok"


def test_a_lost_state_revives_no_line_that_was_withdrawn_meanwhile(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", {"id": "a1", "text": "walnut"}, {"id": "a2"})
    ant.append("all.jsonl", {"id": "a3", "text": "walnut too"})
    bee.append("own.jsonl", {"id": "b1"})
    quiet(ant, bee)
    ant.do("forget", targets=["a1", "a3"])
    shutil.rmtree(bee.state)
    quiet(bee, ant)
    assert bee.lines() == ["a2", "b1"]
    assert not any("walnut" in path.read_text() for path in bee.tree.rglob("*.jsonl"))


# -- a DiaSync memory


def test_a_pulled_diasync_memory_is_what_the_reference_tool_reads(tmp_path: Path) -> None:
    for name, files in (("ant", SAMPLE), ("bee", None)):
        space = tmp_path / name / "memory"
        if files:
            shutil.copytree(files, space)
        else:
            (space / "streams").mkdir(parents=True)
            (space / "bus").mkdir()
        machine = _Diasync(tmp_path, name)
        machine.do("push")
        machine.do("pull")
    pulled = tmp_path / "bee" / "memory"
    ledgers = [path for glob in LEDGERS for path in sorted(pulled.glob(glob))]
    assert {path.relative_to(pulled).parts[0] for path in ledgers} == {"streams", "bus", "views"}
    assert all("@ant" in path.stem for path in ledgers)
    stray = set(pulled.rglob("*.jsonl")) - set(ledgers)
    assert not [path for path in stray if path.relative_to(pulled).parts[0] in ("streams", "bus")]
    count = sum(_check_ledger(path) for path in ledgers)
    assert count > 20
    assert b"PRIVATE-CANARY" not in b"".join(path.read_bytes() for path in pulled.rglob("*") if path.is_file())


class _Diasync(Machine):
    @property
    def config(self) -> Config:
        return config_for(self.base, self.name, space="memory", more="agent: {settle_ms: 0}\n")


def _check_ledger(path: Path) -> int:
    content = path.read_bytes()
    assert content.endswith(b"\n")
    lines = content.split(b"\n")[:-1]
    for line in lines:
        record = json.loads(line)
        required = EVENT if record["schema_version"] == "diasync-v1-event" else OBJECT
        assert record["schema_version"] in IDS
        assert required <= record.keys(), f"{path}: {required - record.keys()}"
        assert record["visibility"] != "private"
        assert record["hash"] == _sha1(record, "hash"), f"{path}: another hash"
        if required is EVENT:
            assert record["idempotency_key"] == _sha1(record, "hash", "idempotency_key", "event_id")
    return len(lines)


def _sha1(record: dict[str, object], *without: str) -> str:
    body = {name: value for name, value in record.items() if name not in without}
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"sha1:{hashlib.sha1(text.encode()).hexdigest()}"


def _let_an_array_vanish(ant: Machine, bee: Machine) -> None:
    """It had an entry of each, and bee, which has others, has it no more."""
    ant.write("e.json", json.dumps([{"id": "e1"}]))
    ant.do("push")
    for number in range(9):
        bee.write(f"{number}.json", json.dumps([{"id": f"other-{number}"}]))
    bee.do("pull")
    bee.write("e.json", json.dumps([{"id": "e1"}, {"id": "b1"}]))
    quiet(ant, bee)
    (bee.tree / "e.json").unlink()


def test_entries_of_an_array_that_vanished_are_not_withdrawn_when_a_pull_makes_it_anew(
    ant: Machine, bee: Machine
) -> None:
    """Nobody removed them: the file holds nothing but what the pull brought."""
    ant.write("plan.md", "# Plan\n")
    _let_an_array_vanish(ant, bee)
    ant.write("e.json", json.dumps([{"id": "e1"}, {"id": "b1"}, {"id": "e3"}]))
    quiet(ant, bee)
    assert _ids(bee.read("e.json")) == ["e3"]
    assert _ids(ant.read("e.json")) == ["b1", "e1", "e3"]


@pytest.mark.parametrize("noticed", [True, False])
def test_nor_after_the_state_was_lost_as_well(ant: Machine, bee: Machine, noticed: bool) -> None:
    _let_an_array_vanish(ant, bee)
    if noticed:
        bee.do("push")
    doctor(bee.config, rebuild=True)
    quiet(ant, bee)
    assert _ids(bee.read("e.json")) == ["e1"]
    assert _ids(ant.read("e.json")) == ["b1", "e1"]


def test_what_was_deleted_comes_back_as_the_status_says(ant: Machine, bee: Machine, tmp_path: Path) -> None:
    """By itself it does not: a file that is gone may be meant to be gone."""
    ant.append("log.jsonl", {"id": "a1"})
    for number in range(9):
        ant.write(f"{number}.md", f"# page {number}\n")
    ant.write("e.json", json.dumps([{"id": "e1"}]))
    ant.do("push")
    bee.do("pull")
    bee.write("e.json", json.dumps([{"id": "e1"}, {"id": "b1"}]))
    bee.write("own.md", "# bee's own\n")
    quiet(ant, bee)
    before = tree(bee)
    shutil.rmtree(bee.tree)
    bee.tree.mkdir()
    halted = bee.do("pull")
    assert halted["halted"] == ["space notes: 11 of 11 files vanished at once"]
    assert halted["exit_code"] == 1
    assert tree(bee) == {}
    (problem,) = bee.status()["problems"]
    steps = "`memferry doctor --rebuild`, copy what `memferry restore` gives of this machine, then `memferry pull`"
    assert steps in problem["hint"]
    doctor(bee.config, rebuild=True)
    bee.do("restore", machine="bee", to=str(tmp_path / "to"))
    shutil.copytree(tmp_path / "to" / "notes", bee.tree, dirs_exist_ok=True)
    assert bee.do("pull")["halted"] == []
    assert _memory(tree(bee)) == _memory(before)
    assert _ids(bee.read("e.json")) == ["b1", "e1"]
    assert bee.status()["problems"] == []
    quiet(ant, bee)
    assert _ids(ant.read("e.json")) == ["b1", "e1"]


def test_an_entry_that_is_missing_in_a_file_that_came_back_is_not_withdrawn(ant: Machine, bee: Machine) -> None:
    for number in range(9):
        ant.write(f"{number}.json", json.dumps([{"id": f"other-{number}"}]))
    ant.write("e.json", json.dumps([{"id": "e1"}, {"id": "e2"}]))
    quiet(ant, bee)
    (ant.tree / "e.json").unlink()
    ant.do("push")
    ant.write("e.json", json.dumps([{"id": "e1"}]))
    quiet(ant, bee)
    assert _ids(bee.read("e.json")) == ["e1", "e2"]
    ant.write("e.json", json.dumps([{"id": "e3"}]))
    quiet(ant, bee)
    assert _ids(bee.read("e.json")) == ["e2", "e3"]  # of what lay in it since then, what is removed is withdrawn


def _memory(files: dict[str, bytes]) -> dict[str, bytes]:
    """But arrays, whose entries may lie in another order, and what locks them."""
    return {path: data for path, data in files.items() if path.endswith((".md", ".jsonl"))}


def _ids(array: str) -> list[str]:
    return sorted(entry["id"] for entry in json.loads(array))


# -- what is asked for by name


class Including(Machine):
    """Carries Claude Code's memory, and a folder that this would leave out."""

    @property
    def config(self) -> Config:
        config = super().config
        return config._replace(spaces=(config.spaces[0]._replace(format="diasync", include=("extra/",)),))


def test_what_was_asked_for_by_name_arrives_and_is_explained(tmp_path: Path) -> None:
    ant, bee = Including(tmp_path, "ant"), Including(tmp_path, "bee")
    ant.write("extra/x.md", "# A note\n")
    ant.write("extra/list.json", json.dumps([{"id": "e1", "content": "one"}]))
    ant.write("else/y.md", "# Not carried\n")
    ant.sync()
    bee.sync()
    assert bee.read("extra/x.md") == "# A note\n"
    assert json.loads(bee.read("extra/list.json")) == [{"id": "e1", "content": "one"}]
    assert not (bee.tree / "else").exists()
    with opened(ant.config, "test") as agent:
        (told,) = verbs.perform(agent, "explain", {"target": "notes/extra/x.md"})["answers"]
    assert told["verdict"] == "carried"


# -- pulls that fail


def test_a_pull_from_a_vault_that_is_away_is_bad_news_until_one_succeeds(ant: Machine, tmp_path: Path) -> None:
    ant.log("a1")
    ant.sync()
    (tmp_path / "vault").rename(tmp_path / "unplugged")
    assert ant.do("pull", dry_run=True)["exit_code"] == 1
    assert ant.status()["problems"] == [], "nothing is written when it is only tried"
    assert ant.do("pull")["exit_code"] == 1
    (problem,) = ant.status()["problems"]
    assert (problem["area"], problem["subject"]) == ("backend", "vault")
    assert ant.do("push")["exit_code"] == 0
    assert ant.status()["problems"], "with nothing to send it was not asked whether it is back"
    (tmp_path / "unplugged").rename(tmp_path / "vault")
    assert ant.do("pull")["exit_code"] == 0
    assert ant.status()["problems"] == []


def test_a_pull_that_is_refused_is_bad_news_until_one_succeeds(tmp_path: Path) -> None:
    ant, bee = (Machine(tmp_path, name, encryption="age") for name in ("ant", "bee"))
    ant.sync()
    ant.log("a1")
    ant.sync()
    assert bee.do("pull")["exit_code"] == 4
    (problem,) = bee.status()["problems"]
    assert (problem["area"], problem["subject"]) == ("pull", "vault")
    assert problem["hint"]
    ant.let_in(bee)
    assert bee.do("pull")["exit_code"] == 0
    assert bee.status()["problems"] == []
