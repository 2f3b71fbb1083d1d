"""The index behind the sync: what is carried, what was pulled, and what is held, each where it belongs."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import sqlite3
from pathlib import Path

import pytest

from memferry.agent.commands import verbs
from memferry.agent.commands.doctor import doctor
from memferry.agent.index.indexing import A_LITTLE
from memferry.agent.index.lag import Lag, lag, machine_names
from memferry.agent.service import opened
from memferry.errors import IndexBroken
from memferry.model import Put
from memferry.recall.layout import REBUILD
from memferry.recall.local import HELD, INDEX, searcher
from memferry.recall.prose import Prose, prose
from memferry.recall.search import Hit, Wanted
from tests.agent.machines import Machine, Typed


def line(number: int, text: str, **fields: object) -> str:
    return json.dumps({"id": f"r{number}", "ts": "2026-11-01T00:00:00Z", "text": text} | fields) + "\n"


@pytest.fixture
def ant(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "ant")


def find(machine: Machine, query: str, *, shareable: bool = False, up_to_date: bool = True) -> list[Hit]:
    if up_to_date:
        machine.do("index")
    with contextlib.closing(searcher(machine.config, shareable=shareable, tier="core")) as asked:
        return asked.search(Wanted(query)).hits


def keys(hits: list[Hit]) -> list[str]:
    return [hit.key for hit in hits]


def bytes_of(machine: Machine, name: str) -> bytes:
    return b"".join(path.read_bytes() for path in machine.state.glob(f"{name}*"))


def test_what_is_carried_and_what_was_pulled_is_found(tmp_path: Path) -> None:
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee")
    ant.write("log.jsonl", line(1, "the ferry leaves at nine"))
    ant.do("push")
    bee.write("plan.md", "# Ferry plan\n")
    bee.sync()
    assert sorted(keys(find(bee, "ferry"))) == ["plan.md", "r1"]
    (pulled,) = (hit for hit in find(bee, "ferry") if hit.key == "r1")
    assert [machine_names(bee.state)[machine] for machine in pulled.origins] == ["ant"]
    ant.do("forget", targets=["r1"])
    bee.do("pull")
    assert keys(find(bee, "ferry")) == ["plan.md"]
    assert b"nine" not in bytes_of(bee, INDEX)


def test_what_was_pulled_is_found_where_nothing_can_be_reached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ant, bee = Machine(tmp_path, "ant"), Typed(tmp_path, "bee", capsys)
    ant.write("log.jsonl", line(1, "the ferry leaves at nine") + line(2, "the ferry rests at ten"))
    ant.do("push")
    bee.run("pull")
    vault = tmp_path / "vault"
    vault.rename(away := tmp_path / "away")
    assert sorted(hit["key"] for hit in bee.json("recall", "ferry")) == ["r1", "r2"]
    assert bee.err == ""
    away.rename(vault)
    ant.do("forget", targets=["r1"])
    bee.run("sync-memory")
    vault.rename(away)
    assert [hit["key"] for hit in bee.json("recall", "ferry", "--shareable")] == ["r2"]
    assert b"nine" not in bytes_of(bee, INDEX)


def test_what_was_pulled_and_cannot_be_read_again_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ant, bee = Machine(tmp_path, "ant"), Typed(tmp_path, "bee", capsys)
    ant.write("log.jsonl", line(1, "the ferry leaves at nine"))
    ant.do("push")
    bee.run("pull")
    (tmp_path / "vault").rename(away := tmp_path / "away")
    bee.write("own.md", "the gull")
    bee.run("push", exit_code=1)  # from now on it is known to be away
    bee.run("recall", "--rebuild")
    assert "what was pulled from ant is not all in the index" in bee.err
    for more in ([], ["--shareable"]):
        assert bee.json("recall", "ferry", *more) == []
        assert "what was pulled from ant" in bee.err
    away.rename(tmp_path / "vault")
    bee.run("pull")
    assert [hit["key"] for hit in bee.json("recall", "ferry")] == ["r1"]
    assert bee.err == ""


def test_what_a_pull_withdrew_leaves_the_index_also_where_its_log_cannot_be_read(tmp_path: Path) -> None:
    """Killed between the pull and the index; then nothing can be reached."""
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee")
    ant.write("log.jsonl", line(1, "the ferry leaves at nine") + line(2, "the ferry rests at ten"))
    ant.do("push")
    bee.do("pull")
    ant.do("forget", targets=["r1"])
    with opened(bee.config, "test") as agent:
        agent.pull()
    (tmp_path / "vault").rename(tmp_path / "away")
    assert lag(bee.state).may_tell_what_is_withdrawn
    assert keys(find(bee, "ferry", shareable=True)) == ["r2"]
    assert b"nine" not in bytes_of(bee, INDEX)


def test_what_one_machine_withdrew_of_another_is_not_found(tmp_path: Path) -> None:
    """Also if the log that withdraws it is read first, and the other does not know of it yet."""
    ant, bee, cat = (Machine(tmp_path, name) for name in ("ant", "bee", "cat"))
    for number, one in enumerate((ant, bee)):
        one.write(f"{one.name}.jsonl", line(number, f"ferry {number}"))
        one.do("push")
    for one in (ant, bee):
        one.do("pull")
    for one, key in ((ant, "r1"), (bee, "r0")):
        one.do("forget", targets=[key])
    with opened(cat.config, "test") as agent:
        agent.pull()
    assert find(cat, "ferry") == []
    assert not any(text in bytes_of(cat, INDEX) for text in (b"ferry 0", b"ferry 1"))


def test_what_is_held_here_is_not_passed_on_whoever_wrote_it(tmp_path: Path) -> None:
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee")
    ant.write("n.md", "the zebra ferry")
    ant.write("e.json", '[{"id": "ent-000001", "text": "the zebra harbour"}]')
    ant.write("m.md", "the zebra market")
    ant.sync()
    bee.sync()
    bee.write("n.md", "---\nprivate: true\n---\nthe zebra ferry")
    bee.write("e.json", '[{"id": "ent-000001", "text": "the zebra harbour", "private": true}]')
    bee.sync()
    assert sorted(keys(find(bee, "zebra", shareable=True))) == ["m.md"]
    assert {"n.md", "ent-000001"} <= set(keys(find(bee, "zebra")))
    (bee.state / "secret.key").unlink()
    with pytest.raises(IndexBroken, match="cannot be told"):
        find(bee, "zebra", shareable=True, up_to_date=False)


def test_what_is_held_is_found_here_and_lies_in_a_part_of_its_own(ant: Machine) -> None:
    ant.write("log.jsonl", line(1, "the harbour is open") + line(2, "zanzibar harbour fees", private=True))
    ant.write("secret.md", "---\nprivate: true\n---\nzanzibar again")
    ant.write("list.json", json.dumps([{"id": "e1", "content": "zanzibar entry", "sensitivity": "private"}]))
    ant.do("push")
    assert sorted((hit.key, hit.held) for hit in find(ant, "zanzibar harbour")) == [
        ("e1", True), ("r1", False), ("r2", True), ("secret.md", True),
    ]  # fmt: skip
    assert keys(find(ant, "zanzibar harbour", shareable=True)) == ["r1"]
    assert b"zanzibar" in bytes_of(ant, HELD)
    assert b"zanzibar" not in bytes_of(ant, INDEX) + bytes_of(ant, "state.db")


def test_what_is_held_for_half_of_a_surrogate_pair_is_found(ant: Machine) -> None:
    strange = [{"id": "\ud800", "content": "zanzibar one"}, {"id": "\ud801", "content": "zanzibar two"}]
    strange += [{"id": "e3", "type": "\ud800", "tags": ["\udc00"], "ts": "\udfff", "content": "zanzibar three"}]
    ant.write("list.json", json.dumps(strange))
    ant.do("push")
    hits = find(ant, "zanzibar")
    assert sorted(keys(hits)) == ["\\ud800", "\\ud801", "e3"]
    assert all(hit.held for hit in hits)


@pytest.mark.parametrize("name", ["importance", "access_count"])
def test_a_number_beyond_a_double_is_no_importance(ant: Machine, name: str) -> None:
    ant.write("list.json", json.dumps([{"id": "e1", "content": "zanzibar", "importance": 1} | {name: 10**400}]))
    assert ant.do("push")["exit_code"] == 0
    assert keys(find(ant, "zanzibar")) == ["e1"]


def test_a_record_that_cannot_be_stored_is_counted_and_takes_no_other_with_it(
    ant: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prose_or_not(put: Put) -> Prose:
        return Prose("", "\ud800") if put.key in ("r1", "r4") else prose(put)

    monkeypatch.setattr("memferry.recall.index.prose", prose_or_not)
    ant.write("log.jsonl", "".join(line(n, "zanzibar") for n in range(6)))
    ant.do("push")
    with opened(ant.config, "test") as agent:
        agent.indexing.keep_up()
    assert sorted(keys(find(ant, "zanzibar"))) == ["r0", "r2", "r3", "r5"]
    assert ant.status()["counters"]["left out of the index"] == 2
    assert not lag(ant.state)


def test_what_was_opened_on_a_full_disk_sees_what_comes_once_there_is_room(ant: Machine) -> None:
    """No file may grow: for SQLite that is a disk without room."""
    resource = pytest.importorskip("resource")
    ant.write("log.jsonl", line(1, "zanzibar"))
    ant.do("push")
    assert keys(find(ant, "zanzibar")) == ["r1"]
    for beside in ("-shm", "-wal"):
        (ant.state / f"{INDEX}{beside}").unlink(missing_ok=True)
    config, before = ant.config, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        asked = searcher(config, shareable=True, tier="core")
        hits = asked.search(Wanted("zanzibar")).hits
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with contextlib.closing(asked):
        assert keys(hits) == ["r1"]
        ant.write("log.jsonl", line(1, "zanzibar", private=True) + line(2, "zanzibar again"))
        ant.do("push")
        ant.do("index")
        assert keys(asked.search(Wanted("zanzibar")).hits) == ["r2"]


def test_what_is_held_in_an_archive_is_found(ant: Machine) -> None:
    """Also of several members, in more than one piece, and as far as a damaged one can be read."""
    words = ["harbour", "fees", "sails", "rope", "anchor", "tide"]
    said = [" ".join(random.choices(words, k=400)) for _ in range(901)]
    many = "".join(
        line(n, f"zanzibar {text}", private=True) if n % 300 == 0 else line(n, text) for n, text in enumerate(said)
    ).encode()
    archive = ant.write("log.1.jsonl.gz", "")
    archive.write_bytes(packed := gzip.compress(many[:100]) + gzip.compress(many[100:]))
    ant.do("push")
    assert sorted(keys(find(ant, "zanzibar"))) == ["r0", "r300", "r600", "r900"]
    assert find(ant, "zanzibar", shareable=True) == []
    stat = archive.stat()
    archive.write_bytes(packed[: len(packed) // 2] + bytes(len(packed) // 2))
    os.utime(archive, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (ant.state / HELD).unlink()
    assert sorted(keys(find(ant, "zanzibar"))) == ["r0", "r300"]


def test_a_label_that_changes_moves_a_record_from_one_part_to_the_other(ant: Machine) -> None:
    file = ant.write("secret.md", "---\nprivate: true\n---\nzanzibar")
    ant.do("push")
    assert [hit.held for hit in find(ant, "zanzibar")] == [True]
    file.write_text("zanzibar")
    ant.do("push")
    assert [hit.held for hit in find(ant, "zanzibar")] == [False]
    assert b"zanzibar" not in bytes_of(ant, HELD)
    file.write_text("---\nprivate: true\n---\nzanzibar")
    ant.do("push")
    assert [hit.held for hit in find(ant, "zanzibar")] == [True]
    assert b"zanzibar" not in bytes_of(ant, INDEX) + bytes_of(ant, "state.db")


def test_what_is_held_in_a_file_that_is_gone_is_gone_from_the_index(ant: Machine) -> None:
    ant.write("other.md", "zanzibar too, in public")
    file = ant.write("log.jsonl", line(1, "zanzibar", private=True))
    ant.do("push")
    assert keys(find(ant, "zanzibar")) != []
    file.unlink()
    ant.do("push")
    assert [hit.held for hit in find(ant, "zanzibar")] == [False]
    assert b"zanzibar" not in bytes_of(ant, HELD)


def test_held_lines_that_are_read_again_unchanged_stay_as_they_are(ant: Machine) -> None:
    ant.write("log.jsonl", "".join(line(n, f"zanzibar {n}", private=True) for n in range(5)))
    ant.do("push")
    first = {hit.key: hit for hit in find(ant, "zanzibar")}
    ant.do("push", force=True)
    assert {hit.key: hit for hit in find(ant, "zanzibar")} == first


def test_the_lag_is_what_the_index_does_not_know_yet(ant: Machine) -> None:
    assert lag(ant.state) == Lag(missing=True)
    ant.write("log.jsonl", line(1, "one") + line(2, "two", private=True))
    ant.do("push")
    assert lag(ant.state).own > 0
    assert lag(ant.state).held
    ant.do("index")
    assert not lag(ant.state)
    ant.do("forget", targets=["r1"])
    assert lag(ant.state)
    ant.do("index")
    assert not lag(ant.state)


def test_it_is_made_again_from_what_was_read_and_pulled(tmp_path: Path) -> None:
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee")
    ant.write("a.md", "harbour of ant")
    ant.do("push")
    bee.write("b.jsonl", line(1, "harbour of bee") + line(2, "private harbour", private=True))
    bee.sync()
    before = find(bee, "harbour")
    for name in (INDEX, HELD):
        (bee.state / name).write_bytes(b"damaged" * 999)
    with pytest.raises(IndexBroken):
        find(bee, "harbour")
    bee.do("index", rebuild=True)
    assert [hit._replace(why={}) for hit in find(bee, "harbour")] == [hit._replace(why={}) for hit in before]


def test_while_it_is_made_again_the_old_one_answers(ant: Machine) -> None:
    ant.write("log.jsonl", line(1, "the ferry leaves at nine"))
    ant.write("own.jsonl", line(2, "the ferry of the heart", visibility="private"))
    ant.do("push")
    assert sorted(keys(find(ant, "ferry"))) == ["r1", "r2"]
    seen: list[list[str]] = []
    with opened(ant.config, "test") as agent:
        agent.progress = lambda *_: seen.append(sorted(keys(find(ant, "ferry", up_to_date=False))))
        agent.indexing.rebuild()
    assert seen
    assert all(one == ["r1", "r2"] for one in seen)
    assert sorted(keys(find(ant, "ferry", up_to_date=False))) == ["r1", "r2"]
    assert not list(ant.state.glob("*.new*"))


def test_what_is_withdrawn_between_two_steps_of_one_row_of_the_journal_never_comes_in(ant: Machine) -> None:
    ant.write("log.jsonl", "".join(line(number, f"the ferry leaves at {number}") for number in range(1, 5)))
    with opened(ant.config, "push") as agent:
        verbs.perform(agent, "push", {})
        assert agent.indexing.catch_up(2) == 2
        verbs.perform(agent, "forget", {"targets": ["r3"]})
        while agent.indexing.catch_up(1):
            assert b"leaves at 3" not in bytes_of(ant, "index")
    assert sorted(keys(find(ant, "ferry", up_to_date=False))) == ["r1", "r2", "r4"]


def test_what_was_withdrawn_while_it_was_made_again_and_cut_short_is_in_no_file(ant: Machine) -> None:
    ant.write("log.jsonl", line(1, "the ferry leaves at nine") + line(2, "the gull stays"))
    ant.do("push")
    assert keys(find(ant, "ferry")) == ["r1"]
    ant.do("forget", targets=["r1"])

    def cut(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with opened(ant.config, "test") as agent:
        agent.progress = cut
        with pytest.raises(KeyboardInterrupt):
            agent.indexing.rebuild()
    assert list(ant.state.glob("*.new"))
    assert (find(ant, "ferry"), keys(find(ant, "gull"))) == ([], ["r2"])
    assert b"nine" not in bytes_of(ant, "index")
    assert not list(ant.state.glob("*.new*"))


def test_one_that_is_cut_short_twice_leaves_no_old_one_either(ant: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    ant.write("log.jsonl", line(1, "the ferry leaves at nine"))
    ant.do("push")
    assert keys(find(ant, "ferry")) == ["r1"]
    ant.do("forget", targets=["r1"])
    for place in ("_own", "_made"):
        with opened(ant.config, "test") as agent:
            monkeypatch.setattr(agent.indexing, place, _cut)
            with pytest.raises(KeyboardInterrupt):
                agent.indexing.rebuild()
    assert b"nine" not in bytes_of(ant, "index")


def _cut(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_full_disk_is_a_problem_in_status_and_loses_nothing(ant: Machine) -> None:
    """SQLite's own error for it: a file that may not grow any more."""
    ant.write("a.md", "harbour")
    ant.do("push")
    assert keys(find(ant, "harbour")) == ["a.md"]
    ant.write("log.jsonl", "".join(line(n, f"the gull number {n} " * 40) for n in range(500)))
    ant.do("push")
    with opened(ant.config, "test") as agent:
        for part in agent.indexing._opened():
            (pages,) = part._database.execute("pragma page_count").fetchone()
            part._database.execute(f"pragma max_page_count = {pages + 5}")
        agent.indexing.keep_up()
    (problem,) = ant.status()["problems"]
    assert "no space left" in problem["text"]
    assert "free some disk space" in problem["hint"]
    assert keys(find(ant, "harbour", up_to_date=False)) == ["a.md"]
    assert find(ant, "gull", up_to_date=False) == []
    assert len(find(ant, "gull")) == 10
    assert ant.status()["problems"] == []


