"""What is cut out is in no byte that is sent; everything else is as it was."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memferry.memory.lifecycle import records
from memferry.model import Record
from memferry.policies import secrets
from memferry.policies.base import Held, Kept
from memferry.policies.findings import Finding
from memferry.policies.hashes import content_hash, idempotency_key
from memferry.policies.redact import MARKER, Marker, Stretch, is_marker, merged, without_blocks
from memferry.policies.strings import strings_of
from tests.policies.desks import desk, judged, redacting, verdicts
from tests.policies.held import MemoryKnown, array, doc, lines

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
SECRETS = st.from_regex(r"[A-Za-z0-9!%&]{8,24}", fullmatch=True).filter(lambda text: not text.isdigit())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


def kept(records: list[Record]) -> list[Kept]:
    found = judged(records, redacting())
    assert all(isinstance(one, Kept) for one in found), [one.verdict for one in found if isinstance(one, Held)]
    return found  # type: ignore[return-value]


def unmarked(value: object, secret: str) -> object:
    """A JSON value with markers made the secret again."""
    if isinstance(value, str):
        return MARKER.sub(lambda _: secret, value)
    if isinstance(value, dict):
        return {key: unmarked(inner, secret) for key, inner in value.items()}
    return [unmarked(inner, secret) for inner in value] if isinstance(value, list) else value


@given(before=WORDS, secret=SECRETS, after=WORDS, more=VALUES, spaced=st.booleans(), plain=st.booleans())
@example(before='é😀"\\', secret="hunter2000", after="\n\t/", more={}, spaced=True, plain=True)
def test_of_a_line_only_the_string_changes(
    before: str, secret: str, after: str, more: object, spaced: bool, plain: bool
) -> None:
    fields = {"id": "x-1", "text": f"{before} password: {secret} {after}", "more": more, "list": [f"password={secret}"]}
    raw = json.dumps(fields, ensure_ascii=plain, separators=None if spaced else (",", ":")).encode()
    (one,) = kept(lines(raw))
    body = one.record.body
    assert secret.encode() not in body.replace(raw.replace(secret.encode(), b""), b"")
    left = json.loads(body)
    assert unmarked(left, secret) == fields
    markers = set(re.findall(rb"\[redacted:password:[0-9a-f]{6}\]", body))
    assert len(markers) == 1
    assert body.replace(markers.pop(), secret.encode()) == raw
    assert one.record.redacted
    assert one.record.key == "x-1"


@given(before=WORDS, secret=SECRETS, after=WORDS)
def test_of_a_document_too(before: str, secret: str, after: str) -> None:
    text = f"# T\n{before} password: {secret} {after}\n"
    (one,) = kept([doc(text)])
    (marker,) = re.findall(r"\[redacted:password:[0-9a-f]{6}\]", one.record.body.decode())
    assert one.record.body.decode().replace(marker, secret) == text
    assert one.record.text is not None


def test_an_escaped_string_is_cut_at_the_right_place() -> None:
    raw = rb'{"id":"a","t":"\u00e9\ud83d\ude00\n\"password: h\u0075nter2000 \u0065nd"}'
    (one,) = kept(lines(raw))
    assert re.sub(rb":[0-9a-f]{6}\]", b"]", one.record.body) == (
        rb'{"id":"a","t":"\u00e9\ud83d\ude00\n\"password: [redacted:password] \u0065nd"}'
    )


def test_entries_of_an_array_are_redacted_one_by_one() -> None:
    records = array(
        '[{"id": "a", "text": "password: hunter2000"}, {"id": "b", "text": "x"}, {"text": "password=qwertz99"}]'
    )
    one, two, three = kept(records)
    assert [each.record.redacted for each in (one, two, three)] == [True, False, True]
    assert (one.record.key, two.record.body) == ("a", records[1].body)
    assert three.record.key == three.record.digest.hex() != records[2].key


def test_a_line_without_an_id_is_named_after_what_leaves() -> None:
    """Its key would else be the digest of the secret."""
    (record,) = lines({"text": "password: hunter2000"})
    (one,) = kept([record])
    assert one.record.key == one.record.digest.hex() != record.key


def test_what_cannot_be_cut_is_held() -> None:
    in_a_key = lines({"password: hunter2000": 1})
    its_own_id = lines({"id": "password:hunter2000", "text": "x"})
    in_a_number = lines(b'{"id":"a","n":12345678}')
    assert verdicts(in_a_key, redacting()) == ["redact.left"]
    assert verdicts(its_own_id, redacting()) == ["redact.left"]
    assert verdicts(in_a_number, desk("[{name: n, do: redact, text: '12345678'}]")) == ["redact.left"]


def test_what_stands_in_the_name_of_a_file_cannot_be_cut() -> None:
    at = desk("[{name: c, do: redact, text: 'C-[0-9]{6}'}]")
    records = [doc("nothing", "C-104423.md"), doc("C-104423", "a/C-104424.md"), doc("C-104423", "b.md")]
    assert verdicts(records, at) == ["redact.left", "redact.left", "redacted"]
    assert verdicts(lines({"id": "a"}, file="C-104425.jsonl"), at) == ["redact.left"]


TEXT = "password: hunter2000 is what he told me"


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256", "blake2b"])
@pytest.mark.parametrize("length", [None, 24])
def test_a_hash_of_what_was_there_holds_it(name: str, length: int | None) -> None:
    """Whoever has it can try all passwords."""

    def hashed(content: str) -> str:
        return hashlib.new(name, content.encode()).hexdigest()[:length]

    fields = {"id": "x-1", "text": TEXT}
    whole = {"id": "x-1", "text": TEXT, "checksum": hashed(json.dumps(fields, sort_keys=True))}
    compact = {**fields, "sum": hashed(json.dumps(fields, separators=(",", ":"))).upper(), "other": "ab" * 16}
    text = {**fields, "meta": {"id": f"n-{hashed(TEXT)}"}}
    inner = {"id": "x-1", "event": fields, "mark": hashed(json.dumps(fields))}
    secret = {**fields, "hashes": [hashed("hunter2000")]}
    assert verdicts(lines(whole, compact, text, inner, secret), redacting()) == ["redact.left"] * 5
    assert verdicts([doc(f"# T\n{TEXT}\n{hashed('hunter2000')}\n")], redacting()) == ["redact.left"]
    front = f"---\nsum: {hashed(TEXT)}\n---\n{TEXT}\n"
    assert verdicts([doc(front)], redacting()) == ["redact.left"]


def test_a_hash_of_something_else_does_not() -> None:
    fields = {"id": "x-1", "text": TEXT, "commit": hashlib.sha1(b"else").hexdigest(), "id_of": "0" * 32}
    assert verdicts(lines(fields), redacting()) == ["redacted"]
    assert verdicts([doc(f"# T\n{TEXT}\n{hashlib.sha1(b'else').hexdigest()}\n")], redacting()) == ["redacted"]


def test_more_hashes_than_can_be_tried_hold_it() -> None:
    marks = {str(number): hashlib.sha1(b"%d" % number).hexdigest() for number in range(60)}
    assert verdicts(lines({"id": "x-1", "text": TEXT, **marks}), redacting()) == ["redact.left"]
    nested: object = {"text": TEXT, "commit": "ab" * 20}
    for _ in range(20):
        nested = [nested]
    assert verdicts(lines({"id": "x-1", "nested": nested}), redacting()) == ["redacted"]


def test_the_hashes_of_diasync_are_made_anew_from_what_is_left() -> None:
    who = records.Who("project:atlas", "atlas", "main", "run-1", "global", "agent")
    event = records.event("note", who, {"summary": TEXT}, event_id="evt-1", ts="2026-11-21T00:00:00Z", lc=1)
    (one,) = kept(lines(event))
    left = json.loads(one.record.body)
    assert left["payload"]["summary"].startswith("password: [redacted:password:")
    assert left["hash"] == content_hash(left) != event["hash"]
    assert left["idempotency_key"] == idempotency_key(left) != event["idempotency_key"]
    assert {**left, **{name: event[name] for name in ("hash", "idempotency_key", "payload")}} == event


def test_what_is_left_is_searched_again() -> None:
    """A search that sees the second secret only when the first is gone."""

    def one_by_one(records: Sequence[Record]) -> Mapping[int, Sequence[Finding]]:
        texts = [record.body.decode() for record in records]
        first = [next((one for one in ("hunter2000", "qwertz99") if one in text), "") for text in texts]
        spots = [(text.find(one), len(one)) for text, one in zip(texts, first, strict=True)]
        return {number: [Finding(0, "password", at, at + size)] for number, (at, size) in enumerate(spots) if size}

    at = desk("[{name: all, do: redact, finding: '*'}]", search=one_by_one)
    assert verdicts([doc("hunter2000 here"), doc("hunter2000 and qwertz99", "b.md")], at) == ["redacted", "redact.left"]


def test_a_document_whose_front_matter_breaks_is_held() -> None:
    text = "---\ntitle: 'about Zeus'\n---\nbody\n"
    assert verdicts([doc(text)], desk('[{name: q, do: redact, text: "Zeus\'"}]')) == ["redact.left"]


def test_what_stays_home_only_for_its_secret_may_be_quoted() -> None:
    """A copy of the secret would be found as the secret was."""
    words = "the winter timetable of the ferry will not be printed before the new pier is paid for"
    records = [*lines({"id": "password:hunter2000", "text": words}), doc(f"he said: {words}")]
    assert verdicts(records, redacting()) == ["redact.left", "leaves"]


def test_the_same_secret_is_the_same_marker_in_a_space_and_nowhere_else() -> None:
    one, other = Marker(b"1" * 32), Marker(b"2" * 32)
    assert one("s", "password", "hunter2") == one("s", "password", "hunter2")
    assert (
        len({one("s", "p", "hunter2"), one("t", "p", "hunter2"), other("s", "p", "hunter2"), one("s", "p", "x")}) == 4
    )


def test_the_name_of_a_rule_does_not_leave() -> None:
    (one,) = judged([doc("Zeus is coming")], desk("[{name: merger-with-olymp, do: redact, text: Zeus}]"))
    assert re.fullmatch(rb"\[redacted:text:[0-9a-f]{6}\] is coming", one.record.body)


def test_what_was_redacted_is_found_no_more() -> None:
    """Here, and on a machine that got it."""
    (once,) = kept([doc("password: hunter2000, mail me@example.org")])
    assert verdicts([doc(once.record.body)], desk()) == ["leaves"]
    at = desk("[{name: any, do: redact, text: '[a-z]+'}]")
    (left,) = judged([doc("abc def", "1.MD")], at)
    assert isinstance(left, Kept)
    assert verdicts([doc(left.record.body, "1.MD")], at) == ["leaves"]


def test_an_imitated_marker_hides_nothing() -> None:
    assert verdicts([doc("password: [redacted:x:123456]hunter2000")], desk()) == ["secrets.password"]
    text = "[redacted:x:123456]"
    assert is_marker(text, 0, len(text))
    assert not is_marker(text + "ab", 0, len(text) + 2)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))))
def test_merged_stretches_cover_the_same_and_do_not_touch(spans: list[tuple[int, int]]) -> None:
    stretches = [Stretch(min(span), max(span), "x") for span in spans]
    found = merged(stretches)
    assert all(one.end <= other.start for one, other in pairwise(found))
    covered = {at for one in stretches for at in range(one.start, one.end)}
    assert covered == {at for one in found for at in range(one.start, one.end)}


PASSWORD = "Tr0ub4dor&3x"
DISGUISED = [
    lines({"id": "a", "text": f"the database password is {PASSWORD} ok"}),
    lines({"id": "a", "password": PASSWORD}),
    lines({"id": "a", "name": "password", "value": PASSWORD}),
    lines({"id": "a", "text": f"密码：{PASSWORD} 然后登录"}),
    lines({"id": "a", "text": base64.b64encode(f"password: {PASSWORD}".encode()).decode()}),
    lines({"id": "a", "text": f"postgres://bob:{PASSWORD}@db.example.com:5432/x"}),
    lines({"text": [f"password={PASSWORD}", "open"]}),
    array(f'[{{"id": "e", "api": {{"password": "{PASSWORD}"}}}}]'),
    [doc(f"# Setup\npassword: {PASSWORD}\nthen log in")],
    [doc(f"---\ntitle: x\npassword: {PASSWORD}\n---\nbody")],
]


@pytest.mark.parametrize("records", DISGUISED, ids=range(len(DISGUISED)))
def test_what_the_real_search_finds_is_cut_out_and_found_no_more(records: list[Record]) -> None:
    at = desk("[{name: all, do: redact, finding: '*'}]", search=secrets.search)
    (one,) = judged(records, at)
    assert isinstance(one, Kept)
    assert one.record.redacted
    hidden = (PASSWORD.encode(), base64.b64encode(f"password: {PASSWORD}".encode()))
    assert not any(secret in one.record.body for secret in hidden)
    assert secrets.search([one.record]) == {} or verdicts([one.record], desk(search=secrets.search)) == ["leaves"]


# -- private blocks

PRIVATE = "the winter timetable of the ferry will not be printed before the new pier is paid for"
BLOCKS = "[{name: blocks, do: redact, finding: private-block}]"


def test_a_block_is_cut_where_a_rule_wants_that() -> None:
    text = f"# Plan\nopen\n<private>\n{PRIVATE}\n</private>\nopen too\n"
    (one,) = judged([doc(text)], desk(BLOCKS))
    assert isinstance(one, Kept)
    assert one.record.body == b"# Plan\nopen\n[redacted:private]\nopen too\n"
    assert verdicts([doc(text)], desk()) == ["labels.mark"]


def test_what_stood_in_a_block_is_recognised_elsewhere() -> None:
    at, known = desk(BLOCKS), MemoryKnown()
    records = [doc(f"<private>{PRIVATE}</private> rest", "a.md"), doc(f"he said: {PRIVATE}.", "b.md")]
    assert verdicts(records, at) == ["redacted", "overlap"]
    (first,) = judged(records[:1], at)
    assert isinstance(first, Kept)
    for mark, length, whole in first.removed:
        known.by_mark[mark].append((length, whole, first.removed_id))
    (later,) = judged(records[1:], at, known)
    assert isinstance(later, Held)


def test_a_document_that_repeats_its_own_block_is_held() -> None:
    assert verdicts([doc(f"<private>{PRIVATE}</private>\n\nIn short: {PRIVATE}.\n")], desk(BLOCKS)) == ["overlap"]


def test_blocks_in_disguise_stay_home() -> None:
    for text in ("a </private> b", "a <private/> b", "a ＜private＞x＜/private＞", "< private>x</ private>"):
        assert verdicts([doc(text)], desk(BLOCKS)) == ["labels.mark"], text
    assert verdicts(lines({"text": "a <private>b</private>"}), desk(BLOCKS)) == ["labels.mark"]


@given(
    st.lists(st.sampled_from(["<private>", "</private>", "<PRIVATE >", "<private class=x>", "out", "\n"]), max_size=12)
)
def test_nothing_between_the_marks_is_left(parts: list[str]) -> None:
    depth, text, inside = 0, "", []
    for number, part in enumerate(parts):
        if part == "out":
            part = f" w{number:03}w "
            inside += [part.strip()] if depth else []
        elif part.startswith("</"):
            depth = max(0, depth - 1)
        elif part != "\n":
            depth += 1
        text += part
    left = without_blocks(text).text
    assert not any(word in left for word in inside)


def test_strings_and_literals_agree() -> None:
    """Where they did not, nothing would be cut."""
    (record,) = lines(b'{"b":{"y":"1","x":["2",{"z":"3"}],"n":4},"a":"5","5":"6","t":true}')
    assert [one.value for one in strings_of(record) if not one.key] == ["1", "2", "3", "4", "5", "6"]
