"""Whether a stretch of text is a secret: what machines draw, what humans make up, and what only stands in for one."""

from __future__ import annotations

import re
from collections import Counter
from math import log2

from memferry.policies.secrets import vocabulary

_PLACEHOLDERS = frozenset(vocabulary.PLACEHOLDERS + vocabulary.PASSWORD_WORDS)
_ENDS = ".,;:)]}>\"'`*”」』»"
_WORDS = re.compile(r"[A-Za-z]+|[0-9]+|[^A-Za-z0-9]+")
_REFERENCE = re.compile(
    r"[<\[{(%]*\$(?:[{(]|[A-Z_]+[A-Z0-9_]*$|[a-z_]+$)|<[^>]*>?$|\{\{|\[[A-Z_ -]+\]?$|%\w+%$|@\w+@$|__\w+__$"
    r"|![A-Z][a-zA-Z]+$"
)
_TYPE = re.compile(
    r"(?:[A-Z][a-z]+)*(?:String|Str|Field|Text|Bytes|Input|Column|Hash|Hasher|Type|Encoder|Provider|Service|Schema)"
)
_UUID = re.compile(r"\{?[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\}?")
_DATE = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ][\d:.]*(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|\d{1,2}[:.]\d\d(?:[:.]\d\d)?(?:am|pm)?|\d{1,2}/\d{1,2}/\d{2,4}",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[~<>=+-]?\d[\d.,_]*(?:[a-zA-Z%]{1,4}|/\w{1,6})?")
_VERSION = re.compile(r"v?\d+(?:\.\d+){1,3}(?:[-+.]?[a-z]+\d*)?", re.IGNORECASE)
_CODE = "py|js|ts|md|json|ya?ml|toml|txt|go|rs|java|html|css|sh|env|pem|key|ini|cfg|log|lock"
_HOSTS = "com|org|net|io|dev|internal|local"
_PATH = re.compile(
    r"(?:~|\.{1,2}|[A-Za-z]:)?[/\\](?:[^/\\\s]+[/\\])*[^/\\\s]*"
    r"|[\w.@-]+(?:/[\w.@-]+)+/?"
    rf"|[\w-]+(?:\.[\w-]+)*\.(?:{_CODE}|{_HOSTS})(?::\d+)?",
    re.IGNORECASE,
)
_CALL = re.compile(r"[@\w][\w.]*\(.*|[\w]+\[.*|[\w.]+::[\w:]+|[a-z_]\w*(?:\.[a-z_]\w*)+(?:\.[A-Z][A-Z_]+)?$")
_CALL_OF = re.compile(r"@?[a-z_]{3,}(?:\.\w+)*\((?:[$\d,\s]|\w+[,)]|[\"'])")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{1,16}")
_TECHNICAL = re.compile(
    r"(?:oauth|argon|bcrypt|scrypt|pbkdf|sha|md|aes|rsa|ecdsa|ed|hmac|tls|ssl|utf|base|ipv|http|vault|python|node|java|web)"
    r"-?\d[\w.-]{0,6}",
    re.IGNORECASE,
)
_HEX = re.compile(r"(?:0x)?[0-9a-fA-F]{16,}")
_RUN = re.compile(r"[A-Za-z0-9]+")
_HUMP = re.compile("[a-z][A-Z]")
_VOWELS = frozenset("aeiouyAEIOUY")
_SYMBOLS = frozenset("!@#$%^&*()_+-=[]{};:,.?/|~\\")


def trimmed(value: str) -> str:
    """Without the punctuation of the sentence it stands in."""
    return value.rstrip(_ENDS) or value


STAND_IN = re.compile(
    r"\[redacted:[^\]\n]{0,80}\]|<[^<>\n]{1,60}>|\$?\{\{?[^{}\n]{1,60}\}|\$\(|\$[A-Z_]{2,}|%[A-Z_]{2,}%|ENC\[|!vault\b"
)
"""What stands where a secret was cut out, or is to be put in."""


def is_placeholder(value: str) -> bool:
    """Stands where a secret would: `<your-token>`, `$API_KEY`, `xxxx`, `required`."""
    low = value.lower()
    word = low.strip(_ENDS + "<[({*_")
    return (
        len(set(word)) <= 2
        or word in _PLACEHOLDERS
        or _REFERENCE.match(value) is not None
        or _TYPE.fullmatch(value.rstrip(_ENDS)) is not None
        or any(part in low for part in vocabulary.PLACEHOLDER_PARTS)
    )


