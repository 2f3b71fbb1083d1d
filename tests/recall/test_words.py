"""Texts and questions as the full-text index sees them."""

from __future__ import annotations

import pytest

from memferry.cutting import stretches
from memferry.model import Put
from memferry.recall.expected import holds_what_is_asked
from memferry.recall.fuse import fuse
from memferry.recall.hanzi import synonyms
from memferry.recall.hanzi.fold import simplified
from memferry.recall.marks import Marker, snippet, words_in
from memferry.recall.passages import LONGEST, passages, split
from memferry.recall.prose import day, prose
from memferry.recall.words import MOST_TERMS, named, prepared, terms
from tests.recall.records import document, put


def test_runs_without_spaces_are_cut_into_characters_and_pairs() -> None:
    assert prepared("plain words stay") == "plain words stay"
    assert prepared("去北京吧!").split() == ["去", "北", "京", "吧", "去北", "北京", "京吧", "!"]
    assert prepared("ｶﾀｶﾅ").split()[-1] == "カナ"  # half width is the same word


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("What did the Team decide?", ["team", "decide"]),
        ("what is it", ["what", "is", "it"]),
        ("用 python写", ["用", "python", "写"]),
        ("为什么缓存", ["缓", "存", "缓存"]),
        ("为什么?", ["为什", "什么"]),
        ('"a OR b" NEAR(*', ["b", "near"]),
        ("?!", []),
        ("", []),
    ],
)
def test_a_question_is_its_words_but_for_those_that_stand_everywhere(query: str, expected: list[str]) -> None:
    assert terms(query) == [f'"{term}"' for term in expected]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("資料庫備份爲什麼失敗", "资料库备份为什么失败"),
        ("三點二十分", "3点20分"),
        ("二零二八年十二月", "2028年12月"),
        ("一百零五台", "105台"),
        ("三万五千块", "35000块"),
        ("兩個", "2个"),
        ("星期五", "周五"),
        ("礼拜天", "週日"),
        ("二十", "20"),
    ],
)
def test_what_is_written_in_two_ways_is_one_word(one: str, other: str) -> None:
    assert prepared(one).split() == prepared(other).split()
    assert terms(one) == terms(other)


def test_a_question_finds_what_says_it_in_another_everyday_word() -> None:
    assert terms("爸爸 生日") == [f'"{term}"' for term in ("爸", "爸爸", "生", "日", "生日", "老爸", "父亲", "诞辰")]
    assert '"用户"' in terms("我喜歡什麼")
    assert terms("plain words") == ['"plain"', '"words"']


def test_the_table_of_synonyms_is_as_it_says() -> None:
    lines = [line.split() for line in synonyms.TABLE.read_text("utf-8").splitlines()]
    assert all(len(line) > 1 and len(set(line)) == len(line) for line in lines)
    assert len({frozenset(line) for line in lines}) == len(lines)
    assert {word for line in lines for word in line if len(word) == 1 or simplified(word) != word} == {"我"}


def test_a_numeral_inside_a_word_is_a_character() -> None:
    assert prepared("统一").split() == ["统", "一", "统一"]
    assert simplified("naïve café, no table") == "naïve café, no table"


def test_a_pasted_page_is_asked_by_its_first_words() -> None:
    assert len(terms(" ".join(f"word{n}" for n in range(5000)))) == MOST_TERMS


def test_a_long_text_is_cut_between_paragraphs_lines_or_words_and_loses_none() -> None:
    text = "\n\n".join(" ".join(f"p{n}w{m}" for m in range(40)) for n in range(100))
    pieces = split(text)
    assert all(len(piece) <= LONGEST for piece in pieces)
    assert " ".join(pieces).split() == text.split()
    assert split("short") == ["short"]
    assert len(split("x" * (3 * LONGEST))) == 3
    assert passages("Title", text)[-1].startswith("Title: ")


def test_a_text_is_cut_behind_its_best_mark_and_nothing_is_lost() -> None:
    assert list(stretches("", 10)) == [""]
    assert list(stretches("x" * 25, 10)) == ["x" * 10, "x" * 10, "x" * 5]
    assert list(stretches("one two. three\nfour five", 16)) == ["one two. three\n", "four five"]
    long = "a word and another one. " * 340_000
    assert "".join(stretches(long, 2000)) == long


