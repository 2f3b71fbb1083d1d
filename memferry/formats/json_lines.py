"""Many lines of JSON at once, read as strictly as `strict_json` reads one, and much faster."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from memferry.formats.strict_json import MOST_NAMES, Unreadable, count_names, crowded, loads

_BLANK = b" \t\r"
_decode = msgspec.json.Decoder().decode


def decode_lines(chunk: bytes, lines: Sequence[bytes]) -> list[object]:
    """One value a line; `{}` for a blank one, an `Unreadable` in place of one that cannot be read.

    `lines`: `chunk` split at its newlines. Answers as `loads` does, at the price of msgspec: a chunk in which
    as many `":` stand as there are decoded keys hides no duplicate key (see `_as_written`).
    """
    try:
        values: list[object] = list(map(_decode, lines))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [_decode_line(line) for line in lines]
    if not _as_written(chunk, values):
        return [_decode_line(line) for line in lines]
    if any(len(line) > MOST_NAMES for line in lines):  # in a shorter one there is no room for so many
        return list(map(_unless_crowded, lines, values))
    return values


def _unless_crowded(line: bytes, value: object) -> object:
    found = count_names((value,)) if len(line) > MOST_NAMES else None
    return crowded() if found is not None and sum(found) > MOST_NAMES else value


def _decode_line(line: bytes) -> object:
    try:
        value: object = _decode(line)
        if _as_written(line, (value,)):
            return _unless_crowded(line, value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if not line.strip(_BLANK):
            return {}
    try:
        return loads(line)
    except Unreadable as exc:
        return exc


def _as_written(raw: bytes, values: Sequence[object]) -> bool:
    """True: the decoded values have every key that was written, none twice, and none is nested too deeply.

    Where no blank stands before a colon, each written key ends in `":`. Those that a string holds (an escaped
    quote, or a text that begins with a colon) only add to the count. So it is never below the keys as
    written, which are never fewer than the keys as decoded: equal at both ends means that no key was dropped.
    """
    if b" :" in raw or (b"\t" in raw and b"\t:" in raw) or (b"\r" in raw and b"\r:" in raw):
        return False
    found = count_names(values)
    return found is not None and raw.count(b'":') == found[1]
