"""A small size of `python -m bench.recall`: the way through memferry's own files, index and ranking."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import recall

LOCOMO = [
    {
        "sample_id": "conv-1",
        "conversation": {
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                {"dia_id": "D1:1", "speaker": "Ada", "text": "Which harbour did you sail from?"},
                {"dia_id": "D1:2", "speaker": "Bo", "text": "Rostock, at dawn.", "blip_caption": "a grey pier"},
            ],
            "session_2_date_time": "9:00 am on 2 June, 2023",
            "session_2": [{"dia_id": "D2:1", "speaker": "Ada", "text": "My sister plays the violin."}],
        },
        "qa": [
            {"question": "When did they talk about a harbour?", "evidence": ["D1:1; D:1:2"], "category": 2},
            {"question": "Who plays music?", "evidence": ["D9:9"], "category": 4},
            {"question": "Does Bo own a castle?", "evidence": ["D1:2"], "category": 5},
        ],
    }
]


@pytest.mark.parametrize("tier", ["core", "semantic"])
def test_the_protocol_on_a_conversation(tmp_path: Path, tier: str) -> None:
    (tmp_path / "locomo.json").write_text(json.dumps(LOCOMO))
    (group,) = recall.write_locomo(tmp_path / "locomo.json", tmp_path / "spaces")
    assert [(one.text[:4], sorted(one.relevant)) for one in group] == [("When", ["D1:1", "D1:2"])]
    config = recall.carried(tmp_path, tmp_path / "spaces")
    assert recall.indexed(config)[0] > 3
    with recall.searcher(config, shareable=False, tier=tier) as asked:
        found = recall.ask(asked, group[0])
    assert found == (1.0, 1.0, 1.0)


def test_chinese_is_found_by_full_text(tmp_path: Path) -> None:
    _, recall_10, first = recall.chinese("core", tmp_path, "minilm")
    assert recall_10.value >= 0.85
    assert first.value >= 0.6


def test_it_is_measured_how_fast_it_answers(tmp_path: Path) -> None:
    figures = {figure.name: figure for figure in recall.speed(500, ["core"], tmp_path)}
    assert figures["recall among 500, core, p50"].value < 1000
    assert figures["index of 500 records"].value > 0
