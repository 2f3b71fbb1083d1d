"""Secrets that are known by the words beside them, or by the name of the field they stand in."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import chain, islice, pairwise

from memferry.policies.secrets import following, linear, values, vocabulary, words
from memferry.policies.secrets.spots import Places, Spot
from memferry.policies.secrets.views import TooMany

_TAIL = re.compile(r"(?:[A-Za-z0-9]{0,30}[_.\-]?){0,4}")
_INFLECTION = re.compile(r"[a-zß-ÿĀ-žа-яё]{0,4}")
_RECOVERY = re.compile(
    r"(?:\d{1,2}[.)]\s)?(?=[A-Za-z]{0,9}\d)[A-Za-z0-9]{4,10}"
    r"(?:[ ,;\n-]{1,3}(?:\d{1,2}[.)]\s)?(?=[A-Za-z]{0,9}\d)[A-Za-z0-9]{4,10}){0,15}\b"
)
_BELOW = re.compile(r"[^\n:.]{0,40}:[ \t]*\n[ \t>*-]{0,6}")
"""Between what announces codes and the first of them, on a line of its own."""
_SHORTEST_CODE = 6
_SIGN = re.compile(r"[!@#$%^&*?]")
_PHRASE = re.compile(r"[a-z]{2,12}(?:[ ,\-]{1,2}[a-z]{2,12}){3,24}\b")
_MNEMONIC = re.compile(r"[a-z]{3,8}(?: [a-z]{3,8}){11,23}\b")
"""BIP 39: twelve words or more, none of two letters, as sentences have."""
_CODE_VALUE = re.compile(r"#?\d(?:[\d -]{1,12}\d|\d?[A-FКВ]\d{2,5})?[A-F]?[#*]?(?![A-Za-z0-9_]|\.\d)")
_CODE_OF_LETTERS = re.compile(r"(?=[A-Z]{0,8}\d)(?=\d{0,8}[A-Z])[A-Z0-9]{5,9}(?![\w.-])")
_CODE_OF_SMALL_LETTERS = re.compile(r"(?=[a-z]{0,8}\d)(?=\d{0,8}[a-z])[a-z0-9]{4,8}(?![\w.-])")
_SHORTEST_ALONE = 4
"""Digits of a code that follows its word at once."""
_FOURS = re.compile(r"[a-z0-9]{4}(?: [a-z0-9]{4}){3,15}(?=\s{0,2}(?:$|[\n.,;]))", re.IGNORECASE)
"""As authenticators and mail services show their keys."""
_BYTES = re.compile(r"\[?\d{1,3}(?:,\s?\d{1,3}){15,}(?=\])")
"""A key as wallets save it; at the end of the window it may be cut short."""
_ROW = re.compile(r"[a-z]{3,12}(?: [a-z]{3,12}){3,11}(?=\s{0,2}(?:$|[\n.;]))")


@cache
def _words() -> linear.Pattern:
    return linear.Pattern(f"(?i:{words.ANY})")


_WINDOW = 256
"""Bytes behind a word in which its value begins."""
MOST_WORDS = 3000
"""In one text. With more there are too many candidates, whatever they announce."""
_MARKER = b"[redacted:"
"""Begins what is left of a secret that was cut out."""


def beside_words(raw: bytes, at: Places) -> Iterator[Spot | None]:
    """Raises TooMany."""
    telling = list(islice(_telling(raw), MOST_WORDS + 1))
    if len(telling) > MOST_WORDS:
        raise TooMany
    for kind, word, start, end in telling:
        before = raw[max(0, start - _WINDOW // 2) : start].decode("utf-8", "ignore")
        after = raw[end : end + _WINDOW].decode("utf-8", "ignore")
        yield _beside(kind, word, before, after, at(end))


def _telling(raw: bytes) -> Iterator[tuple[str, bytes, int, int]]:
    """Words by which a secret may stand: kind, word in small letters, bytes `start`..`end`."""
    for start, end in _words().spans(raw):
        word = raw[start:end].lower()
        kind = words.kind_of(word)
        if kind is None or _is_marker(raw, start) or (word in words.SHORT and _is_amid(raw, start, end, word)):
            continue
        yield kind, word, start, end


def _is_marker(raw: bytes, start: int) -> bool:
    """Whether a word is part of `[redacted:url-credentials:7f3a9c]`."""
    return raw.find(_MARKER, max(0, start - 40), start) >= 0 and raw.rfind(b"]", max(0, start - 40), start) < raw.rfind(
        _MARKER, 0, start
    )


_SMALL = frozenset(b"abcdefghijklmnopqrstuvwxyz")
_ALPHABET = frozenset(bytes(_SMALL) + bytes(_SMALL).upper())
_BASE64_SIGNS = frozenset(b"+/")
_ASSIGNED = (b"=", b":")
_NAME_AND_SLASH = re.compile(rb"(?:^|[^A-Za-z0-9+/])[a-z]{2,9}/$")
"""`user/pass: ...`."""
_PLURAL = frozenset((b"s ", b"s:", b"s="))


def _is_amid(raw: bytes, start: int, end: int, word: bytes) -> bool:
    """Whether a short word is part of a longer one, but for humps (`apiKey`) and names (`db_pass`), or of base64."""
    left, right = raw[start - 1 : start], raw[end : end + 2]
    if (left and left[0] in _BASE64_SIGNS) or (right and right[0] in _BASE64_SIGNS):
        return not _NAME_AND_SLASH.search(raw, max(0, start - 12), start)
    if raw[start:end].isupper() and right[:1] in _ASSIGNED:
        return False
    if left and left[0] in _ALPHABET and not (left[0] in _SMALL and word in _HUMPED):
        return True
    return bool(right) and right[0] in _SMALL and right not in _PLURAL


def _beside(kind: str, word: bytes, before: str, after: str, end: int) -> Spot | None:
    if word in words.SHORT and _ends_drawn(before):
        return None  # amid base64
    if word in words.LOGIN_WORDS or (kind == vocabulary.KEY and _NETWORK.search(before[-40:] + after[:20])):
        kind = vocabulary.PASSWORD
    tail = (_TAIL if word.isascii() and after[:1].isascii() else _INFLECTION).match(after)[0]  # type: ignore[index]
    if _is_harmless(before, tail, word):
        return None
    candidates = following.values_in(after, len(tail), adjoining=not word.isascii())
    if _OPTION.search(before) and (argument := _ARGUMENT.match(after, len(tail))):
        candidates = chain([(argument[1], argument.start(1), 2)], candidates)
    if word in words.RECOVERY_WORDS and (below := _BELOW.match(after, len(tail))):
        candidates = chain([(after[below.end() :], below.end(), 2)], candidates)
    for value, begin, certainty in candidates:
        if word in words.PHRASE_WORDS and (phrase := _MNEMONIC.match(after, begin)):
            return Spot(_RULES[kind], end + begin, end + phrase.end())
        if (row := _row_of_words(word, after, begin, certainty)) is not None:
            return Spot(_RULES[kind], end + begin, end + row)
        if (
            word in words.RECOVERY_WORDS
            and (codes := _RECOVERY.match(after, begin))
            and len(codes[0]) >= _SHORTEST_CODE
        ):
            return Spot(_RULES[kind], end + begin, end + codes.end())
        if (size := _secret(kind, word, value, certainty)) is not None:
            return Spot(_RULES[kind], end + begin, end + begin + size)
    if kind == vocabulary.PASSWORD and (spelled := _spelled(after, len(tail))) is not None:
        return Spot(_RULES[kind], end + spelled.start(), end + spelled.end())
    if kind == vocabulary.PASSWORD and (made_up := _made_up(after, len(tail))) is not None:
        return Spot(_RULES[kind], end + made_up[0], end + made_up[1])
    return _before(kind, word, before, end - len(word.decode("utf-8", "ignore")))


_OPTION = re.compile(r"(?:^|\s)--?(?:[a-z]+-)*$")
_ARGUMENT = re.compile(r"\s{1,3}[\"']?([^\s\"'-][^\s\"']{3,100})")
"""Of a command: `-passwd Tiger4821`."""
_NETWORK = re.compile(r"wi-?fi|wlan|ssid|hotspot|\bpsk|\bwpa|无线|無線", re.IGNORECASE)
"""Near these, a key is a password: people make it up."""


def _row_of_words(word: bytes, after: str, begin: int, certainty: int) -> int | None:
    """Where a row of groups of four ends, of bytes, or of words behind a passphrase's colon."""
    row = _FOURS.match(after, begin) or _BYTES.match(after, begin)
    if row is None and word in words.PHRASE_WORDS and certainty >= 2:
        row = _ROW.match(after, begin)
    if row is None or any(map(values.is_placeholder, row[0].split())):
        return None
    return row.end()


