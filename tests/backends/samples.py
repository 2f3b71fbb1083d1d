"""Operations, sealed as a journal seals them, and a journal in memory to repair from."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import zstandard

from memferry.backends.base import Entry, Store
from memferry.backends.encryption.keys import Keys
from memferry.model import Identity, Note, Op, Place, Put, Retract, Sealed

ME = Identity("a" * 32, "laptop", "epoch-1", "installation-1")
KEYS = Keys(Path("none of these tests needs keys"))
OTHER = Identity("b" * 32, "desktop", "epoch-9", "installation-9")


def put(seq: int, body: str | None = None, *, file: str = "log.jsonl", position: int | None = None, **more: str) -> Put:
    """A ledger line by default. `more`: key, space, format, base."""
    body = f'{{"id":"{seq}","text":"remember number {seq}"}}' if body is None else body
    digest = hashlib.sha256(body.encode()).hexdigest()
    position = seq - 1 if position is None else position
    return Put(
        seq, f"{seq:016x}", more.get("space", "notes"), more.get("key", digest), file, position, digest,
        more.get("format", "jsonl"), body, more.get("base"),
    )  # fmt: skip


def puts(first: int, last: int) -> list[Op]:
    return [put(seq) for seq in range(first, last + 1)]


def note(seq: int, file: str = "log.jsonl", **facts: object) -> Note:
    """Of a ledger by default."""
    told = {"op": "file", "seq": seq, "hlc": f"{seq:016x}", "space": "notes", "file": file, "format": "jsonl"}
    return msgspec.convert(told | facts, Note)


def place(seq: int, file: str, position: int, put: int, *, space: str = "notes") -> Place:
    return Place(seq, f"{seq:016x}", space, file, position, put)


def retract(seq: int, *seqs: int, machine: str = ME.id, space: str = "notes") -> Retract:
    return Retract(seq, f"{seq:016x}", space, tuple((machine, one) for one in seqs))


def temps_left(store: Store, root: Path, folder: str) -> set[str]:
    """Which of the temp files that crashes left in a folder, now and a while ago, a put there leaves."""
    now, hour_s = time.time_ns() / 1e9, 3600.0
    ages = {"now": 0.0, "an hour ago": hour_s, "two days ago": 48 * hour_s, "in two days": -48 * hour_s}
    (root / folder).mkdir(parents=True, exist_ok=True)
    temps = {age: root / folder / f".memferry-{number:016x}.tmp" for number, age in enumerate(ages)}
    for age, temp in temps.items():
        temp.write_bytes(b"half")
        os.utime(temp, (now, now - ages[age]))
    store.put(f"{folder}k", b"x", if_version=None)
    left = {age for age, temp in temps.items() if temp.exists()}
    for temp in temps.values():
        temp.unlink(missing_ok=True)
    return left


def seal(ops: Sequence[Op], machine: str = ME.id) -> Sealed:
    raw = msgspec.json.Encoder().encode_lines(ops)
    retracts = tuple(seq for op in ops if isinstance(op, Retract) for owner, seq in op.ops if owner == machine)
    frame = zstandard.ZstdCompressor(level=3).compress(raw)
    return Sealed(ops[0].seq, ops[-1].seq, len(ops), len(raw), frame, retracts)


def unseal(sealed: Sealed) -> list[Op]:
    raw = zstandard.ZstdDecompressor().decompress(sealed.frame, max_output_size=sealed.raw_bytes)
    return msgspec.json.Decoder(Op).decode_lines(raw)


class Journal:
    """Rows of sealed operations; `withdraw` takes some out, as a journal does before it delivers the retraction."""

    def __init__(self, rows: Iterable[Sealed] = ()) -> None:
        self.rows = list(rows)

    def sealed(self, first: int, last: int) -> Iterator[Sealed]:
        return (row for row in self.rows if row.first <= last and row.last >= first)

    def withdraw(self, seqs: Iterable[int]) -> None:
        doomed = frozenset(seqs)
        kept = [[op for op in unseal(row) if op.seq not in doomed] for row in self.rows]
        self.rows = [seal(ops) for ops in kept if ops]

    @property
    def ops(self) -> list[Op]:
        return [op for row in self.rows for op in unseal(row)]


def contents(folder: Path) -> Mapping[str, bytes]:
    """All files of a folder, by path below it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def unpacked(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()


def holds(tree: Mapping[str, bytes], text: bytes) -> list[str]:
    """Files in which `text` lies, raw or compressed."""
    return [name for name, data in tree.items() if text in data or (name.endswith(".zst") and text in unpacked(data))]


def entry(store: Store, key: str) -> Entry | None:
    return next((one for one in store.entries(key) if one.key == key), None)
