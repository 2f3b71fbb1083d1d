"""An index among the backends of a machine: what every command does with it, and what never reaches it."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from memferry.agent.commands import verbs
from memferry.agent.commands.doctor import doctor
from memferry.agent.commands.status import status
from memferry.agent.daemon import run
from memferry.agent.service import Agent, opened
from memferry.config import Config, load
from memferry.errors import ConfigError
from memferry.recall import grams
from memferry.recall.local import searcher
from memferry.recall.search import Wanted
from tests.backends.qdrant_double import Double
from tests.backends.qdrant_site import Counting

CANARY = "canary-5f0e2c7d"


def config_at(base: Path, backends: str, environ: dict[str, str] | None = None, *, tier: str = "core") -> Config:
    (base / "notes").mkdir(parents=True, exist_ok=True)
    path = base / "memferry.yaml"
    path.write_text(
        f"machine: ant\nstate: state\nspaces:\n  - {{name: notes, path: notes}}\nbackends:\n{backends}"
        f"agent: {{settle_ms: 0}}\nrecall: {{tier: {tier}}}\n"
    )
    return load(environ or {}, file=str(path))


def do(config: Config, command: str, **arguments: object) -> dict[str, Any]:
    with opened(config, "test") as agent:
        return verbs.perform(agent, command, arguments)


def documents(double: Double) -> list[str]:
    return sorted(one.payload["document"] for kept in double.collections.values() for one in kept.points.values())


def write(config: Config, file: str, *entries: dict[str, str]) -> None:
    lines = "".join(json.dumps({"visibility": "project", **entry}) + "\n" for entry in entries)
    (config.spaces[0].path / file).write_text(lines)


def test_every_command_copes_with_an_index_beside_a_vault(tmp_path: Path, double: Double, url: str) -> None:
    config = config_at(tmp_path, f"  hub: {{type: qdrant, url: '{url}'}}\n  vault: {{type: local, path: vault}}\n")
    write(config, "log.jsonl", {"id": "1", "text": "the first thing"}, {"id": "2", "text": "the second thing"})
    report = do(config, "push")
    assert report["backends"]["hub"]["error"] is None
    assert report["backends"]["hub"]["capacity"]["points"] == 2
    assert documents(double) == ["the first thing", "the second thing"]
    assert list(do(config, "pull")["backends"]) == ["vault"]
    assert do(config, "verify")["exit_code"] == 0
    listed = {one["backend"]: one for one in do(config, "machines")["backends"]}
    assert listed["hub"] == {"backend": "hub", "index": True, "machines": []}
    assert do(config, "restore", machine="ant", to=str(tmp_path / "to"))["backend"] == "vault"
    do(config, "index")
    with contextlib.closing(searcher(config, shareable=False, tier="core")) as asked:
        assert [hit.key for hit in asked.search(Wanted("second")).hits] == ["2"]
    checks = {check.what: check for check in doctor(config)}
    assert checks["backend hub"].finding == "an index of 2 points"
    assert all(check.good for check in checks.values())
    shown = {one["name"]: one for one in status(config)["backends"]}  # type: ignore[attr-defined]
    assert shown["hub"]["waiting"] == 0
    assert do(config, "forget", targets=["1"])["withdrawn"] == 1
    assert documents(double) == ["the second thing"]
    assert do(config, "verify")["exit_code"] == 0


def test_another_collection_gets_everything_too(tmp_path: Path, double: Double, url: str) -> None:
    config = config_at(tmp_path, f"  hub: {{type: qdrant, url: '{url}'}}\n")
    write(config, "topic.json", {"id": "e1", "content": "walnut"})
    assert do(config, "push")["exit_code"] == 0
    config = config_at(tmp_path, f"  hub: {{type: qdrant, url: '{url}', collection: other}}\n")
    assert do(config, "push")["backends"]["hub"]["checkpoint"]["from"] == 0
    assert do(config, "verify")["exit_code"] == 0
    assert do(config, "push")["backends"]["hub"]["sent"] == 0


def test_its_vectors_are_those_of_the_model_where_one_is_installed(tmp_path: Path, double: Double, url: str) -> None:
    config = config_at(tmp_path, f"  hub: {{type: qdrant, url: '{url}'}}\n", tier="model")
    write(config, "log.jsonl", {"id": "1", "text": "the first thing"})
    do(config, "push")
    (kept,) = double.collections.values()
    assert [list(point.vectors) for point in kept.points.values()] == [["fast-all-minilm-l6-v2"]]


def test_an_index_is_no_copy_to_restore_from(tmp_path: Path, url: str) -> None:
    config = config_at(tmp_path, f"  hub: {{type: qdrant, url: '{url}'}}\n")
    write(config, "log.jsonl", {"id": "1", "text": "the first thing"})
    do(config, "push")
    with pytest.raises(ConfigError, match="no machine ant"):
        do(config, "restore", machine="ant", to=str(tmp_path / "to"))


@pytest.mark.parametrize("where", ["server", "embedded"])
def test_what_is_held_never_reaches_it(tmp_path: Path, double: Double, url: str, where: str) -> None:
    """Its words, its key, its file and that it exists: also when it was public before."""
    hub = tmp_path / "hub"
    config = config_at(tmp_path, f"  hub: {{type: qdrant, {f'url: {url!r}' if where == 'server' else 'path: hub'}}}\n")
    public = {"id": "open", "text": f"public at first {CANARY}-flips"}
    held = {"id": f"{CANARY}-key", "text": f"nobody hears of {CANARY}", "visibility": "private"}
    write(config, "log.jsonl", public, {"id": "2", "text": "public for ever"}, held)
    write(config, f"{CANARY}-file.jsonl", held | {"id": "h2"})
    do(config, "push")
    write(config, "log.jsonl", public | {"visibility": "private"}, {"id": "2", "text": "public for ever"}, held)
    do(config, "push")
    assert do(config, "verify")["exit_code"] == 0
    if where == "server":
        kept = [[id_, one.payload] for each in double.collections.values() for id_, one in each.points.items()]
        assert CANARY not in json.dumps([kept, double.requests])
        assert documents(double) == ["public for ever"]
        return
    assert not [path for path in hub.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    with opened(config, "test") as agent, agent.backend("hub") as backend:
        assert backend.capacity().points == 1


def test_a_lost_state_sends_nothing_that_is_there(tmp_path: Path, double: Double, url: str) -> None:
    config = config_at(tmp_path, f"  hub: {{type: qdrant, url: '{url}'}}\n  vault: {{type: local, path: vault}}\n")
    write(config, "log.jsonl", *({"id": str(n), "text": f"the thing number {n}"} for n in range(50)))
    do(config, "push")
    before, changes = documents(double), double.changes
    shutil.rmtree(config.state)
    assert do(config, "push")["exit_code"] == 0
    assert documents(double) == before
    assert double.changes == changes, "the vault told its identity and its journal, so every point is as it was"


def test_a_server_that_is_away_holds_up_nobody_else(tmp_path: Path) -> None:
    settings = "  hub: {type: qdrant, url: 'http://127.0.0.1:1'}\n  vault: {type: local, path: vault}\n"
    config = config_at(tmp_path, settings)
    write(config, "log.jsonl", {"id": "1", "text": "the first thing"})
    report = do(config, "push")
    assert report["exit_code"] == 1
    assert "cannot be reached" in report["backends"]["hub"]["error"]
    assert report["backends"]["vault"]["error"] is None


def test_the_key_is_where_the_configuration_says_and_shown_nowhere(tmp_path: Path, double: Double, url: str) -> None:
    double.key = "s3cret-key"
    (tmp_path / "hub.key").write_text("s3cret-key\n")
    for reference, environ in (("file:hub.key", {}), ("env:HUB_KEY", {"HUB_KEY": "s3cret-key"})):
        settings = f"  hub: {{type: qdrant, url: '{url}', api_key: '{reference}'}}\n"
        config = config_at(tmp_path, settings, environ)
        write(config, "log.jsonl", {"id": "1", "text": "the first thing"})
        assert do(config, "push")["exit_code"] == 0
        assert "s3cret" not in repr(config) + repr(config.backends)
    (report,) = do(config_at(tmp_path, settings), "verify")["backends"]
    assert "HUB_KEY is not set" in report["error"]
    assert "file:PATH" in report["hint"]
    with pytest.raises(ConfigError, match="does not belong") as caught:
        config_at(tmp_path, f"  hub: {{type: qdrant, url: '{url}', api_key: s3cret-key}}\n")
    assert "s3cret" not in str(caught.value)


def test_another_model_is_filled_in_behind_a_push(
    tmp_path: Path, double: Double, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_at(tmp_path, f"  hub: {{type: qdrant, url: '{url}'}}\n")
    write(config, "log.jsonl", *({"id": str(n), "text": f"the thing number {n}"} for n in range(300)))
    do(config, "push")
    monkeypatch.setattr(grams, "embedder", lambda: Counting("other", 64))
    write(config, "more.jsonl", {"id": "one more", "text": "one more thing"})
    assert do(config, "push")["exit_code"] == 0
    points = double.collections["memory"].points.values()
    assert all("fast-other" in one.vectors for one in points)
    assert sum("fast-hashed-ngrams" in one.vectors for one in points) == 300


def test_tending_asks_nothing_of_a_vault(tmp_path: Path) -> None:
    config = config_at(tmp_path, "  vault: {type: local, path: vault}\n")
    with opened(config, "test") as agent:
        assert isinstance(agent, Agent)
        assert not agent.tend("vault")
    assert not (tmp_path / "vault").exists()


def test_the_service_fills_in_vectors_while_nothing_else_is_to_be_done(
    tmp_path: Path, double: Double, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_at(tmp_path, f"  hub: {{type: qdrant, url: '{url}'}}\n")
    write(config, "log.jsonl", *({"id": str(n), "text": f"the thing number {n}"} for n in range(300)))
    do(config, "push")
    monkeypatch.setattr(grams, "embedder", lambda: Counting("other", 64))
    with opened(config, "run") as agent:
        loop = run._Loop(agent, run.NOBODY, run._Stop())
        turns = 0
        while turns == 0 or loop._busy:
            loop._busy = loop._tend()
            turns += 1
            assert (loop._patience() == 0.0) is loop._busy
    assert turns == 3, "two pages, and a look that finds nothing"
    assert all("fast-other" in one.vectors for one in double.collections["memory"].points.values())


def test_a_server_that_fails_meanwhile_is_left_alone_for_a_while(tmp_path: Path, double: Double, url: str) -> None:
    config = config_at(tmp_path, f"  hub: {{type: qdrant, url: '{url}'}}\n")
    write(config, "log.jsonl", {"id": "1", "text": "the first thing"})
    do(config, "push")
    double.fail("reset")
    with opened(config, "run") as agent:
        loop = run._Loop(agent, run.NOBODY, run._Stop())
        loop._tend()
        asked = len(double.requests)
        assert agent.checkpoints.of("hub").breaker.failures == 1
        loop._tend()
        assert len(double.requests) == asked or agent.checkpoints.of("hub").breaker.rests_until <= agent.state.clock()
