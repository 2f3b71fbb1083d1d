"""Material to measure with: the same seed gives the same bytes. Standard library only."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

WORDS = """agent memory sync watch file append offset checkpoint queue backend vector embedding policy redact
scope project session user tool result error retry timeout deploy build test release branch commit merge
review database schema index query latency throughput cache token budget model prompt context summary plan
decision preference convention style python asyncio socket sqlite postgres qdrant remote server client key
rotate secret vault config yaml json line record segment manifest durable atomic rename fsync crash recover
customer invoice ticket calendar meeting travel recipe garden music reading exercise language travelled notes
always never prefers dislikes uses wants asked agreed refused measured observed learned fixed broke improved
the a of to in on with for from by at as is was be has had will would should could may not and or but when""".split()  # noqa: SIM905  # a list of 120 strings is no easier to read
TAGS = WORDS[:70]
TYPES = ("fact", "decision", "preference", "episode", "task", "error", "procedure", "summary")
SCOPES = ("user", "project/alpha", "project/beta", "project/gamma", "session", "org", "agent/coder", "agent/research")
SENSITIVITIES = ("public", "internal", "internal", "internal", "confidential", "restricted")
"""A third of the records is held: `confidential` and `restricted`."""

FIRST_DAY = 1_760_000_000
FILES_IN_A_FOLDER = 100


def record(number: int, dice: random.Random) -> bytes:
    """One ledger line of about 560 bytes, newline included. `hash`: SHA-256 of the line without it."""
    fields = {
        "id": f"mem_{number:09d}_{dice.getrandbits(64):016x}",
        "type": dice.choice(TYPES),
        "scope": dice.choice(SCOPES),
        "ts": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(FIRST_DAY + number * 7 + dice.randint(0, 6))),
        "summary": " ".join(dice.choices(WORDS, k=dice.randint(36, 58))),
        "tags": sorted(set(dice.choices(TAGS, k=dice.randint(2, 5)))),
        "sensitivity": dice.choice(SENSITIVITIES),
    }
    text = json.dumps(fields, separators=(",", ":"))
    return f'{text[:-1]},"hash":"{hashlib.sha256(text.encode()).hexdigest()}"}}\n'.encode()


def records(seed: int) -> Iterator[bytes]:
    """Lines without end."""
    dice = random.Random(seed)
    number = 0
    while True:
        yield record(number, dice)
        number += 1


def cleared(seed: int) -> Iterator[bytes]:
    """Lines without end, none of which is held, and none of which `records` has."""
    dice = random.Random(f"cleared {seed}")
    number = 500_000_000
    while True:
        line = record(number, dice)
        if b'"confidential"' not in line and b'"restricted"' not in line:
            yield line
        number += 1


def write_ledger(path: Path, count: int, *, seed: int = 1) -> None:
    """A ledger of `count` records."""
    lines = records(seed)
    with open(path, "wb", buffering=1 << 20) as file:
        file.writelines(islice(lines, count))


def write_notes(root: Path, count: int, *, seed: int = 1) -> None:
    """A tree of `count` Markdown notes of about 500 bytes, a hundred to a folder."""
    dice = random.Random(seed)
    for number in range(count):
        folder = root / f"{number // FILES_IN_A_FOLDER:03d}"
        if number % FILES_IN_A_FOLDER == 0:
            folder.mkdir(parents=True)
        paragraphs = (" ".join(dice.choices(WORDS, k=dice.randint(20, 40))) for _ in range(3))
        (folder / f"note-{number:06d}.md").write_text(f"# Note {number}\n\n" + "\n\n".join(paragraphs) + "\n")


def write_topic(path: Path, count: int, *, seed: int = 1) -> None:
    """An array of `count` entries, as agents learn them."""
    dice = random.Random(seed)
    entries = [
        {"id": f"fac-20261101120000-{number:012x}", "type": "fact", "content": " ".join(dice.choices(WORDS, k=20)),
         "importance": 0.7, "sensitivity": "internal", "created_at": "2026-11-01T12:00:00Z"}
        for number in range(count)
    ]  # fmt: skip
    path.write_text(json.dumps(entries, indent=2))