def test_a_damaged_index_is_a_problem_in_status_and_stops_nothing(ant: Machine) -> None:
    ant.write("a.md", "harbour")
    ant.do("push")
    (ant.state / INDEX).write_bytes(b"damaged" * 999)
    with opened(ant.config, "test") as agent:
        agent.indexing.keep_up()
    (problem,) = ant.status()["problems"]
    assert (problem["area"], problem["hint"][:30]) == ("index", "run `memferry recall --rebuild")
    assert ant.do("push")["exit_code"] == 0
    ant.do("index", rebuild=True)
    assert ant.status()["problems"] == []


def test_doctor_looks_at_the_index_and_names_the_next_step(ant: Machine) -> None:
    def found() -> tuple[bool, str, str]:
        return next((one.good, one.finding, one.hint) for one in doctor(ant.config) if one.what == "index")

    ant.write("a.md", "harbour")
    ant.do("push")
    assert found()[:2] == (True, "not made yet, or of another memferry: the next `memferry recall` makes it")
    ant.do("index")
    assert found() == (True, "up to date", "")
    ant.write("b.md", "harbour")
    ant.do("push")
    assert found()[1].startswith("behind by ")
    with contextlib.closing(sqlite3.connect(ant.state / INDEX)) as database:
        database.execute("pragma user_version = 1")
    assert found()[0]
    (ant.state / HELD).write_bytes(b"damaged" * 999)
    good, finding, hint = found()
    assert (good, HELD in finding, hint) == (False, True, REBUILD)


