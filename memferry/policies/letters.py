"""Texts reduced to their letters and digits, the same for every writing of them: no case, no punctuation, no layout.

In UTF-8 bytes, so that English words (about five bytes) and the characters of scripts without spaces (three) weigh
alike, and a stretch of text is found and cut without looking at words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate, islice, pairwise
from typing import NamedTuple

import msgspec

_UNSPACED_OF_THREE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_UNSPACED_OF_FOUR = "\U00020000-\U0003ffff"
_UNSPACED = _UNSPACED_OF_THREE + _UNSPACED_OF_FOUR
"""Scripts without spaces, by the bytes that a character takes in UTF-8."""
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
_BREAKS = '.:;!?\n"([{)]}<>|“”„«»–—。：；！？，、「」（）【】…'
_BREAK = re.compile(f"[{re.escape(_BREAKS)}]")
_JSON_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})")
_TARGET = re.compile(r"\]\([^()\s]*\)")
_NO_LETTERS = re.compile(r"[^\w\n]|_")
_WORD = re.compile(r"[^\W_]+")

_ASCII = bytes(range(128))
_LOWER = _ASCII.lower().translate(bytes.maketrans(b'.:;!?"([{)]}<>|', b"\n" * 15)) + bytes(128)
_DROPPED = bytes(code for code in _ASCII if not chr(code).isalnum() and chr(code) not in _BREAKS)
_SPACED = bytes(code if chr(code).isalnum() else 32 for code in _ASCII).lower() + b" " * 128

_COMMON, _COMMON_BEYOND_ASCII = b"v", b"\xb2"
"""A byte that stands about once in a hundred in most languages written in Latin letters, and in most others."""


class Letters(msgspec.Struct, frozen=True, gc=False):
    """`folded`: letters and digits in lower case, UTF-8. `clauses`: offsets at which a clause or a line begins, the
    first of them 0, ascending. `text`: what they were taken from, without markup, its words still apart."""

    folded: bytes
    clauses: list[int]
    text: str


def letters_of(text: str) -> Letters:
    """The letters of a text."""
    if _has_markup(text):
        text = _without_markup(text)
    if text.isascii():
        folded = text.encode().translate(_LOWER, _DROPPED)
    else:
        text = _plain(text)
        lines = _BREAK.sub("\n", text).replace(" ", "")  # most of what is no letter, and the cheapest to leave out
        folded = _NO_LETTERS.sub("", lines).encode("utf-8", "surrogatepass")
    if b"\n" not in folded:
        return Letters(folded, [0], text)
    clauses = list(filter(None, folded.split(b"\n")))
    return Letters(b"".join(clauses), _starts(clauses), text)


GAP = b"\x1f"
"""Stands behind each text of a run; no letter is written with it, so nothing that spans it is ever repeated."""
_DROPPED_IN_RUN = _DROPPED.replace(GAP, b"")


class Run(NamedTuple):
    """The letters of many texts one behind another, a GAP behind each. `clauses`: as in `Letters`; some are a GAP.
    `texts`: the letters of each."""

    folded: bytes
    clauses: list[int]
    texts: list[bytes]


def run_of(texts: Sequence[str]) -> Run:
    """What `letters_of` says of each text, for a fraction of the price: those that need nothing but a table are folded
    in one go."""
    together = "\x1f\n".join([*texts, ""])
    odd: dict[int, Letters] = {}
    if not together.isascii() or _has_markup(together) or together.count("\x1f") > len(texts):
        odd = {n: letters_of(text) for n, text in enumerate(texts) if not _is_simple(text)}
        together = "\x1f\n".join([*("" if n in odd else text for n, text in enumerate(texts)), ""])
    raw = together.encode().translate(_LOWER, _DROPPED_IN_RUN)
    clauses = list(filter(None, raw.split(b"\n")))
    if odd:
        clauses = list(_put_in(odd, clauses))
    folded = b"".join(clauses)
    return Run(folded, _starts(clauses), folded.split(GAP)[:-1])


def _put_in(odd: Mapping[int, Letters], clauses: Iterable[bytes]) -> Iterator[bytes]:
    """Clause by clause, where a GAP stands alone in the place of each."""
    number = 0
    for clause in clauses:
        if number in odd:
            letters = odd[number]
            yield from (letters.folded[at:end] for at, end in pairwise((*letters.clauses, len(letters.folded))))
        yield clause
        number += clause.endswith(GAP)


def _starts(parts: Sequence[bytes]) -> list[int]:
    return list(accumulate(map(len, parts[:-1]), initial=0))


def _is_simple(text: str) -> bool:
    return text.isascii() and not _has_markup(text) and "\x1f" not in text


def _has_markup(text: str) -> bool:
    return _has_escapes(text) or ("]" in text and "](" in text)


def _has_escapes(text: str) -> bool:
    """One character is found much faster than two."""
    return "&" in text or ("\\" in text and "\\u" in text)


def _without_markup(text: str) -> str:
    """What a reader would see: links without their targets, characters instead of their escapes in HTML and JSON."""
    import html

    if "\\u" in text:
        text = without_escapes(text)
    return _TARGET.sub("]", html.unescape(text))


def without_escapes(text: str) -> str:
    """With the characters that JSON within a text writes as `\\u003c`, however often they are escaped."""
    return _JSON_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)


def word_starts(text: str) -> list[int]:
    """Offsets in its letters at which a word begins, ascending, and the end of the last one. Each character of a script
    without spaces counts as a word. `text`: of `Letters`."""
    if text.isascii():
        words = text.encode().translate(_SPACED).split()
    elif _characters().search(text) is None:
        words = "\0".join(_WORD.findall(text)).encode("utf-8", "surrogatepass").split(b"\0")
    else:
        return _starts_among_characters(text)
    return list(accumulate(map(len, words), initial=0))


def _starts_among_characters(text: str) -> list[int]:
    """Where words and characters of scripts without spaces begin; many of these stand in a row, and weigh the same.
    Some of these scripts' signs, such as vowels above a letter, are no letters themselves."""
    starts: list[int] = []
    end = 0
    for run in _runs().findall(text):
        letters = run if run.isalnum() else "".join(filter(str.isalnum, run))
        start, end = end, end + len(letters.encode("utf-8", "surrogatepass"))
        step = len(run[0].encode()) if _characters().match(run) else end - start
        starts += range(start, end, step)
    return [*starts, end]


