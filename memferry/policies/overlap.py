"""Which records repeat the text of a held one, found by keyed fingerprints of stretches of letters: no text is kept.

Of a held text, passages of 64 letters (about twelve words) are remembered: where its clauses begin, and at anchors that
are the same in every text. A candidate that holds one of them is held. To look only where a passage may begin, each has
a gate, the fingerprint of its first 16 letters. An ordinary record is looked at where its clauses begin and at anchors;
a document, a derived text and a record without a label at every word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from memferry.keys import Fingerprinter
from memferry.model import Hold, Record
from memferry.policies.base import Passage
from memferry.policies.contents import Contents
from memferry.policies.letters import Letters, anchors, is_prose, letters_of, word_starts

REPEATS_HELD = Hold("overlap", "it repeats the text of a record that is held")

GATE = 16
PASSAGE = 64
LINE = 40
"""Letters: of a gate, of a passage, and of the shortest line or lesser text that is a passage as a whole."""

STRIDE = 4
"""Of a held document, a passage begins at every fourth word."""

LOOK_EVERYWHERE = 1 << 20
DAMAGED_BYTES = 1 << 20

Spot: TypeAlias = tuple[int, Letters, int]
"""A gate, and where it stands: a text and an offset in its letters."""


class Traces(msgspec.Struct, frozen=True, gc=False):
    """Where a candidate may begin to repeat something. `echoes`: by what it is found again when something that it
    repeats is held later: gates, or of an ordinary record the passage with which its longest text begins."""

    spots: Sequence[Spot] = ()
    echoes: tuple[int, ...] = ()


NO_TRACES = Traces()

Passages: TypeAlias = dict[int, dict[int, dict[int, set[int]]]]
"""Known passages: gate -> length -> fingerprint of the whole -> ids of the records that it was taken from. Thousands of
texts may begin alike, so a candidate must not look at each."""


# -- held texts


def passages(record: Record, contents: Contents, fingerprint: Fingerprinter) -> tuple[Passage, ...]:
    """What of a held record is remembered. A short text counts if it is the longest that the record has: beside a
    longer one, a phrase like "cheaper than before" is nothing to be recognised by."""
    damaged = record.problem is not None and record.text is None
    texts = _damaged_texts(record) if damaged else contents.texts + contents.names
    found: dict[Passage, None] = {}
    for number, text in enumerate(sorted(filter(is_prose, texts), key=len, reverse=True)):
        if text is record.text:
            found.update(dict.fromkeys(_document_passages(text, fingerprint)))
        else:
            found.update(dict.fromkeys(_passages(letters_of(text), GATE if number == 0 else LINE, fingerprint)))
    return tuple(found)


def _passages(letters: Letters, shortest: int, fingerprint: Fingerprinter) -> Iterator[Passage]:
    """Where a candidate is looked at too, at clauses and at anchors; a short text as a whole."""
    folded = letters.folded
    if shortest <= len(folded) < PASSAGE:
        yield _passage(folded, fingerprint)
    for start in letters.clauses + anchors(folded):
        if start + PASSAGE <= len(folded):
            yield _passage(folded[start : start + PASSAGE], fingerprint)


def _document_passages(text: str, fingerprint: Fingerprinter) -> Iterator[Passage]:
    """More of them, and its longer lines, which may be repeated one by one. Headings are not secret."""
    letters = letters_of(text)
    yield from _passages(letters, GATE, fingerprint)
    for start in word_starts(text)[::STRIDE]:
        if start + PASSAGE <= len(letters.folded):
            yield _passage(letters.folded[start : start + PASSAGE], fingerprint)
    for line in text.split("\n"):
        if is_prose(line) and not line.lstrip().startswith("#"):
            yield from _passages(letters_of(line), LINE, fingerprint)


def _passage(folded: bytes, fingerprint: Fingerprinter) -> Passage:
    return Passage(fingerprint(folded[:GATE]), len(folded), fingerprint(folded))


# -- candidates


def traces(record: Record, contents: Contents, fingerprint: Fingerprinter, *, vouched: bool) -> Traces:
    """`vouched`: an ordinary ledger line with a label, which need not be searched word by word."""
    texts = [text for text in contents.texts + contents.names if len(text) >= GATE and is_prose(text)]
    if not vouched:
        return _traces_everywhere(texts, fingerprint, derived=record.source.derived)
    spots: list[Spot] = []
    echo: tuple[int, ...] = ()
    longest = 0
    for text in texts:
        letters = letters_of(text)
        found = _spots(letters, letters.clauses + anchors(letters.folded), fingerprint)
        if len(text) > longest and found:
            longest, echo = len(text), (fingerprint(letters.folded[:PASSAGE]),)
        spots += found
    return Traces(spots, echo)


def _traces_everywhere(texts: Iterable[str], fingerprint: Fingerprinter, *, derived: bool) -> Traces:
    """Gates at every word; in a very long text, where a repeated one would begin. Those are the echoes, of a derived
    text all."""
    spots: list[Spot] = []
    echoes: dict[int, None] = {}
    for text in texts:
        letters = letters_of(text)
        likely = letters.clauses + anchors(letters.folded)
        everywhere = word_starts(text) if len(letters.folded) <= LOOK_EVERYWHERE else ()
        found = _spots(letters, dict.fromkeys((*everywhere, *likely)), fingerprint)
        expected = set(likely)
        echoes.update((gate, None) for gate, _, at in found if derived or at in expected)
        spots += found
    return Traces(spots, tuple(echoes))


def index(passages: Iterable[tuple[int, int, int, int]]) -> Passages:
    """From (gate, length, whole, id of its record)."""
    found: Passages = {}
    for gate, length, whole, id_ in passages:
        found.setdefault(gate, {}).setdefault(length, {}).setdefault(whole, set()).add(id_)
    return found


def repeats(spot: Spot, passages: Passages, own: int, fingerprint: Fingerprinter) -> bool:
    """Whether a passage stands at this spot. One that is shorter than usual is a whole text, and must end where a word
    ends: "note 7-4" is not in "note 7-45". `own`: id of the candidate, which is no copy of itself: when the label of
    a record is changed, its text need not be."""
    gate, letters, start = spot
    for length, wholes in passages[gate].items():
        end = start + length
        if end > len(letters.folded):
            continue
        sources = wholes.get(fingerprint(letters.folded[start:end]), set())
        if sources - {own} and (length == PASSAGE or end in word_starts(letters.text)):
            return True
    return False


def _spots(letters: Letters, starts: Iterable[int], fingerprint: Fingerprinter) -> list[Spot]:
    folded = letters.folded
    last = len(folded) - GATE
    return [(fingerprint(folded[start : start + GATE]), letters, start) for start in starts if start <= last]


# -- damaged records

_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)', re.DOTALL)


def _damaged_texts(record: Record) -> list[str]:
    """What can be made out of a record that could not be parsed: the strings of a line, the text of a document."""
    raw = record.body[:DAMAGED_BYTES]
    text = raw.decode("utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8", "replace")
    if record.key == record.source.file:
        return [text]
    return [_unescaped(quoted) for quoted in _QUOTED.findall(text)]


def _unescaped(quoted: str) -> str:
    if "\\" not in quoted:
        return quoted
    try:
        return str(json.loads(f'"{quoted}"', strict=False))
    except ValueError:
        return quoted
