"""Words as the full-text index knows them: texts prepared for it, and the terms of a question. Pure.

FTS5 cuts at spaces, and Chinese, Japanese and Korean have few: it finds 12 % of what it should there, 82 % by trigrams,
92 % by pairs of neighbouring characters. So their runs are cut into pairs before FTS5 sees them.
"""

from __future__ import annotations

import re
import unicodedata

MOST_TERMS = 64
"""Of one question; a pasted page is as good by its first words."""

_STOP = """a an the of to in on at for and or is are was were be been do does did has have had it its this that with as
by from what when where who whom which why how would could should s t"""
STOPWORDS = frozenset(_STOP.split())
"""They stand everywhere and decide nothing; asked for nothing else, they are looked up all the same."""

_CJK = re.compile(
    "[\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]+"
)
_WORD = re.compile(r"[^\W_]+")


def has_cjk(text: str) -> bool:
    """Whether a part of it is Chinese, Japanese or Korean."""
    return not text.isascii() and _CJK.search(text) is not None


def prepared(text: str) -> str:
    """`text` for FTS5: 北京大学 becomes 北京 京大 大学 学. The last one alone lets a single character be found."""
    return text if text.isascii() else _CJK.sub(_pairs, unicodedata.normalize("NFKC", text))


def _pairs(run: re.Match[str]) -> str:
    characters = run[0]
    return f" {' '.join([characters[at : at + 2] for at in range(len(characters))])} "


def terms(query: str) -> list[str]:
    """What to look for, each once, as FTS5 phrases: no query can be wrong there, since its own syntax is never reached.

    Empty where the query holds no word.
    """
    text = unicodedata.normalize("NFKC", query).lower()
    found = [term for word in _WORD.findall(_CJK.sub(lambda run: f" {run[0]} ", text)) for term in _terms_of(word)]
    wanted = [term for term in found if term not in STOPWORDS] or found
    return [_phrase(term) for term in dict.fromkeys(wanted)][:MOST_TERMS]


def _terms_of(word: str) -> list[str]:
    if _CJK.match(word) and len(word) > 1:
        return [word[at : at + 2] for at in range(len(word) - 1)]
    return [word]


def _phrase(term: str) -> str:
    """A single character is found where a pair begins with it."""
    return f'"{term}"*' if len(term) == 1 and _CJK.match(term) else f'"{term}"'
