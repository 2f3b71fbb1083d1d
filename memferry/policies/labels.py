"""What records say about themselves: visibility, sensitivity, `private`, a tag, a `<private>` mark in a text.

A label counts at any depth. It must be spelled exactly and have a value that is known; everything else that looks
like one is held, because the writer may have meant it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from memferry.model import Hold, Record
from memferry.policies.contents import Contents
from memferry.policies.letters import without_escapes
from memferry.policies.shapes import TAGS, Shape
from memferry.policies.spelling import folded, looks_like, plain

HELD_VISIBILITY = frozenset({"private"})
KEPT_VISIBILITY = frozenset({"project", "global", "public", "shared", "team"})
HELD_SENSITIVITY = frozenset({"private", "confidential", "restricted", "secret"})
KEPT_SENSITIVITY = frozenset({"internal", "public"})

_MARK_WINDOW = 64

Check = Callable[[object], Hold | None]


def judge(record: Record, contents: Contents) -> Hold | None:
    """The first thing about a record that says, or may say, that it is private."""
    for fields, shape in contents.telling:
        hold = _labels(fields, shape)
        if hold is not None:
            return hold
    if record.text is not None and (hold := _top(record.text)):
        return hold
    return MARKED if is_marked(record) else None


def is_labelled(record: Record, contents: Contents) -> bool:
    """Whether the record itself, at its top, says who may see it."""
    fields, shape = contents.telling[0] if contents.telling else (None, None)
    return shape is not None and fields is record.fields and bool(shape.labels)


_SAYS_OPEN = re.compile(
    rf'"visibility"\s*:\s*"(?:{"|".join(sorted(KEPT_VISIBILITY))})"|"sensitivity"\s*:\s*"(?:internal|public)"'
)
_MAY_SAY = tuple(map(folded, ("private", "confidential", "visibility", "sensitivity", "restricted", "secret")))
_LETTERS = re.compile(r"\w+")


def may_be_in(content: bytes) -> bool:
    """Whether anything in a file that cannot be taken apart could be a label, or what one says. Rather yes than no."""
    text = _SAYS_OPEN.sub("", without_escapes(content.decode(errors="replace")))
    plainly = folded(text)
    if any(word in plainly for word in _MAY_SAY):
        return True
    strange = (folded(word) for word in set(_LETTERS.findall(text)) if not word.isascii())
    return any(looks_like(word, label) for word in strange for label in _MAY_SAY)


# -- labels


def _word(rule: str, held: frozenset[str], kept: frozenset[str]) -> Check:
    says, unknown = Hold(rule, "its label says so"), Hold(rule, "its label has a value that is not known")

    def check(value: object) -> Hold | None:
        if type(value) is not str:
            return unknown
        if value in kept:
            return None
        return says if value in held else unknown

    return check


def _flag(rule: str) -> Check:
    says, unknown = Hold(rule, "its label says so"), Hold(rule, "its label is neither true nor false")

    def check(value: object) -> Hold | None:
        if value is False:
            return None
        return says if value is True else unknown

    return check


_CHECKS: Mapping[str, Check] = {
    "visibility": _word("labels.visibility", HELD_VISIBILITY, KEPT_VISIBILITY),
    "sensitivity": _word("labels.sensitivity", HELD_SENSITIVITY, KEPT_SENSITIVITY),
    "private": _flag("labels.private"),
    "is_private": _flag("labels.private"),
    "confidential": _flag("labels.confidential"),
}
MISSPELLED = Hold("labels.spelling", "a key looks like a label and is not spelled like one")
TAGGED = Hold("labels.tag", "a tag says so")
MARKED = Hold("labels.mark", "its text has a <private> block")


def _labels(fields: Mapping[object, object], shape: Shape) -> Hold | None:
    if shape.misspelled:
        return MISSPELLED
    for key in shape.labels:
        hold = _CHECKS[key](fields[key])
        if hold is not None:
            return hold
    for key in shape.tags:
        if _says_private(fields[key]):
            return TAGGED
    return None


LOOKS_HELD = re.compile(
    r'"(?:private|is_private|confidential)"\s*:\s*(?!\s|false)'
    rf'|"(?:visibility|sensitivity)"\s*:\s*(?!\s|"(?:{"|".join(KEPT_VISIBILITY | KEPT_SENSITIVITY)})")'
    r'|"(?:tags?|labels?)"\s*:[^\]}:]{0,400}\bprivate\b|<\s{0,32}private',
    re.IGNORECASE,
)
"""What looks like a label that holds, in JSON that cannot be read."""


# -- tags

_PRIVATE = folded("private")
_WORD = re.compile(r"[^\s,;|]+")
_LEVEL = re.compile(r"[/:=,;|]")
_TAGS_REMEMBERED = 4096
_LONGEST_TAG = 64

_harmless: set[str] = set()


def _says_private(tags: object) -> bool:
    if type(tags) is str:
        tags = _WORD.findall(tags)
    elif type(tags) is dict:
        tags = [tags]
    if type(tags) is not list:
        return False
    try:
        seen = _harmless.issuperset(tags)  # most records share their tags
    except TypeError:  # a tag that is an object or a list
        seen = False
    return not seen and _one_is_private(tags)


def _one_is_private(tags: list[object]) -> bool:
    words = list(_strings(tags))
    if any(map(_is_private, words)):
        return True
    if len(_harmless) >= _TAGS_REMEMBERED:
        _harmless.clear()
    _harmless.update(tag for tag in words if len(tag) <= _LONGEST_TAG)
    return False


def _strings(tags: list[object]) -> Iterator[str]:
    """Also of tags that are objects or lists themselves."""
    pending = [*tags]
    while pending:
        tag = pending.pop()
        if type(tag) is str:
            yield tag
        elif type(tag) is dict:
            pending += tag.values()
        elif type(tag) is list:
            pending += tag


def _is_private(tag: str) -> bool:
    """`private` in any spelling, also as one level of `private/diary` or `visibility:private`."""
    return any(looks_like(folded(level), _PRIVATE) for level in _LEVEL.split(tag))


# -- the top of a document

_TOP = 2000
"""Characters."""
_HEADING = re.compile(r"#{1,6}\s")
_TAG_LINE = re.compile(r"(?:#[^\s#]+\s*)+\Z")
_KEY_LINE = re.compile(r"([^:]{1,40}):\s*(.*)")
_EMPHASIS = str.maketrans("", "", "*`>")

_HELD_WORDS = {
    **dict.fromkeys(map(folded, ("private", "is_private")), ("private", frozenset({"true", "yes", "on", "1"}))),
    folded("confidential"): ("confidential", frozenset({"true", "yes", "on", "1"})),
    folded("visibility"): ("visibility", HELD_VISIBILITY),
    folded("sensitivity"): ("sensitivity", HELD_SENSITIVITY),
}


def _top(text: str) -> Hold | None:
    """What a document says without front matter: lines of tags, or of a key and a value, before its text begins."""
    for line in text[:_TOP].splitlines():
        line = line.translate(_EMPHASIS).strip()
        if not line or _HEADING.match(line):
            continue
        said = _KEY_LINE.match(line)
        if said is None and not _TAG_LINE.match(line):
            return None
        if said is None or folded(said[1]) in TAGS:
            if _says_private(said[2] if said else line):
                return TAGGED
        elif hold := _held_word(folded(said[1]), said[2]):
            return hold
    return None


def _held_word(key: str, value: str) -> Hold | None:
    """A word that is not known is prose here."""
    name, held = _HELD_WORDS.get(key, ("", frozenset()))
    return Hold(f"labels.{name}", "its label says so") if plain(value).strip(" .\"'") in held else None


# -- marks

_MARK = re.compile(r"<\s{0,32}/?\s{0,32}private(?=[\s/>]|\Z)", re.IGNORECASE)
_OPENING = re.compile("[<＜﹤]")
_MAY_OPEN = re.compile(rb"<|\\u00[34][cC]|\\u[fF][fF]1[cC]|\\u[fF][eE]64|\xef\xbc\x9c|\xef\xb9\xa4")


_OPENS, _ESCAPES = b"<\\"
"""As numbers: a byte is found in bytes much faster than bytes are."""


def _may_open(body: bytes) -> bool:
    """Whether there is a `<` in any script, raw or escaped. Cheap for most."""
    if _OPENS in body:
        return True
    if body.isascii() and (_ESCAPES not in body or b"\\u" not in body):
        return False
    return _MAY_OPEN.search(body) is not None


def is_marked(record: Record) -> bool:
    """Whether one of its texts has a `<private>` mark."""
    return _may_open(record.body) and any(map(has_mark, _texts(record)))


def has_mark(text: str) -> bool:
    """Whether a `<private>` block begins (or ends) somewhere in the text, in whatever disguise of case or script, also
    in JSON within a text."""
    return _has_mark(text) or ("\\u" in text and _has_mark(without_escapes(text)))


def _has_mark(text: str) -> bool:
    if text.isascii():
        return _MARK.search(text) is not None
    return any(_MARK.match(_plain_tag(text[at.start() : at.start() + _MARK_WINDOW])) for at in _OPENING.finditer(text))


def _plain_tag(window: str) -> str:
    return window if window.isascii() else plain(window)


def _texts(record: Record) -> list[str]:
    """Every string of the record, keys too."""
    found = [] if record.text is None else [record.text]
    pending = [record.fields]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            pending += value
    return found
