"""The search that stands in the chain: which records of a batch hold a secret, and where."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

from memferry.model import Record
from memferry.policies.findings import TOO_LARGE, Finding
from memferry.policies.secrets import engine, personal, triage, values
from memferry.policies.secrets.look import MOST_CANDIDATES, Examined, examined
from memferry.policies.secrets.spots import Places
from memferry.policies.secrets.toil import portions, toil_of
from memferry.policies.secrets.views import View
from memferry.policies.strings import ELSEWHERE, String, has_more_strings, strings_around, strings_of

LARGEST = 512 << 10
"""Bytes. A larger record that deserves a look cannot be searched in time, and stays at home."""
MOST_STRINGS = 20_000
"""Of a record, names and numbers included."""
ANY_TEXT = 2
"""What it takes to look at a text at all, in candidates."""


class Wanted(NamedTuple):
    """What is looked for. `engine`: whether it is asked too. `personal`: kinds of personal data, of personal.KINDS."""

    secrets: bool = True
    engine: bool = True
    personal: tuple[str, ...] = ()


class _Text(NamedTuple):
    """One text of a record. `field`: the name under which it stands."""

    record: int
    number: int
    field: str
    value: str

    @property
    def line(self) -> str:
        """As it would stand in a file."""
        return f"{self.field}: {self.value}" if self.field else self.value


def search(records: Sequence[Record], wanted: Wanted) -> Mapping[int, Sequence[Finding]]:
    """See policies.base.Search."""
    suspicious = _suspicious(records) if wanted.secrets else []
    personal_ = _perhaps_personal(records, wanted.personal) if wanted.personal else []
    too_large = {number for number in {*suspicious, *personal_} if _is_too_large(records[number])}
    found = {number: [Finding(ELSEWHERE, TOO_LARGE, 0, 0)] for number in too_large}
    for text, finding in chain(
        _secrets({number: records[number] for number in suspicious if number not in too_large}, wanted),
        _personal({number: records[number] for number in personal_ if number not in too_large}, wanted),
    ):
        found.setdefault(text.record, []).append(finding)
    return found


def _is_too_large(record: Record) -> bool:
    """Whether there is too much in it to look at in time, in one text or in many."""
    size = len(record.body)
    return size > LARGEST or (size > MOST_STRINGS and has_more_strings(record, MOST_STRINGS))


def _perhaps_personal(records: Sequence[Record], kinds: Sequence[str]) -> list[int]:
    """By what they say, by what surrounds them, and by the names of their files."""

    def may_hold(text: bytes) -> bool:
        return personal.may_hold(text, kinds)

    files = {record.source.file: _as_text(record.source.file).encode("utf-8", "replace") for record in records}
    around = {id(record.around): record.around for record in records if record.around is not None}
    loud = {key for key, value in around.items() if may_hold(value.body)}
    telling = {file for file, text in files.items() if may_hold(text)}
    return [
        number
        for number, one in enumerate(records)
        if id(one.around) in loud or one.source.file in telling or may_hold(one.body)
    ]


def _personal(records: Mapping[int, Record], wanted: Wanted) -> Iterator[tuple[_Text, Finding]]:
    for number, record in records.items():
        for text in _texts(number, record):
            yield from ((text, one) for one in personal.find(text.value, wanted.personal, text.number))


def _secrets(records: Mapping[int, Record], wanted: Wanted) -> Iterator[tuple[_Text, Finding]]:
    texts = [text for number, record in records.items() for text in _texts(number, record)]
    texts = [texts[number] for number in triage.suspicious_texts([text.line for text in texts])]
    for text, findings in zip(texts, _looked_at(texts, wanted), strict=True):
        yield from ((text, one) for one in findings)


def _looked_at(texts: Sequence[_Text], wanted: Wanted) -> list[list[Finding]]:
    """By our own rules, and by the engine at all that these leave, in one call."""
    looked_at = list(_own(texts))
    found = [one.findings for one in looked_at]
    pieces = [(number, view) for number, one in enumerate(looked_at) for view in one.views]
    for number, span, rule in _asked(pieces) if wanted.engine else ():
        if rule == TOO_LARGE or not any(one.start < span[1] and span[0] < one.end for one in found[number]):
            found[number].append(Finding(texts[number].number, rule, *span))
    return [sorted(some, key=lambda one: one.start) for some in found]


def _own(texts: Sequence[_Text]) -> Iterator[Examined]:
    """By our own rules. The texts of a record share what may be looked at of it."""
    used: dict[int, int] = {}
    for text in texts:
        before = used.get(text.record, 0)
        one = examined(text.value, text.field, text.number, most=MOST_CANDIDATES - before)
        used[text.record] = before + one.candidates + ANY_TEXT
        yield one


def _asked(pieces: Sequence[tuple[int, View]]) -> Iterator[tuple[int, tuple[int, int], str]]:
    """What the engine finds in views: (number, characters of the original, rule)."""
    for portion in portions(pieces):
        yield from _asked_at_once(portion)


def _asked_at_once(pieces: Sequence[tuple[int, View]]) -> Iterator[tuple[int, tuple[int, int], str]]:
    if len(pieces) == 1 and toil_of(pieces[0][1]).is_too_much:
        yield _unsearched(pieces[0])
        return
    raws = [view.text.encode("utf-8", "replace") for _, view in pieces]
    starts = list(accumulate((len(raw) + len(_BETWEEN) for raw in raws), initial=0))
    characters = [Places(view.text, raw) for (_, view), raw in zip(pieces, raws, strict=True)]
    try:
        hits = engine.hits(_BETWEEN.join(raws).replace(_PEM, _NO_PEM))
    except TimeoutError:
        yield from chain.from_iterable(map(_asked_alone, pieces))
        return
    for hit in hits:
        place = bisect_right(starts, hit.start) - 1
        number, view = pieces[place]
        raw = raws[place]
        start, end = hit.start - starts[place], min(hit.end - starts[place], len(raw))
        text = raw[start:end].decode("utf-8", "ignore")
        if values.is_placeholder(text) or values.is_placeholder(text.rpartition(":")[2]):
            continue
        first, last = map(characters[place], (start, end))
        yield number, view.span(first, max(last, first + 1)), hit.rule


def _asked_alone(piece: tuple[int, View]) -> Iterator[tuple[int, tuple[int, int], str]]:
    number, view = piece
    try:
        hits = engine.hits(view.text.encode("utf-8", "replace").replace(_PEM, _NO_PEM))
    except TimeoutError:
        yield _unsearched(piece)
        return
    for hit in hits:
        yield number, view.span(0, max(1, len(view.text))), hit.rule


def _unsearched(piece: tuple[int, View]) -> tuple[int, tuple[int, int], str]:
    number, view = piece
    return number, view.span(0, max(1, len(view.text))), TOO_LARGE


_BETWEEN = b"\n\n\n"
_PEM, _NO_PEM = b"-----BEGIN", b"     BEGIN"
"""Our own rules find these; thousands of them take the engine seconds."""


def _suspicious(records: Sequence[Record]) -> list[int]:
    """By what they say, by what surrounds them, and by the names of their files."""
    numbers = set(triage.suspicious(records))
    around = {id(record.around): record.around for record in records if record.around is not None}
    loud = {key for key, value in around.items() if triage.is_suspicious(value.body.decode("utf-8", "replace"))}
    files = list({record.source.file for record in records})
    telling = {files[number] for number in triage.suspicious_texts([_as_text(file) for file in files])}
    if loud or telling:
        numbers |= {n for n, one in enumerate(records) if id(one.around) in loud or one.source.file in telling}
    return sorted(numbers)


def _texts(number: int, record: Record) -> Iterator[_Text]:
    own, around = strings_of(record), strings_around(record)
    for place, (string, field) in enumerate(zip(own, _fields(own), strict=True)):
        yield _Text(number, place, field, string.value)
    for string, field in zip(around, _fields(around), strict=True):
        yield _Text(number, ELSEWHERE, field, string.value)
    yield _Text(number, ELSEWHERE, "", _as_text(record.source.file))


def _as_text(file: str) -> str:
    """A folder and what lies in it are no pair of a name and a password, as in `ann/Spring24`."""
    return file.replace("/", _BETWEEN_FOLDERS)


_BETWEEN_FOLDERS = "\x1f"
"""Which no rule knows."""


_NAMES = frozenset({"name", "key", "label", "field", "variable", "var", "header", "title"})
_VALUES = frozenset({"value", "val", "content", "data", "text"})
_ITSELF = frozenset({"value", "val", "current", "default", "plain", "plaintext", "raw", "string", "stringvalue"})
"""Below a name, the keys that say no more than it does."""
_OPTION = re.compile(r"--[A-Za-z][\w-]{1,40}\Z")


def _fields(strings: Sequence[String]) -> list[str]:
    """The name under which each string stands: its key, those above it, a `name` beside its `value`, or the option of a
    command before it."""
    named = {one.path[:-1]: one.value for one in strings if not one.key and one.path and one.path[-1] in _NAMES}
    named |= {(*one.path[:-1], one.path[-1] + 1): one.value.lstrip("-") for one in strings if _is_option(one)}  # type: ignore[operator]
    return [_field(one, named) for one in strings]


def _is_option(string: String) -> bool:
    return bool(string.path) and type(string.path[-1]) is int and _OPTION.match(string.value) is not None


def _field(string: String, named: Mapping[tuple[str | int, ...], str]) -> str:
    if string.key or not string.path:
        return ""
    if string.path in named and not string.value.startswith("-"):
        return named[string.path]
    if string.path[-1] in _VALUES and string.path[:-1] in named:
        return named[string.path[:-1]][:100]
    keys = [step for step in string.path if isinstance(step, str)]
    return next((key for key in reversed(keys) if key.lower() not in _ITSELF), keys[-1]) if keys else ""
