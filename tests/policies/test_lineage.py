"""Which other records a record names."""

from __future__ import annotations

import pytest

from memferry.model import Record
from memferry.policies import lineage
from tests.policies.held import array, contents_of, doc, lines, private, public, rules


def names(record: Record) -> set[str]:
    return lineage.names(record, contents_of(record))


def of(fields: object, file: str = "log.jsonl") -> set[str]:
    return names(lines(fields, file=file)[0])


@pytest.mark.parametrize(
    "key",
    [
        "event_refs", "causal_refs", "supersedes", "source_event_id", "target_object_id", "evidence", "evidence_ref",
        "parentUuid", "parent_id", "item_ids", "source", "refs", "sourceID", "parent", "leafUuid", "references",
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
    assert of({"id": "own", "links": [f"memory:{id_}"]}) == {id_}
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
    text = "[a](secret%20plan.md), [b](../other.md#top), [c](<x/y.md>), [d](https://example.org/z.md)"
    assert names(doc(text)) == {"notes/secret plan.md", "other.md", "notes/x/y.md"}


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
