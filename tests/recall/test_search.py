"""From a question to hits: filters, tiers, factors, and what happens when a part of it fails."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Sequence
from pathlib import Path

import pytest

from memferry.config import Recall
from memferry.errors import ConfigError, EmbedderBroken
from memferry.recall import lookup
from memferry.recall.base import CORE, Passage, Scores, Tier
from memferry.recall.layout import PASSAGE_BITS
from memferry.recall.lookup import Filters, Reader
from memferry.recall.rank import Facts, additions, effective_importance
from memferry.recall.search import Answers, Searcher, Wanted
from memferry.recall.words import terms
from tests.recall.records import indexed, keys, put, search

NOW = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Five records about tides, apart from each other in every way that filters know."""
    records = [
        put(1, "tide one", space="a", type="fact", tags=("sea",), ts="2026-01-01T10:00:00Z", scope="user"),
        put(2, "tide two", space="a", type="decision", tags=("seaside",), ts="2026-02-01T10:00:00Z", position=5),
        put(3, "tide three", space="b", type="fact", ts="2026-02-01T23:00:00Z", sensitivity="internal", position=0),
        put(4, "tide four", space="b", ts="2026-03-01T10:00:00Z", visibility="global", position=8),
        put(5, "tide five", space="c", position=3),
    ]
    with indexed(tmp_path / "i.db", *records):
        return tmp_path / "i.db"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"space": "a"}, "12"),
        ({"type": "fact"}, "13"),
        ({"tag": "sea"}, "1"),
        ({"scope": "user"}, "1"),
        ({"sensitivity": "internal"}, "3"),
        ({"sensitivity": "global"}, "4"),
        ({"since": "2026-02-01"}, "234"),
        ({"until": "2026-02-01T23:59:59Z"}, "123"),
        ({"since": "2026-01-15", "until": "2026-02-15T00:00:00Z", "space": "b"}, "3"),
        ({"machine": "ant"}, "12345"),
        ({"machine": "bee"}, ""),
    ],
)
def test_filters(path: Path, filters: dict[str, str], expected: str) -> None:
    assert sorted(keys(search(path, "tide", **filters))) == [f"k{number}" for number in expected]


@pytest.mark.parametrize(
    ("ts", "moment"),
    [
        ("2026-11-22 09:13:20", "2026-11-22T09:13:20Z"),
        ("2026-11-22T01:13:20-08:00", "2026-11-22T09:13:20Z"),
        ("2026-11-22T17:13:20+08:00", "2026-11-22T09:13:20Z"),
        ("2026-11-22T09:13:20.500Z", "2026-11-22T09:13:20Z"),
        ("2026-11-22", "2026-11-22T00:00:00Z"),
    ],
)
def test_times_are_compared_as_moments_however_they_are_written(tmp_path: Path, ts: str, moment: str) -> None:
    path, at = tmp_path / "i.db", datetime.datetime.fromisoformat(moment)
    with indexed(path, put(1, "tide", ts=ts), put(2, "tide", ts="one day"), put(3, "tide")):
        for shift_s, since, until in ((-1, ["k1"], []), (0, ["k1"], ["k1"]), (1, [], ["k1"])):
            then = (at + datetime.timedelta(seconds=shift_s)).isoformat()
            if "." not in ts or shift_s < 1:
                assert keys(search(path, "tide", since=then)) == since
            assert keys(search(path, "tide", until=then)) == until


def test_a_question_without_a_word_is_an_error(path: Path) -> None:
    for query in ("", "  ", "?!"):
        with pytest.raises(ConfigError, match="no word"):
            search(path, query)


def test_every_score_is_explained(path: Path) -> None:
    first, *_ = search(path, "tide three")
    assert first.key == "k3"
    assert first.score == 1.0
    assert first.why["ranks"] == {"words": 1}
    assert first.why["matched"] == ("tide", "three")


def test_frequent_words_decide_between_those_that_hold_a_rare_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "LOOKED_AT", 20)
    records = [put(n, f"harbour {'pilot' if n in (7, 9) else 'ship'} {'north' if n % 10 else 'south'}", position=n * 2)
               for n in range(1, 300)]  # fmt: skip
    with indexed(tmp_path / "i.db", *records):
        assert sorted(keys(search(tmp_path / "i.db", "harbour pilot"))) == ["k7", "k9"]
        assert len(search(tmp_path / "i.db", "harbour", limit=50)) == 20
    records.insert(4, put(400, "harbour pilot south", position=900))  # not the newest, which is first among equals
    with indexed(tmp_path / "j.db", *records):
        assert keys(search(tmp_path / "j.db", "south pilot"))[0] == "k400"
        assert keys(search(tmp_path / "j.db", "harbour pilot"))[0] == "k9"


def test_what_stands_in_many_records_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "LOOKED_AT", 20)
    records = [put(n, f"{'pilot' if n in (6, 8) else 'ship'} {'south' if n % 3 else 'north'}", position=n * 2)
               for n in range(1, 100)]  # fmt: skip
    with indexed(tmp_path / "i.db", *records):
        first, second = search(tmp_path / "i.db", "north pilot")
        assert first.score == second.score


