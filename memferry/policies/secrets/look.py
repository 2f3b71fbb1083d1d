"""Our own look into one text: formats, values beside telling words, random runs; in every view of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice, repeat
from typing import NamedTuple

from memferry.policies.findings import Finding
from memferry.policies.secrets import linear, table, triage, values, words
from memferry.policies.secrets.views import TooMany, View, views_of

MOST_FINDINGS = 200
"""In one text. It stays at home then, whatever else it holds."""
MOST_CANDIDATES = 2000
TOO_LARGE = "too-large"
"""The rule of a text that has too many places to look at in time."""
_WINDOW = 256


class Spot(NamedTuple):
    """A secret in a view: characters `start`..`end`, half-open."""

    rule: str
    start: int
    end: int


def look(text: str, key: str = "", number: int = 0) -> list[Finding]:
    """What should not leave of one text, by where it begins. `key`: the name of the field it stands in, which may be
    what tells. The same stretch is found once, under the most telling rule."""
    if not triage.is_suspicious(f"{key}: {text}" if key else text):
        return []
    found: dict[tuple[int, int], str] = {}
    for looked, one in enumerate(_until_too_many(_candidates(text, key)), 1):
        if one is not None and found.get((one.start, one.end), table.KEY) in _VAGUE:
            found[one.start, one.end] = one.rule
        if looked >= MOST_CANDIDATES or len(found) >= MOST_FINDINGS:
            found[0, len(text)] = TOO_LARGE
            break
    return [Finding(number, rule, *span) for span, rule in sorted(found.items())]


def _until_too_many(spots: Iterator[Spot | None]) -> Iterator[Spot | None]:
    try:
        yield from spots
    except TooMany:
        yield from repeat(None)


_VAGUE = frozenset({table.PASSWORD, table.KEY, table.CODE, "random"})


def _candidates(text: str, key: str) -> Iterator[Spot | None]:
    """In every view, as stretches of the text itself; None: one that was none after all."""
    yield from _in_field(text, key)
    quiet = is_quiet(key)
    for view in views_of(text):
        for spot in _spots(view, quiet=quiet):
            yield spot and Spot(spot.rule, *view.span(spot.start, spot.end))


def _spots(view: View, *, quiet: bool) -> Iterator[Spot | None]:
    raw = view.text.encode("utf-8", "replace")
    yield from _formats(raw, _Places(view.text, raw), joined=view.joined)
    if not view.joined:
        yield from _beside_words(raw, _Places(view.text, raw))
        yield from _alone(view.text)
        if not quiet:
            yield from _random(view.text)


class _Places:
    """From bytes to characters; cheap where one asks in order."""

    def __init__(self, text: str, raw: bytes) -> None:
        self._raw = None if len(text) == len(raw) else raw
        self._byte = self._char = 0

    def __call__(self, at: int) -> int:
        if self._raw is None:
            return at
        if at < self._byte:
            self._byte = self._char = 0
        self._char += len(self._raw[self._byte : at].decode("utf-8", "ignore"))
        self._byte = at
        return self._char


# -- formats


@cache
def _hints() -> tuple[linear.Pattern, list[linear.Pattern]]:
    hints = [form.hint for form in table.FORMATS]
    return linear.any_of(hints), list(map(linear.Pattern, hints))


@cache
def _format(number: int) -> linear.Pattern:
    return linear.Pattern(table.FORMATS[number].pattern)


def _formats(raw: bytes, at: _Places, *, joined: bool) -> Iterator[Spot | None]:
    every, each = _hints()
    if not every.occurs(raw):
        return
    for number, form in enumerate(table.FORMATS):
        if not each[number].occurs(raw):
            continue
        rule = form.rule
        for start, end in _format(number).spans(raw):
            text = raw[start:end].decode("utf-8", "ignore")
            if rule == "private-key":
                end = _end_of_key(raw, start, end)
            yield Spot(rule, at(start), at(end)) if _is_meant(form, text, joined=joined) else None


_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}-----")
_KEY_BYTES = 16 << 10


def _end_of_key(raw: bytes, start: int, end: int) -> int:
    """Of a PEM block: its last line, or as far as one may reach."""
    found = _END.search(raw, end, start + _KEY_BYTES)
    return found.end() if found else min(len(raw), max(end, start + 64))


_LAST = re.compile(r"[^\s:=/@?&\"']+$")


def _is_meant(form: table.Format, text: str, *, joined: bool) -> bool:
    """Whether what has the shape of a secret is one, and no example."""
    rule = form.rule
    if rule == "private-key":
        return True
    if rule == "url-credentials":
        password = text.split("://", 1)[1].rsplit("@", 1)[0].partition(":")[2]
        return not values.is_placeholder(password) and not password.startswith(("$", "<", "{", "%"))
    if rule == "url-key":
        name, _, value = text.partition("=")
        return values.is_random(value, 12) or (not name.endswith("code") and values.is_key(value, 2))
    if "EXAMPLE" in text or values.is_placeholder(text):
        return False
    if rule == "login":
        found = _LAST.search(text)
        return found is not None and values.is_password(
            values.trimmed(found[0]), 0 if ":" in text or "/" in text else 1
        )
    if rule == "authorization":
        return _is_header(text)
    if joined or form.drawn:
        return values.is_random(text, 10)
    return True


def _is_header(text: str) -> bool:
    scheme, _, value = text.partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":
        view = next((view.text for view in views_of(value + " ") if view.text != value + " "), "")
        return ":" in view or values.is_random(value, 16)
    return values.is_random(value, 12)


# -- beside telling words

_TAIL = re.compile(r"(?:[A-Za-z0-9]{0,30}[_.\-]?){0,4}")
_ASSIGN = re.compile(
    r"""["'`\])}*]{0,4}\s{0,6}(?:\([^)\n]{0,30}\)\s{0,2})?(?:=>|:=|={1,2}|:|：|＝|->|→|﹕)\s{0,8}"""
    r"""|["'`],?\s{0,4}["']?(?:value|val|content|data)["']?\s{0,3}[:=]\s{0,3}"""
)
_CONNECT = re.compile(
    r"(?<=[\s,，、的])(?:is|was|are|be|to|as|equals|ist|war|lautet|est|était|es|era|é|è|jest|это|является|là|är|er|on|=|:)"
    r"(?:\s{1,3}(?:now|still|currently|just|probably|set to|changed to|jetzt|ahora|maintenant|теперь|:))?\s{0,2}(?=\S)"
    r"|(?:是|为|為|：|は|が|은|는|이|가|改成|设为|設為|改为)了?\s{0,3}"
)
_DIRECT = re.compile(r"\s{1,3}")
_OPENING = re.compile(r"[\"'`“«「『(\[{<*]{1,3}")
_VALUE = re.compile(r"[^\s\"'`<>，。；、）」』”»\\]{1,512}")
_QUOTED = re.compile(r"[^\"'`\n“”「」『』]{4,200}(?=[\"'`”」』])")
_PHRASE = re.compile(r"[a-z]{2,12}(?:[ ,\-]{1,2}[a-z]{2,12}){3,24}\b")
_SENTENCE = re.compile(r"[.!?。！？](?:\s|$)|\n")
_CODE_VALUE = re.compile(r"#?\d(?:[\d -]{1,12}\d)?[#*]?(?![\w.])")


