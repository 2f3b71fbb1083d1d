"""Conflicts, and how a person settles them: by command, or by hand."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import pytest

from memferry.errors import ConfigError
from tests.agent.machines import Machine, quiet


@pytest.fixture
def machines(tmp_path: Path) -> list[Machine]:
    """Two that disagree about a document, and one that looks on."""
    ant, bee, cat = (Machine(tmp_path, name) for name in ("ant", "bee", "cat"))
    ant.write("plan.md", "# ant's plan\n")
    ant.do("push")
    bee.write("plan.md", "# bee's plan\n")
    quiet(ant, bee, cat)
    return [ant, bee, cat]


def settled(machines: list[Machine], text: str) -> None:
    quiet(*machines)
    for machine in machines:
        assert machine.conflicts() == []
        assert machine.copies() == []
        assert machine.read("plan.md") == text


def test_the_list_tells_both_versions(machines: list[Machine]) -> None:
    lists = [machine.conflicts() for machine in machines]
    for (one,), machine in zip(lists, machines, strict=True):
        assert (one["space"], one["file"], one["machine"], one["body"]) == ("notes", "plan.md", "ant", "# ant's plan\n")
        assert (one["current"]["machine"], one["current"]["body"]) == ("bee", "# bee's plan\n")
        assert one["time"] < one["current"]["time"]
        assert machine.read(one["copy"]) == "# ant's plan\n"
    assert len({one["copy"] for (one,) in lists}) == 1, "the same name everywhere"


@pytest.mark.parametrize("who", range(3))
def test_the_current_version_is_kept(machines: list[Machine], who: int) -> None:
    report = machines[who].do("conflicts", resolve="notes/plan.md")
    assert (report["left"], report["exit_code"]) == (0, 0)
    settled(machines, "# bee's plan\n")


@pytest.mark.parametrize("who", range(3))
def test_the_other_version_is_kept(machines: list[Machine], who: int) -> None:
    (conflict,) = machines[who].conflicts()
    machines[who].do("conflicts", resolve=str(conflict["name"]), keep="other")
    settled(machines, "# ant's plan\n")


def test_a_third_text_is_kept(machines: list[Machine], tmp_path: Path) -> None:
    both = tmp_path / "both.md"
    both.write_text("# everybody's plan\n")
    machines[2].do("conflicts", resolve="plan.md", keep=str(both))
    settled(machines, "# everybody's plan\n")


def test_a_copy_that_was_edited_is_kept_as_it_was_edited(machines: list[Machine]) -> None:
    machines[1].copies()[0].write_text("# better\n")
    quiet(*machines)
    assert machines[0].copies()[0].read_text() == "# ant's plan\n", "an edited copy is nobody's business yet"
    machines[1].do("conflicts", resolve="plan.md", keep="other")
    quiet(*machines)
    assert [machine.read("plan.md") for machine in machines] == ["# better\n"] * 3
    assert [machine.conflicts() for machine in machines] == [[], [], []]


def test_a_copy_that_was_edited_elsewhere_stays_as_a_document(machines: list[Machine]) -> None:
    copy = machines[0].copies()[0]
    copy.write_text("# my thoughts\n")
    machines[1].do("conflicts", resolve="plan.md")
    quiet(*machines)
    assert copy.read_text() == "# my thoughts\n"
    assert (machines[2].tree / copy.name).read_text() == "# my thoughts\n", "from then on it is carried"
    assert all(machine.conflicts() == [] for machine in machines)


@pytest.mark.parametrize("by", ["delete", "rename"])
def test_a_copy_that_is_gone_settles_its_conflict(machines: list[Machine], by: str) -> None:
    copy = machines[2].copies()[0]
    if by == "delete":
        copy.unlink()
    else:
        copy.rename(copy.with_name("ants-plan.md"))
    settled(machines, "# bee's plan\n")
    for machine in machines:
        assert (machine.tree / "ants-plan.md").exists() == (by == "rename")


def test_a_conflict_is_not_settled_by_a_disk_that_is_away(machines: list[Machine]) -> None:
    tree = machines[0].tree
    tree.rename(tree.with_name("away"))
    machines[0].do("pull")
    tree.with_name("away").rename(tree)
    assert len(machines[0].conflicts()) == 1


def test_an_edit_by_hand_to_the_other_text_settles_it(machines: list[Machine]) -> None:
    machines[2].write("plan.md", "# ant's plan\n")
    settled(machines, "# ant's plan\n")


def test_entries_are_settled_by_id(tmp_path: Path) -> None:
    machines = [Machine(tmp_path, name) for name in ("ant", "bee", "cat")]
    for machine in machines[:2]:
        machine.write("topic.json", json.dumps([{"id": "e1", "content": f"{machine.name} says"}], indent=1))
        machine.do("push")
    quiet(*machines)
    for machine in machines:
        (conflict,) = machine.conflicts()
        assert (conflict["key"], conflict["copy"]) == ("e1", None)
        assert json.loads(conflict["body"])["content"] == "ant says"
    machines[2].do("conflicts", resolve="e1", keep="other")
    quiet(*machines)
    for machine in machines:
        assert machine.conflicts() == []
        assert json.loads(machine.read("topic.json")) == [{"id": "e1", "content": "ant says"}]


def say(machine: Machine, file: str, text: str) -> None:
    machine.write(file, text if file == "plan.md" else json.dumps([{"id": "e1", "content": text}], indent=1))


def says(machine: Machine, file: str) -> str:
    """The only version that is left."""
    assert machine.conflicts() == []
    assert machine.copies() == []
    return machine.read(file) if file == "plan.md" else json.loads(machine.read(file))[0]["content"]


@pytest.mark.parametrize("keep", ["current", "other"])
@pytest.mark.parametrize("file", ["plan.md", "topic.json"])
def test_what_the_loser_had_replaced_stays_replaced(tmp_path: Path, file: str, keep: str) -> None:
    """Every push of the loser's made a version; one answer settles them all."""
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee")
    say(ant, file, "start\n")
    quiet(ant, bee)
    for count in range(5):
        say(bee, file, f"bee {count}\n")
        bee.do("push")
    say(ant, file, "ant\n")
    ant.sync()
    (conflict,) = ant.conflicts()
    assert ant.do("conflicts", resolve=str(conflict["name"]), keep=keep)["left"] == 0
    quiet(ant, bee)
    assert [says(one, file) for one in (ant, bee)] == ["ant\n" if keep == "current" else "bee 4\n"] * 2


