"""How much to measure with."""

from __future__ import annotations

from typing import NamedTuple


class Sizes(NamedTuple):
    """How much to measure with. `rounds`: repetitions of what is short. `idle_s`: how long to watch a quiet service;
    `calm_s`: how long to wait until it is quiet. `hostile_bytes`: of each record that is made to take long."""

    records: int = 1_000_000
    files: int = 10_000
    rounds: int = 15
    appends: int = 200
    idle_s: float = 60.0
    calm_s: float = 600.0
    hostile_bytes: int = 1_000_000

    @property
    def growth(self) -> tuple[int, ...]:
        """A hundredth, a tenth, all."""
        return tuple(size for size in (self.records // 100, self.records // 10, self.records) if size)
