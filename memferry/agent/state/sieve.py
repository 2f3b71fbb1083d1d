"""Which of many fingerprints are surely unknown, before the database is asked: almost all are, when much is new."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from memferry.agent.state.database import State

BITS = 1 << 24
"""Two megabytes. With a million fingerprints in it, one unknown in sixteen is asked for in vain."""

_BYTE = BITS // 8 - 1
WORTH = 100_000
"""Filling it from a large table takes about as long as asking for so many."""


class Sieve:
    """A bitmap of one column of fingerprints, indexed by them, for they are random: what is in it always passes.

    Whoever adds to the column while this exists, adds here too.
    """

    def __init__(self, state: State, table: str, column: str) -> None:
        self._state = state
        self._table = table
        self._column = column
        self._asked = 0
        self._bits: bytearray | None = None

    def passing(self, marks: Collection[int]) -> Collection[int]:
        """Those that may be known."""
        bits = self._bits if self._bits is not None else self._filled(len(marks))
        return marks if bits is None else [mark for mark in marks if bits[mark >> 3 & _BYTE] >> (mark & 7) & 1]

    def add(self, marks: Iterable[int]) -> None:
        """These are known from now on."""
        bits = self._bits
        if bits is not None:
            for mark in marks:
                bits[mark >> 3 & _BYTE] |= 1 << (mark & 7)

    def _filled(self, asked: int) -> bytearray | None:
        """Filled when it has paid to have it: at once where there is nothing to fill it with."""
        self._asked += asked
        column, table = self._column, self._table
        if self._asked < WORTH and self._state.one(f"select 1 from {table} limit 1") is not None:
            return None
        self._bits = bytearray(BITS // 8)
        self.add(mark for (mark,) in self._state.execute(f"select {column} from {table}"))
        return self._bits
