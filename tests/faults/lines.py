"""What the faults are tried on: entries with serial numbers, some of them private with a canary. Pure: the same seed
and serial give the same bytes in every process."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

WORDS = 10
LETTERS = "bcfghjlmnqrvxz"
"""Of which no word is made that tells of a secret, such as `pwd`: with a number behind it, it would be held as one."""
CANARY = "canary"


@lru_cache(maxsize=1 << 18)
def is_private(seed: int, serial: int, percent: int = 5) -> bool:
    return random.Random(f"{seed}/{serial}/who").random() * 100 < percent


@lru_cache(maxsize=1 << 18)
def line(seed: int, serial: int, revision: int = 0, *, private: bool | None = None) -> str:
    """The entry number `serial`. No two share a word, so that nothing but its own label can hold it."""
    chance = random.Random(f"{seed}/{serial}/{revision}")
    held = is_private(seed, serial) if private is None else private
    words = " ".join("".join(chance.choices(LETTERS, k=8)) for _ in range(WORDS))
    mark = CANARY if held else "public"
    return json.dumps(
        {
            "id": f"entry-{serial:08d}",
            "visibility": "private" if held else "project",
            "revision": revision,
            "text": f"{words} {mark}{chance.getrandbits(128):032x}",
        }
    )


@dataclass
class Book:
    """Everything that was generated in one run. `public`, `private`: lines (or documents) as they were written."""

    seed: int
    serial: int = 0
    public: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)

    def next(self, count: int, *, private: bool | None = None) -> list[str]:
        """The next `count` entries."""
        lines = []
        for _ in range(count):
            lines.append(self.entry(self.serial, private=private))
            self.serial += 1
        return lines

    def entry(self, serial: int, revision: int = 0, *, private: bool | None = None) -> str:
        one = line(self.seed, serial, revision, private=private)
        (self.private if f" {CANARY}" in one else self.public).add(one)
        return one

    def cleared(self, lines: Iterable[str]) -> set[str]:
        """Those of `lines` that are to be carried."""
        return self.public.intersection(lines)


def joined(lines: Iterable[str]) -> bytes:
    return "".join(f"{one}\n" for one in lines).encode()
