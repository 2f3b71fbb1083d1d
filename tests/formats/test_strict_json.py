"""JSON that cannot be read in two ways, fast and slow."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memferry.formats.json_lines import decode_lines
from memferry.formats.strict_json import MAX_DEPTH, MOST_NAMES, Unreadable, count_names, loads

TRAPS = {
    "a key twice": b'{"private":true,"private":false}',
    "a key twice, spaced": b'{"a" :1,"a" :2}',
    "a key twice, spaced with a tab": b'{"a"\t:1, "a"\t:2}',
    "a key twice, once escaped": b'{"private":true,"\\u0070rivate":false}',
    "a key twice, deep inside": b'[{"x":[{"a":1,"a":2}]}]',
    "a key twice, made up for in a string": b'{"a" :1,"a":2,"b":"\\":"}',
    "NaN": b'{"a":NaN}',
    "Infinity": b"[-Infinity]",
    "beyond a double": b"[1e400]",
    "a number of 5000 digits": b"[" + b"9" * 5000 + b"]",
    "half of a pair": b'{"a":"\\ud800"}',
    "the other half": b'{"a":"\\udc00 tail"}',
    "halves in the wrong order": b'["\\udc00\\ud800"]',
    "byte-order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16, unmarked": '{"a":1}'.encode("utf-16-le"),
    "not UTF-8": b'{"a":"\xff"}',
    "surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "overlong UTF-8": b'{"a":"\xc0\xaf"}',
    "100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "one too deep": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "too many objects": b"[" + b"{}," * MOST_NAMES + b"{}]",
    "too many keys": b"{" + b",".join(b'"%d":1' % number for number in range(MOST_NAMES)) + b"}",
    "glued": b'{"a":1}{"b":2}',
    "two values": b"1 2",
    "torn": b'{"a":"no end',
    "NUL bytes": b"\0\0\0\0",
    "control character": b'{"a":"\x01"}',
    "single quotes": b"{'a':1}",
    "trailing comma": b'{"a":1,}',
    "comment": b'{"a":1}//x',
    "leading zero": b"[01]",
    "vertical tab": b"[1]\x0b",
    "no-break space": b"[1]\xc2\xa0",
}


@pytest.mark.parametrize("raw", TRAPS.values(), ids=TRAPS.keys())
def test_a_trap_is_no_value(raw: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        loads(raw)
    (fast,) = decode_lines(raw, [raw])
    assert isinstance(fast, Unreadable)
    assert fast.reason == caught.value.reason


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"\\":","b":":c"}',
        b'{"a" : 1, "b"\t: [1.0, -0, 1e5], "c" :null}',
        b'"\\ud83d\\ude00"',
        b'{"a":"\xe2\x80\xa8 and \xc2\x85"}',
        b"12345678901234567890123",
        b'{"":{"":{}}}\r',
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b"[" + b",".join([b"{}"] * MOST_NAMES) + b"]",
    ],
)
def test_what_is_sound_is_read_as_json_reads_it(raw: bytes) -> None:
    assert loads(raw) == json.loads(raw)
    assert decode_lines(raw, [raw]) == [json.loads(raw)]


def test_a_bad_line_spoils_no_other() -> None:
    lines = [b'{"a":1}', TRAPS["a key twice"], b"", b" \t", TRAPS["100,000 deep"], b'{"b" : 2}']
    values = decode_lines(b"\n".join(lines) + b"\n", lines)
    assert [type(value) is Unreadable for value in values] == [False, True, False, False, True, False]
    assert (values[0], values[2], values[3], values[5]) == ({"a": 1}, {}, {}, {"b": 2})


def test_reasons_hold_no_content() -> None:
    for raw in TRAPS.values():
        with pytest.raises(Unreadable) as caught:
            loads(raw[:40] + b"CANARY-7731" + raw[40:])
        assert "CANARY" not in caught.value.reason


def test_keys_are_counted_at_every_depth() -> None:
    assert count_names([{"a": {"b": [{"c": 1}, 2]}}, [], 3, {"d": None}]) == (4, 4)
    assert count_names([]) == (0, 0)


_TEXTS = st.sampled_from(
    ['"x"', '"\\":"', '":y"', '" :z"', '"\\u0061"', '"\\ud800"', '"\\ud83d\\ude00"', '"é"', '"\\\\"']
)
_KEYS = st.sampled_from(['"a"', '"b"', '"\\u0061"', '"c\\":"', '":d"', '"e :"'])
_COLONS = st.sampled_from([":", ":", ":", " :", "\t: ", " \r:"])
_SCALARS = st.one_of(
    _TEXTS, st.sampled_from(["1", "-0", "1.5e3", "1e999", "NaN", "null", "true", "12345678901234567890"])
)


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.builds(lambda key, colon, value: key + colon + value, _KEYS, _COLONS, inner)
    return st.one_of(
        st.lists(members, max_size=4).map(lambda pairs: "{" + ",".join(pairs) + "}"),
        st.lists(inner, max_size=3).map(lambda values: "[" + ", ".join(values) + "]"),
    )


_JSON = st.recursive(_SCALARS, _nested, max_leaves=12)
_SIGNS = [*'{}[]":,\\ \t\r1aeN-.\0', "\ufeff", "\u2028", '"a":']
_JUNK = st.lists(st.sampled_from(_SIGNS), max_size=12).map("".join)


def _slow(raw: bytes) -> object:
    if not raw.strip(b" \t\r"):
        return "{}"
    try:
        return repr(loads(raw))
    except Unreadable as exc:
        return exc.reason


@settings(max_examples=400)
@given(st.lists(st.one_of(_JSON, _JUNK), min_size=1, max_size=5))
def test_fast_and_slow_agree(texts: list[str]) -> None:
    """The count of `":` never lets a duplicate key pass, whatever else is in the chunk."""
    lines = [text.encode() for text in texts]
    fast = decode_lines(b"\n".join(lines) + b"\n", lines)
    assert [one.reason if isinstance(one, Unreadable) else repr(one) for one in fast] == [_slow(line) for line in lines]
