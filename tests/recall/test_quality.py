"""A small size of `python -m bench.recall`: the way through memferry's own files, index and ranking."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import recall
from memferry.recall.search import Wanted
from tests.recall.records import indexed, put, search

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
    assert recall_10.value >= 0.88
    assert first.value >= 0.7


TUNING = recall.CHINESE.with_name("chinese_tuning.tsv")


def test_numbers_in_characters_are_words(tmp_path: Path) -> None:
    """Two of 124 harder questions depend on it: by their characters alone numbers look alike."""
    _, recall_10, first = recall.chinese("core", tmp_path, "minilm", TUNING)
    assert recall_10.value >= 0.71
    assert first.value >= 0.465


def test_in_chinese_a_multilingual_model_counts_more_than_words(tmp_path: Path) -> None:
    """With the weight of English R@10 is .960 and MRR .673, with half the weight .976 and .760."""
    _, recall_10, first = recall.chinese("model", tmp_path, "use-multilingual", TUNING)
    assert recall_10.value >= 0.98
    assert first.value >= 0.77


JAPANESE = {
    "バックアップは何時に始まりますか?": "本番のバックアップは毎晩三時に始まる。",
    "なぜキャッシュをやめたのですか?": "古い値が残るので、キャッシュは使わないことにした。",
    "会議の資料はどこにありますか?": "資料は共有フォルダの会議の下に置いた。",
    "誰がデザインを担当していますか?": "画面のデザインは佐藤さんの担当です。",
    "犬の散歩はいつですか?": "夕方六時に犬を散歩に連れていく。",
    "新しいサーバーの名前は何ですか?": "先月から動いているサーバーは富士という名前だ。",
    "支払いの期限はいつまでですか?": "請求書の支払いは月末が期限になっている。",
    "京都ではどの旅館に泊まりましたか?": "秋に京都へ行き、川沿いの旅館に泊まった。",
}
KOREAN = {
    "백업은 언제 시작합니까?": "운영 서버의 백업은 매일 새벽 세 시에 시작한다.",
    "왜 캐시를 없앴습니까?": "오래된 값이 남아서 캐시를 쓰지 않기로 했다.",
    "회의 자료는 어디에 있습니까?": "회의 자료는 공유 폴더에 올려 두었다.",
    "누가 디자인을 맡고 있습니까?": "화면 디자인은 김민수가 맡았다.",
    "강아지 산책은 몇 시에 합니까?": "저녁 여섯 시에 강아지를 데리고 산책을 나간다.",
    "새 서버의 이름은 무엇입니까?": "지난달부터 쓰는 서버의 이름은 한라산이다.",
    "결제 기한은 언제까지입니까?": "청구서의 결제 기한은 말일이다.",
    "부산에서 어느 호텔에 묵었습니까?": "가을에 부산에 가서 바닷가 호텔에 묵었다.",
}


@pytest.mark.parametrize("pairs", [JAPANESE, KOREAN], ids=["japanese", "korean"])
def test_other_scripts_without_or_with_few_spaces_are_found(tmp_path: Path, pairs: dict[str, str]) -> None:
    """Among each other, and among as many lines of a language that is not asked for."""
    told = [*JAPANESE.values(), *KOREAN.values()]
    with indexed(tmp_path / "i.db", *(put(n, line) for n, line in enumerate(told, 1))):
        first = {asked: search(tmp_path / "i.db", asked)[0].text for asked in pairs}
    assert first == pairs


def test_it_is_measured_how_fast_it_answers(tmp_path: Path) -> None:
    figures = {figure.name: figure for figure in recall.speed(recall.many(500, ["core"], tmp_path), ["core"])}
    assert figures["recall in one process, core, processor time, p50"].value < 1000
    assert figures["index of all records"].value > 0


def test_it_is_measured_how_fast_a_model_reads_and_answers(tmp_path: Path) -> None:
    some = recall.many(40, ["model"], tmp_path)
    figures = {figure.name: figure for figure in recall.speed(some, ["model"])}
    assert (figures["vectors made"].reference or 0) > 0
    assert figures["recall in one process, model, processor time, p50"].value > 0
    with recall.searcher(some.config, shareable=False, tier="model") as asked:
        assert "vectors" in asked.search(Wanted(some.questions[0])).hits[0].why["scores"]
