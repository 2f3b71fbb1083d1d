"""Finding plain hashes of what was cut out of a record: whoever has one can try out guesses. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import product
from json import JSONEncoder

from memferry.model import Record
from memferry.policies.strings import strings_of

_HEX = re.compile(r"(?<![0-9a-f])[0-9a-f]{16,128}(?![0-9a-f])")
"""A whole digest, or a beginning of one that is long enough to tell a guess from its rivals."""
MOST = 50
"""Hashes beside other fields of one record: what each may be of has to be written as JSON in every usual way."""
_ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "sha3_512", "blake2b", "blake2s")
_JSON = [
    JSONEncoder(ensure_ascii=plain, sort_keys=ordered, separators=separators).encode
    for plain, ordered, separators in product((False, True), (False, True), ((",", ":"), (", ", ": ")))
]


def tells(left: Record, record: Record, cut: Iterable[str]) -> bool:
    """Whether what is left of a record carries a plain hash of the record, of one of its texts, or of a stretch that
    was `cut`: in hex, whole or its beginning; also where there are too many hashes to know. A keyed hash tells nothing,
    and cannot be told from an id."""
    marks = {mark for one in strings_of(left) for mark in _HEX.findall(one.value.lower())}
    sizes = {len(mark) for mark in marks}
    try:
        return (
            any(hashed[:size] in marks for hashed in _hashes(record, left, cut) for size in sizes) if marks else False
        )
    except (_TooMany, RecursionError):
        return True


def _hashes(record: Record, left: Record, cut: Iterable[str]) -> Iterator[str]:
    import hashlib

    for content in {*_contents(record, left, cut)}:
        for name in _ALGORITHMS:
            yield hashlib.new(name, content, usedforsecurity=False).hexdigest()


def _contents(record: Record, left: Record, cut: Iterable[str]) -> Iterator[bytes]:
    """What a hash may be of."""
    there = {one.value for one in strings_of(left)}
    texts = {one.value for one in strings_of(record)} - there | {record.body.decode(), record.text or "", *cut}
    for text in texts - {""}:
        yield from (form.encode("utf-8", "surrogatepass") for form in (text, text.strip(), f"{text.strip()}\n"))
    if record.text is None:
        for made in _objects(record.fields):
            yield from (encode(made).encode("utf-8", "surrogatepass") for encode in _JSON)


def _objects(fields: object) -> Iterator[object]:
    """The record, what has a hash in it as it was before that was added, and what stands beside a hash."""
    yield fields
    pending, count = [fields], 0
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        if not isinstance(value, dict):
            continue
        pending += value.values()
        hashes = [name for name, one in value.items() if _has_a_hash(one)]
        count += len(hashes)
        if count > MOST:
            raise _TooMany
        for without in (hashes, *([name] for name in hashes)) if hashes else ():
            yield {name: one for name, one in value.items() if name not in without}
        yield from (one for one in value.values() if hashes and isinstance(one, dict | list))


def _has_a_hash(value: object) -> bool:
    return isinstance(value, str) and _HEX.search(value.lower()) is not None


class _TooMany(Exception):
    """There are more hashes than can be tried."""
