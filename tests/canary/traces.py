"""What betrays a private text: the text itself by its canary, and every plain digest that anybody would make of it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

ALGORITHMS = ("md5", "sha1", "sha256", "sha512", "blake2b")
SHORTEST_VALUE = 12
"""Characters of a value that is a text of its own; shorter ones are in many entries."""

_HEX = re.compile(rb"[0-9a-fA-F]{32,}")
_HEX_SHOWN = 32
_BASE64_SHOWN = 21
_WORD = "<u8"
_WORD_BYTES = 8
_LOWER = np.uint64(0x2020202020202020)
"""Makes capitals small and leaves digits alone: one word stands for a hex number in either case."""
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SIEVE_BITS = 22


class Traces:
    """Finds private texts in bytes. `private`: lines, documents, paths, values; each holds 32 random hex digits.

    Whatever betrays one begins with eight bytes that are known. All words of eight bytes, from each of the eight places
    at which one may begin, go through a sieve at once; few are left to be looked at closely."""

    def __init__(self, private: Iterable[str]) -> None:
        self._names: dict[bytes, str] = {}
        self._numbers: dict[int, str] = {}
        for text in private:
            self._names.update((match.lower(), "canary") for match in _canaries(text))
            for writing in writings(text):
                self._learn(writing.encode("utf-8", "surrogatepass"))
        words = [int.from_bytes(name[:_WORD_BYTES], "little") for name in self._names]
        self._starts = np.unique(np.array([*words, *self._numbers], dtype=_WORD) | _LOWER)
        self._sieve = np.zeros(1 << _SIEVE_BITS, dtype=bool)
        self._sieve[_place(self._starts)] = True

    def _learn(self, writing: bytes) -> None:
        for name in ALGORITHMS:
            digest = hashlib.new(name, writing, usedforsecurity=False).digest()
            self._names[digest.hex().encode()[:_HEX_SHOWN]] = name
            self._names[base64.b64encode(digest)[:_BASE64_SHOWN]] = name
            self._names[base64.urlsafe_b64encode(digest)[:_BASE64_SHOWN]] = name
            first = digest[:_WORD_BYTES]
            self._numbers[int.from_bytes(first, "little")] = f"{name} as bytes"
            self._numbers[int.from_bytes(first, "big")] = f"{name} as a number"

    def find(self, data: bytes) -> set[str]:
        """By what it is betrayed there: `canary`, or the kind of digest."""
        return {trace for at in self._likely(data) for trace in self._at(data, at)}

    def _at(self, data: bytes, at: int) -> Iterator[str]:
        """A digest as text, as bytes, or as the 64-bit number that a database makes of its first eight."""
        number = int.from_bytes(data[at : at + _WORD_BYTES], "little")
        traces = (
            self._names.get(data[at : at + _HEX_SHOWN].lower()),
            self._names.get(data[at : at + _BASE64_SHOWN]),
            self._numbers.get(number),
        )
        return filter(None, traces)

    def _likely(self, data: bytes) -> Iterator[int]:
        for shift in range(min(_WORD_BYTES, len(data) - _WORD_BYTES + 1)):
            words = np.frombuffer(data, _WORD, (len(data) - shift) // _WORD_BYTES, shift) | _LOWER
            sieved = np.flatnonzero(self._sieve[_place(words)])
            known = self._starts[np.searchsorted(self._starts[:-1], words[sieved])] == words[sieved]
            yield from (sieved[known] * _WORD_BYTES + shift).tolist()


def _place(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Where they are in the sieve: by their upper bits, once each bit has had its say."""
    return (words * _SPREAD) >> np.uint64(64 - _SIEVE_BITS)


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
