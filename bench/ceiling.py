"""How fast one core of this machine goes through the stages of a cold sync at all: the reference for it.

`python ceiling.py LEDGER FOLDER` prints one JSON object. Read 1 MiB -> look for secrets with the engine that memferry
uses -> split into lines -> decode -> look at one label -> SHA-256 -> a set of digests -> seal 4 MiB with zstd -3 ->
write, fsync, rename -> one row with the offset in SQLite (WAL, synchronous=FULL). It keeps nothing that a later sync
would need, and of what is found it only counts how much that is.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import zstandard
from kingfisher_sdk import Scanner

READ_BYTES = 1 << 20
SEGMENT_BYTES = 4 << 20
HELD = frozenset({"confidential", "restricted"})


class Line(msgspec.Struct, gc=False):
    """The shape of bench.corpus, which a decoder may know beforehand here."""

    id: str
    type: str
    scope: str
    ts: str
    summary: str
    tags: list[str]
    sensitivity: str
    hash: str


def run(ledger: Path, folder: Path) -> dict[str, float]:
    """Records and bytes gone through, the seconds it took and those that the processor worked."""
    checkpoint = _checkpoint(folder)
    sealer, engine = zstandard.ZstdCompressor(level=3), Scanner()
    engine.scan(b"what it loads, it loads now")
    seen: set[bytes] = set()
    kept: list[bytes] = []
    records = size = read = found = 0
    started, worked = time.perf_counter(), time.process_time()
    for chunk, read in _chunks(ledger):
        found += len(engine.scan(chunk))
        lines = chunk.split(b"\n")
        records += len(lines)
        fresh = _cleared(lines, seen)
        kept += fresh
        size += sum(map(len, fresh))
        if size >= SEGMENT_BYTES:
            _seal(kept, sealer, folder)
            checkpoint.execute("insert into segment(offset, records) values(?, ?)", (read, len(kept)))
            kept, size = [], 0
    if kept:
        _seal(kept, sealer, folder)
        checkpoint.execute("insert into segment(offset, records) values(?, ?)", (read, len(kept)))
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - worked
    checkpoint.close()
    return {"records": records, "bytes": read, "found": found, "seconds": seconds, "cpu_s": cpu_s}


def _chunks(ledger: Path) -> Iterator[tuple[bytes, int]]:
    """Whole lines, the last one's newline left out, and how many bytes of the file were read up to them."""
    rest, read = b"", 0
    with open(ledger, "rb", buffering=0) as file:
        while part := file.read(READ_BYTES):
            read += len(part)
            whole, ended, rest = (rest + part).rpartition(b"\n")
            if ended:
                yield whole, read


_decode = msgspec.json.Decoder(Line).decode


def _cleared(lines: list[bytes], seen: set[bytes]) -> list[bytes]:
    fresh = []
    for line in lines:
        if _decode(line).sensitivity in HELD:
            continue
        digest = hashlib.sha256(line).digest()
        if digest not in seen:
            seen.add(digest)
            fresh.append(line)
    return fresh


def _seal(lines: list[bytes], sealer: zstandard.ZstdCompressor, folder: Path) -> None:
    frame = sealer.compress(b"\n".join(lines))
    path = folder / f"{hashlib.sha256(frame).hexdigest()}.zst"
    with open(path.with_suffix(".tmp"), "wb") as file:
        file.write(frame)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path.with_suffix(".tmp"), path)


def _checkpoint(folder: Path) -> sqlite3.Connection:
    database = sqlite3.connect(folder / "checkpoint.db", isolation_level=None)
    for statement in (
        "pragma journal_mode = wal",
        "pragma synchronous = full",
        "create table segment(id integer primary key, offset integer, records integer)",
    ):
        database.execute(statement)
    return database


if __name__ == "__main__":
    json.dump(run(Path(sys.argv[1]), Path(sys.argv[2])), sys.stdout)
