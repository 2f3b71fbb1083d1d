"""Syncs inside one process, without the start of a command, each beside a loop of os.stat over the same files.

`python inside.py CONFIG ROOT ROUNDS [LEDGER LINES]` prints one JSON object. With LEDGER, one line of the file LINES is
appended to it before each sync.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median

from memferry.agent.commands import verbs
from memferry.agent.service import opened
from memferry.config import load


def main(config: str, root: str, rounds: str, ledger: str = "", lines: str = "") -> dict[str, float]:
    """Medians in seconds."""
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
    more = _lines(lines) if lines else None
    stats: list[float] = []
    syncs: list[float] = []
    found: list[Mapping[str, object]] = []
    with opened(load(os.environ, file=config), "push") as agent:
        verbs.perform(agent, "push", {})
        for _ in range(int(rounds)):
            if more is not None:
                _append(ledger, next(more))
            stats.append(_timed(lambda: _stat(paths)))
            syncs.append(_timed(lambda: found.append(verbs.perform(agent, "push", {}))))
    return {"files": len(paths), "stat_s": median(stats), "sync_s": median(syncs), "new": sum(map(_new, found))}


def _new(report: Mapping[str, object]) -> int:
    """What a sync says it stored."""
    return int(str(report["new"]))


def _lines(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        yield from file


def _append(path: str, line: bytes) -> None:
    with open(path, "ab") as file:
        file.write(line)


def _stat(paths: list[str]) -> None:
    for path in paths:
        os.stat(path)


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