@cache
def _words() -> linear.Pattern:
    return linear.Pattern(f"(?i:{words.ANY})")


_MARKER = b"[redacted:"
"""Begins what is left of a secret that was cut out."""


def _beside_words(raw: bytes, at: _Places) -> Iterator[Spot | None]:
    for start, end in _words().spans(raw):
        word = raw[start:end].lower()
        kind = words.kind_of(word)
        if kind is None or raw.endswith(_MARKER, 0, start):
            continue
        before = raw[max(0, start - 48) : start].decode("utf-8", "ignore")
        after = raw[end : end + _WINDOW].decode("utf-8", "ignore")
        yield _beside(kind, word, before, after, at(end))


def _beside(kind: str, word: bytes, before: str, after: str, end: int) -> Spot | None:
    if word in words.SHORT and not _stands_alone(before, after, word):
        return None
    tail = _TAIL.match(after)[0] if word.isascii() and after[:1].isascii() else ""  # type: ignore[index]
    if _is_harmless(before, tail, word):
        return None
    for value, begin, certainty in _values_in(after, len(tail)):
        if (size := _secret(kind, word, value, certainty)) is not None:
            return Spot(_RULES[kind], end + begin, end + begin + size)
    return _before(kind, before, end - len(word.decode("utf-8", "ignore")))