def _made_up(after: str, begin: int) -> tuple[int, int] | None:
    """What is farther off, and nothing else than a password: `Tiger!4821`."""
    if _SIGN.search(after, begin, begin + following.FAR) is None and (
        following.DIGIT.search(after, begin, begin + following.CLOSE) is None
    ):
        return None
    for token in _TOKEN.finditer(after, begin, begin + following.FAR):
        value, start, end = _bare(token)
        near = begin < token.start() < begin + following.CLOSE and _PLAIN.fullmatch(value) and values.stands_out(value)
        if near or values.is_made_up(value):
            return start, end
    return None


def _bare(token: re.Match[str]) -> tuple[str, int, int]:
    """A word without what surrounds it, and where it begins and ends."""
    value = values.trimmed(token[0]).lstrip("\"'`“(")
    start = token.start() + token[0].index(value)
    return value, start, start + len(value)


_SPELLED = re.compile(
    r"(?<!\S)(?:(?:capital|uppercase|upper|big|small|lower|lowercase|gro(?:ß|ss)|klein|majuscule|mayúscula)\s)?"
    r"(?:(?:[A-Za-z0-9!#$%&*?_-]|capital|dash|hyphen|underscore|hash|star|dot|dollar|percent|exclamation|mark"
    r"|question|zero|one|two|three|four|five|six|seven|eight|nine)[ ,-]{1,2}){7,64}[A-Za-z0-9!#$%&*?_-](?!\w)"
)
"""Letter by letter, as one says it: `capital T i g e r dash 4 8 2 1`."""
_FEWEST_SPELLED = 6


