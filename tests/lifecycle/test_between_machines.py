"""Two machines, one memory: leases, conflicts and agendas go with a sync."""

from __future__ import annotations

from tests.agent.machines import Machine
from tests.lifecycle.trees import Tree

TAKE = ("lease", "acquire", "--scope", "project:atlas", "--key", "format")


def synced(*machines: Machine) -> None:
    for _ in range(2):
        for machine in machines:
            machine.sync()


def publish(tree: Tree, summary: str, *more: str) -> None:
    tree.do("publish", "--scope", "project:atlas", "--summary", summary, *more)


def test_a_lease_that_one_machine_took_is_refused_on_the_other(ant: Machine, bee: Machine) -> None:
    here, there = Tree(ant.tree), Tree(bee.tree, ahead_s=90)
    here.do(*TAKE, "--instance-id", "ins-main")
    synced(ant, bee)
    refused = there.ask(*TAKE, "--instance-id", "ins-main")
    assert "held by ins-main on ant" in refused["error"]
    assert [lease["machine"] for lease in there.do("lease", "list")["leases"]] == ["ant"]
    here.do("lease", "release", "--scope", "project:atlas", "--key", "format", "--instance-id", "ins-main")
    synced(ant, bee)
    assert there.ask(*TAKE, "--instance-id", "ins-main")["ok"]


def test_a_lease_that_both_took_is_a_conflict_on_both(ant: Machine, bee: Machine) -> None:
    here, there = Tree(ant.tree), Tree(bee.tree, ahead_s=90)
    here.do(*TAKE, "--instance-id", "ins-a")
    there.do(*TAKE, "--instance-id", "ins-b")
    here.do("capture", "--scope", "global", "--summary", "So that both are memories")
    there.do("capture", "--scope", "global", "--summary", "So that both are memories")
    synced(ant, bee)
    found = [tree.do("lease", "list") for tree in (here, there)]
    ids = [answer["conflicts"][0]["conflict_id"] for answer in found]
    assert ids[0] == ids[1]
    assert [answer["count"] for answer in found] == [2, 2]
    assert "conflicts" not in here.do("lease", "list")
    assert here.do("stats")["open_conflicts"] == there.do("stats")["open_conflicts"] == 1
    synced(ant, bee)
    assert here.do("stats")["open_conflicts"] == there.do("stats")["open_conflicts"] == 1


def test_decisions_that_contradict_each_other_are_a_conflict_on_both(ant: Machine, bee: Machine) -> None:
    here, there = Tree(ant.tree), Tree(bee.tree, ahead_s=90)
    for tree, summary in ((here, "Exports are CSV"), (there, "Exports are Parquet")):
        publish(tree, summary, "--object-type", "decision", "--decision-key", "format")
        tree.do("reduce")
    synced(ant, bee)
    opened = [tree.do("reduce")["conflicts"] for tree in (here, there)]
    assert len(opened[0]) == 1
    assert opened[0][0]["conflict_id"] == opened[1][0]["conflict_id"]
    mine = here.lines("views/decisions/*/????-??.jsonl")[0]["id"]
    here.do("reconcile", "--id", mine, "--summary", "Exports are both", "--resolve-conflict",
            opened[0][0]["conflict_id"])  # fmt: skip
    synced(ant, bee)
    assert [tree.do("reduce")["conflicts"] for tree in (here, there)] == [[], []]
    assert [tree.do("stats")["open_conflicts"] for tree in (here, there)] == [0, 0]


def test_what_one_machine_published_is_reduced_once_on_both(ant: Machine, bee: Machine) -> None:
    here, there = Tree(ant.tree), Tree(bee.tree, ahead_s=90)
    publish(here, "The importer drops empty rows")
    there.do("init")
    synced(ant, bee)
    first = [tree.do("reduce")["created"][0]["object_id"] for tree in (there, here)]
    assert first[0] == first[1]
    synced(ant, bee)
    assert [tree.do("reduce")["created_count"] for tree in (here, there)] == [0, 0]
    assert all(tree.do("validate", "--strict") for tree in (here, there))


def test_a_stream_is_distilled_where_its_instance_lives(ant: Machine, bee: Machine) -> None:
    here, there = Tree(ant.tree), Tree(bee.tree, ahead_s=90)
    here.do("capture", "--scope", "project:atlas", "--summary", "I will write", "--proposed-type", "commitment")
    there.do("init")
    synced(ant, bee)
    assert there.do("distill")["created_count"] == 0
    assert here.do("distill")["created_count"] == 1
    synced(ant, bee)
    listed = there.do("agenda", "--project", "atlas", "--list")["items"]
    assert [item["summary"] for item in listed] == ["I will write"]
    there.do("agenda", "--project", "atlas", "--close", listed[0]["id"])
    synced(ant, bee)
    assert here.do("agenda", "--project", "atlas", "--list")["items"][0]["status"] == "completed"
    assert "I will write" in there.do("attach", "--project", "atlas")["capsule"]


def test_a_pulled_event_moves_lamports_clock(ant: Machine, bee: Machine) -> None:
    here, there = Tree(ant.tree), Tree(bee.tree, ahead_s=90)
    for number in range(9):
        publish(here, f"Fact {number}")
    there.do("init")
    synced(ant, bee)
    there.do("reduce")
    publish(there, "Later than all of them")
    assert there.lines("bus/*/????-??-??.jsonl")[-1]["lc"] > 9