_RULES = {table.PASSWORD: "password", table.KEY: "key", table.CODE: "code"}


def _stands_alone(before: str, after: str, word: bytes) -> bool:
    """A short word is no part of a longer one, but for humps (`apiKey`) and names (`db_pass`)."""
    left, right = before[-1:], after[:1]
    return (not left.isalpha() or not left.isascii() or (left.islower() and word in _HUMPED)) and not (
        right.isalpha() and right.isascii() and right.islower() and after[:2] not in ("s ", "s:", "s=")
    )


_HUMPED = frozenset({b"key", b"pass", b"auth", b"pat", b"pin"})
_NAME_PARTS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_LAST_WORD = re.compile(r"([A-Za-z0-9]+)[_\-. ]?$")
_HARMLESS_BEFORE = frozenset(table.HARMLESS_BEFORE)
_HARMLESS_AFTER = frozenset(table.HARMLESS_AFTER)


def _is_harmless(before: str, tail: str, word: bytes) -> bool:
    parts = [part.lower() for part in _NAME_PARTS.findall(tail)]
    if parts and parts[-1] in _HARMLESS_AFTER:
        return True
    last = _LAST_WORD.search(before)
    return (
        last is not None
        and word in (b"key", b"keys", b"token", b"seed", b"session", b"access")
        and (_NAME_PARTS.findall(last[1]) or [""])[-1].lower() in _HARMLESS_BEFORE
    )


def _values_in(after: str, begin: int) -> Iterator[tuple[str, int, int]]:
    """(value, where it begins, certainty), the most certain first."""
    assign = _ASSIGN.match(after, begin)
    if assign is not None:
        yield from _values(after, assign.end(), 2)
        return
    sentence = _SENTENCE.search(after, begin)
    stop = min(sentence.start() if sentence else len(after), begin + 100)
    for connect in islice(_CONNECT.finditer(after, begin, stop), 3):
        yield from _values(after, connect.end(), 1)
    direct = _DIRECT.match(after, begin)
    if direct is not None:
        yield from _values(after, direct.end(), 0)
    elif begin < len(after) and not after[begin].isascii():
        yield from _values(after, begin, 0)


def _values(after: str, begin: int, certainty: int) -> Iterator[tuple[str, int, int]]:
    if values.STAND_IN.match(after, begin):
        return
    opening = _OPENING.match(after, begin)
    if opening is not None:
        begin = opening.end()
        if opening[0][-1] in "\"'`“«「『":
            quoted = _QUOTED.match(after, begin)
            if quoted is not None:
                yield quoted[0], begin, 3 if certainty >= 1 else 0
    value = _VALUE.match(after, begin)
    if value is not None:
        yield values.trimmed(value[0]), begin, certainty
        if certainty and (scheme := _SCHEME.match(after, begin)):
            yield values.trimmed(scheme[1]), scheme.start(1), certainty


_SCHEME = re.compile(r"(?:Basic|Bearer|Token|Digest|ApiKey|Key)\s{1,2}([^\s\"'`<>]{4,512})", re.IGNORECASE)


def _secret(kind: str, word: bytes, value: str, certainty: int) -> int | None:
    """How long the secret is that `value` begins with; None: it is none."""
    if word in words.PHRASE_WORDS and certainty >= 1 and (phrase := _PHRASE.match(value)):
        return len(phrase[0])
    if kind == table.CODE:
        code = _CODE_VALUE.match(value)
        return len(code[0]) if code and certainty >= 1 and values.is_code(code[0]) else None
    if " " in value and certainty < 3:
        return None
    if kind == table.PASSWORD and (values.is_password(value, certainty) or values.is_key(value, certainty)):
        return len(value)
    if kind == table.KEY and (values.is_key(value, certainty) or (values.is_uuid(value) and word in words.STRONG)):
        return len(value)
    return None


_REVERSED = re.compile(
    r"[\"'`“]?([^\s\"'`“”]{6,200})[\"'`”]?\s{1,2}(?:is|was|as|for|=)\s{1,2}(?:the|my|our|your|his|her|a|an|its)?\s?(?:[\w-]{1,20}\s){0,2}$"
)