def _spelled(after: str, begin: int) -> re.Match[str] | None:
    """Looked for where there are single letters at all."""
    end = begin + following.FAR
    if sum(len(word) == 1 for word in after[begin:end].split()) < _FEWEST_SPELLED:
        return None
    return _SPELLED.search(after, begin, end)


_PLAIN = re.compile(r"[\w!#%&*?+.-]{6,40}")
_RULES = {vocabulary.PASSWORD: "password", vocabulary.KEY: "key", vocabulary.CODE: "code", vocabulary.PHRASE: "key"}


_RUN_LETTERS = string.ascii_letters + string.digits + "+/"
_SHORTEST_RUN = 12


def _ends_drawn(before: str) -> bool:
    line = before.removesuffix("\n")
    run = line[len(line.rstrip(_RUN_LETTERS)) :]
    return len(run) >= _SHORTEST_RUN and values.is_random(run, _SHORTEST_RUN)


_HUMPED = frozenset(map(str.encode, words.HUMPED))
_LAST_WORD = re.compile(r"([A-Za-z0-9]+)[_\-. ]?$")
_HARMLESS_BEFORE = frozenset(vocabulary.HARMLESS_BEFORE)
_MADE_HARMLESS = frozenset((b"key", b"keys", b"token", b"seed", b"session", b"access"))
"""By the word before them."""
_PUBLIC = re.compile(
    r"\b(?:public [A-Za-z0-9]{2,12}|(?:release|commit|tag|package|gpg)s?(?: (?:is|are|was|were))? signed with) $",
    re.IGNORECASE,
)
"""`The public VAPID key`, `release signed with key 4F5A8B7C`; what signs a request is a secret."""
_RESOURCE = re.compile(r"\b(?:arn|did):[\w:/.-]*$")


