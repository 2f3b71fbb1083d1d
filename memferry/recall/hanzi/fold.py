"""What Chinese and Japanese write in several ways, written in one: simplified characters, digits, days of the week.
Pure, but for the table, which is read once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

TABLE = Path(__file__).parent / "simplified.txt"
"""Two lines of as many characters: traditional ones, and what they become."""

_DIGITS = dict(zip("零〇一二两三四五六七八九", "001223456789", strict=True))
_TENS = {"十": 10, "百": 100, "千": 1000}
_MYRIAD = "万"
_NUMERALS = "".join((*_DIGITS, *_TENS, _MYRIAD))
_UNITS = "年月日号点时分秒天周岁个台份块元米张次位名本件条页家层楼种倍口间只辆句步"

NUMBER = f"[{_NUMERALS}]{{2,}}|[{_NUMERALS}](?=[{_UNITS}])"
"""One numeral alone counts before a unit: elsewhere it is mostly a part of a word, as in 统一."""
_HAN = re.compile("[\u4e00-\u9fff]")
_WORD = re.compile(f"(?:星期|礼拜|周)(?P<day>[一二三四五六日天])|{NUMBER}")


def simplified(text: str) -> str:
    """As long as `text`. 資料庫 becomes 资料库."""
    return text if text.isascii() or not _HAN.search(text) else text.translate(_table())


def words(text: str) -> list[tuple[int, int, str]]:
    """Where simplified text has a number or a day of the week, and how that is written everywhere: 二十 as 20, and
    星期五 as 周五. Half-open ranges, in order."""
    return [(*found.span(), _one_way(found)) for found in _WORD.finditer(text)]


def _one_way(found: re.Match[str]) -> str:
    return f"周{found['day'].replace('天', '日')}" if found["day"] else _number(found[0])


def _number(numerals: str) -> str:
    """二十三 and 二三 are 23. Of what nobody would call a number, some digits, always the same."""
    if _DIGITS.keys() >= set(numerals):
        return "".join(_DIGITS[one] for one in numerals)
    whole = part = digit = 0
    for one in numerals:
        if one in _DIGITS:
            digit = int(_DIGITS[one])
        elif one in _TENS:
            part, digit = part + (digit or 1) * _TENS[one], 0
        else:
            whole, part, digit = whole + (part + digit or 1) * 10_000, 0, 0
    return str(whole + part + digit)


@lru_cache(1)
def _table() -> Mapping[int, int]:
    old, new = TABLE.read_text("utf-8").splitlines()
    return str.maketrans(old, new)