def _before(kind: str, before: str, start: int) -> Spot | None:
    """`hunter2 is the password`."""
    found = _REVERSED.search(before)
    if found is None or kind == table.CODE:
        return None
    value = values.trimmed(found[1])
    if not (values.is_password(value, 0) if kind == table.PASSWORD else values.is_key(value, 0)):
        return None
    begin = start - len(before) + found.start(1)
    return Spot(_RULES[kind], begin, begin + len(value))


# -- a field whose name tells


def _in_field(text: str, key: str) -> Iterator[Spot]:
    """The whole value of a field: `{"db_password": "sunshine"}`."""
    if not key or not 3 <= len(text) <= 4096:
        return
    raw = key.encode("utf-8", "replace")
    for start, end in _words().spans(raw):
        word = raw[start:end].lower()
        kind = words.kind_of(word)
        before, tail = raw[:start].decode("utf-8", "ignore"), raw[end:].decode("utf-8", "ignore")
        if (
            kind is None
            or (word in words.SHORT and not _stands_alone(before, tail, word))
            or _is_harmless(before, tail, word)
        ):
            continue
        if _secret(kind, word, text, 3) is not None:
            yield Spot(_RULES[kind], 0, len(text))


_QUIET_KEYS = frozenset(table.QUIET_KEYS)


def is_quiet(key: str) -> bool:
    """Whether a field of this name holds random values that are no secret."""
    parts = [part.lower() for part in _NAME_PARTS.findall(key)]
    return bool(parts) and (parts[-1] in _QUIET_KEYS or "".join(parts) in _QUIET_KEYS)


# -- a text that is nothing else


def _alone(text: str) -> Iterator[Spot]:
    """A note that says `Tiger!4821`."""
    word = text.strip()
    if 8 <= len(word) <= 64 and word.split() == [word] and values.classes(word) == 4 and values.is_password(word, 0):
        start = text.index(word)
        yield Spot("password", start, start + len(word))


# -- random runs

_RUN = re.compile(r"[A-Za-z0-9_+/=.~-]{24,512}")
_LOUD = re.compile(r"(?:[a-z][A-Z]|[A-Z][a-z]).*[0-9]|[0-9].*(?:[a-z][A-Z]|[A-Z][a-z])")
_DIGEST_BEFORE = re.compile(r"([A-Za-z0-9-]+)[\"'`]?[\s:=#-]{1,3}[\"'`(]?$")
_DIGEST_WORDS = frozenset(table.DIGEST_WORDS)
_LONGEST = 200


def _random(text: str) -> Iterator[Spot | None]:
    """A run that is random in letters of both cases and digits: a key of whatever kind."""
    for match in _RUN.finditer(text):
        yield Spot("random", *match.span()) if _is_drawn(text, match) else None


def _is_drawn(text: str, match: re.Match[str]) -> bool:
    run = match[0].strip("=.-_/")
    if len(run) > _LONGEST or len(run) < 24 or not _LOUD.search(run):
        return False
    before = text[max(0, match.start() - 24) : match.start()]
    if run.startswith(table.HARMLESS_PREFIXES) or _is_named_digest(before) or _in_address(text, match.start()):
        return False
    if _is_block(text, match) or values.is_placeholder(run) or values.is_other_key(run):
        return False
    return max(map(len, re.split(r"[_.=~-]", run))) >= 16 and values.is_random(run, 20) and values.entropy(run) >= 3.9


def _is_named_digest(before: str) -> bool:
    found = _DIGEST_BEFORE.search(before)
    return found is not None and found[1].lower() in _DIGEST_WORDS


def _in_address(text: str, start: int) -> bool:
    """Part of the path of a URL."""
    space = max(text.rfind(" ", max(0, start - 300), start), text.rfind("\n", max(0, start - 300), start))
    return "://" in text[space + 1 : start + 3]


def _is_block(text: str, match: re.Match[str]) -> bool:
    """One of many lines of base64: an image, a certificate."""
    line = text[match.end() : match.end() + 80].lstrip(" \r\n\t>|\\n")
    above = text[max(0, match.start() - 80) : match.start()]
    return len(match[0]) >= 60 and any(len(run[0]) >= 40 for run in (*_RUN.finditer(line), *_RUN.finditer(above)))
