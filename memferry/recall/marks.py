"""Which words of a text a question matched, and the stretch of it to show."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterator, Sequence

from memferry.recall.hanzi import fold
from memferry.recall.words import has_cjk

WIDTH = 240
_BEGIN, _END, _NEXT = "\x01", "\x02", "\x03"
_OURS = str.maketrans(dict.fromkeys(("\0", _BEGIN, _END, _NEXT), " "))
"""Not to stand in a text; behind a NUL FTS5 shows nothing."""
_MARKED = re.compile(f"{_BEGIN}(.*?){_END}", re.DOTALL)
_HAS_OURS = re.compile("[\\0-\\3]").search


class Marker:
    """Marks words as the index finds them, stems and all: FTS5 itself is asked, over nothing but the texts to show."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        self._database.execute(
            "create virtual table shown using fts5(text, columnsize=0, tokenize='porter unicode61 remove_diacritics 2')"
        )

    def close(self) -> None:
        self._database.close()

    def mark(self, terms: Sequence[str], texts: Sequence[str]) -> list[str]:
        """`terms`: as `words.terms` makes them. The texts, in order, for `words_in` and `snippet`."""
        clean = [text.translate(_OURS) if _HAS_OURS(text) else text for text in texts]
        latin = [term for term in terms if not has_cjk(term)]
        cjk = [term.strip('"') for term in terms if has_cjk(term)]
        pairs = [one for one in cjk if len(one) > 1] or cjk
        asked = {term.strip('"') for term in terms}
        shown = self._mark_words(latin, clean) if latin else clean
        return [text if text.isascii() else _mark_runs(pairs, asked, text) for text in shown]

    def _mark_words(self, terms: Sequence[str], texts: Sequence[str]) -> Sequence[str]:
        """All of them in one row, which takes two thirds of the time of a row each."""
        self._database.execute("begin")  # and taken back: FTS5 writes no segment of what is never kept
        self._database.execute("insert into shown(text) values(?)", (_NEXT.join(texts),))
        sql = f"select highlight(shown, 0, '{_BEGIN}', '{_END}') from shown where text match ?"
        found = self._database.execute(sql, (" OR ".join(terms),)).fetchone()
        self._database.execute("rollback")
        return found[0].split(_NEXT) if found else texts


def _mark_runs(pairs: Sequence[str], asked: Collection[str], text: str) -> str:
    """Runs in which pairs follow each other are marked as one; so are numbers and days of the week, however written."""
    folded = fold.simplified(text)
    found = [(start, end) for start, end, word in fold.words(folded) if word in asked]
    found += [(at, at + len(pair)) for pair in pairs for at in _places(pair, folded)]
    inside = [False] * len(text)
    for start, end in found:
        inside[start:end] = [True] * (end - start)
    edges = zip([False, *inside], [*inside, False], [*text, ""], strict=True)
    return "".join(
        f"{_BEGIN if now and not was else _END if was and not now else ''}{char}" for was, now, char in edges
    )


def _places(pair: str, text: str) -> Iterator[int]:
    at = text.find(pair)
    while at >= 0:
        yield at
        at = text.find(pair, at + 1)


def words_in(text: str) -> tuple[str, ...]:
    """Those that are marked, as they stand in the text, lower case, each once."""
    return tuple(dict.fromkeys(found.lower() for found in _MARKED.findall(text)))


def snippet(text: str) -> str:
    """Of a marked text about WIDTH characters with the most different matches: one line, the words in brackets."""
    start = _best_start(text)
    end = start + WIDTH
    cut = text[start:end]
    if cut.rfind(_BEGIN) > cut.rfind(_END):
        cut += text[end:].partition(_END)[0] + _END
    before, after = "… " if start else "", " …" if start + len(cut) < len(text) else ""
    line = " ".join(cut.split()).replace(_BEGIN, "[").replace(_END, "]")
    return f"{before}{line}{after}"


def _best_start(text: str) -> int:
    found = [(one.start(), one[1].lower()) for one in _MARKED.finditer(text)]
    if len(text) <= WIDTH or not found:
        return 0
    starts = [max(0, at - WIDTH // 6) for at, _ in found]
    best = starts[0]
    if found[-1][0] >= best + WIDTH:  # else it has all of them
        best = max(starts, key=lambda start: len({word for at, word in found if start <= at < start + WIDTH}))
    space = text.rfind(" ", 0, best + 1)
    return space + 1 if best and best - space < WIDTH // 6 else best
