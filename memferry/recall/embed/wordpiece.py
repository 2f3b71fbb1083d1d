"""WordPiece, as uncased BERT models read text: characters folded, words cut, pieces looked up in a vocabulary.

Source: `tokenization.py` of google-research/bert; the result is that of the tokenizer that MiniLM was trained with.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

LONGEST_WORD = 100
PACKED: Literal["I"] = "I"
_WORDS_REMEMBERED = 50_000
_IDEOGRAPHS = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF), (0x2F800, 0x2FA1F),
)  # fmt: skip
_ASCII_PUNCTUATION = ((33, 47), (58, 64), (91, 96), (123, 126))
_PLAIN_WORD = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")
"""They are left out of words, which then go on. Nothing else of ASCII needs a look at every character."""


class WordPiece:
    """Text to piece numbers. `vocabulary`: a piece a line, its number is its line; `##` starts what goes on a word."""

    def __init__(self, vocabulary: Path) -> None:
        with open(vocabulary, encoding="utf-8") as lines:
            self._numbers = {line.rstrip("\n"): number for number, line in enumerate(lines)}
        self.unknown = self._numbers["[UNK]"]
        self.start = self._numbers["[CLS]"]
        self.end = self._numbers["[SEP]"]
        self._pieces_of = lru_cache(_WORDS_REMEMBERED)(self._packed)
        self._pieces_in = _Remembered(lambda chunk: b"".join(map(self._packed, _words(chunk))))

    def __len__(self) -> int:
        return len(self._numbers)

    def pieces(self, text: str, limit: int) -> list[int]:
        """At most `limit` numbers, without the marks of start and end."""
        return memoryview(self.packed(text, limit)).cast(PACKED).tolist()

    def packed(self, text: str, limit: int) -> bytes:
        """The same as numbers of the type PACKED, which numpy takes as they are."""
        if text.isascii():  # no word goes on behind a blank, and what stands between blanks mostly was met before
            packed = b"".join(map(self._pieces_in.__getitem__, text.lower().split()))
        else:
            packed = b"".join(map(self._pieces_of, _words(text)))
        return packed[: limit * array(PACKED).itemsize]

    def _packed(self, word: str) -> bytes:
        return array(PACKED, self._cut(word)).tobytes()

    def _cut(self, word: str) -> list[int]:
        """The longest known piece, again and again; a word that cannot be made of pieces is unknown as a whole."""
        if len(word) > LONGEST_WORD:
            return [self.unknown]
        found: list[int] = []
        start = 0
        while start < len(word):
            end, number = self._longest(word, start)
            if number is None:
                return [self.unknown]
            found.append(number)
            start = end
        return found

    def _longest(self, word: str, start: int) -> tuple[int, int | None]:
        mark = "##" if start else ""
        for end in range(len(word), start, -1):
            number = self._numbers.get(mark + word[start:end])
            if number is not None:
                return end, number
        return start, None


class _Remembered(dict[str, bytes]):
    """What `make` made of each text; all is forgotten where there is too much. A look at it takes half of that at
    an `lru_cache`."""

    def __init__(self, make: Callable[[str], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: str) -> bytes:
        if len(self) >= _WORDS_REMEMBERED:
            self.clear()
        made = self[text] = self._make(text)
        return made


def _words(text: str) -> Iterable[str]:
    """Lower case without accents; punctuation and ideographs stand alone."""
    return _PLAIN_WORD.findall(text.lower()) if text.isascii() and not _CONTROL.search(text) else _folded_words(text)


def _folded_words(text: str) -> Iterator[str]:
    """Of any text. The rest of a long one costs nothing."""
    for chunk in text.split():
        folded = unicodedata.normalize("NFD", "".join(_spaced(chunk)).lower())
        for part in folded.split():
            yield from _parts(part)


def _spaced(chunk: str) -> Iterable[str]:
    return chunk if chunk.isascii() else (f" {char} " if _within(ord(char), _IDEOGRAPHS) else char for char in chunk)


def _parts(chunk: str) -> Iterator[str]:
    if chunk.isalnum() and chunk.isascii():
        yield chunk
        return
    word = ""
    for char in chunk:
        category = unicodedata.category(char)
        if _is_punctuation(char, category):
            yield from filter(None, (word, char))
            word = ""
        elif category != "Mn" and category[0] != "C" and char != "\ufffd":
            word += char
    if word:
        yield word


def _is_punctuation(char: str, category: str) -> bool:
    return category[0] == "P" or _within(ord(char), _ASCII_PUNCTUATION)


def _within(code: int, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(low <= code <= high for low, high in ranges)