def is_other(value: str) -> bool:
    """Something else that has digits and signs: a date, a number, a version, a path, code, an address."""
    return any(shape.fullmatch(value) for shape in (_DATE, _NUMBER, _VERSION, _PATH, _CALL, _MAIL, _TECHNICAL)) or (
        _URL.match(value) is not None
    )


def is_uuid(value: str) -> bool:
    return _UUID.fullmatch(value) is not None


def classes(value: str) -> int:
    """How many of lower case, upper case, digits and signs it has."""
    return (
        any(char.islower() for char in value)
        + any(char.isupper() for char in value)
        + any(char.isdigit() for char in value)
        + any(char in _SYMBOLS for char in value)
    )


def is_password(value: str, certainty: int) -> bool:
    """Made up by a human. `certainty`: 3 where nothing else can stand (a JSON field, quotes behind `=`), 2 behind `=`
    or `:`, 1 behind "is", 0 behind the word alone."""
    if not 4 <= len(value) <= 200 or is_placeholder(value) or _is_code(value):
        return False
    kinds = classes(value)
    if value.rstrip("*#").isdigit():
        shortest = 4 if not _YEAR.fullmatch(value) else 5
        return (6, shortest, 4, 4)[certainty] <= len(value) <= 12
    if certainty < 2 and (is_other(value) or is_uuid(value)):
        return False
    if certainty == 0:
        if _NAME_AND_YEAR.fullmatch(value):
            return False
        return kinds >= 3 and len(value) >= 6 and any(map(str.isdigit, value)) and not is_wordy(value)
    if certainty and (_is_babble(value) or _WORD_AND_NUMBER.fullmatch(value)):
        return True
    if value.isalpha():
        humps = value[1:] != value[1:].lower() and not value.isupper()
        return (
            (certainty == 3 and len(value) >= 5)
            or (humps and certainty >= 2)
            or (not value.isascii() and certainty == 3)
        )
    if certainty == 1:
        return (
            any(map(str.isdigit, value))
            and kinds >= 2
            and (kinds == 4 or not is_wordy(value) or _WORDS_AND_NUMBER.fullmatch(value) is not None)
        )
    if _NUMBER.fullmatch(value) or _DATE.fullmatch(value):
        return False
    return kinds >= 2 and (
        any(map(str.isdigit, value)) or certainty == 3 or (kinds >= 3 and not _PATH.fullmatch(value))
    )


_YEAR = re.compile(r"(?:19|20)\d\d")
_WORDS_AND_NUMBER = re.compile(
    r"[A-Za-z]{4,}(?:[-.+][A-Za-z]{4,})+[-_.+]?\d{1,4}|[A-Z][a-z]{3,}(?:_[A-Z][a-z]{3,})+_?\d{1,4}"
)
"""As managers propose them: `winter-orange-48`."""


def is_made_up(value: str) -> bool:
    """A password and nothing else, whatever stands around it: all four classes, with a sign that people put into
    passwords and machines not into names. `Tiger!4821`."""
    return not _SIGNS.isdisjoint(value) and classes(value) == 4 and is_password(value, 0)


_SIGNS = frozenset("!@#$%^&*?")


def is_loud(value: str) -> bool:
    """A password in prose, where many other things stand: it has four digits, or characters of all four classes."""
    return is_password(value, 1) and (sum(map(str.isdigit, value)) >= 4 or classes(value) == 4)


def is_careless(value: str, digits: int = 2) -> bool:
    """A word and a number of that many digits or more, as people use it who do not care: `sunshine99`."""
    return (
        _CARELESS.fullmatch(value) is not None
        and sum(map(str.isdigit, value)) >= digits
        and not (is_other(value) or _NAME_AND_YEAR.fullmatch(value))
    )


_CARELESS = re.compile(r"[A-Za-z]{5,24}\d{2,6}[!?*]?")


def stands_out(value: str) -> bool:
    """A password even where no word tells: loud, or memorable; with a letter, which numbers of tickets have not."""
    if _NAME_AND_YEAR.fullmatch(value):
        return False
    return (is_loud(value) and any(map(str.isalpha, value))) or is_memorable(value)


_NAME_AND_YEAR = re.compile(r"[A-Za-z]+[-_.]?(?:19|20)\d\d(?:[01]\d[0-3]\d)?")
"""`Handbook2026`, `Invoice_20260301`."""


def is_memorable(value: str) -> bool:
    """Words and a number, as people and managers choose them."""
    return (_WORDS_AND_NUMBER.fullmatch(value) or _WORD_AND_NUMBER.fullmatch(value)) is not None


