"""Secrets in tables: below a heading that tells, whether commas, tabs, bars or the tags of HTML part the cells.

However long a table is: every cell counts among the places that are looked at in one text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate, islice, takewhile
from typing import NamedTuple, TypeAlias

from memferry.policies.secrets import linear, words
from memferry.policies.secrets.beside import in_field
from memferry.policies.secrets.spots import Spot

_PARTS = "|\t;,"
_EDGES = " \t\r\"'`*"
_RULE = re.compile(r"[\s|:=-]+")
_HTML_CELL = re.compile(r"<t[hd]\b[^<>]{0,200}>\s*(?:<\w{1,8}>\s*)?([^<>]{0,300})")
_LIKELY = 2
"""How certain it is that a password stands there: see values.is_password."""


Line: TypeAlias = tuple[str, int]
"""And where it begins in the text."""


class Cell(NamedTuple):
    """What stands in one, without quotes and marks, and where it begins in the text."""

    text: str
    start: int


@cache
def _headings() -> linear.Pattern:
    return linear.Pattern(rf"(?:[,;|\t>]|\n|^)[ \t\"'*`]{{0,3}}(?i:{words.ANY})[^,;|\t<\n]{{0,20}}[,;|\t<\n]")


def below_headings(text: str, raw: bytes) -> Iterator[Spot | None]:
    """`raw`: the text in UTF-8."""
    if "\n" in text and any(part in text for part in _PARTS):
        lines = _split(text, "\n")
        for number in _heading_lines(raw):
            yield from _below(lines, number)
    if "<t" in text and _headings().occurs(raw):
        rows = [_html_cells(row, at) for row, at in _split(text, "</tr>")]
        for number, heading in enumerate(rows):
            yield from _told(heading, islice(rows, number + 1, None))


def _heading_lines(raw: bytes) -> Iterator[int]:
    """The numbers of lines that may be a heading that tells."""
    raw += b"\n"
    begins = list(accumulate((len(line) + 1 for line in raw.split(b"\n")), initial=0))
    found = _headings().next_start(raw, 0)
    while found is not None:
        number = bisect_right(begins, found + 1) - 1  # what it is found by begins with the end of the line before
        yield number
        found = _headings().next_start(raw, begins[number + 1] - 1)


def _below(lines: Sequence[Line], number: int) -> Iterator[Spot | None]:
    """In the table that begins with a line, unless it is amid one."""
    line, start = lines[number]
    part = next((one for one in _PARTS if one in line), "")
    above = next((row for row, _ in map(lines.__getitem__, range(number - 1, -1, -1)) if not _parts_only(row)), "")
    if part and above.count(part) != line.count(part):
        below = (_cells(row, at, part) for row, at in islice(lines, number + 1, None) if not _parts_only(row))
        yield from _told(_cells(line, start, part), below)


def _parts_only(line: str) -> bool:
    """Whether it parts the heading of a Markdown table from the rest."""
    return _RULE.fullmatch(line) is not None


def _told(heading: list[Cell], rows: Iterator[list[Cell]]) -> Iterator[Spot | None]:
    """What stands in the columns whose heading tells, as far as rows have as many cells."""
    telling = [number for number, cell in enumerate(heading) if _tells(cell.text)]
    if not telling or len(heading) < 2:
        return
    for row in takewhile(lambda row: len(row) == len(heading), rows):
        for number in telling:
            text, start = row[number]
            found = next(iter(in_field(text, heading[number].text, _LIKELY)), None)
            yield found and Spot(found.rule, start, start + len(text))


def _tells(text: str) -> bool:
    return 2 <= len(text) <= 40 and _word().occurs(text.encode("utf-8", "replace"))


@cache
def _word() -> linear.Pattern:
    return linear.Pattern(f"(?i:{words.ANY})")


def _split(text: str, by: str) -> list[Line]:
    found = []
    at = 0
    for piece in text.split(by):
        found.append((piece, at))
        at += len(piece) + len(by)
    return found


def _cells(line: str, start: int, part: str) -> list[Cell]:
    return [_cell(piece, start + at) for piece, at in _split(line, part)]


def _html_cells(row: str, start: int) -> list[Cell]:
    return [_cell(found[1], start + found.start(1)) for found in _HTML_CELL.finditer(row)]


def _cell(piece: str, start: int) -> Cell:
    text = piece.strip(_EDGES)
    return Cell(text, start + piece.find(text))
