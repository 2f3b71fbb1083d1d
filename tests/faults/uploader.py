"""`python -m tests.faults.uploader SETTINGS SEED FIRST COUNT`: puts objects on a server until it is done or killed.

Prints a line for each one that was acknowledged. Every object carries its own proof: see `whole`.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys

from memferry.backends.ssh.config import Settings
from memferry.backends.ssh.store import SshStore

HEAD = "machines/head.json"


def value(seed: int, number: int) -> bytes:
    """Its SHA-256, then up to 200 kB of anything."""
    chance = random.Random(f"{seed}/{number}")
    content = chance.randbytes(chance.randrange(200_000))
    return hashlib.sha256(content).digest() + content


def whole(data: bytes) -> bool:
    """Whether no byte is missing or wrong."""
    return hashlib.sha256(data[32:]).digest() == data[:32]


def key(number: int) -> str:
    return f"machines/segments/{number:06}"


def main(settings: str, seed: int, first: int, count: int) -> None:
    store = SshStore(Settings(**json.loads(settings)))
    version = next((entry.version for entry in store.entries(HEAD)), None)
    for number in range(first, first + count):
        data = value(seed, number)
        store.put(key(number), data, if_version=None)
        version = store.put(HEAD, data, if_version=version)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