_WORD_AND_NUMBER = re.compile(r"[A-Z][a-z]{3,14}[_#@.-]\d{3,6}")
"""As people do: `River_4558`."""
_GROUPS = re.compile(r"[a-z]{4}(?:-[a-z]{4}){3}")
"""As Apple and Google do: `abcd-efgh-ijkl-mnop`."""


def _is_babble(value: str) -> bool:
    """Letters alone that nobody can pronounce."""
    letters = value.strip("!$%&*?#")
    return (
        len(letters) >= 8
        and letters.isascii()
        and letters.isalpha()
        and letters != letters.lower() != letters.upper() != letters
        and not letters.istitle()
        and _is_unpronounceable(letters)
    ) or (_GROUPS.fullmatch(value) is not None)


def is_key(value: str, certainty: int) -> bool:
    """Drawn by a machine, or made up where a machine should have drawn one."""
    if len(value) < 8 or is_placeholder(value) or is_other_key(value):
        return False
    if is_random(value, 8 if certainty >= 2 else 12):
        return True
    return is_password(value, 0)


_PAIRS_OF_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}:){5,}[0-9A-Fa-f]{2}")
_NAMED_HEX = re.compile(r"(?:[A-Za-z]\w{0,14}-){2,6}(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})")
"""Of what is in a cache: `v1-deps-` and a digest."""
_FILE = re.compile(r"(?:[\w.=-]+/){2,}[\w.=-]+\.[a-z][a-z0-9]{1,7}")
"""A path with an extension, whatever is drawn in it: base64 has no dots, and tokens no slashes."""
_FINGERPRINT = re.compile(r"(?:SHA(?:1|256|384|512)|MD5):[\w+/:=-]+", re.IGNORECASE)


def is_other_key(value: str) -> bool:
    return any(
        shape.fullmatch(value)
        for shape in (_DATE, _NUMBER, _VERSION, _CALL, _MAIL, _ADDRESS, _NAMED_HEX, _PAIRS_OF_HEX, _FINGERPRINT, _FILE)
    ) or (_URL.match(value) is not None or (_PATH.fullmatch(value) is not None and not is_random(value, 16)))


def is_code(value: str) -> bool:
    digits = value.strip("#*").translate(_NO_DIGITS)
    return digits.isdigit() and 3 <= len(digits) <= 10 and not _DATE.fullmatch(value)


_NO_DIGITS = str.maketrans("", "", "- ABCDEFКВ")
"""What codes of doors have besides."""


def is_wordy(value: str) -> bool:
    """Words and numbers joined by signs: `gpt-4o-mini`, `us-east-1`, `issue#1234`."""
    if classes(value) == 4 and any(char in "!@#$%^&*" for char in value):
        return False
    parts = [part for part in _JOINTS.split(value) if part]
    return len(parts) > 1 and all(_PART.fullmatch(part) and classes(part) < 3 for part in parts)


_JOINTS = re.compile(r"[-_./:#+~,]")
_PART = re.compile(r"[A-Za-z]{0,14}\d{0,8}|\d+[a-z]{1,3}|\d+[a-z]\d?")


_ENOUGH = 160
"""Characters that are looked at."""


def is_random(value: str, least: int = 16) -> bool:
    """Whether enough of it is drawn at random: letters and digits that change places too often for words."""
    begun = value[:_ENOUGH]
    return sum(len(run) for run in _RUN.findall(begun) if _is_drawn(run)) >= least and entropy(begun) >= 2.8


def _is_drawn(run: str) -> bool:
    if len(run) < 4:
        return False
    parts = _WORDS.findall(run)
    if run.isalpha():
        return len(run) >= 12 and _is_unpronounceable(run)
    if run.isdigit():
        return False
    if _HEX.fullmatch(run):
        return True
    changes = len(parts) - 1 + sum(_cases(part) for part in parts)
    return changes >= max(2, len(run) // 8)


def _cases(part: str) -> int:
    """How often small and capital letters change within, but for the hump that begins a word."""
    return len(_HUMP.findall(part))


def _is_unpronounceable(run: str) -> bool:
    vowels = sum(char in _VOWELS for char in run)
    longest = max(map(len, re.split("[aeiouyAEIOUY]", run)))
    return _cases(run) >= max(3, len(run) // 6) or vowels < len(run) * 0.2 or longest >= 7


def entropy(value: str) -> float:
    """Shannon's, in bits a character."""
    size = len(value)
    return -sum(n / size * log2(n / size) for n in Counter(value).values())


def _is_code(value: str) -> bool:
    return _CALL_OF.match(value) is not None or (
        _CALL.fullmatch(value) is not None and not any(char in "!@#$%^&*" for char in value)
    )
