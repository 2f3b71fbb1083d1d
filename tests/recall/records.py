"""Records and indexes to test recall with."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from memferry.model import Op, Put
from memferry.recall.base import CORE, Tier
from memferry.recall.index import Index
from memferry.recall.lookup import Filters, Reader
from memferry.recall.search import Hit, Searcher, Wanted


def put(seq: int, text: str, **fields: object) -> Put:
    """A ledger line; `fields` replace what a Put has, or stand in the record."""
    own = {name: fields.pop(name) for name in list(fields) if name in Put.__struct_fields__}
    said = json.dumps({"id": f"k{seq}", "text": text} | fields, ensure_ascii=False)
    values = {
        "hlc": f"{seq:016x}", "space": "s", "key": f"k{seq}", "file": "a.jsonl", "position": seq - 1, "format": "jsonl",
        "digest": hashlib.sha256(said.encode()).hexdigest(), "body": said,
    }  # fmt: skip
    return Put(seq, **(values | own))  # type: ignore[arg-type]


def document(seq: int, file: str, body: str, **own: object) -> Put:
    return put(seq, "", key=file, file=file, position=0, format="document", body=body, **own)


@contextlib.contextmanager
def indexed(path: Path, *ops: Op, machine: str = "ant", held: bool = False) -> Iterator[Index]:
    index = Index(path, held=held)
    try:
        index.add(machine, ops)
        yield index
    finally:
        index.close()


def search(
    paths: Path | Iterable[Path], query: str, *, limit: int = 10, tier: Tier = CORE, **filters: str
) -> list[Hit]:  # fmt: skip
    """What a new reader of these files finds."""
    readers = [Reader(path) for path in ([paths] if isinstance(paths, Path) else paths)]
    with contextlib.closing(Searcher(readers, tier)) as asked:
        return asked.search(Wanted(query, limit, Filters(**filters))).hits


def keys(hits: Iterable[Hit]) -> list[str]:
    return [hit.key for hit in hits]
