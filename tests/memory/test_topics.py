"""Topics at a glance, entries best first, and counts that merge by sum."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memferry.agent.commands.status import status
from memferry.cli.main import run
from memferry.errors import ConfigError, ScannerBroken
from memferry.memory import access, arrays, drafts, entries, glance, importance, locks, topics
from memferry.memory.drafts import Draft
from memferry.memory.entries import Topic
from memferry.memory.importance import Access
from memferry.memory.where import Home
from memferry.recall.search import Hit
from memferry.values import iso, seconds
from tests.agent.machines import Machine, quiet

DAY = 24 * 3600.0
NOW = seconds("2026-11-21T12:00:00Z") or 0.0


def write(folder: Path, topic: str, *found: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{topic}.json").write_text(json.dumps(found))
    return folder / f"{topic}.json"


def entry(name: str, days: float = 0.0, **more: Any) -> dict[str, Any]:
    """As other tools write them. `days`: since it was last accessed."""
    at = iso(NOW - days * DAY)
    kept = {"id": name, "type": "fact", "content": f"what {name} says", "importance": 0.5, "sensitivity": "internal"}
    return {**kept, "access_count": 0, "last_accessed": at, "created_at": at, "updated_at": at, **more}


# -- what an entry counts


@pytest.mark.parametrize(
    ("fields", "used", "expected"),
    [
        ({}, Access(0, NOW), 0.5),
        ({}, Access(5, NOW), 0.6),
        ({}, Access(0, NOW - 70 * DAY), 0.4),
        ({"type": "reflection"}, Access(10, NOW - 7 * DAY), 0.69),
        ({"type": "decision"}, Access(1, NOW - 700 * DAY), 0.52),
        ({"type": "lesson"}, Access(0, NOW - 700 * DAY), 0.5),
        ({}, Access(0, NOW + DAY), 0.5),
        ({"importance": "high"}, Access(0, None), 0.7),
        ({"importance": 10**400}, Access(0, None), 0.7),
    ],
)
def test_effective_importance(fields: dict[str, Any], used: Access, expected: float) -> None:
    assert importance.effective({**entry("a"), **fields}, used, NOW) == pytest.approx(expected)


def test_times_of_other_tools_are_understood() -> None:
    assert seconds("2026-11-21T12:00:00Z") == seconds("2026-11-21T13:00:00.000+01:00") == NOW
    assert seconds("2026-11-21T12:00:00") == NOW
    assert [seconds(one) for one in ("yesterday", None, 7)] == [None] * 3
    assert importance.own({"access_count": 10**400, "created_at": iso(NOW)}) == Access(0, NOW)
    assert importance.own({"access_count": "7", "created_at": iso(NOW)}) == Access(0, NOW)


@given(st.lists(st.builds(Access, st.integers(0, 50), st.none() | st.floats(0, 1e9)), max_size=5), st.randoms())
def test_counts_merge_in_any_order(counts: list[Access], random: Any) -> None:
    def together(some: list[Access]) -> Access:
        found = Access()
        for one in some:
            found = found.and_also(one)
        return found

    shuffled = random.sample(counts, len(counts))
    assert together(counts) == together(shuffled)
    assert together(counts).times == sum(one.times for one in counts)


# -- topics


def test_every_topic_at_a_glance(tmp_path: Path) -> None:
    write(
        tmp_path,
        "deploy",
        entry("a", 40),
        entry("b", 29.5),
        entry("c", 400, type="decision"),
        entry("d", sensitivity="private"),
        entry("e", sensitivity="public"),
        {"id": "f", "content": "as tools write it that know no labels"},
    )
    (tmp_path / "broken.json").write_text("[")
    (tmp_path / "notes.md").write_text("no topic")
    broken, deploy = topics.overview(tmp_path, NOW)
    assert broken.problem
    assert "broken.json" in broken.problem
    assert (deploy.topic, deploy.entries, deploy.private, deploy.fading) == ("deploy", 6, 1, 1)
    assert deploy.newest == NOW
    assert deploy.fades_at == pytest.approx(NOW + 0.5 * DAY)


def test_entries_come_best_first(tmp_path: Path) -> None:
    write(
        tmp_path,
        "deploy",
        entry("low", importance=0.2),
        entry("old", 140),
        entry("used", access_count=20),
        entry("plain"),
    )
    assert [one.entry["id"] for one in topics.ranked(tmp_path, "deploy", NOW)] == ["used", "plain", "old", "low"]
    with pytest.raises(ConfigError) as told:
        topics.ranked(tmp_path, "depoy", NOW)
    assert "'deploy'" in told.value.hint


# -- counting


def test_a_recall_counts_and_changes_no_entry(tmp_path: Path) -> None:
    path = write(tmp_path, "deploy", entry("a", 40), entry("b"))
    before = path.read_bytes()
    access.count(tmp_path, ["a"], NOW)
    access.count(tmp_path, ["a", "b"], NOW + 5)
    assert access.totals(tmp_path)["a"] == Access(2, NOW + 5)
    assert path.read_bytes() == before
    assert not (tmp_path / access.FOLDER).exists()
    (one,) = topics.overview(tmp_path, NOW)
    assert one.fading == 0, "what was recalled does not fade"


def test_counts_travel_with_the_next_change_and_are_summed(ant: Machine, bee: Machine) -> None:
    kept = Topic(ant.tree, "deploy.json")
    first = drafts.entry_of(Draft("run migrations first"), time.time(), os.urandom(6))
    entries.add(kept, first)
    quiet(ant, bee)
    for _ in range(3):
        access.count(ant.tree, [first["id"]], NOW)
    access.count(bee.tree, [first["id"]], NOW + 1)
    for machine in (ant, bee):
        report = machine.do("push")
        assert (report["new"], report["modified"]) == (0, 0), "a recall alone is nothing to carry"
    assert access.totals(bee.tree)[first["id"]].times == 1
    for machine in (ant, bee):
        entries.add(Topic(machine.tree, "other.json"), drafts.entry_of(Draft("x"), time.time(), os.urandom(6)))
        access.publish(machine.tree)
    quiet(ant, bee)
    for machine in (ant, bee):
        assert access.totals(machine.tree)[first["id"]] == Access(4, NOW + 1)
    access.count(ant.tree, [first["id"]], NOW + 2)
    access.publish(ant.tree)
    quiet(ant, bee)
    assert access.totals(ant.tree) == access.totals(bee.tree)
    assert not bee.status()["problems"]


def test_the_count_of_a_private_entry_stays_at_home(ant: Machine, bee: Machine) -> None:
    both = (Draft("what Ada said in confidence", sensitivity="private"), Draft("what everybody may know"))
    private, internal = (drafts.entry_of(one, time.time(), os.urandom(6)) for one in both)
    for one in (private, internal):
        entries.add(Topic(ant.tree, "people.json"), one)
    access.count(ant.tree, [private["id"], internal["id"]], NOW)
    access.publish(ant.tree)
    quiet(ant, bee)
    assert list(access.totals(bee.tree)) == [internal["id"]]
    assert private["id"].encode() not in ant.outside()


def test_a_copy_of_a_folder_counts_by_itself(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    write(one, "deploy", entry("a"))
    access.count(one, ["a"], NOW)
    access.publish(one)
    shutil.copytree(one, other)
    for folder in (one, other):
        access.count(folder, ["a"], NOW)
        access.publish(folder)
    assert len(list((other / access.FOLDER).glob("*.json"))) == 2
    assert access.totals(other)["a"].times == 2


def test_of_a_damaged_counter_what_travels_is_left(tmp_path: Path) -> None:
    access.count(tmp_path, ["a"], NOW)
    (damaged,) = (tmp_path / locks.FOLDER / access.FOLDER).iterdir()
    damaged.write_text("[")
    assert access.totals(tmp_path) == {}
    for expected in (1, 2):
        access.count(tmp_path, ["a"], NOW)
        assert access.totals(tmp_path)["a"].times == expected
    access.publish(tmp_path)
    damaged.write_text("[")
    assert access.totals(tmp_path)["a"].times == 2
    access.count(tmp_path, ["a"], NOW)
    assert access.totals(tmp_path)["a"].times == 3


DIES_AT_EACH_STEP = """
import itertools, os, shutil, sys
from pathlib import Path
from memferry.memory import access
from memferry.values import iso, seconds

