"""Many processes that learn at once, each entry durable before the next.

`python learning.py FOLDER WRITERS EACH` prints one JSON object. Linux and macOS.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from memferry.memory import arrays, drafts, entries


def main(folder: str, writers: str, each: str) -> dict[str, float]:
    """How long all of them took, in seconds, and how many entries there are afterwards."""
    topic = entries.Topic(Path(folder), "load.json")
    started = time.perf_counter()
    for writer in range(int(writers)):
        if os.fork() == 0:
            _learn(topic, writer, int(each))
    failed = sum(os.wait()[1] != 0 for _ in range(int(writers)))
    seconds = time.perf_counter() - started
    found = {entry["content"] for entry in arrays.entries(topic.path.read_bytes(), topic.path)}
    return {"seconds": seconds, "entries": len(found), "failed": failed}


def _learn(topic: entries.Topic, writer: int, each: int) -> NoReturn:
    failed = True
    try:
        for n in range(each):
            text = f"Writer {writer} found out thing {n}, which is worth keeping for those who come later."
            entries.add(topic, drafts.entry_of(drafts.Draft(text), time.time(), os.urandom(6)))
        failed = False
    finally:
        os._exit(failed)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
