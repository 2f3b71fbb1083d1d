"""Nothing private comes into an index, neither to a server nor into the engine; and what does is found there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from memferry.agent.commands import verbs
from memferry.agent.service import opened
from memferry.config import Config, load
from tests.backends.qdrant_double import Double, Kept, Stored
from tests.canary.index import engine, server
from tests.canary.plants import Garden
from tests.canary.search import Place, search
from tests.canary.traces import Traces

PRIVATE = "nobody hears of 5f0c9a3e1b7d4e2f9a6c0d8e7f6a5b4c"
TRACES = Traces([PRIVATE])


def config_at(base: Path, hub: str) -> Config:
    (base / "notes").mkdir()
    file = base / "memferry.yaml"
    file.write_text(
        "machine: ant\nstate: state\nspaces:\n  - {name: notes, path: notes}\n"
        f"backends:\n  hub: {{type: qdrant, {hub}}}\nagent: {{settle_ms: 0}}\nrecall: {{tier: core}}\n"
    )
    return load({}, file=str(file))


def push(config: Config) -> None:
    with opened(config, "test") as agent:
        assert verbs.perform(agent, "push", {})["exit_code"] == 0


def flips(garden: Garden, space: Path) -> Callable[[], str]:
    """An entry that is public at first. What is returned makes it private, and gives its canary."""
    line, text = garden.shown(), garden.words()
    ledger = space / "flips.jsonl"
    canary = f"{'c0ffee' * 5}42"
    public = line.replace('"text": "', f'"text": "{canary} {text} ')
    ledger.write_text(f"{public}\n")

    def flip() -> str:
        ledger.write_text(public.replace('"project"', '"private"') + "\n")
        return canary

    return flip


def carried(place: Place, garden: Garden) -> bool:
    """Whether the public texts are there: otherwise the search has proved nothing."""
    seen = b"".join(piece.data for piece in place)
    return all(text.split()[-2].encode() in seen for text in garden.public if len(text.split()) > 8)


@pytest.mark.parametrize("where", ["server", "engine"])
def test_nothing_private_comes_into_an_index(tmp_path: Path, double: Double, url: str, where: str) -> None:
    config = config_at(tmp_path, f"url: '{url}'" if where == "server" else "path: hub")
    garden = Garden(31)
    garden.grow(tmp_path / "notes")
    double.recorded = []
    flip = flips(garden, tmp_path / "notes")
    push(config)
    assert search(Traces(garden.private | garden.names), wire(double)) == []
    assert carried(place(tmp_path, double, where), garden)
    double.recorded.clear()
    was_public = flip()
    push(config)
    assert search(Traces(garden.private | garden.names | {was_public}), [place(tmp_path, double, where)]) == []


def wire(double: Double) -> list[Place]:
    """What came so far, and what is kept."""
    return [server(double)]


def place(base: Path, double: Double, where: str) -> Place:
    return server(double) if where == "server" else engine(base / "hub")


# -- the search itself


def in_a_payload(double: Double) -> None:
    double.collections["memory"].points["1"] = Stored({"metadata": {"deep": [PRIVATE]}}, {})


def in_the_name_of_a_field(double: Double) -> None:
    double.collections["memory"].points["1"] = Stored({PRIVATE: 1}, {})


def in_an_id(double: Double) -> None:
    double.collections["memory"].points[PRIVATE.split()[-1]] = Stored({}, {})


def in_the_name_of_a_collection(double: Double) -> None:
    double.collections[PRIVATE] = Kept({})


def in_a_request(double: Double) -> None:
    double.recorded = [b"POST /collections/memory/points/delete\n\n" + PRIVATE.encode()]


LEAKS = [in_a_payload, in_the_name_of_a_field, in_an_id, in_the_name_of_a_collection, in_a_request]


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.__name__)
def test_each_place_of_a_server_is_searched(double: Double, leak: Callable[[Double], None]) -> None:
    double.collections["memory"] = Kept({"default": 4})
    assert not search(TRACES, [server(double)])
    leak(double)
    assert search(TRACES, [server(double)])


def test_what_the_engine_keeps_is_searched(tmp_path: Path) -> None:
    config = config_at(tmp_path, "path: hub")
    ledger = tmp_path / "notes" / "log.jsonl"
    ledger.write_text('{"id":"a","visibility":"project","text":"anybody may read this line"}\n')
    push(config)
    assert not search(TRACES, [engine(tmp_path / "hub")])
    with ledger.open("a") as file:
        file.write(f'{{"id":"b","visibility":"project","text":"{PRIVATE}"}}\n')
    push(config)
    assert any(leak.piece.startswith("the point ") for leak in search(TRACES, [engine(tmp_path / "hub")]))
