"""JSON arrays of entries that are rewritten in place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memferry.formats import entries
from memferry.formats.base import Snapshot
from memferry.model import Source

SOURCE = Source("brand", "insights.json", "entries")
READER = entries.Entries()


def parse(text: str | bytes) -> Snapshot:
    snapshot = READER.parse(SOURCE, text if isinstance(text, bytes) else text.encode())
    assert snapshot is not None
    return snapshot


def rendered(snapshot: Snapshot) -> bytes:
    return READER.render([record.body for record in snapshot.records], snapshot.frame)


TWO = [{"id": "a", "content": "één", "n": 1.0}, {"id": "b", "tags": ["x"], "type": "fact", "created_at": "2026-01-01"}]


@pytest.mark.parametrize("value", [TWO, TWO[:1], [], {"entries": TWO}, {"version": 2, "entries": TWO, "note": [1]}])
@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"indent": 2},
        {"indent": 4, "ensure_ascii": False},
        {"separators": (",", ":")},
        {"indent": "\t"},
        {"indent": 0},
    ],
)
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_file_is_rendered_byte_for_byte(value: object, layout: dict[str, object], end: str) -> None:
    text = json.dumps(value, **layout) + end  # type: ignore[arg-type]
    assert rendered(parse(text)) == text.encode()


def test_an_entry_has_its_own_bytes_and_its_own_key() -> None:
    first, second = parse(json.dumps(TWO, indent=2)).records
    assert (first.key, first.start, second.key, second.start) == ("a", 0, "b", 1)
    assert json.loads(first.body) == TWO[0]
    assert b"\\u00e9" in first.body
    assert (second.type, second.tags, second.ts) == ("fact", ("x",), "2026-01-01")


def test_the_digest_is_that_of_the_content_however_it_is_written() -> None:
    (one,) = parse('[{"id":"a","x":"\\u00e9","access_count":1}]').records
    (two,) = parse('[ {"access_count":99, "last_accessed":"now",\n"x" : "é","id":"a"} ]').records
    (three,) = parse('[{"id":"a","x":"e"}]').records
    assert one.digest == two.digest
    assert one.digest != three.digest


def test_only_what_is_volatile_at_the_top_is_left_out() -> None:
    one, two = parse('[{"id":"a","x":{"access_count":1}},{"id":"b","x":{"access_count":2}}]').records
    assert one.digest != two.digest


def test_different_entries_under_one_id_are_all_kept_and_copies_share_a_key() -> None:
    text = '[{"id":"a"},{"id":"a","x":1},{"id":"a"},{"id":"a#2"},{"id":"a","x":2}]'
    assert [record.key for record in parse(text).records] == ["a", "a#3", "a", "a#2", "a#4"]


def test_an_entry_without_an_id_has_its_digest() -> None:
    for record in parse('[{"x":1},{"id":5},"text",7,null]').records:
        assert record.key == record.digest.hex()


def test_what_surrounds_the_entries_goes_with_each() -> None:
    snapshot = parse('{"visibility":"private","entries":[{"id":"a"},{"id":"b"}]}')
    assert [record.around.fields for record in snapshot.records if record.around] == [{"visibility": "private"}] * 2
    assert all(record.around is None for record in parse('{"entries":[{"id":"a"}]}').records)


def test_of_several_separators_the_most_common_is_used() -> None:
    snapshot = parse("[1,2, 3, 4]")
    assert snapshot.frame == ("[", ", ", "]")


@pytest.mark.parametrize(
    "text",
    [
        "", "[", '[{"id":"a"},', '[{"id":"a"}', '{"entries":[{"id":"a"}]', "[1,]", "[1] x", "nope",
        '{"entries":[1],"entries":[2]}', '{"a":1,"a":2,"entries":[1]}', '{"a":NaN,"entries":[1]}', "\ufeff[1]",
        "[" * 100_000, '["\x01"]',
    ],
)  # fmt: skip
def test_a_file_that_is_not_whole_or_ambiguous_is_none(text: str) -> None:
    assert READER.parse(SOURCE, text.encode()) is None


def test_bytes_that_are_no_utf8_are_none() -> None:
    assert READER.parse(SOURCE, b'["\xff"]') is None
    assert READER.parse(SOURCE, "[1]".encode("utf-16")) is None


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ('{"id":"a","private":true,"private":false}', "a key appears twice"),
        ('{"id":"a","x":NaN}', "NaN or Infinity"),
        ('{"id":"a","x":1e999}', "a number is out of range"),
        ('{"id":"a","x":' + "9" * 5000 + "}", "a number is too long"),
        ('{"id":"a","x":"\\ud800"}', "half of a surrogate pair"),
        ('{"id":"a","x":' + "[" * 80 + "]" * 80 + "}", "nested too deeply"),
    ],
)
def test_a_bad_entry_is_a_problem_of_its_own(entry: str, problem: str) -> None:
    before, bad, after = parse(f'[{{"id":"b"}},{entry},{{"id":"c"}}]').records
    assert (before.problem, bad.problem, after.problem) == (None, problem, None)
    assert bad.key == "a"


def test_json_of_another_shape_is_one_record_under_its_path() -> None:
    for text in ('{"id":"a","entries":{"x":1}}', "5", '"text"', '{"type":"guideline"}\n'):
        snapshot = parse(text)
        (record,) = snapshot.records
        assert (record.key, record.body) == ("insights.json", text.encode())
        assert rendered(snapshot) == text.encode()


def test_without_a_frame_the_file_is_laid_out_anew() -> None:
    bodies = [b'{"id":"a"}', b'{"id":"b"}']
    assert [record.body for record in parse(READER.render(bodies, None)).records] == bodies
    assert parse(READER.render([], None)).records == []


_ENTRIES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=100)
@given(
    st.lists(_ENTRIES, max_size=5),
    st.dictionaries(st.sampled_from(["a", "b"]), _ENTRIES),
    st.sampled_from([None, 1, 2]),
    st.booleans(),
)
def test_any_array_survives(values: list[object], members: dict[str, object], indent: int | None, bare: bool) -> None:
    text = json.dumps(values if bare else {**members, "entries": values}, indent=indent)
    snapshot = parse(text)
    assert rendered(snapshot) == text.encode()
    assert [record.fields for record in snapshot.records] == values


@settings(max_examples=150)
@given(
    st.lists(
        st.sampled_from(["[", "]", "{", "}", '"entries"', ":", ",", '"a"', "1", " ", "NaN", "\\", '"']), max_size=14
    )
)
def test_nothing_raises(parts: list[str]) -> None:
    snapshot = READER.parse(SOURCE, "".join(parts).encode())
    assert snapshot is None or all(record.body for record in snapshot.records)
