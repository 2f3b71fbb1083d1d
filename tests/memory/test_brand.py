"""Brand memory: types by origin, parts of it, and batches that go on where they stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memferry.agent.commands.discover import discover
from memferry.agent.sending import connections
from memferry.backends.base import Backend
from memferry.backends.faulty import Fault, FaultyBackend
from memferry.backends.wrappers import Logged
from memferry.formats import brand, registry
from tests.agent.machines import Machine

INSIGHTS = [
    {"id": "ins-1", "type": "metric_snapshot", "content": "Open rates rose by a third.", "tags": ["email"]},
    {"id": "ins-2", "type": "learning", "content": "Tuesdays sell best."},
    {"id": "ins-3", "content": "What the client said in confidence.", "sensitivity": "private"},
]
RETROSPECTIVE = {"id": "ret-1", "kind": "retrospective", "content": "Short headlines won."}
DECISIONS = [{"id": "dec-1", "content": "No discounts before May."}, {"id": "dec-2", "content": "One offer a week."}]


@pytest.fixture
def ant(ant: Machine) -> Machine:
    """With the memory of one brand."""
    ant.write("_active-brand.json", '{"slug": "acme"}')
    ant.write("acme/profile.json", '{"name": "Acme"}')
    ant.write("acme/insights.json", json.dumps(INSIGHTS, indent=2))
    ant.write("acme/campaigns/spring.json", json.dumps(RETROSPECTIVE))
    ant.write("acme/campaigns/strategy.json", json.dumps(DECISIONS))
    ant.write("acme/guidelines/voice.md", "Say you, not one.\n")
    return ant


def stored(machine: Machine) -> dict[str, dict[str, Any]]:
    return {op["key"]: op for op in machine.stored() if op["op"] == "put"}


def sync(machine: Machine, **scope: Any) -> dict[str, Any]:
    return machine.do("sync-memory", **scope)


class Refusing:
    """Every backend of a machine is met through a fault, or refuses operations."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fault, self.seqs = Fault(None), set[int]()
        monkeypatch.setattr(connections, "Logged", lambda backend, clock: self.around(Logged(backend, clock)))

    def around(self, backend: Backend) -> FaultyBackend:
        return FaultyBackend(backend, self.fault, self.seqs)


# -- types and parts


def test_the_type_follows_from_the_place(ant: Machine) -> None:
    report = sync(ant)
    types = {key: op["type"] for key, op in stored(ant).items()}
    assert types == {
        "ins-1": brand.INSIGHT, "ins-2": brand.INSIGHT, "acme/campaigns/spring.json": brand.CAMPAIGN,
        "dec-1": brand.CAMPAIGN, "dec-2": brand.CAMPAIGN, "acme/guidelines/voice.md": brand.GUIDELINE,
    }  # fmt: skip
    assert report["held"]["total"] == 1
    assert b"in confidence" not in ant.outside()
    assert "profile.json" not in json.dumps(ant.stored())
    assert json.loads(stored(ant)["ins-1"]["body"])["type"] == "metric_snapshot", "its own words stay as they are"


def test_a_run_may_be_about_a_part(ant: Machine) -> None:
    assert sync(ant, contents="insights-only")["new"] == 2
    assert {op["type"] for op in stored(ant).values()} == {brand.INSIGHT}
    assert sync(ant, contents="campaigns-only")["new"] == 3
    assert {op["type"] for op in stored(ant).values()} == {brand.INSIGHT, brand.CAMPAIGN}
    assert sync(ant)["new"] == 1
    assert sync(ant)["new"] == 0


def test_tags_are_added_beside_those_that_are_there(ant: Machine) -> None:
    sync(ant, tags=["q4"], type="note", contents="insights-only")
    one = stored(ant)["ins-1"]
    assert (one["tags"], one["type"]) == (["email", "q4"], "note")
    assert stored(ant)["ins-2"]["tags"] == ["q4"]


def test_another_machine_gets_the_files(ant: Machine, bee: Machine) -> None:
    sync(ant)
    sync(bee)
    assert [one["id"] for one in json.loads(bee.read("acme/insights.json"))] == ["ins-1", "ins-2"]
    assert json.loads(bee.read("acme/campaigns/spring.json")) == RETROSPECTIVE
    assert bee.read("acme/guidelines/voice.md") == "Say you, not one.\n"


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (["_active-brand.json", "acme/"], "brand"),
        (["insights.json", "campaigns/"], "brand"),
        (["insights.json", "guidelines/", "profile.json"], "brand"),
        (["insights.json", "notes.md"], "files"),
        (["campaigns/"], "files"),
    ],
)
def test_a_brand_is_recognised(names: list[str], known: str) -> None:
    assert registry.recognise(names).name == known


def test_one_brand_can_be_a_space() -> None:
    kinds = {file: brand.FORMAT.kind(file) for file in ("insights.json", "campaigns/a.json", "guidelines/deep/b.md")}
    assert [kind and kind.content_type for kind in kinds.values()] == [brand.INSIGHT, brand.CAMPAIGN, brand.GUIDELINE]
    for other in ("profile.json", "a/b/insights.json", "acme/campaigns/a.txt", "_active-brand.json", "acme/x/y.json"):
        assert brand.FORMAT.kind(other) is None


def test_init_finds_brands(tmp_path: Path) -> None:
    brands = tmp_path / "brands"
    none = discover([], tmp_path / "claude", asked=False, transcripts=False, brands=brands).found
    brands.mkdir()
    (one,) = discover([], tmp_path / "claude", asked=False, transcripts=False, brands=brands).found
    assert none == []
    assert (one.space.name, one.space.path, one.space.format) == ("brands", brands, "brand")


# -- batches


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_batch_that_was_cut_goes_on_where_it_stopped(
    ant: Machine, monkeypatch: pytest.MonkeyPatch, when: Any
) -> None:
    broken = Refusing(monkeypatch)
    sync(ant, contents="insights-only")
    seen = stored(ant)
    broken.fault.fail(1, when)
    monkeypatch.setattr("memferry.agent.sending.dispatch.ATTEMPTS", 1)
    report = sync(ant)
    assert report["exit_code"] == 1
    assert report["backends"]["vault"]["error"]
    broken.fault.fail(None)
    report = sync(ant)
    assert (report["new"], report["exit_code"]) == (0, 0), "it was read once, and is sent from the journal"
    puts = [op["key"] for op in ant.stored() if op["op"] == "put"]
    assert len(puts) == len(set(puts)) == 6
    assert {key: op["seq"] for key, op in stored(ant).items() if key in seen} == {
        key: op["seq"] for key, op in seen.items()
    }


def test_what_was_refused_holds_up_nothing_and_is_tried_by_the_next_run(
    ant: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Refusing(monkeypatch)
    broken.seqs.add(1)  # the first record of all
    report = sync(ant)
    assert report["backends"]["vault"]["refused"] == 1
    assert len(stored(ant)) == 5
    assert ant.status()["backends"][0]["refused"] == 1
    broken.seqs.clear()
    ant.offset_s = 10
    report = sync(ant)
    assert report["backends"]["vault"]["refused"] == 0
    assert len(stored(ant)) == 6
    assert ant.status()["backends"][0]["refused"] == 0
