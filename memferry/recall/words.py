"""Words as the full-text index knows them: texts prepared for it, and the terms of a question. Pure.

FTS5 cuts at spaces, and Chinese, Japanese and Korean have few: it finds 12 % of what it should there, 82 % by trigrams,
92 % by pairs of neighbouring characters. Single characters beside the pairs find more where a question says it in other
words (docs/adr/0011-recall.md). So their runs are cut into both before FTS5 sees them, but for numbers and days of the
week, which are words. Traditional characters are found by simplified ones, 二十 by 20, 星期五 by 周五; and who asks for
爸爸 also finds 父亲.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from memferry.recall.hanzi import fold, synonyms

MOST_TERMS = 64
"""Of one question; a pasted page is as good by its first words."""

_STOP = """a an the of to in on at for and or is are was were be been do does did has have had it its this that with as
by from what when where who whom which why how would could should s t"""
STOPWORDS = frozenset({*_STOP.split(), *"的了是在么什吗呢吧谁哪里个多少几怎样为何要和与"})
"""They stand everywhere and decide nothing; asked for nothing else, they are looked up all the same. Of Chinese, single
characters that ask or join; in pairs they count."""

_ASKING = re.compile(
    "为什么|为何|什么时候|什么样|什么|怎么样|怎么办|怎么|怎样|如何|多少|多久|多长时间|几点|几号|哪[一里儿些个位种家天年月]"
    "|なぜ|どうして|どこ|いつ(?!も)|だれ|谁が|何が|何を|何时|どの"
    "|ですか|ますか|ましたか|무엇|언제|어디|누가|누구|왜(?![가-힣])|어떻게|어느|몇"
)
"""They ask; what answers does not repeat them, so no character of theirs, and no pair over their edge, is looked up. In
simplified characters, of Japanese too."""

_CJK = re.compile(
    "[\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]+"
)
_WORD = re.compile(r"[^\W_]+")


def has_cjk(text: str) -> bool:
    """Whether a part of it is Chinese, Japanese or Korean."""
    return not text.isascii() and _CJK.search(text) is not None


def prepared(text: str) -> str:
    """`text` for FTS5: 北京大學 becomes 北 京 大 学 北京 京大 大学, 二十台 becomes 20 台."""
    return text if text.isascii() else _CJK.sub(_cut, unicodedata.normalize("NFKC", text))


def _cut(run: re.Match[str]) -> str:
    return f" {' '.join(_parts(fold.simplified(run[0])))} "


def _parts(run: str) -> Iterator[str]:
    """Of simplified characters."""
    at = 0
    for start, end, word in fold.words(run):
        yield from _characters(run[at:start])
        yield word
        at = end
    yield from _characters(run[at:])


def _characters(run: str) -> list[str]:
    """And pairs of them."""
    return [*run, *_pairs(run)]


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(len(run) - 1)]


@lru_cache(1024)  # what was said on one day by one speaker has one head
def named(query: str, head: str) -> int:
    """How many words of a record's head (title, speaker, date) a question names."""
    asked, words = _whole(query), _whole(head)
    count = len(words & asked)
    if head.isascii():
        return count
    lower = query.lower()
    return count + sum(has_cjk(word) and word in lower for word in words - asked)


@lru_cache(1024)
def _whole(text: str) -> frozenset[str]:
    """Words as they stand, a run without spaces as one, but for those that stand everywhere."""
    return frozenset(_WORD.findall(text.lower())) - STOPWORDS


def terms(query: str) -> list[str]:
    """What to look for, each once, as FTS5 phrases: no query can be wrong there, since its own syntax is never reached.

    Empty where the query holds no word.
    """
    text = fold.simplified(unicodedata.normalize("NFKC", query).lower())
    plain = _ASKING.sub(" ", text)
    found = _looked_up(plain) or _looked_up(text)
    wanted = [part for part in found if part not in STOPWORDS] or found
    wanted += [pair for word in _others(plain) for pair in _pairs(word)]
    return [f'"{part}"' for part in dict.fromkeys(wanted)][:MOST_TERMS]


def _others(text: str) -> list[str]:
    return synonyms.others(text) if has_cjk(text) else []


def _looked_up(text: str) -> list[str]:
    words = _WORD.findall(_CJK.sub(lambda run: f" {run[0]} ", text))
    return [part for word in words for part in (_parts(word) if _CJK.match(word) else [word])]
