"""Which records repeat the text of a held one, found by keyed fingerprints of stretches of letters: no text is kept.

Of a held text, passages of 64 letters (about twelve words) are remembered: where its clauses begin, and at anchors that
are the same in every text; a shorter text as a whole. A candidate that holds one of them is held. What is looked up is
a mark: of a passage its fingerprint, of a shorter text, whose length a candidate cannot know, that of its first 16
letters. An ordinary record is looked at where its clauses begin and at anchors; a document, a derived text and a record
without a label at every word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import NamedTuple, TypeAlias

from memferry.keys import Fingerprinter
from memferry.model import Hold, Record
from memferry.policies import damaged
from memferry.policies.base import Passage
from memferry.policies.contents import Contents
from memferry.policies.letters import Letters, anchors, is_prose, letters_of, word_starts

REPEATS_HELD = Hold("overlap", "it repeats the text of a record that is held")
TOO_LONG = Hold("overlap.too-long", "it is too long to look for the texts of held records in time")

START = 16
PASSAGE = 64
LINE = 40
"""Letters: by which a shorter text is looked up, of a passage, and of the shortest line or lesser text that is one."""

STRIDE = 4
"""Of a held document, a passage begins at every fourth word."""

MOST_PLACES = 80_000
"""Of a candidate that is looked at word by word; a Chinese character is one."""


class TooLong(Exception):
    """A candidate has more than MOST_PLACES places to be looked at."""


class Look(NamedTuple):
    """Where in a text something may be repeated, as offsets in its letters. `starts`: where a shorter text may begin,
    `places`: where a passage may."""

    letters: Letters
    starts: list[int]
    places: list[int]

    def marks(self, fingerprint: Fingerprinter) -> list[int]:
        """By which it is looked up, in the order of `sites`."""
        folded = self.letters.folded
        last, last_full = len(folded) - START, len(folded) - PASSAGE
        begun = fingerprint.of_all([folded[at : at + START] for at in self.starts if at <= last])
        return begun + fingerprint.of_all([folded[at : at + PASSAGE] for at in self.places if at <= last_full])

    def sites(self) -> list[int]:
        """Where each mark stands."""
        size = len(self.letters.folded)
        return [at for at in self.starts if at <= size - START] + [at for at in self.places if at <= size - PASSAGE]


class Traces(NamedTuple):
    """Where a candidate may repeat something, and all marks of that. `echoes`: by what it is found again when
    something that it repeats is held later: marks, or of an ordinary record the passage with which its longest text
    begins."""

    looks: Sequence[Look] = ()
    marks: Sequence[int] = ()
    echoes: tuple[int, ...] = ()


NO_TRACES = Traces()

Passages: TypeAlias = dict[int, dict[int, dict[int, set[int]]]]
"""Known passages: mark -> length -> fingerprint of the whole -> ids of the records that it was taken from. Thousands of
texts may begin alike, so a candidate must not look at each."""


# -- held texts


def passages(record: Record, contents: Contents, fingerprint: Fingerprinter) -> tuple[Passage, ...]:
    """What of a held record is remembered. A short text counts if it is the longest that the record has: beside a
    longer one, a phrase like "cheaper than before" is nothing to be recognised by."""
    is_damaged = record.problem is not None and record.text is None
    texts = damaged.texts(record) if is_damaged else contents.texts + contents.names
    found: list[Passage] = []
    for number, text in enumerate(sorted(filter(is_prose, texts), key=len, reverse=True)):
        if text is record.text:
            found += _document_passages(text, fingerprint)
        else:
            found += _passages(letters_of(text), START if number == 0 else LINE, fingerprint)
    return tuple(dict.fromkeys(found))


def _passages(letters: Letters, shortest: int, fingerprint: Fingerprinter) -> list[Passage]:
    """Where a candidate is looked at too, at clauses and at anchors; a short text as a whole."""
    folded = letters.folded
    if len(folded) >= PASSAGE:
        return _full(folded, letters.clauses + anchors(folded), fingerprint)
    return [short_passage(folded, fingerprint)] if len(folded) >= shortest else []


def short_passage(folded: bytes, fingerprint: Fingerprinter) -> Passage:
    """A text as a whole."""
    return Passage(fingerprint(folded[:START]), len(folded), fingerprint(folded))


def _document_passages(text: str, fingerprint: Fingerprinter) -> Iterator[Passage]:
    """More of them, and its longer lines, which may be repeated one by one. Headings are not secret."""
    letters = letters_of(text)
    yield from _passages(letters, START, fingerprint)
    yield from _full(letters.folded, word_starts(letters.text)[::STRIDE], fingerprint)
    for line in text.split("\n"):
        if is_prose(line) and not line.lstrip().startswith("#"):
            yield from _passages(letters_of(line), LINE, fingerprint)


def _full(folded: bytes, starts: Iterable[int], fingerprint: Fingerprinter) -> list[Passage]:
    last = len(folded) - PASSAGE
    marks = fingerprint.of_all([folded[at : at + PASSAGE] for at in starts if at <= last])
    return list(map(Passage._make, zip(marks, repeat(PASSAGE), marks, strict=False)))


# -- candidates


def traces(record: Record, contents: Contents, fingerprint: Fingerprinter, *, vouched: bool) -> Traces:
    """`vouched`: an ordinary ledger line with a label, which need not be searched word by word. Raises TooLong."""
    letters = [letters_of(text) for text in _candidate_texts(contents)]
    if vouched:
        looks = [Look(one, one.clauses, _likely_places(one)) for one in letters]
        return Traces(looks, _all_marks(looks, fingerprint), _first_passage(letters, fingerprint))
    likely = [_likely_places(one) for one in letters]
    looks = _everywhere(letters, likely)
    if record.source.derived:
        marks = _all_marks(looks, fingerprint)
        return Traces(looks, marks, tuple(dict.fromkeys(marks)))
    return _traces_everywhere(looks, likely, fingerprint)


def echoes(record: Record, contents: Contents, fingerprint: Fingerprinter) -> tuple[int, ...]:
    """Those of the traces of a record that is not vouched for, without the rest. Raises TooLong."""
    if record.source.derived:
        return traces(record, contents, fingerprint, vouched=False).echoes
    letters = [letters_of(text) for text in _candidate_texts(contents)]
    likely = [_likely_places(one) for one in letters]
    _check_size(likely)
    places = [sorted({*some}) for some in likely]
    looks = [Look(one, some, some) for one, some in zip(letters, places, strict=True)]
    return tuple(dict.fromkeys(_all_marks(looks, fingerprint)))


def _candidate_texts(contents: Contents) -> list[str]:
    return [text for text in contents.texts + contents.names if len(text) >= START and is_prose(text)]


def _likely_places(letters: Letters) -> list[int]:
    """Where a repeated text would begin."""
    return letters.clauses + anchors(letters.folded)


def _everywhere(letters: Sequence[Letters], likely: Sequence[Sequence[int]]) -> list[Look]:
    """At every word. Raises TooLong."""
    words = [word_starts(one.text) for one in letters]
    _check_size([*words, *likely])
    places = [sorted({*starts, *some}) for starts, some in zip(words, likely, strict=True)]
    return [Look(one, found, found) for one, found in zip(letters, places, strict=True)]


def _check_size(places: Iterable[Sequence[int]]) -> None:
    if sum(map(len, places)) > MOST_PLACES:
        raise TooLong


def _all_marks(looks: Iterable[Look], fingerprint: Fingerprinter) -> list[int]:
    return list(chain.from_iterable([one.marks(fingerprint) for one in looks]))


def _traces_everywhere(looks: Sequence[Look], likely: Iterable[Iterable[int]], fingerprint: Fingerprinter) -> Traces:
    """It is found again by the marks of the likely places."""
    marks = [one.marks(fingerprint) for one in looks]
    echoes = {
        mark: None
        for look, own, places in zip(looks, marks, map(frozenset, likely), strict=True)
        for mark, at in zip(own, look.sites(), strict=True)
        if at in places
    }
    return Traces(looks, list(chain.from_iterable(marks)), tuple(echoes))


def _first_passage(letters: Sequence[Letters], fingerprint: Fingerprinter) -> tuple[int, ...]:
    longest = max([one.folded for one in letters], key=len, default=b"")
    return (fingerprint(longest[:PASSAGE]),) if len(longest) >= START else ()


def index(passages: Iterable[tuple[int, int, int, int]]) -> Passages:
    """From (mark, length, whole, id of its record)."""
    found: Passages = {}
    for mark, length, whole, id_ in passages:
        found.setdefault(mark, {}).setdefault(length, {}).setdefault(whole, set()).add(id_)
    return found


def repeats(traces: Traces, passages: Passages, own: int, fingerprint: Fingerprinter) -> bool:
    """Whether one of the passages stands where the candidate was looked at. `own`: id of the candidate, which is no
    copy of itself: when the label of a record is changed, its text need not be."""
    if passages.keys().isdisjoint(traces.marks):
        return False
    return any(
        mark in passages and _stands(passages[mark], look.letters, at, own, fingerprint)
        for look in traces.looks
        for mark, at in zip(look.marks(fingerprint), look.sites(), strict=True)
    )


def _stands(
    known: Mapping[int, Mapping[int, set[int]]], letters: Letters, start: int, own: int, fingerprint: Fingerprinter
) -> bool:
    """One that is shorter than usual is a whole text, and must end where a word ends: "note 7-4" is not in
    "note 7-45"."""
    for length, wholes in known.items():
        end = start + length
        if end > len(letters.folded):
            continue
        sources = wholes.get(fingerprint(letters.folded[start:end]), set())
        if sources - {own} and (length == PASSAGE or end in word_starts(letters.text)):
            return True
    return False
