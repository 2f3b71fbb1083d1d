"""JSON that cannot be read in two ways.

`{"private":true,"private":false}` parses as public in `json`, `orjson` and `msgspec` alike: the last key wins. So a
duplicate key is an error here, and so is everything else that parsers disagree on: NaN, numbers beyond a double, a
byte-order mark, UTF-16, half of a surrogate pair, nesting without end.

`loads` is the judge and slow. `json_lines` is the fast way to the same answers, for the bulk path.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from itertools import chain, compress
from typing import Any, NoReturn

MAX_DEPTH = 64
"""Objects and arrays inside each other; deeper is nobody's memory, and a trap for every recursive reader."""
MOST_NAMES = 30_000
"""Objects and keys of one value; more take too long to look through for labels."""

_CONTAINERS = frozenset({dict, list})
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


class Unreadable(ValueError):
    """Why some bytes are not JSON that can be trusted. The message never holds content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def loads(raw: bytes) -> object:
    """The value of one JSON text; `Unreadable` if it has none, or more than one."""
    text = decode_text(raw)
    value: object = _decoded(_DECODER.decode, text)
    check_value(value, text)
    return value


def leading_object(text: str, start: int) -> dict[object, object]:
    """The object that begins at `start`, whatever stands behind it; `Unreadable` if there is none."""
    value, end = _decoded(_DECODER.raw_decode, text, start)
    check_value(value, text[start:end])
    if type(value) is not dict:
        raise Unreadable("not an object")
    return value


def _decoded(decode: Callable[..., Any], *text: object) -> Any:
    try:
        return decode(*text)
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except json.JSONDecodeError:
        raise Unreadable("not JSON") from None
    except ValueError:
        raise Unreadable("a number is too long") from None


def decode_text(raw: bytes) -> str:
    """UTF-8 text without a byte-order mark; `Unreadable` otherwise."""
    reason = foreign_encoding(raw)
    if reason is not None:
        raise Unreadable(reason)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8") from None


def foreign_encoding(raw: bytes) -> str | None:
    """What the first bytes say against plain UTF-8, or None."""
    if raw.startswith(b"\xef\xbb\xbf"):
        return "starts with a byte-order mark"
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:4]:
        return "UTF-16 or NUL bytes"
    return None


def check_value(value: object, text: str) -> None:
    """`Unreadable` if the value, parsed from `text`, is too deep, has too much in it or half of a surrogate pair."""
    if len(text) > MOST_NAMES or text.count("{") + text.count("[") > MAX_DEPTH:  # else there is no room for so many
        found = count_names((value,))
        if found is None:
            raise Unreadable("nested too deeply")
        if sum(found) > MOST_NAMES:
            raise crowded()
    if _HALF_PAIR.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Unreadable("half of a surrogate pair") from None


def count_names(values: Iterable[object]) -> tuple[int, int] | None:
    """Objects in `values` and below, and their keys; None where they nest deeper than MAX_DEPTH."""
    count = keys = 0
    level = _containers(values)
    for _ in range(MAX_DEPTH):
        if not level:
            return count, keys
        objects = [value for value in level if type(value) is dict]
        arrays = [value for value in level if type(value) is list]
        count += len(objects)
        keys += sum(map(len, objects))
        level = _containers(chain(chain.from_iterable(map(dict.values, objects)), chain.from_iterable(arrays)))
    return None if level else (count, keys)


def crowded() -> Unreadable:
    """Of a value with too much in it."""
    return Unreadable(f"more than {MOST_NAMES:,} objects and keys")


def _containers(values: Iterable[object]) -> list[object]:
    values = list(values)
    return list(compress(values, map(_CONTAINERS.__contains__, map(type, values))))


def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An `object_pairs_hook`: the object, or `Unreadable` when a key appears twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("a key appears twice")
    return found


def finite(number: str) -> float:
    """A `parse_float` hook."""
    value = float(number)
    if math.isinf(value):
        raise Unreadable("a number is out of range")
    return value


def refuse(constant: str) -> NoReturn:
    """A `parse_constant` hook."""
    raise Unreadable("NaN or Infinity")


_DECODER = json.JSONDecoder(object_pairs_hook=unique, parse_float=finite, parse_constant=refuse)