def anchors(folded: bytes) -> list[int]:
    """Offsets in letters, ascending, about one in a hundred, at which something that is repeated is looked for: the
    same in every text. It is simply where certain bytes stand, since nothing is found faster than a byte."""
    cut = folded.replace(_COMMON, b"\0" + _COMMON)
    if not folded.isascii():
        cut = cut.replace(_COMMON_BEYOND_ASCII, b"\0" + _COMMON_BEYOND_ASCII)
    return list(accumulate(map(len, cut.split(b"\0"))))[:-1]


def is_prose(text: str) -> bool:
    """Whether it could be a sentence: a path, an id or a date has no four words, nor eight characters of a script that
    has no spaces."""
    if len(text.split(None, 3)) == 4:
        return True
    if text.isascii() and not _has_escapes(text):
        return False
    return _has_characters(text) or (_has_escapes(text) and _reads_as_prose(_without_markup(text)))


def _reads_as_prose(text: str) -> bool:
    return len(text.split(None, 3)) == 4 or _has_characters(text)


def _has_characters(text: str) -> bool:
    return not text.isascii() and next(islice(_characters().finditer(text), 7, None), None) is not None


@cache
def _runs() -> re.Pattern[str]:
    """Made when it is needed: these scripts are so large that it takes a while."""
    return re.compile(rf"[{_UNSPACED_OF_THREE}]+|[{_UNSPACED_OF_FOUR}]+|[^\W_{_UNSPACED}]+")


@cache
def _characters() -> re.Pattern[str]:
    return re.compile(rf"[{_UNSPACED}]")


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold())