def die_at(last):
    steps = itertools.count(1)
    touching = ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate")
    sys.addaudithook(lambda event, _: event in touching and next(steps) == last and os._exit(9))

for last in itertools.count(1):
    folder = shutil.copytree(sys.argv[1], Path(sys.argv[2], str(last)))
    counter = folder / ".memferry" / access.COUNTER
    counter.write_text(f"{counter.read_text().split()[0]} {counter.stat().st_ino}")  # it is to be hurt, and no copy
    if os.fork() == 0:
        die_at(last)
        getattr(access, sys.argv[3])(folder, *([["a"], 0.0] if sys.argv[3] == "count" else []))
        os._exit(0)
    if os.wait()[1] == 0:
        break
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks what it kills")
@pytest.mark.parametrize(("step", "more"), [("count", {0, 1}), ("publish", {0})])
def test_a_count_that_is_killed_anywhere_is_neither_lost_nor_doubled(tmp_path: Path, step: str, more: set[int]) -> None:
    """Whatever touches the disk is the last thing that is done, once each; the last folder is of who was not killed."""
    start, killed = tmp_path / "start", tmp_path / "killed"
    write(start, "deploy", entry("a"))
    for _ in range(2):
        access.count(start, ["a"], NOW)
        access.publish(start)
    access.count(start, ["a"], NOW)
    subprocess.run([sys.executable, "-c", DIES_AT_EACH_STEP, str(start), str(killed), step], check=True)
    folders = sorted(killed.iterdir(), key=lambda folder: int(folder.name))
    assert len(folders) > 5
    for folder in folders:
        found = access.totals(folder)["a"].times
        assert found - 3 in more
        access.publish(folder)
        assert access.totals(folder)["a"].times == found
        assert not access.is_waiting(folder)
    assert found == 3 + max(more)


