"""Measured numbers, each beside what it is compared with. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """`value` and `reference` have the same unit; `against` says what the reference is. The ratio of the two is held to
    `at_least` or `at_most`; where there is no reference, the value itself is."""

    name: str
    value: float
    unit: str
    against: str = ""
    reference: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.reference if self.reference else None

    @property
    def judged(self) -> float:
        """What is held to the bar."""
        return self.value if self.ratio is None else self.ratio

    @property
    def bar(self) -> str:
        sign, bar = (">=", self.at_least) if self.at_least is not None else ("<=", self.at_most)
        return "" if bar is None else f"{sign} {bar:g}{'x' if self.reference else f' {self.unit}'}"

    @property
    def reached(self) -> bool | None:
        """None: there is no bar."""
        if self.at_least is not None:
            return self.judged >= self.at_least
        return None if self.at_most is None else self.judged <= self.at_most


def table(figures: Sequence[Figure]) -> str:
    """GitHub Markdown, columns aligned."""
    head = ("figure", "measured", "reference", "ratio", "bar", "")
    rows = [head, *(_row(figure) for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def line(figure: Figure) -> str:
    """One figure, for a reader who waits."""
    return "  ".join(filter(None, _row(figure)))


def as_objects(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """For JSON."""
    return [figure._asdict() | {"ratio": figure.ratio, "reached": figure.reached} for figure in figures]


def _row(figure: Figure) -> tuple[str, ...]:
    reference = "" if figure.reference is None else f"{_short(figure.reference)} {figure.unit} ({figure.against})"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}x"
    said = {None: "", True: "reached", False: "MISSED"}[figure.reached]
    return figure.name, f"{_short(figure.value)} {figure.unit}", reference, ratio, figure.bar, said


def _short(number: float) -> str:
    """Three digits that matter."""
    if number == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(number))))
    return f"{number:,.{digits}f}"
