"""Patterns whose time grows with the text and with nothing else: RE2, over bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import re2

_MEMORY = 64 << 20


def _options() -> re2.Options:
    """For UTF-8 bytes: letters beyond ASCII are compared byte by byte, so `(?i)` is about ASCII."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MEMORY
    options.log_errors = False
    return options


class Pattern:
    """One pattern. Spans are of bytes, half-open."""

    def __init__(self, pattern: str) -> None:
        self._compiled = re2.compile(pattern.encode(), _options())

    def spans(self, raw: bytes) -> Iterator[tuple[int, int]]:
        return (match.span() for match in self._compiled.finditer(raw))

    def next_start(self, raw: bytes, at: int) -> int | None:
        """Where it stands next, at `at` or behind."""
        match = self._compiled.search(raw, at)
        return None if match is None else match.start()

    def occurs(self, raw: bytes) -> bool:
        return self._compiled.search(raw) is not None


class Patterns:
    """Several, looked for in one pass. They must be plain: repetitions in one multiply with those of the others."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._count = len(patterns)
        self._compiled = re2.Set.SearchSet(_options())
        for pattern in (*patterns, r"\A"):
            self._compiled.Add(pattern.encode())
        self._compiled.Compile()

    def occurring(self, raw: bytes) -> Sequence[int]:
        """Which of them may stand in a text, by number: all, where it ran out of memory, and so did not even find the
        beginning of the text."""
        found = self._compiled.Match(raw) or ()
        return [number for number in found if number < self._count] if self._count in found else range(self._count)


def any_of(patterns: Iterable[str]) -> Pattern:
    return Pattern("|".join(f"(?:{pattern})" for pattern in patterns))