# -- at a glance, for status


def test_a_glance_reads_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memo, home = tmp_path / "memo.json", Home(tmp_path / "spark-memory", "s")
    for name in ("deploy", "tides"):
        write(home.folder, name, entry("a", 29), entry("b", sensitivity="private"))
    read: list[str] = []
    summary = topics.summary

    def noted(path: Path, counts: access.Counts, now: float) -> topics.Summary:
        read.append(path.stem)
        return summary(path, counts, now)

    monkeypatch.setattr(topics, "summary", noted)

    def look(now: float = NOW) -> glance.Glance:
        read.clear()
        (found,) = glance.glance([home], memo, now)
        return found

    assert look() == glance.Glance("s", 2, 4, 2, NOW, 0, ())
    assert read == ["deploy", "tides"]
    assert look() == look()
    assert read == []
    write(home.folder, "tides", entry("a", 31))
    assert (look().entries, look().fading, read) == (3, 1, [])
    assert look(NOW + 2 * DAY).fading == 2, "time alone makes one fade"
    access.count(home.folder, ["a"], NOW + 2 * DAY)
    assert look(NOW + 2 * DAY).fading == 0, "and a recall keeps it"
    for damage in ("[", '{"x": 1}', "[]", json.dumps({str(home.folder / "deploy.json"): [1, 2]})):
        memo.write_text(damage)
        assert look(NOW + 2 * DAY).entries == 3


def test_status_shows_what_was_learned(ant: Machine) -> None:
    settings = ant.config
    write(ant.tree, "deploy", entry("a", 40), entry("b", content="[", sensitivity="private"))
    (ant.tree / "broken.json").write_text("[")
    config = settings._replace(spaces=(settings.spaces[0]._replace(format="entries"),))
    new = status(config)
    assert new["state"] == "new"
    ant.do("push")
    for found in (new, status(config)):
        (one,) = found["memory"]  # type: ignore[misc]
        assert (one["space"], one["topics"], one["entries"], one["private"]) == ("notes", 2, 2, 1)
        assert "broken.json" in one["problems"][0]
    assert status(config)["last_push"]


# -- the command


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_recall_shows_topics_and_then_the_best_of_one(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "recall") == {"topics": []}
    told(capsys, "learn", "--topic", "deploy", "--content", "minor", "--importance", "0.1")
    told(capsys, "learn", "--topic", "deploy", "--content", "major", "--importance", "0.9")
    (topic,) = told(capsys, "recall")["topics"]
    assert (topic["topic"], topic["entries"], topic["fading"], topic["problem"]) == ("deploy", 2, 0, None)
    first = told(capsys, "recall", "--topic", "deploy", "--limit", "1")["entries"]
    assert [(one["content"], one["access_count"], one["effective_importance"]) for one in first] == [("major", 0, 0.9)]
    again = told(capsys, "recall", "--topic", "deploy")["entries"]
    assert [(one["content"], one["access_count"]) for one in again] == [("major", 1), ("minor", 0)]
    assert again[0]["effective_importance"] == pytest.approx(0.92)
    (kept, _) = arrays.entries((alone / "spark-memory" / "deploy.json").read_bytes(), alone)
    assert "effective_importance" not in kept


