"""What follows a word that tells and may be its value, the most certain first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from memferry.policies.secrets import values, vocabulary

_ASSIGN = re.compile(
    r"""["'`\])}*]{0,4}\s{0,6}(?:\([^)\n]{0,30}\)\s{0,2})?(?:=>|:=|={1,2}|:{1,2}|：|＝|->|→|﹕|\|(?=\s))[*_]{0,2}\s{0,8}"""
    r"""|["'`],?\s{0,4}["']?(?:value|val|content|data)["']?\s{0,3}[:=]\s{0,3}"""
    r"""|["'`]\s{0,2},\s{0,2}(?=["'`][^"'`\n]{4,200}["'`]\s{0,2}[)\]},;])"""
    r"""|\(\s{0,2}(?=["'][^\s"']{4,200}["']\s{0,2}\))"""
    r"""|["'`]?\s{0,2}[:=]?\s{0,2}\{\s{0,8}["']?(?:default|value|content)["']?\s{0,3}[:=]\s{0,3}"""
    r"""|[:*]{0,3}["'`]\s{0,3}\{?\s{0,8}(?:exp_)?send\s{1,3}(?:--\s)?"""
    r"""|>\s{0,8}(?:[^<>\s]{1,64}\n\s{0,8})?(?=[^<>\s]{4,200}\s{0,8}</)"""
    r"""|(?:</?\w[^<>]{0,60}>\s{0,8}|>\s{0,8}){1,3}(?=[^<>\s]{4,200}\s{0,8}</)"""
    r"""|\s{0,2},\s{0,2}(?=["'][^"'\n]{4,200}["']\s{0,2}[})\]])"""
)
"""Behind a word, this makes a value of what follows: a sign, a comma between strings, the value of a block or tag."""
_LINKS = (
    "is|was|are|be|to|as|equals|ist|war|lautet|auf|est|était|es|era|é|è|jest|это|является|là|är|er|s|enter|press|now|jetzt"
    "|maintenant|ahora|теперь|c[’']est|som|je|then|dann|są|to|este|είναι|adalah|sono|são|bleibt|reste|remains"
    "|sigue siendo|остаётся|остается|ended up(?: being)?|turned out to be|happens to be|е|masih|yaitu|ialah|ficou"
    "|fica|continua|är fortfarande|to nadal|είναι ακόμα|åbner på|åbnes med|åpnes med|öppnas med|opens with|opens on"
    "|opent met|otevírá se|otwiera się|se abre con|abre com|s'ouvre avec|si apre con|answered(?: with)?"
)
_STILL = (
    "now|still|currently|just|probably|set to|changed to|jetzt|ahora|maintenant|теперь|immer noch|noch immer|weiterhin"
    "|noch|toujours|encore|todavía|siempre|sempre|ancora|nadal|fortfarande|всё ещё|все ещё|simply|einfach"
)
_CONNECT = re.compile(
    rf"(?<=[\s,，、的'’])(?:(?:{_LINKS})(?!\w)|[=:]|[—–-](?=\s))(?:\s{{1,3}}(?:{_STILL})(?!\w))?:?\s{{0,2}}(?=\S)"
    r"|(?<=[^\W\d])@?\s?[:：]\s{1,3}(?=\S)"
    r"|(?:是|为|為|：|は|が|은|는|이|가|改成|设为|設為|改为)了?\s{0,3}"
)
_DIRECT = re.compile(r"\s{1,3}(?:[05-9]\s|--?\w{1,12}\s)?")
"""Between the two, network devices say how it is encrypted, and installers whether."""
_ASKED = re.compile(
    r"[^\n.!?？:=]{0,30}[?？]\s{1,3}(?:\[?[\d:. -]{4,20}\]?\s)?(?:[\w.@<>-]{1,30}[:>]\s)?"
    r"(?:it[’']?s|it is|c[’']est|es ist|es)?\s{0,2}",
    re.IGNORECASE,
)
_LAST_OF_CLAUSE = re.compile(r"[*#]?\s{0,3}(?:$|[\n,;])|[.!?](?:\s|$)")
_ONE_QUOTED = re.compile(r"[\"'`][^\s\"'`]{6,200}[\"'`]")
_ADJOINING = re.compile(r"[!-~]{6,64}(?=\s{0,2}(?:$|[\n,;，。；！、]))")
"""Behind a word of a language that parts no words: `密码Tiger4821`."""
_FOREIGN = re.compile(
    r"[^\x00-\x7f。，；！、：]{0,16}(?: [^\x00-\x7f]{1,12}){0,6}[：:]?\s?([!-~]{6,64})"
    r"(?=\s{0,2}(?:$|[^\x00-\x7f]|[\n,.;]))"
)
"""The first word in Latin letters behind one of another script."""
_NEXT_LINE = re.compile(r"[^\n.:;,|-]{0,40}\n{1,2}[ \t>*-]*([!-~]{6,64})[ \t]*(?:\n|$)")
"""A line that is nothing else, below one that tells."""
_INSERTED = re.compile(r"[^()\n]{0,60}\)\s{0,3}values\s{0,3}\((?=[^()\n]{4})", re.IGNORECASE)
_PAIR = re.compile(
    r"[^\n.!:=]{0,30}(?:[:=]|\s(?:are|is|sind|ist|sont|est|son|es))\s{1,3}"
    r"(?:[\w.+-]+@[\w.-]+\w\s?[,;/:|]\s{0,2}|[\w.+-]{2,30}(?:\s[/|]\s|/))([^\s/]{6,64})"
)
"""`Credentials: ann@example.org, River_4558`."""
_STRING = re.compile(r"'([^'\s]{4,64})'")
_OPENING = re.compile(r"[\"'`“«「『(\[{<*]{1,3}")
_VALUE = re.compile(r"[^\s\"'`<>，。；、）」』”»\\\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,512}")
"""No password has characters of these scripts amid others."""
_QUOTED = re.compile(r"[^\"'`\n“”「」『』]{4,200}(?=[\"'`”」』])")
_SENTENCE = re.compile(r"[.!?。！？](?:\s|$)|\n")
_NEAR, FAR = 100, 160
"""Characters: in which a value follows in the same sentence, or one that is nothing else."""
_CLAUSE_END = re.compile(r"([^\W\d_]{1,24})\s{1,2}([A-Za-z]{5,24}\d{2,6}[!?*]?|\d{5,8})\s{0,2}(?:$|[\n.;)]|-->)")
DIGIT = re.compile("[0-9]")
_PREPOSITIONS = frozenset((
    "for", "of", "in", "on", "at", "by", "with", "from", "and", "or", "to", "per", "für", "von", "auf", "mit", "und",
    "oder", "pour", "de", "du", "dans", "avec", "et", "para", "en", "con", "y", "da", "di", "e", "user", "number", "no",
    "nr", "page", "step", "line", "port", "version", "room", "ticket",
))  # fmt: skip
"""Behind these stands no password, but what it is for."""
_SCHEME = re.compile(r"(?:Basic|Bearer|Digest|\w{0,20}(?:Token|Key))\s{1,2}([^\s\"'`<>]{4,512})", re.IGNORECASE)
CLOSE = 48
"""Characters in which a password may be less loud."""
HARMLESS_AFTER = frozenset(vocabulary.HARMLESS_AFTER)


def values_in(after: str, begin: int, *, adjoining: bool) -> Iterator[tuple[str, int, int]]:
    """(value, where it begins, certainty), the most certain first. `adjoining`: it may follow without a space."""
    if adjoining and (value := _ADJOINING.match(after, begin)):
        yield value[0], begin, 1
    if adjoining and (value := _FOREIGN.match(after, begin)):
        yield values.trimmed(value[1]), value.start(1), 1
    if below := _NEXT_LINE.match(after, begin):
        yield below[1], below.start(1), 1
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
        yield from _careless(after, begin)
        if value is not None and value[0].isalpha() and value[0].lower() not in HARMLESS_AFTER:
            yield from _last_of_clause(after, value.end())
    elif begin < len(after) and not after[begin].isascii():
        yield from _values(after, begin, 0)


def _careless(after: str, begin: int) -> Iterator[tuple[str, int, int]]:
    """With which the clause ends: `heslo k wifi je sunshine99`."""
    found = _CLAUSE_END.search(after, begin, begin + CLOSE) if DIGIT.search(after, begin, begin + CLOSE) else None
    if found and found[1].lower() not in _PREPOSITIONS and (found[2].isdigit() or not values.is_other(found[2])):
        yield found[2], found.start(2), 1


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
