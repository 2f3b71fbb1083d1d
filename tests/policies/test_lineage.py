"""Which other records a record names."""

from __future__ import annotations

import time

import pytest

from memferry.model import Record
from memferry.policies import damaged, lineage
from memferry.policies.base import Held, Kept
from memferry.policies.chain import judge
from tests.policies.held import (
    FINGERPRINT,
    PROSE,
    MemoryKnown,
    array,
    contents_of,
    doc,
    lines,
    private,
    public,
    rules,
)


def names(record: Record) -> set[str]:
    return lineage.names(record, contents_of(record))


def of(fields: object, file: str = "log.jsonl") -> set[str]:
    return names(lines(fields, file=file)[0])


@pytest.mark.parametrize(
    "key",
    [
        "event_refs", "causal_refs", "supersedes", "source_event_id", "target_object_id", "evidence", "evidence_ref",
        "parentUuid", "parent_id", "item_ids", "source", "refs", "sourceID", "parent", "leafUuid", "references",
        "derived_from", "basedOn", "in_reply_to", "replaces", "superseded_by", "related", "parent_event", "links",
        "source_memories", "causes",
    ],
)  # fmt: skip
def test_values_of_naming_keys_are_names(key: str) -> None:
    assert of({"id": "own", key: "other"}) == {"other"}
    assert of({"id": "own", key: ["one", "two"]}) == {"one", "two"}
    assert of({"id": "own", "deep": [{key: "other"}]}) == {"other"}


def test_an_inner_id_is_a_name_and_its_own_is_not() -> None:
    assert of({"id": "own", "item": {"id": "other"}}) == {"other"}
    assert of({"id": "own", "ref": "own", "text": "I am own-20261121-aa"}) == {"own-20261121-aa"}
    assert of({"event_id": "evt-20261121021415-94adf242", "ts": "2026-11-21T02:14:16Z"}) == set()


def test_what_has_the_form_of_an_id_is_a_name_wherever_it_stands() -> None:
    id_ = "dec-20261121021416-716b8cc3"
    assert of({"id": "own", "target": id_}) == {id_}
    assert of({"id": "own", "text": f"This replaces {id_}, at last."}) == {id_}
    assert of({"id": "own", "seen": [f"memory:{id_}"]}) == {id_}
    assert names(doc(f"- {id_} (2026-11-05): buy milk\n")) == {id_}
    assert names(doc("It is 550e8400-e29b-41d4-a716-446655440000.")) == {"550e8400-e29b-41d4-a716-446655440000"}


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T02:14:16Z",
        "2026-11-21",
        "well-known state-of-the-art",
        "short-1",
        "hyphen-without-digits",
        "x" * 40,
        "1234567890123",
    ],
)
def test_dates_and_words_are_no_names(text: str) -> None:
    assert of({"id": "own", "text": f"see {text} there"}) == set()


def test_ledger_files_and_clocks_are_no_names() -> None:
    fields = {"id": "own", "source": ["stream:streams/a/ins-main/2026-09-01.jsonl"], "created_at": "x-20261121021416-y"}
    assert of(fields) == set()


def test_what_lies_below_such_a_key_names_records_as_everywhere() -> None:
    assert of({"id": "own", "seen_at": {"parent_id": "other"}, "date": [{"ref": "third"}]}) == {"other", "third"}


def test_ids_of_runs_and_instances_are_records_only_outside_diasync() -> None:
    fields = {"id": "own", "run_id": "run-1", "instance_id": "ins-1", "session_id": "ses-1"}
    assert of(fields) == {"run-1", "ins-1", "ses-1"}
    assert of({"schema_version": "diasync-v1-event", "event_id": "e", **fields}, "bus/x/a.jsonl") == {"own", "ses-1"}


def test_links_of_a_document_name_documents() -> None:
    text = "[a](secret%20plan.md), [b](../other.md#top), [c](<x/y.md>), [d](https://example.org/z.md), [e](#top)"
    assert {"notes/secret plan.md", "other.md", "notes/x/y.md"} <= names(doc(text))
    assert not any("example.org" in name or name.endswith("top") for name in names(doc(text)))


