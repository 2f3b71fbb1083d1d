"""Every string of a record that leaves with it, in a fixed order: what findings count and redaction replaces."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from memferry.model import Record

ELSEWHERE = -1
"""The number of a text that is no part of the record: the name of its file, the object around it."""


class String(NamedTuple):
    """`path`: keys and indexes that lead to it from the record's fields; empty for the text of a document, which is its
    whole body. `key`: whether it is the last key of `path` itself. `value`: what it says, decoded; a number as JSON
    writes it."""

    path: tuple[str | int, ...]
    value: str
    key: bool = False


def strings_of(record: Record) -> list[String]:
    """Keys and values of JSON in the order of the file; of a document its body, front matter included."""
    if record.text is not None or record.fields is None:
        return [String((), record.body.decode("utf-8", "replace"))]
    return list(_strings((), record.fields))


def has_more_strings(record: Record, count: int) -> bool:
    """Whether there are more than `count` of them, told without making all."""
    if record.text is not None or record.fields is None:
        return False
    return next(islice(_strings((), record.fields), count, None), None) is not None


def strings_around(record: Record) -> list[String]:
    """Of the object around an array entry."""
    return [] if record.around is None else list(_strings((), record.around.fields))


def _strings(root: tuple[str | int, ...], fields: object) -> Iterator[String]:
    """Without recursion: records nest as deep as their writers like."""
    pending: list[tuple[tuple[str | int, ...], object]] = [(root, fields)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, str):
            yield String(path, value)
        elif isinstance(value, dict):
            for key in value:
                yield String((*path, key), key, key=True)
            pending.extend([((*path, key), child) for key, child in reversed(value.items())])
        elif isinstance(value, list):
            pending.extend([((*path, number), child) for number, child in reversed(list(enumerate(value)))])
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield String(path, str(value))