def _is_harmless(before: str, tail: str, word: bytes) -> bool:
    if ":" in before and _RESOURCE.search(before):
        return True
    parts = [part.lower() for part in words.parts_of(tail)]
    if parts and parts[-1] in following.HARMLESS_AFTER:
        return True
    if word not in _MADE_HARMLESS:
        return False
    if _PUBLIC.search(before):
        return True
    last = _LAST_WORD.search(before)
    return last is not None and (words.parts_of(last[1]) or [""])[-1].lower() in _HARMLESS_BEFORE


@lru_cache(1024)
def _secret(kind: str, word: bytes, value: str, certainty: int) -> int | None:
    """How long the secret is that `value` begins with; None: it is none."""
    if kind == vocabulary.PHRASE:
        return None
    if word in words.PHRASE_WORDS and certainty >= 1 and (phrase := _PHRASE.match(value)):
        return len(phrase[0])
    if kind == vocabulary.CODE:
        code = _CODE_VALUE.match(value)
        if code is None and certainty >= 2 and word not in words.SHORT:
            code = _CODE_OF_LETTERS.match(value) or (None if word.isascii() else _CODE_OF_SMALL_LETTERS.match(value))
            return len(code[0]) if code else None
        enough = certainty >= 1 or (word not in words.SHORT and len(code[0] if code else "") >= _SHORTEST_ALONE)
        return len(code[0]) if code and enough and values.is_code(code[0]) else None
    if value.startswith(_SEALED) or (" " in value and certainty < 3):
        return None
    if value.count(" ") > _MOST_SPACES:
        return None
    if word in _NAMES_TOO and value.isalpha():
        return None
    if " " in value and _TELLS.intersection(value.lower().split()) and not any(map(str.isdigit, value)):
        return None
    if kind == vocabulary.PASSWORD and (values.is_password(value, certainty) or values.is_key(value, certainty)):
        return len(value)
    if word in _VAGUE:
        return len(value) if values.is_random(value, _VAGUE_LEAST) and not values.is_other_key(value) else None
    if kind == vocabulary.KEY and values.is_uuid(value):
        return len(value) if word in words.STRONG else None
    if kind == vocabulary.KEY and values.is_key(value, certainty):
        return len(value)
    if word in (b"secret", b"auth") and certainty >= 2 and values.classes(value) >= 3 and values.is_password(value, 1):
        return len(value)
    if word == b"secret" and certainty >= 2 and (values.stands_out(value) or values.is_careless(value)):
        return len(value)
    return None


_SEALED = ("AgA", "AgB")
"""So begins what only a cluster can decrypt."""
_VAGUE = frozenset(map(str.encode, ("api", "anahtar", "nyckel", "nøgle", "avain")))
_VAGUE_LEAST = 20
"""Characters that must be drawn behind these, which announce other things, too."""
_MOST_SPACES = 4
"""Of a password in quotes. With more it is a sentence."""
_NAMES_TOO = frozenset((b"login", b"logon", b"creds"))
"""Behind these may stand the name of a person, or of a button."""
_TELLS = frozenset(vocabulary.PASSWORD_WORDS)
"""A text of several words with one of these, and without a digit, is what is shown: `"Forgot password?"`."""
_TOKEN = re.compile(r"\S+")
_LINKS = frozenset(
    ("is", "was", "as", "for", "=", "ist", "als", "est", "comme", "es", "como", "come", "como", "это", "как")
)
_LINK = re.compile(rf"\s(?:{'|'.join(_LINKS)})\s")
_FARTHEST = 3
"""Words between the link and the telling word: `is the new deploy key`."""


