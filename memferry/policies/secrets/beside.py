"""Secrets that are known by the words beside them, or by the name of the field they stand in."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import chain, islice, pairwise

from memferry.policies.secrets import linear, table, values, words
from memferry.policies.secrets.spots import Places, Spot

_TAIL = re.compile(r"(?:[A-Za-z0-9]{0,30}[_.\-]?){0,4}")
_ASSIGN = re.compile(
    r"""["'`\])}*]{0,4}\s{0,6}(?:\([^)\n]{0,30}\)\s{0,2})?(?:=>|:=|={1,2}|:|：|＝|->|→|﹕|\|)[*_]{0,2}\s{0,8}"""
    r"""|["'`],?\s{0,4}["']?(?:value|val|content|data)["']?\s{0,3}[:=]\s{0,3}"""
    r"""|["'`]\s{0,2},\s{0,2}(?=["'`][^"'`\n]{4,200}["'`]\s{0,2}[)\]},;])"""
    r"""|["'`]?\s{0,2}[:=]?\s{0,2}\{\s{0,8}["']?(?:default|value|content)["']?\s{0,3}[:=]\s{0,3}"""
    r"""|[:*]{0,3}["'`]\s{0,3}\{?\s{0,8}(?:exp_)?send\s{1,3}(?:--\s)?"""
    r"""|>\s{0,8}(?:[^<>\s]{1,64}\n\s{0,8})?(?=[^<>\s]{4,200}\s{0,8}</)"""
)
"""Behind a word, this makes a value of what follows: a sign, a comma between strings, the value of a block or tag."""
_CONNECT = re.compile(
    r"(?<=[\s,，、的'’])(?:(?:is|was|are|be|to|as|equals|ist|war|lautet|auf|est|était|es|era|é|è|jest|это|является|là|är|er"
    r"|on|s|enter|press|now|jetzt|maintenant|ahora|теперь)(?!\w)|[=:]|[—–-](?=\s))"
    r"(?:\s{1,3}(?:now|still|currently|just|probably|set to|changed to|jetzt|ahora|maintenant|теперь)(?!\w))?"
    r":?\s{0,2}(?=\S)"
    r"|(?<=[^\W\d])\s?[:：]\s{1,3}(?=\S)"
    r"|(?:是|为|為|：|は|が|은|는|이|가|改成|设为|設為|改为)了?\s{0,3}"
)
_DIRECT = re.compile(r"\s{1,3}(?:[05-9]\s)?")
"""Between the two, network devices say how it is encrypted."""
_ASKED = re.compile(
    r"[^\n.!?？:=]{0,30}[?？]\s{1,3}(?:\[?[\d:. -]{4,20}\]?\s)?(?:[\w.@<>-]{1,30}[:>]\s)?"
    r"(?:it[’']?s|it is|c[’']est|es ist|es)?\s{0,2}",
    re.IGNORECASE,
)
_LAST_OF_CLAUSE = re.compile(r"\s{0,3}(?:$|[\n,;])|[.!?](?:\s|$)")
_ONE_QUOTED = re.compile(r"[\"'`][^\s\"'`]{6,200}[\"'`]")
_ADJOINING = re.compile(r"[!-~]{6,64}(?=\s{0,2}(?:$|[\n,;，。；！、]))")
"""Behind a word of a language that parts no words: `密码Tiger4821`."""
_INSERTED = re.compile(r"[^()\n]{0,60}\)\s{0,3}values\s{0,3}\((?=[^()\n]{4})", re.IGNORECASE)
_PAIR = re.compile(r"[^\n.!:=]{0,30}[:=]\s{1,3}(?:[\w.+-]+@[\w.-]+\w\s?[,;/:|]\s{0,2}|[\w.+-]{2,30}\s[/|]\s)(\S{6,64})")
"""`Credentials: ann@example.org, River_4558`."""
_STRING = re.compile(r"'([^'\s]{4,64})'")
_INFLECTION = re.compile(r"[a-zß-ÿĀ-žа-яё]{0,4}")
_RECOVERY = re.compile(
    r"(?:\d{1,2}[.)]\s)?(?=[A-Za-z]{0,9}\d)[A-Za-z0-9]{4,10}"
    r"(?:[ ,;\n-]{1,3}(?:\d{1,2}[.)]\s)?(?=[A-Za-z]{0,9}\d)[A-Za-z0-9]{4,10}){0,15}\b"
)
_SHORTEST_CODE = 6
_SIGNS = frozenset("!@#$%^&*?")
_SIGN = re.compile(r"[!@#$%^&*?]")
_OPENING = re.compile(r"[\"'`“«「『(\[{<*]{1,3}")
_VALUE = re.compile(r"[^\s\"'`<>，。；、）」』”»\\]{1,512}")
_QUOTED = re.compile(r"[^\"'`\n“”「」『』]{4,200}(?=[\"'`”」』])")
_PHRASE = re.compile(r"[a-z]{2,12}(?:[ ,\-]{1,2}[a-z]{2,12}){3,24}\b")
_MNEMONIC = re.compile(r"[a-z]{3,8}(?: [a-z]{3,8}){11,23}\b")
"""BIP 39: twelve words or more, none of two letters, as sentences have."""
_SENTENCE = re.compile(r"[.!?。！？](?:\s|$)|\n")
_CODE_VALUE = re.compile(r"#?\d(?:[\d -]{1,12}\d)?[A-F]?[#*]?(?![A-Za-z0-9_]|\.\d)")
_CODE_OF_LETTERS = re.compile(r"(?=[A-Z]{0,8}\d)(?=\d{0,8}[A-Z])[A-Z0-9]{5,9}(?![\w.-])")
_FOURS = re.compile(r"[a-z0-9]{4}(?: [a-z0-9]{4}){3,7}(?=\s{0,2}(?:$|[\n.,;]))", re.IGNORECASE)
"""As authenticators and mail services show their keys."""
_BYTES = re.compile(r"\[?\d{1,3}(?:,\s?\d{1,3}){31,}(?=\])")
"""A key as wallets save it; at the end of the window it may be cut short."""
_ROW = re.compile(r"[a-z]{3,12}(?: [a-z]{3,12}){3,11}(?=\s{0,2}(?:$|[\n.;]))")


