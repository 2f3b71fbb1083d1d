"""Which kind of answer a question asks for, and whether a text holds one. Pure.

Who asks how long wants a span of time, who asks why a reason: of two texts about the same matter the one that has such
a thing is the better answer ("answer type" in question answering). English and Chinese.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from memferry.recall.hanzi.fold import NUMBER, simplified

_WORD = re.compile(r"\w+")


class _Kind(NamedTuple):
    """`asks`: phrases of a question. `words` and `pattern`: one of those, or this, is in what answers it."""

    asks: tuple[str, ...]
    words: frozenset[str]
    pattern: str


def _kind(asks: str, words: str, pattern: str) -> _Kind:
    return _Kind(tuple(one if not one.isascii() else f" {one} " for one in asks.split("|")), frozenset(words.split()),
                 pattern)  # fmt: skip


_NEVER = r"(?!)"
_SPAN = "year years month months week weeks day days hour hours minute minutes since every daily weekly always ago"
_NUMBERS = "one two three four five six seven eight nine ten once twice couple few dozen first second third"
_TIMES = """yesterday today tomorrow last next ago week weekend month year night morning recently
    monday tuesday wednesday thursday friday saturday sunday
    january february march april may june july august september october november december"""
_PLACE = r"\b(?:[Ii]n|[Aa]t|[Ff]rom|[Tt]o|[Nn]ear) (?:the )?[A-Z]"
_KINDS = (
    _kind("how long|how often", _SPAN, _NEVER),
    _kind("how many|how much|how old|how far|how tall|how big", _NUMBERS, r"\d"),
    _kind("why|reason|reasons", "because since cause reason due inspire inspired wanted", r"so that\b"),
    _kind("when|what date|what day|what month|what year|what time", _TIMES, r"\d(?:st|nd|rd|th)\b"),
    _kind("where|what country|what city|what place|what state", "", _PLACE),
    _kind(
        "多久|多长时间|几年|几天|几个月|几小时", "",
        r"[一二三四五六七八九十百两半几\d]个?[秒分小钟天周月年日星]|每[天周月年]",
    ),
    _kind(
        "什么时候|何时|几点|几号|几月|哪天|哪年|哪月|哪一天|哪一年|星期几|周几|日期", "",
        r"[一二三四五六七八九十百零\d两半底初上下末][年月日号点周]|周[一二三四五六日]|星期|[上下中]午|[明后昨今]天|凌晨|[早晚]上"
        r"|[春夏秋冬]天",
    ),
    _kind("多少|多大|多长|多高|多重|几", "", rf"\d|半|{NUMBER}"),
    _kind(
        "哪里|哪儿|在哪|到哪|去哪|什么地方|什么位置|哪家|哪个城市|何处|地点|地址", "",
        r"[在到去往从][\u4e00-\u9fff]|[省市县区镇村路街巷楼层室馆店站院园厅库港场]",
    ),
    _kind("为什么|为何|原因", "", r"因|由于|所以|于是|导致|太|以免|免得"),
)  # fmt: skip
"""The first that a question fits is the one."""


def asks_for_something(query: str) -> bool:
    """Whether some texts hold what it asks for and others do not."""
    return _asked(query) is not None


def holds_what_is_asked(query: str, text: str) -> bool:
    """Whether `text` has a number, a time, a place or a reason where `query` asks for one."""
    kind = _asked(query)
    if kind is None:
        return False
    named = bool(kind.words) and not kind.words.isdisjoint(_words(text))
    return named or re.search(kind.pattern, simplified(text)) is not None


@lru_cache(64)
def _asked(query: str) -> _Kind | None:
    padded = f" {' '.join(_words(simplified(query)))} "
    return next((kind for kind in _KINDS if any(phrase in padded for phrase in kind.asks)), None)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
