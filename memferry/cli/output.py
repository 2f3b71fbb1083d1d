"""Words and numbers for people."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_UNITS = ("B", "kB", "MB", "GB", "TB")


def safe(text: str) -> str:
    """`text` without what could steer a terminal: names and excerpts come from files that anyone may have written."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char in "\n\r\t" else ascii(char)[1:-1] for char in text)


def count(number: int, noun: str) -> str:
    """`1 record`, `2,000 records`, `3 entries`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}"


def size(number_bytes: float) -> str:
    """Decimal units: `812 B`, `1.2 MB`."""
    value = float(number_bytes)
    for unit in _UNITS[:-1]:
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {_UNITS[-1]}"


def moment(seconds: float | None) -> str:
    """A time since 1970 in local time, `never` for None."""
    return "never" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def shares(parts: Mapping[str, int]) -> str:
    """`labels.visibility 3, overlap 1`, the largest first."""
    return ", ".join(f"{name} {number:,}" for name, number in sorted(parts.items(), key=lambda item: -item[1]))


def rows(table: Iterable[Sequence[str]], indent: str = "") -> Iterator[str]:
    """Columns as wide as their widest cell; the last one runs free."""
    cells = [[safe(cell) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in cells), strict=True)]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        yield (indent + "  ".join([*padded, row[-1]])).rstrip()


def problem(what: str, hint: str) -> Iterator[str]:
    """Bad news and the next step."""
    yield f"  ! {what}"
    if hint:
        yield f"    {hint}"


def unreached(backends: Mapping[str, Mapping[str, Any]], hint: str) -> Iterator[str]:
    """Those of a report that could not be reached."""
    for name, backend in backends.items():
        if backend["error"]:
            yield from problem(f"{name}: {backend['error']}", hint)


def more(hidden: int) -> Iterator[str]:
    """Where a list was cut, and by how much."""
    if hidden > 0:
        yield f"  ... and {hidden:,} more; see --json"
