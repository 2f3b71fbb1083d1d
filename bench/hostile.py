"""Records that are made to take long, of any size: what each is made of, by name. Standard library only.

Every text comes as a document and as the string of a ledger line; what only JSON can do comes as a line.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

SIZE = 1_000_000
"""Bytes, about."""
DRAWN = 8
"""Of a text, an eighth is drawn at random, and then repeated."""
_LETTERS = string.ascii_letters + string.digits
_LINE_BREAKS = 76

Make: TypeAlias = Callable[[random.Random, int], str]
"""A text of about as many bytes of UTF-8."""


class Hostile(NamedTuple):
    """`file`: whose name says how it is read. `body`: of about as many bytes as were asked for."""

    name: str
    file: str
    body: bytes


def _drawn(dice: random.Random, size: int, letters: str = _LETTERS) -> str:
    return "".join(dice.choices(letters, k=size))


def _each(make: Callable[[random.Random], str]) -> Make:
    """Pieces, each drawn anew, and all of them again until it is large enough."""

    def text(dice: random.Random, bytes_: int) -> str:
        pieces: list[str] = []
        size = 0
        while size < bytes_ // DRAWN:
            pieces.append(make(dice))
            size += len(pieces[-1].encode())
        return "".join(pieces) * max(1, bytes_ // size)

    return text


def _same(piece: str) -> Make:
    """One piece, until it is large enough."""
    return lambda dice, size: piece * (size // len(piece.encode()))


def _wrapped(text: str) -> str:
    return "\n".join(text[at : at + _LINE_BREAKS] for at in range(0, len(text), _LINE_BREAKS))


def _encoded(dice: random.Random, size: int, times: int) -> str:
    """Words in base64, in base64, ..."""
    raw = _prose(dice, size).encode()[: int(size * 0.75**times)]
    for _ in range(times):
        raw = base64.b64encode(raw)
    return raw.decode()


_WORDS = (
    "the",
    "of",
    "agent",
    "notes",
    "queue",
    "window",
    "harbor",
    "lantern",
    "meadow",
    "copper",
    "falcon",
    "sparrow",
)
_CHINESE = "我们昨天决定把队列保持简短因为上一个版本在登录时出错所以每次提交之前都要运行测试并且用户喜欢简短的回答"
_prose = _each(lambda dice: f"{dice.choice(_WORDS)} ")

TEXTS: Mapping[str, Make] = {
    # -- one thing, over and over
    "one letter": _same("a"),
    "one digit": _same("7"),
    "spaces": _same(" "),
    "empty lines": _same("\n"),
    "quotes": _same('"'),
    "single quotes": _same("'"),
    "backslashes": _same("\\"),
    "colons": _same(":"),
    "equals signs": _same("="),
    "hyphens": _same("-"),
    "brackets": _same("<[{('\""),
    "zero-width": _same("\u200b"),
    "zero-width among letters": _same("a\u200b"),
    "look-alikes": _same("а1b"),
    "full width": _same("ａ１Ｂ"),
    "mathematical letters": _same("𝐩𝐚𝐬𝐬"),
    "combining marks": _same("a\u0301\u0302"),
    "escapes": _same("\\u0041"),
    "escapes of escapes": _same("\\\\u005cu0041"),
    "percent": _same("%41"),
    "percent of percent": _same("%2541"),
    "HTML entities": _same("&#65;"),
    "quoted-printable": _same("=41=42\n"),
    "one random run": _same("a1B"),
    "private marks": _same("<privat>"),
    # -- that announces a secret
    "password=": _same("password="),
    "password: ": _same("password: "),
    "password is": _same("the password is "),
    "key=": _same("key="),
    "secrets in Chinese": _same("密码是"),
    "secrets in Russian": _same("пароль: "),
    "telling words in quotes": _same('"password" "token" '),
    "value before word": _same("is x1y2 the key "),
    "headers of keys": _same("-----BEGIN PRIVATE KEY-----"),
    "headers of keys by line": _same("-----BEGIN RSA PRIVATE KEY-----\n"),
    "logins": _same("user a:"),
    "curl": _same("curl -u a:b "),
    "addresses": _same("://a:b@"),
    "query keys": _same("?key=a&"),
    "basic": _same("Basic YWJj "),
    "hints of formats": _same("sk- ghp_ xoxb- eyJ SG. AKIA hvs. key- -us1 "),
    "one key behind a word": lambda dice, size: f"password x1{' ' * size}",
    # -- drawn at random
    "letters and digits": _each(lambda dice: _drawn(dice, 1000)),
    "many short runs": _each(lambda dice: _drawn(dice, 30) + " "),
    "runs that just miss": _each(lambda dice: _drawn(dice, 23) + " "),
    "hex": _each(lambda dice: _drawn(dice, 1000, "0123456789abcdef")),
    "hex in pairs": _each(lambda dice: f"{dice.randrange(0x20, 0x7F):02x} "),
    "base64": _each(lambda dice: base64.b64encode(dice.randbytes(3000)).decode()),
    "base64 by line": lambda dice, size: _wrapped(base64.b64encode(dice.randbytes(size * 74 // 100)).decode()),
    "text in base64": lambda dice, size: _encoded(dice, size, 1),
    "text in base64 by line": lambda dice, size: _wrapped(_encoded(dice, size, 1)),
    "text in base64 four times": lambda dice, size: _encoded(dice, size, 4),
    "many texts in base64": _each(lambda dice: base64.b64encode(_drawn(dice, 15, "abcdef ").encode()).decode() + " "),
    "texts in hex": _each(lambda dice: _drawn(dice, 20).encode().hex() + " "),
    "almost GitHub tokens": _each(lambda dice: f"ghp_{_drawn(dice, 29)} "),
    "almost AWS keys": _each(lambda dice: f"AKIA{_drawn(dice, 15, string.ascii_uppercase)} "),
    "almost web tokens": _each(lambda dice: f"eyJ{_drawn(dice, 7)}.eyJ{_drawn(dice, 5)}. "),
    "almost wallets": _each(lambda dice: f"5{_drawn(dice, 49, '23456789ABCDEFGHJKLMNPQRSTUVWXYZ')} "),
    "GitHub tokens": _each(lambda dice: f"ghp_{_drawn(dice, 36)} "),
    "passwords": _each(lambda dice: f"password: {_drawn(dice, 8)}! "),
    "placeholders": _each(lambda dice: f"API_KEY=${{{_drawn(dice, 6, string.ascii_uppercase)}}}\n"),
    "identifiers": _each(lambda dice: f"{dice.getrandbits(128):032x} token "),
    "numbers": _each(lambda dice: f"{dice.randrange(10**9)} "),
    "numbers of cards": _each(lambda dice: f"4539 1488 {dice.randrange(10**4):04d} {dice.randrange(10**4):04d}, "),
    "addresses of pages": _each(lambda dice: f"https://example.net/{_drawn(dice, 12)}?page={dice.randrange(99)} "),
    "addresses of people": _each(lambda dice: f"{_drawn(dice, 6)}@{_drawn(dice, 5)}.example.net "),
    "paths": _each(lambda dice: f"/home/ann/{_drawn(dice, 8)}/{_drawn(dice, 5)}.py:{dice.randrange(99)}\n"),
    "concatenated strings": _each(lambda dice: f'"{_drawn(dice, 6)}" + '),
    "a table": _each(lambda dice: f"| {_drawn(dice, 4)} | token | {dice.randrange(99)} |\n"),
    "code": _each(lambda dice: f"key_{dice.randrange(99)} = settings.get('{_drawn(dice, 5)}')  # token\n"),
    # -- written by people
    "prose": _prose,
    "one long word": _each(lambda dice: dice.choice(_WORDS)),
    "words of four letters": _each(lambda dice: f"{_drawn(dice, 4, string.ascii_lowercase)} "),
    "Chinese": _same(_CHINESE),
    "Chinese, drawn": _each(lambda dice: "".join(dice.choices(_CHINESE, k=300))),
    "clauses": _each(lambda dice: f"{dice.choice(_WORDS)}. "),
    "letters that anchor": _same("v"),
    "links": _each(lambda dice: f"[{dice.choice(_WORDS)}](https://example.net/{dice.randrange(99)}) "),
    "ids of entries": _each(lambda dice: f"evt_{dice.getrandbits(64):016x} "),
}  # fmt: skip


def _nested(opening: str, closing: str, depth: int, inner: str) -> str:
    return opening * depth + inner + closing * depth


def _object(pairs: Iterator[tuple[str, object]]) -> str:
    return json.dumps(dict(pairs))


SHAPES: Mapping[str, Make] = {
    "lists in lists": lambda dice, size: '{"a":' + _nested("[", "]", size // 2, "1") + "}",
    "objects in objects": lambda dice, size: _nested('{"a":', "}", size // 6, "1"),
    "as deep as is read": lambda dice, size: '{"a":' + _nested("[", "]", 60, f'"{_prose(dice, size)}"') + "}",
    "many strings": lambda dice, size: json.dumps({"a": [_drawn(dice, 8) for _ in range(size // 12)]}),
    "many short strings": lambda dice, size: json.dumps({"a": ["a1" for _ in range(size // 6)]}),
    "many numbers": lambda dice, size: json.dumps({"a": [dice.randrange(10**6) for _ in range(size // 8)]}),
    "many keys": lambda dice, size: _object((_drawn(dice, 9), n) for n in range(size // 20)),
    "many telling keys": lambda dice, size: _object((f"token_{n}", "x") for n in range(size // 20)),
    "many passwords by name": lambda dice, size: _object((f"password_{n}", "sunshine") for n in range(size // 30)),
    "many objects": lambda dice, size: json.dumps({"a": [{"name": "x", "value": 1} for _ in range(size // 26)]}),
    "many empty objects": lambda dice, size: json.dumps({"a": [{} for _ in range(size // 4)]}),
    "many names of records": lambda dice, size: json.dumps({"refs": [_drawn(dice, 12) for _ in range(size // 16)]}),
    "many kinds of objects": lambda dice, size: json.dumps({"a": [{_drawn(dice, 6): 1} for _ in range(size // 13)]}),
    "one key of a megabyte": lambda dice, size: json.dumps({_prose(dice, size): 1}),
    "escapes of JSON": lambda dice, size: '{"a":"' + "\\u0070" * (size // 6) + '"}',
    "escaped quotes": lambda dice, size: '{"a":"' + '\\"' * (size // 2) + '"}',
    "a line in a line in a line": lambda dice, size: json.dumps({"a": json.dumps(json.dumps('x"' * (size // 12)))}),
}  # fmt: skip
"""What only JSON can do: whole lines."""


def records(size: int = SIZE, seed: int = 1) -> Iterator[Hostile]:
    """All of them, each of about as many bytes; the same seed gives the same."""
    dice = random.Random(seed)
    for name, make in TEXTS.items():
        text = make(dice, size)
        yield Hostile(f"{name}, document", "notes/hostile.md", text.encode())
        line = json.dumps({"id": "h", "text": text}, ensure_ascii=False)
        yield Hostile(f"{name}, line", "log.jsonl", line.encode() + b"\n")
    for name, make in SHAPES.items():
        yield Hostile(f"{name}, line", "log.jsonl", make(dice, size).encode() + b"\n")
