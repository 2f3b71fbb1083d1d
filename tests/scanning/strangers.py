"""Kinds that no rule was made for: `python -m tests.scanning.strangers [--half 1|2|3] [--seed N] [--each N]
[--examples]`.

They were written down, in `strange/`, before anybody tried them. How much of them was found at first sight, and of a
half when rules had been made from the other alone, is what to expect of kinds that nobody has thought of.
"""

from __future__ import annotations

import argparse
import base64
import random
import re
import string
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path

from tests.scanning.corpus import Case
from tests.scanning.measure import Figures, measure

HALVES = (1, 2)
LATER = 3
"""No half: what was written when rules had been made from both."""
SPLIT = 20261
"""The seed by which kinds are put into halves."""
_HERE = Path(__file__).parent / "strange"
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
_TOKEN = re.compile(r"\{([aAhXlumkdwbszq])(\d+)\}|\{(seedlines|seed|prose|bytes)(\d+)\}|\{(pwu|pw|uuid|jwt|Word)\}")
_NESTED = "{b64 "


def halves(name: str) -> Mapping[int, Mapping[str, str]]:
    """Of `secrets` or `harmless`: by half, the texts by their kinds."""
    kinds = _kinds(name)
    names = sorted(kinds)
    random.Random(f"{SPLIT}/{name}").shuffle(names)
    found = {half: {kind: kinds[kind] for kind in names[half - 1 :: 2]} for half in HALVES}
    return found | {LATER: _kinds(f"later-{name}")}


def _kinds(name: str) -> dict[str, str]:
    lines = (_HERE / f"{name}.txt").read_text("utf-8").splitlines()
    found = [line.partition(" | ") for line in lines if line and not line.startswith("#")]
    assert len({kind for kind, _, _ in found}) == len(found)
    return {kind: text.replace("\\n", "\n") for kind, _, text in found}


def made(half: int, seed: int, *, each: int = 4, harmless: int = 10) -> Iterator[Case]:
    """`each`: of a kind of secrets; `harmless`: of a kind of others."""
    dice = random.Random(f"{seed}/{half}")
    for group, name, count in (("unseen", "secrets", each), ("harmless", "harmless", harmless)):
        for kind, text in halves(name)[half].items():
            yield from (Case(group, kind, filled(text, dice)) for _ in range(count))


def filled(text: str, dice: random.Random) -> str:
    """With what is drawn in place of each `{...}`."""
    if (start := text.find(_NESTED)) >= 0:
        end = _closing(text, start)
        inner = filled(text[start + len(_NESTED) : end], dice)
        text = text[:start] + base64.b64encode(inner.encode()).decode() + text[end + 1 :]
        return filled(text, dice)
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
_WHOLE: Mapping[str, Callable[[random.Random], str]] = {
    "pw": _password,
    "pwu": lambda dice: _password(dice, "!$*"),
    "uuid": _uuid,
    "jwt": _jwt,
    "Word": lambda dice: dice.choice(_WORDS).capitalize(),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--half", type=int, choices=(*HALVES, LATER), action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--examples", action="store_true")
    arguments = parser.parse_args()
    passed = True
    for half in arguments.half or (*HALVES, LATER):
        figures = measure(list(made(half, arguments.seed, each=arguments.each, harmless=2 * arguments.each)))
        sys.stdout.write(
            f"half {half}, seed {arguments.seed}\n" + "\n".join(_table(figures, arguments.examples)) + "\n"
        )
        passed = passed and figures.passes
    return 0 if passed else 1


def _table(figures: Figures, examples: bool) -> Iterator[str]:
    yield from figures.table()
    if examples:
        yield from (f"  {key}: {case.value!r:.160}" for key, case in figures.examples.items())


if __name__ == "__main__":
    sys.exit(main())
