"""The user's own rules: what they match, which one decides, and what they can never do."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from memferry.config import rulestext
from memferry.errors import ConfigError
from memferry.policies.rules import Rules
from tests.policies.desks import desk, judged, rules, verdicts
from tests.policies.held import array, doc, lines, private, public

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text("utf-8")
EXAMPLES = re.findall(r"^### (\d+\. .+?)\n(.*?)(?=^##)", PAGE + "\n## ", re.MULTILINE | re.DOTALL)


# -- the documented examples are run


def test_there_are_ten_examples() -> None:
    assert len(EXAMPLES) == 10


@pytest.mark.parametrize(("title", "text"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_a_documented_example_does_what_it_says(title: str, text: str) -> None:
    (yaml,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `(\S+)` \| `(.+?)` \| (.+?) \|$", text, re.MULTILINE)
    assert rows
    at = desk(yaml)
    for file, content, said in rows:
        content = content.replace("\\|", "|").replace("⏎", "\n")
        record = doc(content, file) if file.endswith(".md") else lines(content.encode(), file=file)[0]
        (one,) = judged([record], at)
        shown = verdicts([record], at)[0]
        assert shown == said.split(":")[0].strip("`"), (title, file)
        if shown == "redacted":
            left = re.sub(r":[0-9a-f]{6}\]", ":······]", one.record.body.decode())
            assert left == said.split(": `")[1].rstrip("`").replace("⏎", "\n")


# -- matching


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("space: s", True),
        ("space: [x, 's*']", True),
        ("space: x", False),
        ("path: log.jsonl", True),
        ("path: ['*.jsonl', '!log.jsonl']", False),
        ("path: 'deep/**'", False),
        ("format: jsonl", True),
        ("format: document", False),
        ("type: note", True),
        ("type: 'n?te'", True),
        ("type: Note", False),
        ("tags: [red, blue]", True),
        ("tags: green", False),
        ("scope: 'project:*'", True),
        ("scope: global", False),
        ("label: sensitivity=internal", True),
        ("label: sensitivity", True),
        ("label: sensitivity=public", False),
        ("label: private=false", True),
        ("text: 'Zeus|Hera'", True),
        ("text: 'zeus'", False),
        ("text: ['zeus', '(?i)zeus']", True),
        ("{type: note, tags: green}", False),
        ("{type: note, tags: blue}", True),
    ],
)
def test_a_condition_matches(condition: str, holds: bool) -> None:
    record = lines(
        {
            "text": "about Zeus",
            "type": "note",
            "tags": ["blue"],
            "scope": "project:demo",
            "sensitivity": "internal",
            "private": False,
        }
    )
    inner = condition.strip("{}") if condition.startswith("{") else condition
    assert verdicts(record, desk(f"[{{name: a, do: hold, {inner}}}]")) == ["rules.a" if holds else "leaves"]


def test_the_first_rule_that_matches_decides_about_a_finding() -> None:
    text = "password: hunter2000 and me@example.org"
    first = "[{name: a, do: allow, finding: password}, {name: b, do: hold, finding: '*'}]"
    assert verdicts([doc(text)], desk(first)) == ["secrets.email"]
    second = "[{name: b, do: redact, finding: 'secrets.*'}, {name: a, do: allow, finding: password}]"
    assert verdicts([doc(text)], desk(second)) == ["redacted"]


def test_a_finding_is_held_without_any_rule() -> None:
    assert verdicts([doc("password: hunter2000")], desk()) == ["secrets.password"]


def test_allow_can_be_bound_to_what_was_found() -> None:
    at = desk("[{name: test-keys, do: allow, finding: aws-access-key, text: '^AKIATEST'}]")
    texts = ["AKIATEST111111111111", "AKIAREAL111111111111", "AKIATEST111111111111 AKIAREAL111111111111"]
    found = verdicts([doc(text, f"{number}.md") for number, text in enumerate(texts)], at)
    assert found == ["leaves", "secrets.aws-access-key", "secrets.aws-access-key"]


def test_no_rule_lets_go_what_a_label_lineage_or_overlap_holds() -> None:
    """Whatever it says: allow is asked about findings only."""
    at = desk("[{name: a, do: allow, finding: '*'}, {name: b, do: redact, finding: '*'}]")
    secret = "the winter timetable of the ferry will not be printed before the new pier is paid for"
    ledger = lines(private(secret, "evt-20260101-aa11"), public(secret, "x"), public("see evt-20260101-aa11", "y"))
    assert verdicts(ledger, at) == ["labels.visibility", "overlap", "lineage"]
    assert verdicts([doc("a <private>b</private>")], at) == ["labels.mark"]


def test_a_hold_is_stronger_than_an_allow_before_it() -> None:
    at = desk("[{name: a, do: allow, finding: password}, {name: b, do: hold, path: 'x/'}]")
    assert verdicts([doc("password: hunter2000", "x/a.md"), doc("password: hunter2000", "y.md")], at) == [
        "rules.b",
        "leaves",
    ]


def test_what_a_rule_holds_is_recognised_when_it_is_repeated() -> None:
    text = "the winter timetable of the ferry will not be printed before the new pier is paid for"
    found = verdicts(
        [doc(text, "drafts/a.md"), doc(f"quote: {text}", "b.md")], desk("[{name: d, do: hold, path: drafts/}]")
    )
    assert found == ["rules.d", "overlap"]


def test_the_object_around_entries_speaks_for_them() -> None:
    records = array('{"team": "Zeus", "type": "x", "entries": [{"id": "a", "text": "harmless"}]}')
    assert verdicts(records, desk("[{name: z, do: hold, text: Zeus}]")) == ["rules.z"]
    assert verdicts(records, desk("[{name: z, do: redact, text: Zeus}]")) == ["redact.left"]


@pytest.mark.parametrize("pattern", ["Zeus", "^Zeus$", r"\\bZeus\\b", r"\\AZeus", "Zeus|$a"])
@pytest.mark.parametrize("line", ['{"a":"Zeus"}', '{"a":{"b":["x","Zeus"]}}', '{"Zeus":1}', '{"a":"\\u005aeus"}'])
def test_a_pattern_finds_a_string_however_it_is_written(pattern: str, line: str) -> None:
    assert verdicts(lines(line.encode()), desk(f'[{{name: z, do: hold, text: "{pattern}"}}]')) == ["rules.z"]


# -- strictness


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("- {name: a, do: hold, paths: x}", "line 1: [0].paths: there is no setting 'paths' here", "'path'?"),
        ("- name: a\n  do: hold\n  pth: x", "rules.yaml, line 3: [0].pth: there is no setting", "'path'?"),
        ("- {name: a, do: held, path: x}", "[0].do: cannot be 'held'", "'hold'?"),
        ("- {name: A B, do: hold, path: x}", "'A B' cannot be a name", "lower-case"),
        ("- {name: a, path: x}", "do is missing", ""),
        ("- {name: a, do: hold}", "it has no condition", "add one of"),
        ("- {name: a, do: hold, path: []}", "must not be empty", ""),
        ("- {name: a, do: allow, path: x}", "`allow` is only for what the scanner finds", "finding: password"),
        ("- {name: a, do: redact, path: x}", "there is nothing to cut out", "text"),
        ("- {name: a, do: hold, label: colour=red}", "'colour' is not a label", "docs/rules.md"),
        ("- {name: a, do: allow, finding: private-block}", "is a label", "do: redact"),
        ("- {name: a, do: redact, finding: [private-block, email]}", "is a label", "a rule of its own"),
        ("- {name: a, do: hold, path: x}\n- {name: a, do: hold, path: y}", "line 2: [1]: the name 'a' is taken", ""),
        ("- {name: a, do: hold, text: '(a)\\1'}", "line 1: rule a: invalid escape sequence", "RE2"),
        ("- {name: a, do: hold, text: '(?=x)'}", "rule a: invalid perl operator", "RE2"),
        ("- {name: a, do: hold, text: 'a*'}", "matches the empty text", "`+`"),
        ("- {name: a, do: hold, path: '*a*a*a*a*b'}", "more than 3 stars", "fewer"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_to_write(text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rules(text)
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_a_file_holds_a_list_or_rules(tmp_path: Path) -> None:
    one = "{name: a, do: hold, path: x}"
    for text in (f"- {one}\n", f"rules:\n  - {one}\n"):
        (tmp_path / "r.yaml").write_text(text)
        (rule,) = rulestext.read(tmp_path / "r.yaml")
        assert (rule.name, rule.do, rule.path) == ("a", "hold", ("x",))
    with pytest.raises(ConfigError, match=r"rules in .*none\.yaml cannot be read"):
        rulestext.read(tmp_path / "none.yaml")


def test_the_version_is_that_of_what_decides() -> None:
    a = rules("[{name: a, do: hold, path: x}]")
    assert a.version == rules("[{name: a, do: hold, path: x, reason: because}]").version
    assert a.version != rules("[{name: a, do: hold, path: y}]").version
    assert a.version != Rules().version


# -- time


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}", "(a?){50}a{50}"])
def test_no_pattern_takes_more_than_linear_time(pattern: str) -> None:
    """With backtracking each of these takes years."""
    at = desk(f"[{{name: a, do: hold, text: '{pattern}x'}}]", search=None)
    record = doc("a" * 50_000 + "!")
    start = time.perf_counter()
    assert verdicts([record], at) == ["leaves"]
    assert time.perf_counter() - start < 5
