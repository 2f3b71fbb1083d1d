"""The full chain of policies inside one process: how many records it judges, and how long one takes that is hostile.

`python judging.py LEDGER HOSTILE_BYTES` prints one JSON object. Seconds are the processor's, without the collection of
cycles, which a sync switches off, too.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from memferry.formats import document
from memferry.formats.jsonl import own_id
from memferry.formats.ledger import JsonLines
from memferry.keys import Fingerprinter
from memferry.model import Record, Source
from memferry.policies import secrets
from memferry.policies.base import Held, Kept
from memferry.policies.chain import judge
from memferry.policies.desk import Desk

sys.path.insert(0, str(Path(__file__).parent.parent))  # this runs as a program of its own
from bench import hostile

BATCH_BYTES = 1 << 20
FINGERPRINT = Fingerprinter(bytes(32))
DESK = Desk(search=secrets.search)


class _Held:
    """The memory of a sync: the first one, or behind others that held something which nobody repeats."""

    def __init__(self, *, something: bool) -> None:
        self._something = something

    def held_ids(self, ids: Collection[int]) -> Mapping[int, Collection[int]]:
        return {}

    def has_passages(self) -> bool:
        return self._something

    def passages(self, marks: Collection[int]) -> Mapping[int, Sequence[tuple[int, int, int]]]:
        return {}


def main(ledger: str, hostile_bytes: str) -> dict[str, Any]:
    """`judged`, `decoded`: seconds of all records, judged and merely decoded and hashed. `hostile`: name -> [the rule
    that holds it, seconds while nothing is held, seconds once something is]."""
    gc.disable()
    batches = list(_batches(Path(ledger)))
    _judged(_records("log.jsonl", batches[0]))  # what is built once
    _hostile(hostile.Hostile("none", "notes/first.md", b"A first note."))
    parsed = [_records("log.jsonl", batch) for batch in batches]
    decoded = _timed(lambda: list(map(_decoded, batches)))
    judged = _timed(lambda: list(map(_judged, parsed)))
    return {
        "records": sum(map(len, parsed)),
        "decoded": decoded,
        "judged": judged,
        "hostile": {one.name: _hostile(one) for one in hostile.records(int(hostile_bytes))},
    }


def _batches(ledger: Path) -> Iterator[bytes]:
    """Whole lines, about as many bytes as are read at once."""
    rest = ledger.read_bytes()
    while rest:
        end = rest.rfind(b"\n", 0, BATCH_BYTES) + 1 or len(rest)
        yield rest[:end]
        rest = rest[end:]


def _records(file: str, content: bytes) -> Sequence[Record]:
    if file.endswith(".md"):
        return document.Documents().parse(Source("bench", file, "document"), content).records
    return JsonLines(own_id).parse(Source("bench", file, "jsonl"), content, 0)


def _decoded(batch: bytes) -> list[bytes]:
    return [hashlib.sha256(line).digest() for line in batch.splitlines() if msgspec.json.decode(line)]


def _judged(records: Sequence[Record], *, something_held: bool = True) -> list[Kept | Held]:
    return judge(records, _Held(something=something_held), FINGERPRINT, desk=DESK)


def _hostile(one: hostile.Hostile) -> tuple[str, float, float]:
    records = _records(one.file, one.body)
    verdicts: list[Kept | Held] = []
    first = _timed(lambda: verdicts.extend(_judged(records, something_held=False)))
    later = _timed(lambda: _judged(records))
    return next((found.verdict.rule for found in verdicts if isinstance(found, Held)), ""), first, later


def _timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