_NAMED_BEHIND = re.compile(r"(?<!\S)([^\s()]{6,64})\s\((?:[\w'’]+\s){0,3}$")
"""`Tiger4821 (windows login)`."""


_DRAWN_BEFORE = 28
"""Characters that must be drawn, just before a word in another script."""


def _before(kind: str, word: bytes, before: str, start: int) -> Spot | None:
    """`hunter2 is the password`. `start`: where the word begins."""
    found = _span_before(kind, word, before)
    shift = start - len(before)
    return Spot(_RULES[kind], found[0] + shift, found[1] + shift) if found is not None else None


def _span_before(kind: str, word: bytes, before: str) -> tuple[int, int] | None:
    """From and to, in what stands before it."""
    if kind == vocabulary.PASSWORD and (named := _NAMED_BEHIND.search(before)) and values.is_loud(named[1]):
        return named.span(1)
    if kind == vocabulary.CODE or not before[-1:].isspace():
        return None
    tokens = list(_TOKEN.finditer(before))
    if kind == vocabulary.PASSWORD and following.DIGIT.search(before) and (used := _used(before)):
        return used
    if kind == vocabulary.KEY and not word.isascii() and tokens and values.is_random(tokens[-1][0], _DRAWN_BEFORE):
        return tokens[-1].span()
    if kind == vocabulary.PASSWORD and _SIGN.search(before) and (made_up := _made_up_before(tokens)):
        return made_up
    if not _LINK.search(before):
        return None
    for token, link in pairwise(tokens[-_FARTHEST - 2 :]):
        value, begin, end = _bare(token)
        if link[0] in _LINKS and _stands_by_itself(kind, value):
            return begin, end
    return None


def _stands_by_itself(kind: str, value: str) -> bool:
    if kind != vocabulary.PASSWORD:
        return values.is_key(value, 0)
    return values.is_password(value, 0) or values.stands_out(value)


def _made_up_before(tokens: Sequence[re.Match[str]]) -> tuple[int, int] | None:
    """`W!nt3r837 still works for the login`."""
    for value, begin, end in map(_bare, tokens):
        if values.is_made_up(value):
            return begin, end
    return None


_USED = re.compile(
    r"\b(?:use|try|typed?|type|enter(?:ed)?|take|nimm|gib|utilise|essaie|tape|usa|prueba|введи|используй)\s{1,2}"
    r"[\"'`“]?([^\s\"'`]{6,64})",
    re.IGNORECASE,
)


def _used(before: str) -> tuple[int, int] | None:
    """`just use Tiger_4821, it is the same password`."""
    for found in _USED.finditer(before):
        value = values.trimmed(found[1])
        if values.stands_out(value):
            return found.start(1), found.start(1) + len(value)
    return None


# -- a field whose name tells


def in_field(text: str, key: str, certainty: int = 3) -> Iterator[Spot]:
    """The whole value of a field: `{"db_password": "sunshine"}`. `certainty`: see values.is_password."""
    if not key or not 3 <= len(text) <= 4096:
        return
    raw = key.encode("utf-8", "replace")
    for start, end in _words().spans(raw):
        word = raw[start:end].lower()
        kind = words.kind_of(word)
        before, tail = raw[:start].decode("utf-8", "ignore"), raw[end:].decode("utf-8", "ignore")
        if (
            kind is None
            or (word in words.SHORT and (_is_amid(raw, start, end, word) or _ends_drawn(before)))
            or _is_harmless(before, tail, word)
        ):
            continue
        if _secret(kind, word, text, certainty) is not None:
            yield Spot(_RULES[kind], 0, len(text))