def test_speaker_and_date_belong_to_the_text() -> None:
    said = prose(
        put(1, "We sail", ts="2026-05-08T13:56:00Z", speaker="Ada", importance=0.5, access_count=10, scope="team")
    )
    assert (said.head, said.body) == ("Ada (8 May 2026)", "We sail")
    assert (said.scope, said.importance) == ("team", pytest.approx(0.7))


def test_of_json_only_words_are_read() -> None:
    body = '{"id":"evt-1","type":"x","payload":{"text":"Yes","kind":"note","more":["two words"]},"hash":"sha1:9 f"}'
    assert prose(put(1, "", body=body)).body == "Yes\ntwo words"


def test_a_document_is_called_as_its_front_matter_its_heading_or_its_file_says() -> None:
    assert prose(document(1, "a.md", "---\ntitle: Sails\n---\n# Other\ntext")).head == "Sails"
    assert prose(document(1, "a.md", "# Ropes #\ntext")).head == "Ropes"
    assert prose(document(1, "dir/knots.md", "text")).head == "knots"


@pytest.mark.parametrize(
    ("ts", "shown"),
    [("2026-01-02T03:04:05Z", "2 January 2026"), ("2026-13-02", "2026-13-02"), ("May", "May"), (None, "")],
)
def test_dates_are_written_as_they_are_asked_for(ts: str | None, shown: str) -> None:
    assert day(ts) == shown


def test_what_cannot_be_read_as_json_is_text() -> None:
    odd: Put = put(1, "", body="not json at all")
    assert prose(odd).body == "not json at all"


def test_lists_become_one_by_their_scaled_scores() -> None:
    fused = fuse([({1: 10.0, 2: 8.0, 3: 0.0}, 1.0), ({2: 0.9, 3: 0.1}, 1.0)])
    assert sorted(fused, key=fused.__getitem__, reverse=True) == [2, 1, 3]
    assert fused == pytest.approx({1: 0.5, 2: 0.9, 3: 0.0})
    assert fuse([({1: 3.0}, 1.0), ({}, 5.0)]) == {1: 1.0}
    assert fuse([]) == {}


def test_matches_are_marked_by_their_stems_and_shown_with_what_surrounds_them() -> None:
    marker = Marker()
    (found, none) = marker.mark(terms("sailing boats"), ["x " * 300 + "we sailed a boat, [not] this", "nothing"])
    marker.close()
    assert words_in(found) == ("sailed", "boat")
    assert "we [sailed] a [boat], [not] this" in snippet(found)
    assert snippet(found).startswith("… ")
    assert (words_in(none), snippet(none)) == ((), "nothing")


def test_each_text_is_marked_for_itself_whatever_is_in_it() -> None:
    marker = Marker()
    marked = marker.mark(terms("boat"), ["a\x03b\x00 \x01boat\x02", "", "nothing", "boat"])
    marker.close()
    assert [words_in(one) for one in marked] == [("boat",), (), (), ("boat",)]
    assert [snippet(one) for one in marked] == ["a b [boat]", "", "nothing", "[boat]"]


def test_pairs_are_marked_as_one_run() -> None:
    marker = Marker()
    (found,) = marker.mark(terms("数据库备份"), ["主数据库的备份在三点"])
    marker.close()
    assert snippet(found) == "主[数据库]的[备份]在三点"


def test_what_is_written_otherwise_is_marked_as_it_stands() -> None:
    marker = Marker()
    (found,) = marker.mark(terms("资料库周五 20 台"), ["星期五，二十台資料庫"])
    marker.close()
    assert snippet(found) == "[星期五]，[二十]台[資料庫]"


@pytest.mark.parametrize(
    ("query", "answer", "other"),
    [
        ("會議在哪裡開？", "在三楼的会议室", "会议改期了"),
        ("有多少台机器？", "集群有12台", "统一的机器"),
        ("有多少台机器？", "集群有十二台", "统一的机器"),
    ],
)
def test_what_a_chinese_question_asks_for(query: str, answer: str, other: str) -> None:
    assert holds_what_is_asked(query, answer)
    assert not holds_what_is_asked(query, other)


@pytest.mark.parametrize(
    ("query", "head", "words"),
    [
        ("What did Ada say in May?", "Ada (8 May 2026)", 2),
        ("Which harbour was it?", "Ada (8 May 2026)", 0),
        ("How do we limit the rate?", "The rate limit · Bo", 2),
        ("小林喜欢用哪种缩进?", "小林 (8 May 2026)", 1),
    ],
)
def test_a_question_names_who_when_or_under_which_title(query: str, head: str, words: int) -> None:
    assert named(query, head) == words
