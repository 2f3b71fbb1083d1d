"""An agent that appends to a ledger in fragments and may be killed anywhere:
`python -m tests.faults.writer FILE SEED FIRST COUNT PAUSE_S`."""

from __future__ import annotations

import os
import random
import sys
import time

from tests.faults.lines import joined, line

LONGEST = 4096


def write(path: str, seed: int, first: int, count: int, pause_s: float) -> None:
    """Lines `first`..`first + count`. Every fragment is one write; half of them go on at once."""
    chance = random.Random(f"{seed}/{first}/fragments")
    content = joined(line(seed, serial) for serial in range(first, first + count))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    at = 0
    while at < len(content):
        at += os.write(descriptor, content[at : at + chance.randint(1, LONGEST)])
        if chance.random() < 0.5:
            time.sleep(chance.random() * pause_s)
    os.close(descriptor)


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