@pytest.mark.parametrize(
    "text",
    [
        "[x](<my plan.md>)", "[x](my%20plan.md)", "[x](my plan.md)", "[x](  my%20plan.md)", "[x](\nmy%20plan.md)",
        '[x](my%20plan.md "a title")', "[x](my%20plan)", "[x](/notes/my%20plan.md)", "[x](notes/my%20plan.md)",
        "[x](./a/../my%20plan.md#top)", "[x][1]\n\n[1]: my%20plan.md", "[x]\n\n> [x]: <my plan.md> 'a title'",
        "<a class=x href='my plan.md'>x</a>", "<img SRC=my%20plan.md>", "[[my plan]]", "![[My plan.md#Top|so]]",
        "| [[notes/my plan\\|so]] |", "---\nrelated: '[[my plan]]'\n---\nx", "---\nsource: my plan.md\n---\nx",
        "[![x](x.png)](my%20plan.md)", "[never closed](x [y](my%20plan.md)",
    ],
)  # fmt: skip
def test_who_links_to_a_held_document_is_held_however_it_is_written(text: str) -> None:
    held = doc("---\nprivate: true\n---\nx", "notes/my plan.md")
    assert rules([held, doc(text, "notes/index.md")]) == ["labels.private", "lineage"]


def test_a_line_may_link_to_a_document_too() -> None:
    held = doc("---\nprivate: true\n---\nx", "plan.md")
    others = lines(public("see [[plan]]", "a"), public("see [it](plan.md)", "b"), public("plan", "c"))
    assert rules([held, *others]) == ["labels.private", "lineage", "lineage", None]


def test_links_take_linear_time() -> None:
    for part in ("](", "[[", "](<", "\n[a]:", "href=", 'href="', "](a.md", "[[a]]", "> " * 9 + "[", "<a href='"):
        names(doc(part * 40_000))


def test_a_number_is_a_name() -> None:
    assert of({"id": 8, "supersedes": 7, "refs": [5, True, 1.5]}) == {"8", "7", "5"}
    records = lines({"id": 7, "private": True}, {"id": 8, "supersedes": 7}, {"id": 9, "refs": ["7"]}, {"id": 10})
    assert rules(records) == ["labels.private", "lineage", "lineage", None]


def test_a_record_is_named_by_any_of_its_ids() -> None:
    two = {"uuid": "u-1", "id": "note-17", "_id": 3, "private": True}
    assert rules(lines(two, *({"uuid": f"x-{n}", "refs": [n]} for n in ("u-1", "note-17", "3", "4")))) == [
        "labels.private", "lineage", "lineage", "lineage", None,
    ]  # fmt: skip
    entries = array('[{"id":"f1","uuid":"fu-1","private":true},{"id":"f2","refs":["fu-1"]}]')
    assert rules(entries) == ["labels.private", "lineage"]
    held = doc("---\nid: doc-77\nprivate: true\n---\nx", "notes/two.md")
    assert rules([held, doc("---\nrefs: [doc-77]\n---\ny")]) == ["labels.private", "lineage"]


def test_an_id_of_its_kind_is_its_own_where_it_has_no_other() -> None:
    alone = lines({"memory_id": "m-1", "private": True}, {"memory_id": "m-2", "source_memory_id": "m-1"})
    assert rules(alone) == ["labels.private", "lineage"]
    about = lines({"id": "a", "memory_id": "m-1", "private": True}, {"id": "b", "memory_id": "m-1"})
    assert rules(about) == ["labels.private", None]
    session = lines({"id": "a", "session_id": "s", "private": True}, {"id": "b", "session_id": "s"})
    assert rules(session) == ["labels.private", None]


def test_the_second_entry_under_an_id_is_named_by_it() -> None:
    entries = array('[{"id":"e1","x":1},{"id":"e1","private":true},{"id":"e3","refs":["e1"]}]')
    assert rules(entries) == [None, "labels.private", "lineage"]


def test_a_label_that_is_added_to_a_line_with_a_number_holds_what_it_was_before() -> None:
    known = MemoryKnown()
    before, after = lines({"id": 17, "text": "x"}), lines({"id": 17, "text": "x", "private": True})
    (kept,) = judge(before, known, FINGERPRINT)
    (held,) = judge(after, known, FINGERPRINT)
    assert isinstance(kept, Kept)
    assert isinstance(held, Held)
    assert {held.id, *held.also} & set(kept.refs)
    known.learn([held])
    assert rules(before, known) == ["lineage"]


def test_nothing_is_held_because_it_was_held_itself() -> None:
    known = MemoryKnown()
    known.learn(judge([doc("---\nid: d\nprivate: true\n---\n[[one]]")], known, FINGERPRINT))
    assert rules([doc("---\nid: d\n---\n[[one]]")], known) == [None]
    assert rules([doc("---\nid: d\n---\nx", "other.md")], known) == ["lineage"]
    (record,) = lines({"id": 17, "text": PROSE})
    known = MemoryKnown()
    known.learn(judge([*lines(private(PROSE, "secret")), record], known, FINGERPRINT)[1:])
    assert rules([record], known) == [None]