def test_recall_finds_words_without_a_configuration(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "learn", "--topic", "deploy", "--content", "Migrations run first.", "--type", "lesson")
    told(capsys, "learn", "--topic", "tides", "--content", "Tables run in UTC.", "--tag", "Migrations")
    hits = told(capsys, "recall", "migration", "first")
    assert [(hit["score"], hit["file"], hit["type"]) for hit in hits] == [
        (1.0, "deploy.json", "lesson"), (0.5, "tides.json", "fact"),
    ]  # fmt: skip
    assert [hit["file"] for hit in told(capsys, "recall", "run", "--type", "fact")] == ["tides.json"]
    assert told(capsys, "recall", "ferries") == []
    assert run(["recall", "run", "--explain"]) == 0
    shown = capsys.readouterr().out
    assert "tides: Tables [run] in UTC." in shown
    assert "words 1 (no. 2); matched run" in shown
    assert run(["recall", "?!"]) == 2


def test_without_a_configuration_answers_look_the_same(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "learn", "--topic", "deploy", "--content", "数据库 first.", "--tag", "x", "--sensitivity", "private")
    (hit,) = told(capsys, "recall", "数据库")
    assert tuple(hit) == Hit._fields
    assert (hit["text"], hit["tags"], hit["sensitivity"], hit["score"]) == ("数据库 first.", ["x"], "private", 1.0)
    assert (hit["space"], hit["machine"], hit["origins"], hit["held"]) == (None, None, [], True)
    assert hit["ts"] == iso(seconds(hit["ts"]) or 0.0)


FILTERS = [
    (["--type", "decision"], ["c"]),
    (["--tag", "x"], ["b"]),
    (["--scope", "project:atlas"], ["b"]),
    (["--sensitivity", "public"], ["c"]),
    (["--since", "2026-11-01"], ["a", "b"]),
    (["--until", "2026-10-31"], ["c"]),
    (["--since", "2026-11-21T12:00:00Z", "--until", "2026-11-21T12:00:00Z"], ["a"]),
    (["--type", "fact", "--tag", "none"], []),
]


@pytest.mark.parametrize(("filters", "expected"), FILTERS)
def test_filters_count_wherever_entries_are_shown(
    alone: Path, capsys: pytest.CaptureFixture[str], filters: list[str], expected: list[str]
) -> None:
    write(
        alone / "spark-memory",
        "deploy",
        entry("a"),
        entry("b", 10, tags=["x"], scope="project:atlas"),
        entry("c", 50, type="decision", sensitivity="public"),
    )
    write(alone / "spark-memory", "other", {"id": "d", "content": "undated", "type": "reflection"})
    shown = told(capsys, "recall", "--topic", "deploy", *filters)["entries"]
    assert sorted(one["id"] for one in shown) == expected
    assert sorted(one["key"] for one in told(capsys, "recall", "says", *filters)) == expected
    listed = [(one["topic"], one["entries"]) for one in told(capsys, "recall", *filters)["topics"]]
    assert listed == ([("deploy", len(expected))] if expected else [])


def test_as_many_are_shown_as_asked_for(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        write(alone / "spark-memory", f"t{number:02}", *(entry(f"e{number}-{n}") for n in range(12)))
    assert len(told(capsys, "recall")["topics"]) == 12
    assert len(told(capsys, "recall", "--limit", "3")["topics"]) == 3
    for asked in (["--topic", "t00"], ["says"]):
        for limit, count in ((["--limit", "3"], 3), ([], 10)):
            found = told(capsys, "recall", *asked, *limit)
            assert len(found if asked == ["says"] else found["entries"]) == count


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (["--topic", "deploy", "--machine", "nosuch"], "--machine is for a QUERY, not for topics"),
        (["--tier", "core"], "--tier is for a QUERY, not for topics"),
        (["--topic", "deploy", "--explain"], "--explain is for a QUERY"),
        (["--topic", "deploy", "--embed"], "--embed is for a QUERY"),
        (["says", "--machine", "nosuch"], "--machine needs an index, and so a configuration"),
        (["says", "--tier", "core"], "--tier needs an index"),
        (["--topic", "deploy", "--since", "nonsense"], "--since nonsense is not a time"),
        (["--since", "99999999w"], "--since 99999999w is not a time"),
        (["says", "--until", "2026-13-01"], "--until 2026-13-01 is not a time"),
        (["--limit", "0"], "--limit: must be a whole number, 1 or more"),
        (["--topic", "deploy", "--limit=-1"], "--limit: must be a whole number, 1 or more"),
        (["--limit", "-1"], "--limit: "),
    ],
)
def test_what_cannot_be_asked_for_is_not_passed_over(
    alone: Path, capsys: pytest.CaptureFixture[str], asked: list[str], error: str
) -> None:
    write(alone / "spark-memory", "deploy", entry("a"))
    assert run(["recall", *asked]) == 2
    shown = capsys.readouterr()
    assert error in shown.err
    assert not shown.out


