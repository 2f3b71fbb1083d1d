"""Texts with what is drawn at random in place of each `{...}`: see strange/secrets.txt."""

from __future__ import annotations

import base64
import codecs
import random
import re
import string
import urllib.parse
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources

_LETTERS = string.ascii_letters + string.digits
_ALPHABETS: Mapping[str, str] = {
    "a": _LETTERS, "h": "0123456789abcdef", "X": "0123456789ABCDEF", "l": string.ascii_lowercase,
    "u": string.ascii_uppercase,
    "m": string.ascii_uppercase + string.digits, "k": string.ascii_lowercase + string.digits, "d": string.digits,
    "w": _LETTERS + "-_", "b": _LETTERS + "+/", "s": string.ascii_uppercase + "234567",
    "q": "qpzry9x8gf2tvdw0s3jn54khce6mua7l", "z": "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
}  # fmt: skip
_WORDS = (
    "harbor",
    "lantern",
    "meadow",
    "copper",
    "falcon",
    "winter",
    "sparrow",
    "granite",
    "violet",
    "thunder",
    "maple",
)
_PROSE = (
    "we",
    "went",
    "there",
    "and",
    "bought",
    "some",
    "fresh",
    "bread",
    "with",
    "cheese",
    "before",
    "it",
    "was",
    "closed",
)
_TOKEN = re.compile(
    r"\{([aAhXlumkdwbszq])(\d+)\}|\{(seedlines|seed|prose|bytes)(\d+)\}|\{(pwu|pw|uuid|jwt|Word|weak)\}"
)


def filled(text: str, dice: random.Random) -> str:
    """With what is drawn in place of each `{...}`."""
    if found := _NESTED.search(text):
        end = _closing(text, found.start())
        inner = filled(text[found.end() : end], dice)
        return filled(text[: found.start()] + _DRESSES[found[1]](inner) + text[end + 1 :], dice)
    return _TOKEN.sub(lambda found: _drawn(found, dice), text)


def _closing(text: str, start: int) -> int:
    depth = 0
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise ValueError(f"not closed: {text}")


def _drawn(found: re.Match[str], dice: random.Random) -> str:
    letter, size, row, count, what = found.groups()
    if letter:
        return "".join(dice.choices(_ALPHABETS[letter], k=int(size)))
    return _ROWS[row](dice, int(count)) if row else _WHOLE[what](dice)


@cache
def phrase_words() -> tuple[str, ...]:
    """BIP 39's, English."""
    folder = resources.files("memferry.policies.secrets") / "data"
    return tuple((folder / "bip39-english.txt").read_text("ascii").split())


def _password(dice: random.Random, signs: str = "!#$%&*?+") -> str:
    word, other = dice.sample(_WORDS, 2)
    return dice.choice([
        f"{word.capitalize()}{dice.choice(signs)}{dice.randrange(10, 9999)}",
        f"{word.capitalize()}{dice.randrange(1950, 2030)}!",
        f"{word.capitalize()}_{dice.randrange(1000, 9999)}",
        f"{word}{other}{dice.randrange(10, 999)}",
        f"{word.capitalize()}-{other.capitalize()}-{dice.randrange(10, 99)}",
        "".join(dice.choices(_LETTERS, k=14)),
        word.translate(str.maketrans("aeio", "43!0")).capitalize() + str(dice.randrange(10, 999)),
        f"{dice.choice(signs)}{word[:3].upper()}{other}{dice.randrange(10, 99)}",
        f"{''.join(dice.choices(_LETTERS, k=9))}{dice.choice(signs)}{dice.randrange(10)}x",
        f"{word}{dice.randrange(10**5, 10**6)}",
    ])  # fmt: skip


def _uuid(dice: random.Random) -> str:
    text = f"{dice.getrandbits(128):032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _jwt(dice: random.Random) -> str:
    parts = (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"%d","iat":17}' % dice.randrange(10**9), dice.randbytes(32))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


_ROWS: Mapping[str, Callable[[random.Random, int], str]] = {
    "seed": lambda dice, count: " ".join(dice.sample(phrase_words(), count)),
    "seedlines": lambda dice, count: "\n".join(dice.sample(phrase_words(), count)),
    "prose": lambda dice, count: " ".join(dice.choices(_PROSE, k=count)),
    "bytes": lambda dice, count: ",".join(str(dice.randrange(256)) for _ in range(count)),
}
_CARELESS = (
    "sunshine99", "letmein1", "iloveyou2", "qwertz123", "bailey2014", "Summer2024", "hallo123", "dragon77", "mittens",
    "abc12345", "Liverpool1", "butterfly", "19870412", "welcome1", "fluffy08", "schatzi1", "monkey12", "12345678",
)  # fmt: skip
_WHOLE: Mapping[str, Callable[[random.Random], str]] = {
    "weak": lambda dice: dice.choice(_CARELESS),
    "pw": _password,
    "pwu": lambda dice: _password(dice, "!$*"),
    "uuid": _uuid,
    "jwt": _jwt,
    "Word": lambda dice: dice.choice(_WORDS).capitalize(),
}


# -- disguises


def _pieces(text: str, size: int = 7) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _spelled(text: str) -> str:
    names = {
        "!": "exclamation mark",
        "#": "hash",
        "$": "dollar",
        "%": "percent",
        "&": "and",
        "*": "star",
        "_": "underscore",
    }
    return " ".join(f"capital {char}" if char.isupper() else names.get(char, char) for char in text)


_DRESSES: Mapping[str, Callable[[str], str]] = {
    "b64": lambda text: base64.b64encode(text.encode()).decode(),
    "b32": lambda text: base64.b32encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "hexsp": lambda text: text.encode().hex(" "),
    "codes": lambda text: ", ".join(str(ord(char)) for char in text),
    "rot": lambda text: codecs.encode(text, "rot13"),
    "rev": lambda text: text[::-1],
    "spaced": " ".join,
    "dash": "-".join,
    "join": lambda text: '", "'.join(_pieces(text)),
    "php": lambda text: " . ".join(f"'{piece}'" for piece in _pieces(text)),
    "amp": lambda text: " & ".join(f'"{piece}"' for piece in _pieces(text)),
    "implicit": lambda text: "\n    ".join(f'"{piece}"' for piece in _pieces(text)),
    "cont": lambda text: "\\\n".join(_pieces(text, 16)),
    "lines": lambda text: "\n".join(_pieces(text, 20)),
    "qp": lambda text: "=\n".join(_pieces(text, 12)),
    "pct": lambda text: urllib.parse.quote(text, safe="").replace("o", "%6F"),
    "pct2": lambda text: "".join(f"%25{ord(char):02X}" for char in text),
    "ent": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "uni": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "zw": "\u200b".join,
    "wide": lambda text: "".join(chr(ord(char) + 0xFEE0) for char in text),
    "spell": _spelled,
}
"""What hides what stands in its braces: `{rot ghp_{a36}}`."""
_NESTED = re.compile(rf"\{{({'|'.join(_DRESSES)}) ")
