"""Which records repeat the text of a held one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memferry.policies import overlap
from memferry.policies.base import Held, Kept
from memferry.policies.chain import judge, recheck
from memferry.policies.letters import letters_of, word_starts
from tests.policies.held import FINGERPRINT, PROSE, MemoryKnown, doc, lines, private, public, rules

HELD = lines(private(PROSE, "secret"))


def holds(*records: object, derived: bool = False) -> list[str | None]:
    known = MemoryKnown()
    known.learn(judge(HELD, known, FINGERPRINT))
    return rules(lines(*records, file="other.jsonl", derived=derived), known)


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        PROSE.upper(),
        PROSE.replace(" ", "\n"),
        PROSE.replace(" ", ", ").replace("key", "*key*"),
        PROSE.replace("key", "ke\u200by").replace("the", "ｔｈｅ"),
        f"Note to all: {PROSE}.",
        f'He said "{PROSE}" and left',
        f"- {PROSE}\n- something else",
        f"{PROSE} and then some more words about other things that nobody minds",
    ],
)
def test_a_copy_is_held_however_it_is_written(text: str) -> None:
    assert holds(public(text, "copy"), {"id": "unlabelled", "text": text}) == ["overlap", "overlap"]


@pytest.mark.parametrize(
    "fields",
    [
        {"done": {PROSE: True}},
        {"type": PROSE},
        {"noted_at": PROSE},
        {"date": {"said": PROSE}},
        {"ts": ["2026-11-21", PROSE]},
    ],
)
def test_a_sentence_is_one_as_a_key_and_where_a_time_belongs(fields: dict[str, object]) -> None:
    assert holds({"id": "copy", **fields}) == ["overlap"]
    assert rules(lines({"id": "a", "private": True, **fields}, public(PROSE, "b"))) == ["labels.private", "overlap"]


@pytest.mark.parametrize("name", [f"{PROSE}.md", f"people/{PROSE.replace(' ', '-')}.md", f"{PROSE.lower()}/notes.txt"])
def test_the_name_of_a_document_may_be_a_copy(name: str) -> None:
    known = MemoryKnown()
    known.learn(judge(HELD, known, FINGERPRINT))
    assert rules([doc("see the other page", name)], known) == ["overlap"]
    (kept,) = judge([doc("see the other page", name)], MemoryKnown(), FINGERPRINT)
    assert isinstance(kept, Kept)
    assert set(kept.echoes) & set(known.by_mark)


def test_characters_of_a_script_without_spaces_are_a_sentence_there_too() -> None:
    secret = "备用钥匙在旧面包店后门旁边的第三个花盆下面"
    assert rules(lines(private("x", "a", type=secret), public(secret, "b"))) == ["labels.visibility", "overlap"]


@pytest.mark.parametrize("time", ["Sat, 21 Nov 2026 02:14:16 GMT", "Sat Nov 21 02:14:16 2026"])
def test_a_time_in_words_is_no_sentence(time: str) -> None:
    assert rules(lines(private("x", "a", date=time), public("y", "b", date=time))) == ["labels.visibility", None]


def test_an_unlabelled_record_is_searched_word_by_word() -> None:
    inside = f"we learnt today that {PROSE} which is new"
    assert holds({"id": "x", "text": inside}) == ["overlap"]
    assert holds(public(inside, "x"), derived=True) == ["overlap"]


def test_a_document_is_searched_word_by_word() -> None:
    assert rules([*HELD, doc(f"# Log\n\nToday it was said that {PROSE} again.\n")]) == ["labels.visibility", "overlap"]
    assert rules([*HELD, doc(f"---\ndescription: {PROSE}\n---\n# Log\n")]) == ["labels.visibility", "overlap"]


def test_a_long_text_with_a_few_words_changed_is_held() -> None:
    picker = random.Random(7)
    vocabulary = ["van", "seven", "every", "driver", "oven", "tool", "lamp", "river", "house", "move", "table", "stone"]
    words = [picker.choice(vocabulary) for _ in range(120)]
    changed = list(words)
    for at in (3, 40, 77, 110):
        changed[at] = "changed"
    records = lines(private(" ".join(words), "a"), public(" ".join(changed), "b"))
    assert rules(records) == ["labels.visibility", "overlap"]


LIMITER = "Rate limiter reads its limits from the config file (note 7-{})"
EXPORT = "Nightly export is fine (note 7-{}) — 已在评审中确认，保持每个租户的顺序"


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (LIMITER.format(22), LIMITER.format(2)),
        (LIMITER.format(2), LIMITER.format(22)),
        (EXPORT.format(2), EXPORT.format(9)),
        (
            "Webhook retry should reject empty payloads (note 7-4)",
            "Webhook retry should reject empty payloads (note 7-45)",
        ),
        ("Search index times out under load PRIVATE-1", "Search index times out under load"),
    ],
)
def test_sentences_of_one_pattern_are_told_apart(secret: str, text: str) -> None:
    assert rules(lines(private(secret, "a"), public(text, "b"), {"id": "c", "text": text})) == [
        "labels.visibility",
        None,
        None,
    ]


def test_a_short_text_is_found_as_a_whole() -> None:
    secret = private("the alarm code is 4821", "a")
    repeated = public("Remember: the alarm code is 4821!", "b")
    longer = public("the alarm code is 48210", "c")
    assert rules(lines(secret, repeated, longer)) == ["labels.visibility", "overlap", None]


def test_a_phrase_beside_a_longer_text_is_no_secret() -> None:
    records = lines(
        private(PROSE, "a", why="cheaper than the alternative"), public("cheaper than the alternative", "b")
    )
    assert rules(records) == ["labels.visibility", None]


def test_paths_ids_and_dates_are_no_texts() -> None:
    shared = {"source": ["stream:streams/project-atlas/ins-main/2026-09-01.jsonl"], "hash": "sha1:" + "ab" * 20}
    assert rules(lines(private("x", "a", **shared), public("y", "b", **shared))) == ["labels.visibility", None]


def test_scripts_without_spaces() -> None:
    secret = "备用钥匙在旧面包店后门旁边的第三个花盆下面，司机每天晚上六点离开仓库，他的妹妹知道密码和地址"
    other = "备用灯在新学校前门旁边的第二个箱子里面，老师每天早上七点打开教室"
    records = lines(
        private(secret, "a"), public(f"备注：{secret}", "b"), public(other, "c"), {"id": "d", "text": f"他说{secret}"}
    )
    assert rules(records) == ["labels.visibility", "overlap", None, "overlap"]


def test_a_held_document_is_found_line_by_line_but_for_its_headings() -> None:
    held = doc(
        "---\nprivate: true\ntype: knowledge\ncreated: 2026-01-01\n---\n"
        "# What I learnt about this week and the next one too\n\n"
        "- The spare key lies under the third flower pot outside\n- short one\n"
    )
    line = public("The spare key lies under the third flower pot outside", "b")
    heading = public("What I learnt about this week and the next one too", "c")
    front = doc("---\ntype: knowledge\ncreated: 2026-01-01\n---\n- short one\n", "notes/two.md")
    assert rules([held, *lines(line, heading), front]) == ["labels.private", "overlap", None, None]


def test_what_could_not_be_parsed_is_secret_too() -> None:
    torn = f'{{"id":"a","private":true,"private":false,"text":"{PROSE}"}}'.encode()
    unended = f'{{"id":"a","text":"{PROSE}'.encode()
    wide = f'{{"text":"{PROSE}"}}'.encode("utf-16")
    for raw in (torn, unended, wide.replace(b"\n", b"")):
        assert rules(lines(raw, public(PROSE, "b"))) == ["parse", "overlap"]


def test_a_copy_is_not_the_source_of_more_copies() -> None:
    """A document that repeats one private line repeats many public ones: those stay public."""
    fact = "Facts that everybody may know fill this line from its beginning to its very end, and it is long"
    capsule = doc(f"# Capsule\n- {PROSE}\n- {fact}\n", "views/attach/atlas.md", derived=True)
    records = [*HELD, capsule, *lines(public(fact, "b"))]
    assert rules(records) == ["labels.visibility", "overlap", None]


def test_a_text_derived_by_name_is_secret_in_a_ledger_and_not_in_a_document() -> None:
    text = "Other words for what was said before, long enough to be found again wherever they are repeated"
    held = private("x", "evt-20261121021415-94adf242")
    distilled = public(text, "b", source_event_id=held["id"])
    assert rules(lines(held, distilled, public(text, "c"))) == ["labels.visibility", "lineage", "overlap"]
    assert rules([*lines(held, public(text, "c")), doc(f"{held['id']}: {text}")]) == [
        "labels.visibility",
        None,
        "lineage",
    ]


def test_what_repeats_a_held_record_is_named_by_others_who_are_held_then() -> None:
    records = lines(public("z", "c", ref="b"), public(PROSE, "b"), private(PROSE, "a"))
    assert rules(records) == ["lineage", "overlap", "labels.visibility"]


@pytest.mark.parametrize("number", range(6))
def test_the_order_of_a_batch_changes_nothing(number: int) -> None:
    text = "A second text that only the copy has, which makes it a secret once the copy is known to derive from one"
    records = lines(
        private(PROSE, "a"),
        public(PROSE, "b", note=text, ref="d"),
        public("q", "d", ref="a"),
        public(text, "e"),
        public("r", "f"),
    )
    order = random.Random(number).sample(range(5), 5)
    verdicts = rules([records[at] for at in order])
    assert [verdicts[order.index(at)] for at in range(5)] == [
        "labels.visibility",
        "lineage",
        "lineage",
        "overlap",
        None,
    ]


def test_sizes_stay_small() -> None:
    (held,) = judge(HELD, MemoryKnown(), FINGERPRINT)
    (kept,) = judge(lines(public(PROSE, "b")), MemoryKnown(), FINGERPRINT)
    assert isinstance(held, Held)
    assert isinstance(kept, Kept)
    assert 2 <= len(held.passages) <= 8
    assert len(kept.echoes) == 1


@pytest.mark.parametrize("record", [public(f"{PROSE}. Then more.", "b"), {"id": "b", "text": f"It was said: {PROSE}"}])
def test_a_kept_record_is_found_again_when_its_source_becomes_private(record: dict[str, object]) -> None:
    """Its echoes meet the marks of the held record, and judged once more it is held."""
    known = MemoryKnown()
    (candidate,) = lines(record)
    (kept,) = judge([candidate], known, FINGERPRINT)
    assert isinstance(kept, Kept)
    (held,) = judge(HELD, known, FINGERPRINT)
    assert isinstance(held, Held)
    assert {mark for passage in held.passages for mark in (passage.mark, passage.whole)} & set(kept.echoes)
    known.learn([held])
    again = recheck(candidate, known, FINGERPRINT)
    assert isinstance(again, Held)
    assert (again.verdict.rule, again.passages) == ("overlap", ())


def test_a_kept_document_is_found_again_line_by_line() -> None:
    known = MemoryKnown()
    (kept,) = judge([doc(f"# Log\n\n- com-1 (2026-11-05): {PROSE}\n- other\n", derived=True)], known, FINGERPRINT)
    (held,) = judge(HELD, known, FINGERPRINT)
    assert isinstance(kept, Kept)
    assert isinstance(held, Held)
    assert {passage.mark for passage in held.passages} <= set(kept.echoes)


def test_a_record_whose_label_was_changed_is_no_copy_of_itself() -> None:
    known = MemoryKnown()
    known.learn(judge(HELD, known, FINGERPRINT))
    assert rules(lines(public(PROSE, "secret"), public(PROSE, "another")), known) == [None, "overlap"]


def test_thousands_of_texts_that_begin_alike_are_told_apart() -> None:
    start = "In the evening of that day the keeper wrote into the harbour book that ship number"
    known = MemoryKnown()
    known.learn(judge(lines(*(private(f"{start} {n} left", str(n)) for n in range(3000))), known, FINGERPRINT))
    candidates = [
        public(f"In the evening of that day the keeper slept until {n} o'clock", f"c{n}") for n in range(3000)
    ]
    assert rules(lines(*candidates), known) == [None] * 3000
    assert rules(lines(public(f"{start} 17 left", "copy")), known) == ["overlap"]


def test_nothing_is_kept_in_plain() -> None:
    (held,) = judge(HELD, MemoryKnown(), FINGERPRINT)
    assert isinstance(held, Held)
    assert all(type(number) is int for passage in held.passages for number in passage)


_TEXTS = st.text(st.sampled_from("abcvé 已序.\n\u200bßЖИк1한ﬁ，𠀁_ก\u0e31・ー"), max_size=60)


@settings(max_examples=200, deadline=None)
@given(_TEXTS)
def test_letters_and_words_agree(text: str) -> None:
    letters = letters_of(text)
    starts = word_starts(letters.text)
    assert starts[-1] == len(letters.folded)
    assert set(letters.clauses) <= {*starts, 0}
    assert letters_of(letters.folded.decode()).folded == letters.folded


@pytest.mark.parametrize("before", ["昨天我们说", "วันนี้เราไปตลาดกันที่นี่", "コーヒー・パン・ミルク"])
def test_a_short_copy_behind_a_script_without_spaces_is_held(before: str) -> None:
    """Also where signs stand in it that are no letters."""
    secret = "the spare key hangs in the old barn"
    assert rules([*lines(private(secret, "a")), doc(f"{before} we know {secret} today")])[1] == "overlap"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([*PROSE.split(), "已在", "v", "Overview"]), min_size=16, max_size=60), st.integers(0, 3)
)
def test_any_whole_copy_behind_other_words_is_held(words: list[str], before: int) -> None:
    secret = " ".join(words)
    copy = " ".join(["quite", "other", "words"][:before] + words)
    assert rules(lines(private(secret, "a"), {"id": "b", "text": copy}))[1] == "overlap"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80))
def test_no_damage_raises(raw: bytes) -> None:
    judge([doc(raw), *lines(raw.replace(b"\n", b""))], MemoryKnown(), FINGERPRINT)


def test_a_text_that_is_too_long_to_be_searched_at_every_word_is_held() -> None:
    """But for lines with a label, which are searched where a repeated text would begin."""
    longest = "filling " * (overlap.MOST_PLACES - 2)  # its end and its one clause count, too
    assert rules([*HELD, doc(longest), doc(f"{longest} {PROSE}")]) == ["labels.visibility", None, "overlap.too-long"]
    assert rules([*HELD, *lines(public(f"{longest}. {longest}", "b"))]) == ["labels.visibility", None]
    clauses = "on it goes. " * (overlap.MOST_PLACES + 1)
    assert rules([doc(clauses)]) == ["overlap.too-long"]
    assert rules([doc(longest * 2)]) == [None]  # while nothing is held there is nothing that it could repeat