def test_status_says_it_in_words(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (alone / "m.yaml").write_text("state: state\nspaces: [{name: s, path: spark-memory, format: entries}]\n")
    told(capsys, "learn", "--config", "m.yaml", "--topic", "deploy", "--content", "x", "--sensitivity", "private")
    assert run(["status", "--config", "m.yaml"]) == 0
    assert "entries s  1 entry in 1 topic, 1 private, newest 20" in capsys.readouterr().out


def test_only_what_is_private_is_called_so(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        alone / "spark-memory",
        "deploy",
        entry("a", sensitivity="public"),
        entry("b", sensitivity="secret"),
        entry("c", tags=["private/diary"]),
        {"id": "d", "content": "of a tool that knows no labels"},
    )
    assert run(["recall"]) == 0
    assert "4 entries  newest 2026-11-21, 2 private" in capsys.readouterr().out
    assert run(["recall", "--topic", "deploy"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert {line.split(" · ")[-1][0] for line in shown if " · private · " in line} == {"b", "c"}


@pytest.mark.parametrize("config", ["", "state: state\nspaces: []\n"], ids=["no configuration", "no space"])
def test_what_no_space_holds_is_judged_before_it_is_passed_on(
    alone: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    folder = alone / "spark-memory"
    if config:
        (alone / "m.yaml").write_text(config)
        monkeypatch.setenv("MEMFERRY_CONFIG", str(alone / "m.yaml"))
    told(capsys, "learn", "--topic", "deploy", "--content", "the db password is hunter2000x")
    told(capsys, "learn", "--topic", "deploy", "--content", "Migrations run before the db password is asked for.")
    write(
        folder,
        "other",
        entry("secret", content="the db password is hunter2000x", sensitivity="internal"),
        entry("tagged", content="Ada minds the db more than she says to anybody", tags=["private"]),
        entry("repeats", content="Somebody told me: Ada minds the db more than she says to anybody"),
        entry("names", content="about the db see tagged", supersedes=["tagged"]),
    )
    shown = [
        *told(capsys, "recall", "--topic", "deploy", "--shareable")["entries"],
        *told(capsys, "recall", "--topic", "other", "--shareable")["entries"],
    ]
    assert [one["content"] for one in shown] == ["Migrations run before the db password is asked for."]
    assert [(one["topic"], one["entries"]) for one in told(capsys, "recall", "--shareable")["topics"]] == [
        ("deploy", 1)
    ]
    assert run(["recall", "--topic", "none", "--shareable"]) == 2
    assert "topics: deploy\n" in capsys.readouterr().err
    if not config:
        assert [one["text"][:10] for one in told(capsys, "recall", "db", "--shareable")] == ["Migrations"]
    (folder / "broken.json").write_text("[")
    for asked in ([], ["--topic", "deploy"]):
        assert run(["recall", "--shareable", *asked]) == 1
        shown_ = capsys.readouterr()
        assert "broken.json" in shown_.err, "who cannot read it cannot tell what repeats it"
        assert not shown_.out


def test_nothing_is_passed_on_where_secrets_cannot_be_found(
    alone: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ScannerBroken("it is broken", hint="mend it")

    told(capsys, "learn", "--topic", "deploy", "--content", "Migrations run first.")
    monkeypatch.setattr("memferry.policies.secrets.search", broken)
    for asked in ([], ["--topic", "deploy"], ["migrations"]):
        assert run(["recall", "--shareable", *asked]) == 1
        assert capsys.readouterr() == ("", "memferry: it is broken\n  mend it\n")


def test_recall_says_what_is_wrong(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(alone / "spark-memory", "deploy", entry("a"))
    (alone / "spark-memory" / "broken.json").write_text("{")
    assert run(["recall"]) == 1
    shown = capsys.readouterr().out
    assert "deploy" in shown
    assert "broken.json is not complete JSON" in shown
    assert run(["recall", "--topic", "broken"]) == 1
    assert run(["recall", "--topic", "none"]) == 2
    assert run(["recall", "words", "--topic", "deploy"]) == 2
    assert run(["recall", "--embed"]) == run(["recall", "--rebuild", "words"]) == 2, "there is no index of it"