def test_whoever_names_a_held_record_is_held_through_others_too() -> None:
    records = lines(
        public("third", "c", parent="b"),
        private("first", "a"),
        public("second", "b", supersedes=["a"]),
        public("other", "d", parent="x"),
    )
    assert rules(records) == ["lineage", "labels.visibility", "lineage", None]


def test_a_cycle_of_names_ends() -> None:
    records = lines(public("x", "a", ref="b"), public("y", "b", ref="a"), private("z", "c", ref="a"))
    assert rules(records) == [None, None, "labels.visibility"]
    assert rules([*records, *lines(public("w", "b", ref="c"))])[:2] == ["lineage", "lineage"]


def test_a_document_that_links_to_a_held_one_is_held() -> None:
    held = doc("---\nprivate: true\n---\nx", "notes/secret.md")
    index = doc("- [Plan](secret.md)", "notes/index.md")
    mentions = doc("There is a file called secret.md somewhere", "notes/log.md")
    assert rules([held, index, mentions]) == ["labels.private", "lineage", None]


def test_notes_about_held_records_are_held_and_those_about_such_notes() -> None:
    held = private("x", "dec-20261121021416-716b8cc3")
    conflict = {"schema_version": "diasync-v1-conflict-event", "conflict_id": "cnf-1", "evidence": [held["id"]]}
    resolved = {"schema_version": "diasync-v1-conflict-event", "conflict_id": "cnf-1", "op": "resolve"}
    finding = {"schema_version": "diasync-v1-finding-event", "finding_id": "fdg-1", "evidence": ["cnf-1"]}
    plan = {"schema_version": "diasync-v1-optimization-plan", "plan_id": "pln-1", "finding_id": "fdg-1"}
    other = {"schema_version": "diasync-v1-finding-event", "finding_id": "fdg-2", "evidence": ["cnf-2"]}
    records = lines(held, plan, finding, other, conflict, resolved)
    assert rules(records) == ["labels.visibility", "lineage", "lineage", None, "lineage", "lineage"]


def test_the_object_around_entries_names_for_all_of_them() -> None:
    records = lines(private("x", "secret-1")) + array('{"source":"secret-1","entries":[{"id":"b"},{"id":"c"}]}')
    assert rules(records) == ["labels.visibility", "lineage", "lineage"]


def test_too_many_names_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "MOST_NAMES", 5)
    assert rules([doc(" ".join(f"item-2026112102-{number}" for number in range(6)))]) == ["lineage"]
    assert rules([doc(" ".join(f"item-2026112102-{number}" for number in range(5)))]) == [None]


# -- records that could not be parsed


@pytest.mark.parametrize(
    "raw",
    [
        b'{"id":"evt-00001","visibility":"public","visibility":"private","text":"x"}',
        b'{"id":"evt-00001","visibility":"private","text":"Anna told me something',
        b'{"text": "x", "visibility":"private", "uuid" : "evt\\u002d00001", ',
        b'{"memory_id":"evt-00001","n":NaN}',
        b'{"id":"evt-00001',
    ],
)
def test_who_names_a_line_that_cannot_be_read_is_held(raw: bytes) -> None:
    records = lines(raw, {"id": "b", "refs": ["evt-00001"]}, {"id": "c", "refs": ["evt-00009"]})
    assert rules(records) == ["parse", "lineage", None]


@pytest.mark.parametrize(
    "front",
    [
        "---\nid: note-000001\nprivate: true\nprivate: false\n---\n",
        "---\r\n  'id': \"note-000001\"  # its name\r\nprivate: [\r\n---\r\n",
        "+++\nid = 'note-000001'\nprivate = yes\n+++\n",
        '---json\n{"a": 1, "id": "note-000001", "a": 2}\n---\n',
        '{"id": "note-000001", "private": tru}\n',
        "---\nid: note-000001\n",
    ],
)
def test_who_names_a_document_whose_front_matter_cannot_be_read_is_held(front: str) -> None:
    assert rules([doc(f"{front}some text"), *lines({"id": "b", "refs": ["note-000001"]})]) == ["parse", "lineage"]


def test_what_a_broken_record_costs_is_bounded() -> None:
    started = time.perf_counter()
    for raw in (
        b" " * 100_000 + b"\n" * 100_000,
        b'"' * 500_000,
        b'"id":"' * 90_000,
        b'"a"' + b" " * 900_000,
        b"a" * 900_000,
    ):
        damaged.names(lines(b"{" + raw.replace(b"\n", b" "))[0])
        damaged.names(doc(b"---\n" + raw))
        damaged.private_part(b"[" + raw)
    assert time.perf_counter() - started < 20
