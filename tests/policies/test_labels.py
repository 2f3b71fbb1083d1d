"""What records say about themselves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memferry.model import Record
from memferry.policies import labels, shapes
from memferry.policies.labels import has_mark
from memferry.policies.spelling import folded, looks_like
from tests.policies.held import array, contents_of, doc, lines


def rule(record: Record) -> str | None:
    hold = labels.judge(record, contents_of(record))
    return hold and hold.rule


def of(fields: object) -> str | None:
    (record,) = lines(fields)
    assert record.problem is None
    return rule(record)


@pytest.mark.parametrize("word", ["project", "global", "public", "shared", "team"])
def test_a_known_open_visibility_is_kept(word: str) -> None:
    assert of({"visibility": word}) is None


@pytest.mark.parametrize("word", ["internal", "public"])
def test_a_known_open_sensitivity_is_kept(word: str) -> None:
    assert of({"sensitivity": word}) is None


@pytest.mark.parametrize(
    "value", ["private", "Private", "PROJECT", "project ", "", "personal", None, True, 0, ["project"], {}]
)
def test_every_other_visibility_is_held(value: object) -> None:
    assert of({"visibility": value}) == "labels.visibility"


@pytest.mark.parametrize("value", ["private", "confidential", "restricted", "secret", "low", "Internal", None, 1, []])
def test_every_other_sensitivity_is_held(value: object) -> None:
    assert of({"sensitivity": value}) == "labels.sensitivity"


@pytest.mark.parametrize("key", ["private", "is_private", "confidential"])
@pytest.mark.parametrize("value", [True, "true", "false", 0, 1, "no", None, [], {"x": False}])
def test_a_flag_is_kept_only_when_false(key: str, value: object) -> None:
    assert of({key: False}) is None
    assert of({key: value}) == ("labels.confidential" if key == "confidential" else "labels.private")


@pytest.mark.parametrize(
    "key",
    [
        "Private", "PRIVATE", "privаte", "рrivаte", "prıvate", "pri vate", "pri-vate", "pri\u200bvate",
        "priv\u0301ate", "ｐｒｉｖａｔｅ", "𝐩𝐫𝐢𝐯𝐚𝐭𝐞", "pr1vate", "prlvate", "pr|vate", "priv4te", "private_",
        " private", "isPrivate", "IsPrivate", "is-private", "Visibility", "visibi1ity", "vіsibility", "VISIBILITY",
        "visi_bility", "Sensitivity", "sen5itivity", "sensitivity\u00ad", "Confidential", "c0nfidential",
        "con-fidential",
    ],
)  # fmt: skip
def test_a_key_that_only_looks_like_a_label_is_held(key: str) -> None:
    assert of({key: False}) == "labels.spelling"
    assert of({"a": [{"b": {key: "project"}}]}) == "labels.spelling"


@pytest.mark.parametrize(
    "key",
    [
        "privacy", "privately", "primate", "visible", "visibilities", "sensitive", "invisibility", "confidence",
        "заметка", "приватн", "可见性", "публично", "is_primary",
    ],
)  # fmt: skip
def test_other_keys_say_nothing(key: str) -> None:
    assert of({key: "private"}) is None


def test_a_label_counts_at_any_depth() -> None:
    assert of({"payload": {"x": [1, [{"visibility": "private"}]]}}) == "labels.visibility"
    assert of([{"private": True}]) == "labels.private"
    assert of({"visibility": "project", "item": {"sensitivity": "secret"}}) == "labels.sensitivity"


@pytest.mark.parametrize("key", ["type", "date", "seen_at", "hash", "ts", "schema_version", "idempotency_key"])
def test_a_label_counts_below_keys_that_say_nothing_themselves(key: str) -> None:
    assert of({"id": "a", key: {"place": "x", "private": True}}) == "labels.private"
    assert of({"id": "a", key: [{"tags": ["private"]}]}) == "labels.tag"


@pytest.mark.parametrize(
    "tags",
    [
        ["private"], ["a", "Private"], ["#private"], ["pri-vate"], ["PRIVATE!"], "private", "a, private", "a private",
        ["private/diary"], ["visibility:private"], ["prіvate"], ["pr\u200bivate"], [{"name": "private"}], [["private"]],
        "work|private", ["work|private"], {"x": "private"}, ["a", {"names": ["b", "Private"]}],
    ],
)  # fmt: skip
def test_a_tag_that_says_private_is_held(tags: object) -> None:
    for key in ("tags", "Tags", "tag", "labels"):
        assert of({key: tags}) == "labels.tag"


@pytest.mark.parametrize(
    "tags", [[], "", None, 5, ["privacy", "secret", "private-api"], "deprivated", [["x"]], {"x": 1}]
)
def test_other_tags_are_kept(tags: object) -> None:
    assert of({"tags": tags}) is None


@pytest.mark.parametrize(
    "text",
    [
        "<private>x</private>", "a <PRIVATE reason='y'> b", "<private\n>", "< private >", "</private>", "<private/>",
        "ends <private", "＜private＞ x", "<pri\u200bvate> ü", "<ｐｒｉｖａｔｅ>", "﹤private﹥",
    ],
)  # fmt: skip
def test_a_private_mark_holds_the_whole_record(text: str) -> None:
    assert has_mark(text)
    assert of({"deep": [{"note": text}]}) == "labels.mark"
    assert rule(doc(f"# Title\n\n{text}\n")) == "labels.mark"


@pytest.mark.parametrize(
    "text", ["<privateer>", "<private-key>", "private", "&lt;private&gt;", "<p>private</p>", "a < b, private"]
)
def test_other_angle_brackets_are_kept(text: str) -> None:
    assert not has_mark(text)
    assert of({"note": text}) is None


def test_a_mark_is_found_however_json_escapes_it() -> None:
    for raw in (
        rb'{"a":"\u003cprivate>"}',
        rb'{"a":"\u003Cprivate\u003e"}',
        rb'{"a":"\uff1cprivate>"}',
        rb'{"a":"\uFE64private"}',
    ):
        assert rule(lines(raw)[0]) == "labels.mark"


def test_a_mark_search_takes_linear_time() -> None:
    assert not has_mark("<" + " " * 200_000 + "x" + "<" * 100_000)


def test_front_matter_labels_like_json() -> None:
    assert rule(doc("---\nprivate: true\n---\ntext")) == "labels.private"
    assert rule(doc("---\nprivate: yes\n---\ntext")) == "labels.private"
    assert rule(doc("---\nprivate: 'yes'\n---\ntext")) == "labels.private"
    assert rule(doc("---\nSensitivity: internal\n---\ntext")) == "labels.spelling"
    assert rule(doc("---\nmeta: {visibility: [project]}\n---\ntext")) == "labels.visibility"
    assert rule(doc("---\ntags: diary, private\n---\ntext")) == "labels.tag"
    assert rule(doc("---\nvisibility: team\nprivate: no\ntags: [a]\n---\ntext")) is None
    assert rule(doc("private: true in a text is no label")) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#private\n\ntext", "labels.tag"),
        ("# Title\n\n#work #Private/diary\ntext", "labels.tag"),
        ("Tags: work, private\n\ntext", "labels.tag"),
        ("visibility: private\n\ntext", "labels.visibility"),
        ("# Title\n**Visibility:** Private\n", "labels.visibility"),
        ("Author: ann\nis_private: yes\n", "labels.private"),
        ("\n> Sensitivity: confidential.\n", "labels.sensitivity"),
        ("---\na: b\n---\nconfidential: true\n", "labels.confidential"),
        ("text\n\n#private\n", None),
        ("text\nvisibility: private\n", None),
        ("visibility: private notes of ann\n", None),
        ("visibility: team\nprivate: false\n", None),
        ("#privacy #public\n", None),
        ("#private and more words\n", None),
        ("# private\n", None),
    ],
)
def test_a_line_of_its_own_at_the_top_of_a_document_is_a_label(text: str, expected: str | None) -> None:
    assert rule(doc(text)) == expected


@pytest.mark.parametrize("raw", [r"\u003cprivate>", r"\\u003cprivate\\u003e", r"<\u0070rivate>", r"\u003C/private>"])
def test_a_mark_is_found_in_json_within_a_text(raw: str) -> None:
    assert of({"payload": f'{{"a":"{raw}"}}'}) == "labels.mark"
    assert rule(doc(f'The reply was {{"a":"{raw}"}}.')) == "labels.mark"


def test_an_entry_is_judged_by_itself() -> None:
    held, kept = array('[{"id":"a","sensitivity":"private"},{"id":"b","sensitivity":"internal"}]')
    assert (rule(held), rule(kept)) == ("labels.sensitivity", None)


def test_reasons_hold_no_content() -> None:
    for fields in ({"visibility": "CANARY"}, {"Visibi1ity": "CANARY"}, {"tags": ["private", "CANARY"]}):
        (record,) = lines(fields)
        hold = labels.judge(record, contents_of(record))
        assert hold is not None
        assert "CANARY" not in hold.reason


def test_shapes_and_tags_are_not_remembered_without_end() -> None:
    for number in range(6000):
        assert of({f"key{number}": 1, "tags": [f"tag{number}"]}) is None
    assert of({f"key{number}": 1, "Private": 0}) == "labels.spelling"
    assert len(shapes._shapes) <= 4096
    assert len(labels._harmless) <= 4096 + 1


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=12))
def test_folding_twice_changes_nothing_and_never_raises(name: str) -> None:
    assert folded(folded(name)) == folded(name)
    assert looks_like(folded(name), folded(name))


_ALIKE = {"p": "pрPｐ", "r": "rR", "i": "iі1|İlI", "v": "vѵV", "a": "aаA@4", "t": "tT", "e": "eеE3"}


@settings(max_examples=200, deadline=None)
@given(st.tuples(*(st.sampled_from(_ALIKE[letter]) for letter in "private")).map("".join))
def test_no_mixture_of_look_alikes_passes_for_another_key(key: str) -> None:
    expected = "labels.private" if key == "private" else "labels.spelling"
    assert of({key: True}) == expected
