"""Machines whose clocks are wrong: own order is kept, nothing is lost, and nobody wins by being ahead."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import pytest

from tests.agent.machines import Machine, quiet

MINUTE, DAY = 60.0, 86_400.0


def plans(*machines: Machine) -> set[str]:
    return {machine.read("plan.md") for machine in machines}


def test_a_machine_ten_days_ahead_is_named_and_does_not_win(tmp_path: Path) -> None:
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee", offset_s=10 * DAY)
    bee.write("plan.md", "# bee's plan\n")
    bee.do("push")
    ant.append("log.jsonl", {"id": "a1"})
    assert ant.do("pull")["backends"]["vault"]["ahead"] == ("bee",)
    (problem,) = ant.status()["problems"]
    assert (problem["area"], problem["subject"]) == ("clock", "bee")
    assert "10 days ahead" in problem["text"]
    cat = Machine(tmp_path, "cat")
    cat.write("plan.md", "# cat's plan\n")  # later than bee's, whatever bee's clock said
    quiet(cat, ant, bee)
    assert plans(ant, bee, cat) == {"# cat's plan\n"}
    assert all(len(machine.conflicts()) == 1 for machine in (ant, bee, cat))


@pytest.mark.parametrize("order", list(permutations("abd")))
def test_it_ends_the_same_for_who_pulls_when_that_time_has_come(tmp_path: Path, order: tuple[str, ...]) -> None:
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee", offset_s=10 * DAY)
    bee.write("plan.md", "# bee's plan\n")
    bee.do("push")
    ant.do("pull")  # sees that it is there
    ant.do("push")
    cat = Machine(tmp_path, "cat")
    cat.write("plan.md", "# cat's plan\n")
    cat.do("push")
    dan = Machine(tmp_path, "dan", offset_s=20 * DAY)  # long after: nothing is ahead any more
    bee.offset_s = ant.offset_s = 20 * DAY
    machines = {"a": ant, "b": bee, "d": dan}
    for name in order:
        machines[name].sync()
    quiet(*(machines[name] for name in order))
    assert plans(ant, bee, dan) == {"# cat's plan\n"}


def test_a_clock_that_is_ahead_drags_no_other_along(tmp_path: Path) -> None:
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee", offset_s=10 * DAY)
    bee.append("log.jsonl", {"id": "b1"})
    bee.do("push")
    ant.do("pull")
    ant.append("log.jsonl", {"id": "a1"})
    ant.do("push")
    cat = Machine(tmp_path, "cat")
    assert cat.do("pull")["backends"]["vault"]["ahead"] == ("bee",)
    assert cat.status()["counters"] == {}, "ant has said when bee's were there"
    assert cat.lines() == ["a1", "b1"]


def test_an_edit_of_a_version_from_the_future_is_newer_than_that(tmp_path: Path) -> None:
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee", offset_s=10 * DAY)
    bee.write("plan.md", "# bee's plan\n")
    bee.do("push")
    ant.sync()
    ant.write("plan.md", "# ant's edit\n")
    quiet(ant, bee)
    assert plans(ant, bee) == {"# ant's edit\n"}
    assert ant.conflicts() == bee.conflicts() == []


def test_a_machine_recovers_once_its_clock_is_put_right(tmp_path: Path) -> None:
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee", offset_s=10 * DAY)
    bee.write("plan.md", "# bee's first\n")
    bee.write("topic.json", json.dumps([{"id": "e1", "content": "one"}]))
    bee.do("push")
    bee.offset_s = 0.0
    bee.write("plan.md", "# bee's second\n")
    bee.do("push")
    assert bee.status()["counters"]["clock put right"] == 1
    assert ant.do("pull")["backends"]["vault"]["ahead"] == ()
    assert ant.read("plan.md") == "# bee's second\n"
    cat = Machine(tmp_path, "cat")
    cat.write("plan.md", "# cat's plan\n")
    quiet(ant, bee, cat)
    assert plans(ant, bee, cat) == {"# cat's plan\n"}
    assert all(machine.status()["problems"] == [] for machine in (ant, bee, cat))


def test_a_machine_a_year_behind_loses_nothing_and_blames_nobody_once_it_is_outvoted(tmp_path: Path) -> None:
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee")
    old = Machine(tmp_path, "old", offset_s=-365 * DAY)
    ant.append("log.jsonl", {"id": "a1"})
    bee.append("log.jsonl", {"id": "b1"})
    old.append("log.jsonl", {"id": "o1"})
    old.write("plan.md", "# old's plan\n")
    for machine in (ant, bee):
        machine.do("push")
    assert old.sync()["ahead"] == ()
    (problem,) = old.status()["problems"]
    assert (problem["area"], problem["subject"]) == ("clock", "old")
    quiet(ant, bee, old)
    for machine in (ant, bee, old):
        assert machine.lines() == ["a1", "b1", "o1"]
    assert plans(ant, bee, old) == {"# old's plan\n"}
    old.offset_s = 0.0
    old.sync()
    assert old.status()["problems"] == []


def test_a_clock_that_falls_back_keeps_its_own_order_and_doubts_nobody(tmp_path: Path) -> None:
    ant, bee = Machine(tmp_path, "ant"), Machine(tmp_path, "bee")
    bee.write("plan.md", "# one\n")
    ant.append("log.jsonl", {"id": "a1"})
    quiet(ant, bee)
    bee.offset_s = -365 * DAY
    bee.write("plan.md", "# quite another\n")
    ant.append("log.jsonl", {"id": "a2"})
    ant.do("push")
    assert bee.sync()["ahead"] == ()
    assert [problem["subject"] for problem in bee.status()["problems"]] == ["bee"]
    ant.sync()
    assert plans(ant, bee) == {"# quite another\n"}
    assert ant.conflicts() == []
    assert bee.lines() == ["a1", "a2"]


def test_jumps_to_and_fro_lose_nothing(tmp_path: Path) -> None:
    machines = [Machine(tmp_path, name) for name in ("ant", "bee", "cat")]
    for number, jump in enumerate((0, 10 * DAY, -365 * DAY, 4 * MINUTE, 0, -3 * MINUTE, 365 * DAY, 0)):
        machine = machines[number % 3]
        machine.offset_s = jump
        machine.append("log.jsonl", {"id": f"r{number}"})
        machine.write("plan.md", f"# plan {number}\n")
        machine.sync()
    for machine in machines:
        machine.offset_s = 0.0
    quiet(*machines)
    assert {tuple(machine.lines()) for machine in machines} == {tuple(f"r{number}" for number in range(8))}
    assert len(plans(*machines)) == 1
    lists = [{(one["file"], one["digest"]) for one in machine.conflicts()} for machine in machines]
    assert lists[0] == lists[1] == lists[2]