@pytest.mark.parametrize("keep", ["current", "other"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_what_third_machines_had_replaced_stays_replaced(tmp_path: Path, order: tuple[int, ...], keep: str) -> None:
    machines = [ant, bee, cat] = [Machine(tmp_path, name) for name in ("ant", "bee", "cat")]
    ant.write("plan.md", "start\n")
    quiet(*machines)
    for count in range(2):
        bee.write("plan.md", f"bee {count}\n")
        bee.sync()
        cat.sync()
        cat.write("plan.md", f"cat {count}\n")
        cat.sync()
        bee.sync()
    ant.write("plan.md", "ant\n")
    ant.do("push")
    for number in order:
        machines[number].do("pull")
    settler = machines[order[1]]
    (conflict,) = settler.conflicts()
    settler.do("conflicts", resolve=str(conflict["name"]), keep=keep)
    for number in order:
        machines[number].do("pull")
    assert [says(one, "plan.md") for one in machines] == ["ant\n" if keep == "current" else "cat 1\n"] * 3
    settled(machines, ant.read("plan.md"))


def unheard(base: Path) -> tuple[Machine, Machine]:
    """Ant has settled a conflict with what bee wrote, and bee has not heard of it."""
    ant, bee = Machine(base, "ant"), Machine(base, "bee")
    ant.write("plan.md", "start\n")
    quiet(ant, bee)
    for count in range(3):
        bee.write("plan.md", f"bee {count}\n")
        bee.do("push")
    ant.write("plan.md", "ant\n")
    ant.sync()
    ant.do("conflicts", resolve="plan.md")
    return ant, bee


def test_what_was_written_before_its_writer_heard_of_the_settling_conflicts(tmp_path: Path) -> None:
    ant, bee = unheard(tmp_path)
    bee.write("plan.md", "bee has not heard\n")
    quiet(ant, bee)
    for machine in (ant, bee):
        (conflict,) = machine.conflicts()
        assert (conflict["body"], conflict["current"]["body"]) == ("ant\n", "bee has not heard\n")


@pytest.mark.parametrize("text", ["start\n", "bee 0\n", "bee 2\n"])
def test_an_older_text_that_is_written_after_the_settling_is_current(tmp_path: Path, text: str) -> None:
    machines = ant, _ = unheard(tmp_path)
    ant.write("plan.md", text)
    settled([*machines], text)


def test_what_cannot_be_an_entry_is_refused(tmp_path: Path) -> None:
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee")
    for machine in (ant, bee):
        machine.write("topic.json", json.dumps([{"id": "e1", "content": f"{machine.name} says"}]))
    quiet(ant, bee)
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"id": "e2"}')
    with pytest.raises(ConfigError, match="not one entry with the id e1"):
        ant.do("conflicts", resolve="e1", keep=str(wrong))
    assert len(ant.conflicts()) == 1


def test_a_private_text_settles_nothing_elsewhere(machines: list[Machine], tmp_path: Path) -> None:
    """What is kept passes the policies: the others go on with what they have, and never see it."""
    secret = tmp_path / "secret.md"
    secret.write_text("---\nprivate: true\n---\nwalnut\n")
    machines[0].do("conflicts", resolve="plan.md", keep=str(secret))
    quiet(*machines)
    for machine in machines[1:]:
        assert "walnut" not in "".join(path.read_text() for path in machine.tree.rglob("*.md"))


def test_lines_of_a_ledger_never_conflict(tmp_path: Path) -> None:
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee")
    ant.append("log.jsonl", {"id": "same", "text": "ant"})
    bee.append("log.jsonl", {"id": "same", "text": "bee"})
    quiet(ant, bee)
    for machine in (ant, bee):
        assert machine.lines() == ["same", "same"], "both stand side by side"
        assert machine.conflicts() == []
        assert machine.do("push")["backends"]["vault"]["sent"] == 0


def test_an_unknown_conflict_is_named(machines: list[Machine]) -> None:
    with pytest.raises(ConfigError, match="no conflict 99"):
        machines[0].do("conflicts", resolve="99")


@pytest.mark.parametrize("entry", [False, True], ids=["document", "entry"])
def test_a_text_that_was_brought_back_and_loses_again_has_one_name_everywhere(tmp_path: Path, entry: bool) -> None:
    """Not that of the first time, on machines that had listed it then."""
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee")
    file = "topic.json" if entry else "plan.md"

    def write(machine: Machine, text: str) -> None:
        machine.write(file, json.dumps([{"id": "e1", "content": text}]) if entry else f"# {text}\n")

    write(ant, "ant's")
    ant.do("push")
    write(bee, "bee's")
    quiet(ant, bee)
    ant.do(
        "conflicts", resolve=str(ant.conflicts()[0]["name"]), keep="other"
    )  # ant's is current, which bee hears later
    write(bee, "bee's second")
    bee.do("push")
    quiet(ant, bee)
    told = [
        [(one["machine"], one["time"], one["body"], one["copy"]) for one in each.conflicts()] for each in (ant, bee)
    ]
    assert told[0] == told[1]
    assert len(told[0]) == 1
    assert [len(each.copies()) for each in (ant, bee)] == [0 if entry else 1] * 2
    ant.do("conflicts", resolve=str(ant.conflicts()[0]["name"]))
    quiet(ant, bee)
    assert [(each.conflicts(), each.copies()) for each in (ant, bee)] == [([], [])] * 2