class ByLength:
    """A reranker that likes long texts, or cannot."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken

    def scores(self, query: str, passages: Sequence[Passage]) -> Sequence[float]:
        if self.broken:
            raise EmbedderBroken("the model cannot be loaded")
        return [float(len(passage.text)) for passage in passages]


class Near:
    """Knows these passages, and one that is long gone."""

    def __init__(self, *ids: int) -> None:
        self.ids = ids

    def nearest(self, query: str, limit: int) -> Scores:
        return {id_ << PASSAGE_BITS: 0.9 for id_ in (*self.ids, 4711)}


def answers(path: Path, tier: Tier, query: str, settings: Recall | None = None, **filters: str) -> Answers:
    with contextlib.closing(Searcher([Reader(path)], tier, settings or Recall(), lambda: NOW)) as asked:
        return asked.search(Wanted(query, filters=Filters(**filters)))


def test_a_reranker_orders_what_full_text_found(path: Path) -> None:
    found = answers(path, Tier("long", ByLength(), 10.0), "tide")
    assert "three" in found.hits[0].text
    assert found.hits[0].why["ranks"]["meaning"] == 1


def test_a_model_that_fails_leaves_full_text_and_says_so(path: Path) -> None:
    found = answers(path, Tier("model", ByLength(broken=True)), "tide two")
    assert keys(found.hits)[0] == "k2"
    assert found.notices == ("the model cannot be loaded; this is full text alone",)


def test_vectors_find_what_no_word_finds_and_filters_hold_for_them(path: Path) -> None:
    tier = Tier("near", nearest=(Near(3, 5),))
    assert sorted(keys(answers(path, tier, "ebb").hits)) == ["k3", "k5"]
    assert keys(answers(path, tier, "ebb", space="c").hits) == ["k5"]
    assert answers(path, CORE, "ebb").hits == []


# -- what a record itself adds


def facts(**values: object) -> Facts:
    return Facts(**{"type": None, "ts": None, "importance": None, "used": None} | values)  # type: ignore[arg-type]


def test_importance_fades_with_the_weeks_without_use_but_for_decisions_and_lessons() -> None:
    used = "2026-11-07T00:00:00Z"
    assert effective_importance(facts(importance=0.5, used=used), NOW) == pytest.approx(0.48)
    assert effective_importance(facts(importance=0.5, used=used, type="lesson"), NOW) == 0.5
    assert effective_importance(facts(), NOW) is None


def test_factors_add_only_what_is_asked_for_and_known() -> None:
    fresh = facts(importance=0.5, ts="2026-11-21T00:00:00Z")
    assert additions("", fresh, Recall(), NOW) == {}
    assert additions("", fresh, Recall(recency=0.2), NOW) == {"recency": pytest.approx(0.2)}
    month = facts(ts="2026-10-22")
    assert additions("", month, Recall(recency=0.2, importance=1.0), NOW) == {"recency": pytest.approx(0.1)}
    assert additions("", facts(ts="last May"), Recall(recency=1.0), NOW) == {}


def test_recency_and_importance_can_turn_the_order(tmp_path: Path) -> None:
    old = put(1, "tide tide tide", ts="2020-01-01", importance=0.1)
    new = put(2, "tide and other words", ts="2026-11-20", importance=0.9, position=9)
    with indexed(tmp_path / "i.db", old, new):
        assert keys(answers(tmp_path / "i.db", CORE, "tide").hits) == ["k1", "k2"]
        assert keys(answers(tmp_path / "i.db", CORE, "tide", Recall(recency=2.0)).hits) == ["k2", "k1"]
        assert keys(answers(tmp_path / "i.db", CORE, "tide", Recall(importance=2.0)).hits) == ["k2", "k1"]


def test_a_reader_sees_what_was_added_since_it_was_opened(tmp_path: Path) -> None:
    with indexed(tmp_path / "i.db", put(1, "first")) as index:
        reader = Reader(tmp_path / "i.db")
        index.add("ant", [put(2, "second")])
        with reader.snapshot():
            assert len(reader.candidates(terms("second"), Filters(), 10)) == 1
        reader.close()


def test_who_is_named_is_asked_first(tmp_path: Path) -> None:
    ops = [
        put(1, "Ada, Ada! The violin is Ada's.", speaker="Bo"),
        put(2, "I play the violin every evening before supper.", speaker="Ada", file="b.jsonl", position=0),
    ]
    with indexed(tmp_path / "i.db", *ops):
        first, second = search(tmp_path / "i.db", "Does Ada play the violin?")
    assert (first.key, first.why["scores"]["named"]) == ("k2", 0.2)
    assert "named" not in second.why["scores"]


def test_a_question_for_a_reason_or_a_time_is_answered_by_one(tmp_path: Path) -> None:
    """Of texts that fit as well otherwise; without that the newer one would be first."""
    ops = [
        put(1, "We moved to another host because the old one was slow."),
        put(2, "We moved to another host and had a party right there."),
        put(3, "服务器搬家了，月底上午做好。"),
        put(4, "服务器搬家了，同事都很高兴。"),
    ]
    with indexed(tmp_path / "i.db", *ops):
        assert keys(search(tmp_path / "i.db", "Why did we move to another host?")) == ["k1", "k2"]
        (first, _) = search(tmp_path / "i.db", "服务器什么时候搬家的?")
    assert (first.key, first.why["scores"]["expected"]) == ("k3", 0.15)
