"""JSON arrays that are edited again and again: what is restored is what stood there, and a moved entry is not lost."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memferry.agent.commands import verbs
from memferry.agent.commands.doctor import doctor
from memferry.agent.service import opened
from tests.agent.machines import Machine

Entries = Sequence[dict[str, object]]


def write(machine: Machine, file: str, entries: Entries) -> None:
    (machine.tree / file).write_text(json.dumps(entries))


def read(path: Path) -> Entries:
    found: Entries = json.loads(path.read_text())
    return found


def named(names: str) -> Entries:
    """A small letter is a version of its own, an exclamation mark behind it makes an entry private."""
    entries: list[dict[str, object]] = []
    for name in names:
        if name == "!":
            entries[-1]["visibility"] = "private"
        else:
            entries.append({"id": name.upper(), "content": f"what {name} says"})
    return entries


def restored(machine: Machine, to: Path, file: str) -> Entries:
    """Empty where nothing is stored of it."""
    machine.do("restore", machine=machine.name, to=str(to))
    found = to / "notes" / file
    return read(found) if found.exists() else []


def public(entries: Entries) -> Entries:
    return [entry for entry in entries if "visibility" not in entry]


def check(base: Path, versions: Sequence[str]) -> None:
    ant = Machine(base, "ant")
    (ant.tree / "first.md").write_text("So that there is something in the vault.")
    for number, names in enumerate(versions):
        write(ant, "list.json", named(names))
        ant.do("push", accept_deletions=True)
        assert restored(ant, base / f"back-{number}", "list.json") == public(named(names)), versions[: number + 1]


@pytest.mark.parametrize(
    "versions",
    [
        ("AB", "NAB", "AB"),
        ("ABC", "BCA", "ABC"),
        ("ABC", "NABC", "ANBC"),
        ("ABCDE", "ABDE", "ABXDE"),
        ("ABCDE", "ABDE", "ABXDE", "ABX!DE", "ABDE"),
        ("ABCD", "XABCD", "ABCD", "ABCDE"),
        ("ABC", "AbC", "ABC", "Ab!C", "ABC"),
    ],
)
def test_an_array_is_restored_after_any_edits(tmp_path: Path, versions: Sequence[str]) -> None:
    check(tmp_path, versions)


_NAMES = st.lists(st.sampled_from("ABCDE"), min_size=1, max_size=5, unique=True)


@st.composite
def _versions(draw: st.DrawFn) -> str:
    names = draw(_NAMES)
    return "".join(draw(st.sampled_from((name, name, name, name.lower(), f"{name}!"))) for name in names)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_versions(), min_size=2, max_size=5))
def test_so_it_is_after_edits_that_nobody_thought_of(versions: list[str]) -> None:
    base = Path(tempfile.mkdtemp())
    try:
        check(base, versions)
    finally:
        shutil.rmtree(base)


# -- entries that stand in several files


def test_an_entry_that_is_moved_to_another_file_is_not_withdrawn(tmp_path: Path) -> None:
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee")
    write(ant, "a.json", named("ABCD"))
    ant.sync()
    bee.sync()
    write(ant, "a.json", named("BCD"))
    write(ant, "b.json", named("A"))
    ant.sync()
    bee.sync()
    assert read(bee.tree / "a.json") == named("BCD")
    assert read(bee.tree / "b.json") == named("A")
    ant.do("restore", machine="ant", to=str(tmp_path / "back"))
    assert read(tmp_path / "back" / "notes" / "a.json") == named("BCD")
    assert read(tmp_path / "back" / "notes" / "b.json") == named("A")


@pytest.fixture
def ant(tmp_path: Path) -> Machine:
    """Two arrays had an entry; it was removed from one."""
    ant = Machine(tmp_path, "ant")
    write(ant, "a.json", named("ABCD"))
    write(ant, "b.json", named("AXYZ"))
    ant.do("push")
    write(ant, "a.json", named("BCD"))
    ant.do("push")
    return ant


def test_an_entry_that_is_removed_from_one_of_two_files_stays_in_the_other(ant: Machine, tmp_path: Path) -> None:
    ant.do("push")
    assert restored(ant, tmp_path / "back", "b.json") == named("AXYZ")
    assert read(tmp_path / "back" / "notes" / "a.json") == named("BCD")


def test_an_entry_that_a_ledger_has_as_well_stays_there(tmp_path: Path) -> None:
    ant = Machine(tmp_path, "ant")
    write(ant, "a.json", named("ABCD"))
    (ant.tree / "log.jsonl").write_text(json.dumps(named("A")[0]) + "\n")
    ant.do("push")
    write(ant, "a.json", named("BCD"))
    ant.do("push")
    ant.do("push")
    ant.do("restore", machine="ant", to=str(tmp_path / "back"))
    assert read(tmp_path / "back" / "notes" / "log.jsonl") == named("A")[0]
    assert read(tmp_path / "back" / "notes" / "a.json") == named("BCD")


def test_an_entry_that_is_removed_from_both_is_withdrawn(ant: Machine, tmp_path: Path) -> None:
    write(ant, "b.json", named("XYZ"))
    ant.do("push")
    ant.do("push")
    assert restored(ant, tmp_path / "back", "b.json") == named("XYZ")
    assert not (tmp_path / "back" / ".memferry-kept").exists()


def test_doctor_names_files_whose_entries_have_one_id(tmp_path: Path) -> None:
    ant = Machine(tmp_path, "ant")
    write(ant, "a.json", named("ABCD"))
    write(ant, "b.json", named("WXYZ"))
    ant.do("push")
    assert not [one for one in doctor(ant.config) if one.what == "entries"]
    write(ant, "b.json", named("aXYZ"))
    ant.do("push", accept_deletions=True)
    (check,) = [one for one in doctor(ant.config) if one.what == "entries"]
    assert "notes/a.json and b.json" in check.finding


# -- what surrounds the entries


@pytest.mark.parametrize(
    "around",
    [{"visibility": "private", "note": "the harbour contract"}, {"note": "the harbour contract", "private": True}],
)
@pytest.mark.parametrize("left", ["", "A!"])
def test_what_surrounds_entries_is_not_told_when_none_may_leave(
    tmp_path: Path, around: dict[str, object], left: str
) -> None:
    ant = Machine(tmp_path, "ant")
    (ant.tree / "list.json").write_text(json.dumps({"note": "nothing", "entries": named("ABC")}))
    ant.do("push")
    (ant.tree / "list.json").write_text(json.dumps(around | {"entries": named(left)}))
    assert ant.do("push")["halted"], "so much is not removed without being asked, and what was told stays told"
    assert b"harbour contract" not in ant.outside()
    assert b"harbour contract" not in b"".join(path.read_bytes() for path in ant.state.glob("state.db*"))


def test_entries_behind_those_that_go_need_not_move_up(tmp_path: Path) -> None:
    """A history of the last so many costs an operation for each entry that is new, not for each of them."""
    ant = Machine(tmp_path, "ant")
    entries = [*named("ABCDEFGHIJKLMNOPQRST")]
    write(ant, "last.json", entries)
    ant.do("push")
    for number in range(3):
        entries = [*entries[1:], {"id": number, "content": f"the {number}th one"}]
        write(ant, "last.json", entries)
        ant.do("push")
    assert [op for op in ant.stored() if op["op"] == "place"] == []
    assert restored(ant, tmp_path / "back", "last.json") == entries


BATCH = {"id": "batch-000001", "summary": "the harbour contract ends quietly on the second Friday of May"}


@pytest.mark.parametrize("left", ["", "A"])
def test_what_surrounds_entries_is_known_as_private_itself(tmp_path: Path, left: str) -> None:
    ant = Machine(tmp_path, "ant")
    (ant.tree / "list.json").write_text(json.dumps(BATCH | {"private": True, "entries": named(left)}))
    ant.write("week.md", f"# Week\n\nI heard that {BATCH['summary']}.\n")
    ant.append("log.jsonl", {"id": "x", "text": "see there", "refs": ["batch-000001"]})
    ant.append("log.jsonl", {"id": "y", "text": "see there", "refs": ["list.json"]}, {"id": "z", "text": "else"})
    ant.do("push")
    assert ant.bodies() == ['{"id": "z", "text": "else"}']
    assert b"harbour contract" not in b"".join(path.read_bytes() for path in ant.state.glob("state.db*"))


@pytest.mark.parametrize("later", [BATCH, {}])
def test_what_surrounds_entries_is_free_when_its_label_is_gone(tmp_path: Path, later: dict[str, object]) -> None:
    ant = Machine(tmp_path, "ant")
    (ant.tree / "list.json").write_text(json.dumps(BATCH | {"private": True, "entries": named("A")}))
    ant.write("week.md", f"# Week\n\nI heard that {BATCH['summary']}.\n")
    ant.append("log.jsonl", {"id": "y", "text": "see there", "refs": ["list.json"]})
    ant.do("push")
    assert ant.bodies() == []
    (ant.tree / "list.json").write_text(json.dumps(later | {"entries": named("A")}))
    ant.do("push")
    ant.do("push")
    assert len(ant.bodies()) == 3
    assert ant.do("held")["total"] == 0


# -- arrays that are not whole

SECRET = "the harbour contract ends quietly on the second Friday of May"
BROKEN = (
    '[{"id": "A", "content": "what everybody may hear of the new timetable"}, {"id": "B-000001", %s, "content": "%s"},'
)


@pytest.mark.parametrize(
    "label", ['"private": true', '"visibility":"Privat"', '"tags": ["x", "private"]', '"private": 1']
)
def test_what_is_private_in_a_broken_array_is_recognised(tmp_path: Path, label: str) -> None:
    ant = Machine(tmp_path, "ant")
    ant.write("list.json", BROKEN % (label, SECRET))
    ant.write("other.md", "He told us what everybody may hear of the new timetable.")
    ant.write("week.md", f"I heard that {SECRET}.")
    ant.append("log.jsonl", {"id": "y", "text": "see there", "refs": ["B-000001"]})
    ant.do("push")
    assert ant.bodies() == ["He told us what everybody may hear of the new timetable."]
    ant.write("list.json", json.dumps([{"id": "B-000001", "content": SECRET}]))
    ant.do("push")
    ant.do("push")
    assert len(ant.bodies()) == 4


def test_a_broken_array_without_labels_holds_nothing(tmp_path: Path) -> None:
    ant = Machine(tmp_path, "ant")
    ant.write("list.json", json.dumps([{"id": "B-000001", "private": False, "content": SECRET}]))
    ant.write("week.md", f"I heard that {SECRET}.")
    ant.do("push")
    ant.write("list.json", BROKEN % ('"private": false, "visibility": "team"', SECRET))
    ant.do("push")
    assert len(ant.bodies()) == 2


def test_a_line_that_is_too_long_is_recognised_and_named(tmp_path: Path) -> None:
    ant = Machine(tmp_path, "ant")
    ant.append("a.jsonl", {"id": "evt-000001", "private": True, "text": SECRET, "more": "x y z " * 1000})
    ant.append("b.jsonl", {"id": "evt-000002", "text": "see there", "refs": ["evt-000001"]})
    ant.write("week.md", f"I heard that {SECRET}.")
    with opened(ant.config._replace(agent=ant.config.agent._replace(max_line_bytes=2048)), "test") as agent:
        verbs.perform(agent, "push", {})
    assert ant.bodies() == []


@pytest.mark.parametrize("whose", ["ant", "bee"])
@pytest.mark.parametrize("first", ["ant", "bee"])
def test_an_entry_that_one_moves_and_another_edits_keeps_the_edit(
    ant: Machine, bee: Machine, whose: str, first: str
) -> None:
    writer, other = (bee, ant) if whose == "bee" else (ant, bee)
    write(writer, "b.json", [{"id": "e1", "text": "one"}, {"id": "e2"}])
    writer.do("push")
    other.sync()
    write(bee, "b.json", [{"id": "e1", "text": "edited"}, {"id": "e2"}])
    write(ant, "b.json", [{"id": "e2"}])
    write(ant, "y.json", [{"id": "e1", "text": "one"}])
    order = (ant, bee) if first == "ant" else (bee, ant)
    for _ in range(3):
        for one in order:
            one.sync()
    for one in (ant, bee):
        entries = [entry for path in one.tree.glob("[by].json") for entry in read(path)]
        assert sorted(str(entry.get("text")) for entry in entries) == ["None", "edited"]
    assert "edited" in "".join(ant.bodies())


def test_an_entry_that_one_removes_and_writes_anew_takes_the_edit_of_another_with_it(
    ant: Machine, bee: Machine
) -> None:
    """What was in it is not to be anywhere."""
    write(ant, "b.json", [{"id": "e1", "text": "walnut"}, {"id": "e2"}])
    ant.do("push")
    bee.sync()
    write(bee, "b.json", [{"id": "e1", "text": "walnut tree"}, {"id": "e2"}])
    bee.do("push")
    write(ant, "b.json", [{"id": "e2"}])
    ant.do("push")
    write(ant, "b.json", [{"id": "e2"}, {"id": "e1", "text": "a tree"}])
    ant.do("push")
    for _ in range(2):
        for one in (bee, ant):
            one.sync()
    assert b"walnut" not in ant.outside()
    assert "walnut" not in ant.text() + bee.text()