def test_one_of_another_memferry_is_made_again_with_what_is_held(ant: Machine) -> None:
    ant.write("log.jsonl", line(1, "harbour") + line(2, "zanzibar", private=True))
    ant.do("push")
    assert (keys(find(ant, "harbour")), keys(find(ant, "zanzibar"))) == (["r1"], ["r2"])
    for name in (INDEX, HELD):
        with contextlib.closing(sqlite3.connect(ant.state / name)) as database:
            database.execute("pragma user_version = 1")
    assert (keys(find(ant, "harbour")), keys(find(ant, "zanzibar"))) == (["r1"], ["r2"])


def test_the_service_takes_in_a_little_at_a_time(ant: Machine) -> None:
    ant.write("log.jsonl", "".join(line(n, f"number {n}") for n in range(A_LITTLE + 500)))
    ant.do("push")
    with opened(ant.config, "test") as agent:
        assert agent.indexing.keep_up()
        assert 0 < lag(ant.state).own < A_LITTLE
        agent.indexing.keep_up()
        assert not lag(ant.state)
        for _ in range(20):
            if not agent.indexing.keep_up():
                break
        assert not agent.indexing.keep_up()


def test_a_state_that_was_lost_finds_what_is_held_again(ant: Machine) -> None:
    ant.write("log.jsonl", line(1, "harbour") + line(2, "zanzibar", private=True))
    ant.do("push")
    assert keys(find(ant, "zanzibar")) == ["r2"]
    for path in ant.state.glob("state.db*"):
        path.unlink()
    ant.do("push")
    assert keys(find(ant, "zanzibar")) == ["r2"]
    assert keys(find(ant, "harbour")) == ["r1"]
