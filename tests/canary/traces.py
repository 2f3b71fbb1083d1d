"""What betrays a private text: the text itself by its canary, and every plain digest that anybody would make of it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator

import numpy as np

ALGORITHMS = ("md5", "sha1", "sha256", "sha512", "blake2b")
SHORTEST_VALUE = 12
"""Characters of a value that is a text of its own; shorter ones are in many entries."""

_HEX = re.compile(rb"[0-9a-fA-F]{32,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{21,}")
_HEX_SHOWN = 32
_BASE64_SHOWN = 21
_NUMBER = "<u8"
_NUMBER_BYTES = 8
_SIEVE = (1 << 22) - 1


class Traces:
    """Finds private texts in bytes. `private`: lines, documents, paths, values; each holds 32 random hex digits."""

    def __init__(self, private: Iterable[str]) -> None:
        self._names: dict[bytes, str] = {}
        self._numbers: dict[int, str] = {}
        for text in private:
            self._names.update((match.lower(), "canary") for match in _canaries(text))
            for writing in writings(text):
                self._learn(writing.encode("utf-8", "surrogatepass"))
        self._sorted = np.array(sorted(self._numbers), dtype=_NUMBER)
        self._sieve = np.zeros(_SIEVE + 1, dtype=bool)
        self._sieve[self._sorted & np.uint64(_SIEVE)] = True

    def _learn(self, writing: bytes) -> None:
        for name in ALGORITHMS:
            digest = hashlib.new(name, writing, usedforsecurity=False).digest()
            self._names[digest.hex().encode()[:_HEX_SHOWN]] = name
            self._names[base64.b64encode(digest)[:_BASE64_SHOWN]] = name
            self._names[base64.urlsafe_b64encode(digest)[:_BASE64_SHOWN]] = name
            first = digest[:_NUMBER_BYTES]
            self._numbers[int.from_bytes(first, "little")] = f"{name} as bytes"
            self._numbers[int.from_bytes(first, "big")] = f"{name} as a number"

    def find(self, data: bytes) -> set[str]:
        """By what it is betrayed there: `canary`, or the kind of digest."""
        found = {self._names[one] for one in self._written(data) if one in self._names}
        return found | {self._numbers[one] for one in self._counted(data)}

    def _written(self, data: bytes) -> Iterator[bytes]:
        for match in _HEX.finditer(data):
            yield from _windows(match[0].lower(), _HEX_SHOWN)
        for match in _BASE64.finditer(data):
            yield from _windows(match[0], _BASE64_SHOWN)

    def _counted(self, data: bytes) -> Iterator[int]:
        """Digests as bytes, or as the 64-bit numbers that a database makes of their first eight."""
        for shift in range(min(_NUMBER_BYTES, len(data) - _NUMBER_BYTES + 1)):
            words = np.frombuffer(data, _NUMBER, (len(data) - shift) // _NUMBER_BYTES, shift)
            likely = words[self._sieve[words & np.uint64(_SIEVE)]]
            yield from (one for one in likely.tolist() if one in self._numbers)


def _windows(run: bytes, width: int) -> Iterator[bytes]:
    return (run[at : at + width] for at in range(len(run) - width + 1))


def _canaries(text: str) -> list[bytes]:
    """The random digits in it. A longer run of digits is a digest of somebody's, and no canary."""
    return [run[:_HEX_SHOWN] for run in _HEX.findall(text.encode("utf-8", "surrogatepass"))]


def writings(text: str) -> set[str]:
    """What of a text may be digested: itself, with and without its newline, its JSON in canonical forms, each of its
    values."""
    found = {text, text.rstrip("\r\n"), f"{text}\n", text.strip()}
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(text)
        found |= _canonical(value) | set(_values(value))
    return found


def _canonical(value: object) -> set[str]:
    return {
        json.dumps(value, sort_keys=sort, separators=separators, ensure_ascii=plain)
        for sort in (True, False)
        for separators in ((",", ":"), (", ", ": "))
        for plain in (True, False)
    }


def _values(value: object) -> Iterator[str]:
    if isinstance(value, str) and len(value) >= SHORTEST_VALUE:
        yield value
    elif isinstance(value, dict):
        for child in value.values():
            yield from _values(child)
    elif isinstance(value, list):
        for child in value:
            yield from _values(child)
