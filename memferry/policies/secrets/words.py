"""The words that tell, ready to be found."""

from __future__ import annotations

import re

from memferry.policies.secrets import vocabulary

KINDS = {
    word.encode(): kind
    for kind, words in (
        (vocabulary.PASSWORD, vocabulary.PASSWORD_WORDS + vocabulary.PASSWORD_SHORT),
        (vocabulary.KEY, vocabulary.KEY_WORDS + vocabulary.KEY_SHORT),
        (vocabulary.CODE, vocabulary.CODE_WORDS + vocabulary.CODE_SHORT),
        (vocabulary.PHRASE, vocabulary.PHRASE_SHORT),
    )
    for word in words
}
"""By the word in small letters, UTF-8."""

SHORT = frozenset(
    word.encode()
    for words in (vocabulary.PASSWORD_SHORT, vocabulary.KEY_SHORT, vocabulary.CODE_SHORT, vocabulary.PHRASE_SHORT)
    for word in words
)
STRONG = frozenset(word.encode() for word in vocabulary.STRONG_WORDS)
PHRASE_WORDS = frozenset(word.encode() for word in vocabulary.PHRASE_WORDS)
LOGIN_WORDS = frozenset(word.encode() for word in vocabulary.LOGIN_WORDS)
RECOVERY_WORDS = frozenset(word.encode() for word in vocabulary.RECOVERY_WORDS)


def _alternatives(words: set[bytes]) -> str:
    """The longest first. RE2 folds the case of ASCII alone, so other letters stand in three."""
    forms = {form for word in words for form in _cased(word.decode())}
    return "|".join(sorted(map(re.escape, forms), key=len, reverse=True))


def _cased(word: str) -> set[str]:
    return {word} if word.isascii() else {word, word.capitalize(), word.upper()}


ANY = _alternatives(set(KINDS))
PHRASES = _alternatives(set(PHRASE_WORDS))
HUMPED = ("key", "pass", "auth", "pat", "pin")
"""Short words that stand at the end of others, as in `apiKey`."""
_END = r"(?:s?\b|s?_|[A-Z0-9])"
TELLING = (
    f"(?:(?i:{_alternatives(set(KINDS) - SHORT)})"
    f"|[^A-Za-z](?i:{_alternatives(set(SHORT))}){_END}"
    f"|[a-z](?:{'|'.join(map(str.capitalize, HUMPED))}){_END})"
)
"""Any of them, but for short ones that are part of other words; at the beginning of a text stands something else."""


def kind_of(word: bytes) -> str | None:
    """`word`: as it stands in a text."""
    return KINDS.get(word.lower()) or KINDS.get(word.decode("utf-8", "ignore").lower().encode())


_PARTS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")


def parts_of(name: str) -> list[str]:
    """`dbPassword2_old` is `db`, `Password2`, `old`."""
    return _PARTS.findall(name)
