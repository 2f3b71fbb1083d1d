"""Which kind of answer a question asks for, and whether a text holds one. Pure.

Who asks how long wants a span of time, who asks why a reason: of two texts about the same matter the one that has such
a thing is the better answer ("answer type" in question answering). English and Chinese.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple


class _Kind(NamedTuple):
    asks: re.Pattern[str]
    answers: re.Pattern[str]


def _kind(asks: str, answers: str) -> _Kind:
    return _Kind(re.compile(asks, re.IGNORECASE), re.compile(answers, re.IGNORECASE))


_NUMBER = r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|once|twice|couple|few|dozen|first|second|third)\b"
_SPAN = r"\b(?:year|month|week|day|hour|minute)s?\b|\b(?:since|every|daily|weekly|always|ago)\b"
_WHEN = (
    r"\d(?:st|nd|rd|th)\b|\b(?:yesterday|today|tomorrow|last|next|ago|week|weekend|month|year|night|morning|recently"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may|june|july|august|september|october"
    r"|november|december)\b"
)
_KINDS = (
    _kind(r"\bhow (?:long|often)\b", _SPAN),
    _kind(r"\bhow (?:many|much|old|far|tall|big)\b", _NUMBER),
    _kind(r"\bwhy\b|\breasons?\b", r"\b(?:because|since|cause|so that|reason|due|inspired?|wanted)\b"),
    _kind(r"\bwhen\b|\bwhat (?:date|day|month|year|time)\b", _WHEN),
    _kind(r"\bwhere\b|\bwhat (?:country|city|place|state)\b", r"\b(?:in|at|from|to|near) (?:the )?(?-i:[A-Z])"),
    _kind(
        r"多久|多长时间|几[年天]|几个[月小]", r"[一二三四五六七八九十百两半几\d]个?[秒分小钟天周月年日星]|每[天周月年]"
    ),
    _kind(
        r"什么时候|何时|几[点号月]|哪一?[天年月]|星期几|周几|日期",
        r"[一二三四五六七八九十百零\d两半底初上下末][年月日号点周]|周[一二三四五六日]|星期|[上下中]午|[明后昨今]天|凌晨|[早晚]上"
        r"|[春夏秋冬]天",
    ),
    _kind(r"多[少大长高重]|几", r"[一二三四五六七八九十百千万两半零\d]"),
    _kind(r"为什么|为何|原因", r"因|由于|所以|于是|导致|太|以免|免得"),
)
"""The first that a question fits is the one."""


def holds_what_is_asked(query: str, text: str) -> bool:
    """Whether `text` has a number, a time, a place or a reason where `query` asks for one."""
    kind = _asked(query)
    return kind is not None and kind.answers.search(text) is not None


@lru_cache(64)
def _asked(query: str) -> _Kind | None:
    return next((kind for kind in _KINDS if kind.asks.search(query)), None)
