"""What Chinese says in several words, such as 爸爸, 老爸 and 父亲. Pure, but for the table, which is read once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

TABLE = Path(__file__).parent / "synonyms.txt"
"""A line for each meaning, its words simplified: of everyday life, and 用户 for 我, as agents write of whom they serve.
A word of two meanings stands in two lines."""


def others(text: str) -> list[str]:
    """Other words for those in simplified text, the longest first where several begin at one place. None of a single
    character, which would be found everywhere."""
    words, others_of = _table()
    return [other for found in words.finditer(text) for other in others_of[found[0]]]


@lru_cache(1)
def _table() -> tuple[re.Pattern[str], Mapping[str, list[str]]]:
    others_of: dict[str, list[str]] = {}
    for line in TABLE.read_text("utf-8").splitlines():
        meaning = line.split()
        for word in meaning:
            others_of.setdefault(word, []).extend(one for one in meaning if one != word and len(one) > 1)
    return re.compile("|".join(sorted(others_of, key=len, reverse=True))), others_of