@cache
def _words() -> linear.Pattern:
    return linear.Pattern(f"(?i:{words.ANY})")


_WINDOW = 256
"""Bytes behind a word in which its value begins."""
_NEAR, _FAR = 100, 160
"""Characters: in which a value follows in the same sentence, or one that is nothing else."""
CHEAP = 3
"""So many words that announce nothing count as one candidate."""
_MARKER = b"[redacted:"
"""Begins what is left of a secret that was cut out."""


def beside_words(raw: bytes, at: Places) -> Iterator[Spot | None]:
    words_seen = 0
    for start, end in _words().spans(raw):
        word = raw[start:end].lower()
        kind = words.kind_of(word)
        if kind is None or _is_marker(raw, start) or (word in words.SHORT and _is_amid(raw, start, end, word)):
            continue
        before = raw[max(0, start - _WINDOW // 2) : start].decode("utf-8", "ignore")
        after = raw[end : end + _WINDOW].decode("utf-8", "ignore")
        one = _beside(kind, word, before, after, at(end))
        words_seen += 1
        if one is not None or words_seen % CHEAP == 0:
            yield one


def _is_marker(raw: bytes, start: int) -> bool:
    """Whether a word is part of `[redacted:url-credentials:7f3a9c]`."""
    return raw.find(_MARKER, max(0, start - 40), start) >= 0 and raw.rfind(b"]", max(0, start - 40), start) < raw.rfind(
        _MARKER, 0, start
    )


_SMALL = frozenset(b"abcdefghijklmnopqrstuvwxyz")
_ALPHABET = frozenset(bytes(_SMALL) + bytes(_SMALL).upper())
_BASE64_SIGNS = frozenset(b"+/")
_PLURAL = frozenset((b"s ", b"s:", b"s="))


def _is_amid(raw: bytes, start: int, end: int, word: bytes) -> bool:
    """Whether a short word is part of a longer one, but for humps (`apiKey`) and names (`db_pass`), or of base64."""
    left, right = raw[start - 1 : start], raw[end : end + 2]
    if (left and left[0] in _BASE64_SIGNS) or (right and right[0] in _BASE64_SIGNS):
        return True
    if left and left[0] in _ALPHABET and not (left[0] in _SMALL and word in _HUMPED):
        return True
    return bool(right) and right[0] in _SMALL and right not in _PLURAL


def _beside(kind: str, word: bytes, before: str, after: str, end: int) -> Spot | None:
    if word in words.SHORT and _ends_drawn(before):
        return None  # amid base64
    if word in words.LOGIN_WORDS or (kind == table.KEY and _NETWORK.search(before[-40:] + after[:20])):
        kind = table.PASSWORD
    tail = (_TAIL if word.isascii() and after[:1].isascii() else _INFLECTION).match(after)[0]  # type: ignore[index]
    if _is_harmless(before, tail, word):
        return None
    candidates = _values_in(after, len(tail), adjoining=not word.isascii())
    if _OPTION.search(before) and (argument := _ARGUMENT.match(after, len(tail))):
        candidates = chain([(argument[1], argument.start(1), 2)], candidates)
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
    if kind == table.PASSWORD and (made_up := _made_up(after, len(tail))) is not None:
        return Spot(_RULES[kind], end + made_up[0], end + made_up[1])
    return _before(kind, before, end - len(word.decode("utf-8", "ignore")))


_OPTION = re.compile(r"(?:^|\s)--?(?:[a-z]+-)*$")
_ARGUMENT = re.compile(r"\s{1,3}[\"']?([^\s\"'-][^\s\"']{3,100})")
"""Of a command: `-passwd Tiger4821`."""
_NETWORK = re.compile(r"wi-?fi|wlan|ssid|hotspot|无线|無線", re.IGNORECASE)
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
    if _SIGN.search(after, begin, begin + _FAR) is None:
        return None
    for token in _TOKEN.finditer(after, begin, begin + _FAR):
        value = values.trimmed(token[0]).lstrip("\"'`“(")
        if not _SIGNS.isdisjoint(value) and values.classes(value) == 4 and values.is_password(value, 0):
            start = token.start() + token[0].index(value)
            return start, start + len(value)
    return None


_RULES = {table.PASSWORD: "password", table.KEY: "key", table.CODE: "code", table.PHRASE: "key"}


_RUN_LETTERS = string.ascii_letters + string.digits + "+/"
_SHORTEST_RUN = 12


def _ends_drawn(before: str) -> bool:
    line = before.removesuffix("\n")
    run = line[len(line.rstrip(_RUN_LETTERS)) :]
    return len(run) >= _SHORTEST_RUN and values.is_random(run, _SHORTEST_RUN)


_HUMPED = frozenset(map(str.encode, words.HUMPED))
_LAST_WORD = re.compile(r"([A-Za-z0-9]+)[_\-. ]?$")
_HARMLESS_BEFORE = frozenset(table.HARMLESS_BEFORE)
_HARMLESS_AFTER = frozenset(table.HARMLESS_AFTER)
_MADE_HARMLESS = frozenset((b"key", b"keys", b"token", b"seed", b"session", b"access"))
"""By the word before them."""


def _is_harmless(before: str, tail: str, word: bytes) -> bool:
    parts = [part.lower() for part in words.parts_of(tail)]
    if parts and parts[-1] in _HARMLESS_AFTER:
        return True
    if word not in _MADE_HARMLESS:
        return False
    last = _LAST_WORD.search(before)
    return last is not None and (words.parts_of(last[1]) or [""])[-1].lower() in _HARMLESS_BEFORE


def _values_in(after: str, begin: int, *, adjoining: bool) -> Iterator[tuple[str, int, int]]:
    """(value, where it begins, certainty), the most certain first. `adjoining`: it may follow without a space."""
    if adjoining and (value := _ADJOINING.match(after, begin)):
        yield value[0], begin, 1
    if pair := _PAIR.match(after, begin):
        yield values.trimmed(pair[1]), pair.start(1), 1
    if inserted := _INSERTED.match(after, begin):
        yield from ((one[1], one.start(1), 1) for one in _STRING.finditer(after, inserted.end(), inserted.end() + 160))
    assign = _ASSIGN.match(after, begin)
    if assign is not None:
        yield from _values(after, assign.end(), 2)
        return
    if (asked := _ASKED.match(after, begin)) is not None:
        yield from _values(after, asked.end(), 1)
    sentence = _SENTENCE.search(after, begin, begin + _NEAR + 2)
    stop = min(sentence.start() if sentence else len(after), begin + _NEAR)
    for connect in islice(_CONNECT.finditer(after, begin, stop), 3):
        yield from _values(after, connect.end(), 2 if connect[0].rstrip().endswith(":") and len(connect[0]) > 3 else 1)
    direct = _DIRECT.match(after, begin)
    if direct is not None:
        value = _VALUE.match(after, direct.end())
        closes = value is not None and _LAST_OF_CLAUSE.match(after, direct.end() + len(values.trimmed(value[0])))
        quoted = _ONE_QUOTED.match(after, direct.end())
        yield from _values(after, direct.end(), 2 if quoted else 1 if closes else 0)
        if value is not None and value[0].isalpha() and value[0].lower() not in _HARMLESS_AFTER:
            yield from _last_of_clause(after, value.end())
    elif begin < len(after) and not after[begin].isascii():
        yield from _values(after, begin, 0)


def _last_of_clause(after: str, begin: int) -> Iterator[tuple[str, int, int]]:
    """Behind one more word, where nothing follows: `Passwort Drucker regen4821`."""
    value = _VALUE.match(after, begin + 1)
    if value is not None and _LAST_OF_CLAUSE.match(after, begin + 1 + len(values.trimmed(value[0]))):
        yield from _values(after, begin + 1, 1)


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


_SCHEME = re.compile(r"(?:Basic|Bearer|Digest|\w{0,20}(?:Token|Key))\s{1,2}([^\s\"'`<>]{4,512})", re.IGNORECASE)


@lru_cache(1024)
def _secret(kind: str, word: bytes, value: str, certainty: int) -> int | None:
    """How long the secret is that `value` begins with; None: it is none."""
    if kind == table.PHRASE:
        return None
    if word in words.PHRASE_WORDS and certainty >= 1 and (phrase := _PHRASE.match(value)):
        return len(phrase[0])
    if kind == table.CODE:
        code = _CODE_VALUE.match(value)
        if code is None and certainty >= 2 and word not in words.SHORT:
            code = _CODE_OF_LETTERS.match(value)
            return len(code[0]) if code else None
        return len(code[0]) if code and certainty >= 1 and values.is_code(code[0]) else None
    if " " in value and (certainty < 3 or value.count(" ") > _MOST_SPACES):
        return None
    if word in _NAMES_TOO and value.isalpha():
        return None
    if kind == table.PASSWORD and (values.is_password(value, certainty) or values.is_key(value, certainty)):
        return len(value)
    if kind == table.KEY and values.is_uuid(value):
        return len(value) if word in words.STRONG else None
    if kind == table.KEY and values.is_key(value, certainty):
        return len(value)
    if word in (b"secret", b"auth") and certainty >= 2 and values.classes(value) >= 3 and values.is_password(value, 1):
        return len(value)
    return None


_MOST_SPACES = 4
"""Of a password in quotes. With more it is a sentence."""
_NAMES_TOO = frozenset((b"login", b"logon", b"creds"))
"""Behind these may stand the name of a person, or of a button."""
_TOKEN = re.compile(r"\S+")
_LINKS = frozenset({"is", "was", "as", "for", "=", "ist", "est", "es", "это"})
_LINK = re.compile(rf"\s(?:{'|'.join(_LINKS)})\s")
_FARTHEST = 3
"""Words between the link and the telling word: `is the new deploy key`."""


_NAMED_BEHIND = re.compile(r"(?<!\S)([^\s()]{6,64})\s\((?:[\w'’]+\s){0,3}$")
"""`Tiger4821 (windows login)`."""


def _before(kind: str, before: str, start: int) -> Spot | None:
    """`hunter2 is the password`."""
    if kind == table.PASSWORD and (named := _NAMED_BEHIND.search(before)) and values.is_loud(named[1]):
        begin = start - len(before) + named.start(1)
        return Spot(_RULES[kind], begin, begin + len(named[1]))
    if kind == table.CODE or not before[-1:].isspace() or not _LINK.search(before):
        return None
    tokens = list(_TOKEN.finditer(before))[-_FARTHEST - 2 :]
    for token, link in pairwise(tokens):
        value = values.trimmed(token[0]).lstrip("\"'`“(")
        if link[0] in _LINKS and _stands_by_itself(kind, value):
            begin = start - len(before) + token.start() + token[0].index(value)
            return Spot(_RULES[kind], begin, begin + len(value))
    return None


def _stands_by_itself(kind: str, value: str) -> bool:
    return values.is_password(value, 0) if kind == table.PASSWORD else values.is_key(value, 0)


# -- a field whose name tells


def in_field(text: str, key: str) -> Iterator[Spot]:
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
            or (word in words.SHORT and (_is_amid(raw, start, end, word) or _ends_drawn(before)))
            or _is_harmless(before, tail, word)
        ):
            continue
        if _secret(kind, word, text, 3) is not None:
            yield Spot(_RULES[kind], 0, len(text))
