"""Ledgers of JSON lines."""

from __future__ import annotations

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from memferry.formats import jsonl
from memferry.formats.base import Ledger
from memferry.model import Record, Source

SOURCE = Source("notes", "log.jsonl", "jsonl")


def parse(lines: bytes, start: int = 0) -> list[Record]:
    kind = jsonl.FORMAT.kind("log.jsonl")
    assert kind is not None
    reader: Ledger = kind.reader
    return list(reader.parse(SOURCE, lines, start))


def test_a_record_a_line_with_its_own_bytes_digest_and_offset() -> None:
    lines = b'{"id":"a","type":"fact","tags":["x","y"],"ts":"2026-01-01T00:00:00Z"}\n{"id" : "b"}\r\n'
    one, two = parse(lines, start=100)
    assert (one.key, one.type, one.tags, one.ts) == ("a", "fact", ("x", "y"), "2026-01-01T00:00:00Z")
    assert (one.start, two.start) == (100, 100 + lines.index(b"\n") + 1)
    assert two.body == b'{"id" : "b"}\r'
    assert two.digest == hashlib.sha256(two.body).digest()
    assert one.source is SOURCE
    assert one.problem is None


def test_the_first_id_field_with_a_text_is_the_key() -> None:
    lines = b'{"id":"c","uuid":"b","event_id":"a"}\n{"id":"c","uuid":"b"}\n{"event_id":"","uuid":null,"id":"c"}\n'
    assert [record.key for record in parse(lines)] == ["a", "b", "c"]


def test_without_an_id_the_digest_is_the_key() -> None:
    for line in (b'{"id":7}', b"{}", b'"text"', b"[1,2]", b"3", b"null", b""):
        (record,) = parse(line + b"\n")
        assert record.key == hashlib.sha256(line).hexdigest()
        assert record.problem is None


def test_a_blank_line_is_a_record_without_fields() -> None:
    assert [record.fields for record in parse(b"\n \t\n\r\n")] == [{}, {}, {}]


def test_lines_end_at_newlines_only() -> None:
    body = '{"id":"a","text":"one\u2028two\u0085three\x0bfour"}'.replace("\x0b", "\\u000b").encode()
    (record,) = parse(body + b"\n")
    assert record.body == body


def test_a_line_that_cannot_be_read_is_a_record_with_a_problem() -> None:
    records = parse(b'{"id":"a","id":"b"}\n{"id":"c"}\n{"id":\n')
    assert [record.problem for record in records] == ["a key appears twice", None, "not JSON"]
    assert records[0].key == records[0].digest.hex()
    assert records[0].fields is None


def test_only_the_line_with_a_byte_order_mark_is_held_back() -> None:
    first, second = parse(b'\xef\xbb\xbf{"id":"a"}\n{"id":"b"}\n')
    assert first.problem == "starts with a byte-order mark"
    assert (second.key, second.problem) == ("b", None)


def test_fields_of_another_type_are_not_taken() -> None:
    (record,) = parse(b'{"type":1,"tags":["x",2],"ts":5,"timestamp":"then"}\n')
    assert (record.type, record.tags, record.ts) == (None, (), "then")


def test_suffixes() -> None:
    named = ["a.jsonl", "b/c.ndjson", "d.jsonl.gz", "e.NDJSON.gz", "f.json", "g.md", "jsonl"]
    assert [name for name in named if jsonl.FORMAT.kind(name)] == named[:4]


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"")), max_size=8), st.integers(0, 999))
def test_nothing_raises_and_no_byte_is_lost(bodies: list[bytes], start: int) -> None:
    lines = b"".join(body + b"\n" for body in bodies)
    records = parse(lines, start)
    assert [record.body for record in records] == bodies
    assert [record.start for record in records] == [
        start + sum(len(b) + 1 for b in bodies[:n]) for n in range(len(bodies))
    ]
