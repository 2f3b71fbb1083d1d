"""Documents and their front matter."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memferry.formats import document
from memferry.formats.front_matter import take_apart
from memferry.model import Record, Source

SOURCE = Source("notes", "ideas/one.md", "document")


def parse(content: bytes | str) -> Record:
    raw = content if isinstance(content, bytes) else content.encode()
    (record,) = document.Documents().parse(SOURCE, raw).records
    assert record.body == raw
    assert record.key == "ideas/one.md"
    assert record.digest == hashlib.sha256(raw).digest()
    return record


def test_front_matter_gives_fields_type_tags_and_time() -> None:
    record = parse("---\ntype: pattern\ntags: [a, b]\ncreated: 2026-02-03\nprivate: no\n---\n# One\n")
    assert record.text == "# One\n"
    assert (record.type, record.tags, record.ts) == ("pattern", ("a", "b"), "2026-02-03")
    assert isinstance(record.fields, dict)
    assert record.fields["private"] is False


def test_tags_may_be_a_text() -> None:
    assert parse("---\ntags: a, b c\n---\n").tags == ("a", "b", "c")


@pytest.mark.parametrize(
    "content",
    [
        "---\r\nprivate: true\r\n---\r\ntext",
        "---\rprivate: true\r---\rtext",
        "\ufeff---\nprivate: true\n---\ntext",
        "\n \n---\nprivate: true\n---\ntext",
        "\u200b---\nprivate: true\n---\ntext",
        "--- \nprivate: true\n...\ntext",
        "+++\nprivate = true\n+++\ntext",
        '---json\n{"private": true}\n---\ntext',
        "---yaml\nprivate: true\n---\ntext",
        "--- YML\nprivate: true\n---\ntext",
        "---toml\nprivate = true\n---\ntext",
        ';;;\n{"private": true}\n;;;\ntext',
        "----\nprivate: true\n----\ntext",
        "----------\r\nprivate: true\r\n---\r\ntext",
        "<!-- made by x -->\n---\nprivate: true\n---\ntext",
        "<!-- made\nby x -->\n\n%% y %%\n[//]: # (z)\n---\nprivate: true\n---\ntext",
    ],
)
def test_front_matter_is_found_however_its_lines_end(content: str) -> None:
    record = parse(content)
    assert record.fields == {"private": True}
    assert record.text == "text"
    assert record.problem is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("---\nprivate: true\nprivate: false\n---\n", "a key appears twice in the front matter"),
        ("---\na: {private: true, private: false}\n---\n", "a key appears twice in the front matter"),
        ("---\n<<: {private: true}\nprivate: false\n---\n", "a key appears twice in the front matter"),
        ("---\nyes: 1\ntrue: 2\n---\n", "a key appears twice in the front matter"),
        ("---\na: &x [*x]\n---\n", "front matter uses anchors"),
        ("---\na: !!python/object:os.system {}\n---\n", "front matter uses tags"),
        ("---\n- private\n---\n", "front matter is not a mapping"),
        ('---\ntags: ["\\ud800"]\n---\n', "half of a surrogate pair"),
        ('---\n"\\udc00": 1\n---\n', "half of a surrogate pair"),
        ("---\nprivate: [true\n---\n", "front matter is not YAML"),
        ("---\nprivate: true\n", "front matter has no end"),
        ("--- {private: true}\ntext", "front matter has no end"),
        ("---\nday: 2026-13-45\n---\n", "front matter is not YAML"),
        ("---\na: " + "[" * 5000 + "]" * 5000 + "\n---\n", "front matter is not YAML"),
        ("---\na: " + "x" * 70_000 + "\n---\n", "front matter is too long"),
        ("+++\nprivate = true\nprivate = false\n+++\n", "front matter is not TOML"),
        ("---js\n{private: true}\n---\n", "front matter is in a language that is not known"),
        ("---json\n{private: true}\n---\n", "front matter is not plain JSON: not JSON"),
        (";;;\nprivate: true\n;;;\n", "front matter is not plain JSON: not JSON"),
        ("----\nprivate: true\n\ntext", "front matter has no end"),
        ("----\nprivate: [true\n----\ntext", "front matter is not YAML"),
        ("<!-- x -->\n---\nprivate: true\n", "front matter has no end"),
        ('{"private": true, "private": false}\ntext', "begins like JSON: a key appears twice"),
        ("{ private: true }\ntext", "begins like JSON: not JSON"),
        ('{\n "private": true\ntext', "begins like JSON: not JSON"),
    ],
)
def test_front_matter_that_can_be_read_in_two_ways_is_a_problem(content: str, problem: str) -> None:
    record = parse(content)
    assert record.problem == problem
    assert record.text == content


@pytest.mark.parametrize("content", [b"\xff\xfe#\0 \0a\0", b"caf\xe9", b"a\0b", "private".encode("utf-16-le")])
def test_what_is_no_utf8_text_is_a_problem(content: bytes) -> None:
    assert parse(content).problem in {"not UTF-8", "UTF-16 or NUL bytes"}


def test_an_empty_document_is_a_record() -> None:
    record = parse(b"")
    assert (record.text, record.problem) == ("", None)


def test_a_rule_below_a_title_is_no_front_matter() -> None:
    assert take_apart("# Title\n---\nprivate: true\n---\n").fields == {}


@pytest.mark.parametrize(
    "text",
    [
        "----\n\nA text.\n\n----\n\nNote: more.\n", "-----\n# Title\n", "----\n", "***\n---\na: b\n", "---said he",
        "A text.\n\n---\nkey: value\n---\nmore\n", "<!-- toc -->\n\n---\n\nA text.\n", "{#id}\n",
        "{{< figure >}}\ntext",
        "<!-- never closed\n---\na: b\n---\n", "{% raw %}\ntext", "{: .note}\ntext", "{}\ntext", "==\na: b\n==\n",
        ";;; init.el --- mine\n", ";;;\n;;; A file\n;;;\n", "----\n- a: list\n----\n",
    ],
)  # fmt: skip
def test_a_rule_that_begins_a_text_is_no_front_matter(text: str) -> None:
    assert take_apart(text) == ({}, text, None)


def test_an_object_before_a_text_is_front_matter_and_a_part_of_the_text() -> None:
    text = '{\n "private": true\n}\ntext'
    assert take_apart(text) == ({"private": True}, text, None)
    assert take_apart('\n<!-- x --> {"a": {"private": 1}} text').fields == {"a": {"private": 1}}


def test_front_matter_is_looked_for_in_linear_time() -> None:
    for part in (
        "<!-- x -->",
        "<!--",
        "%%",
        "----\n",
        "---",
        ";;;\n",
        "{",
        '{"a":',
        "a",
        "----\na",
        " ",
        "\n",
        "- a: b\n",
    ):
        take_apart(part * 50_000)
        take_apart("----\n" + part * 50_000)
        take_apart("<!-- x -->\n---\n" + part * 50_000)


def test_a_document_is_rendered_as_it_was() -> None:
    content = b"\xef\xbb\xbf---\r\na: 1\r\n---\r\ntext \r\n"
    record = parse(content)
    assert document.Documents().render([record.body], None) == content


_YAML_PARTS = [
    "---", "+++", "\n", "\r\n", "a: b", "private: true", "- x", "&a", "*a", "!!set", "{", "}", "[", "]", '"', "'",
    "|", ">", "?", ":", " ", "\t", "#", "%YAML 1.1", "2026-01-01", "<<: ", "\u2028", "= ", "0x_", "1:60", "~", "\0",
    "\ud7ff",
]  # fmt: skip


@settings(max_examples=200)
@given(st.lists(st.sampled_from(_YAML_PARTS), max_size=14))
def test_no_front_matter_raises(parts: list[str]) -> None:
    take_apart("---\n" + "".join(parts) + "\n---\nrest")
