"""Any ledger of JSON lines: `.jsonl`, `.ndjson`, and their `.gz` archives, read after decompression."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from memferry.formats.base import Kind
from memferry.formats.ledger import JsonLines

SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_ROTATED = re.compile(r"\.\d{1,6}(?=(\.gz)?$)")
"""What rotation adds to a ledger's name: `log.jsonl.1`, `log.jsonl.2.gz`."""

IDS = ("event_id", "uuid", "id")


def own_id(fields: Mapping[str, object]) -> str | None:
    """The first of the usual id fields that holds a text."""
    for name in IDS:
        value = fields.get(name)
        if type(value) is str and value:
            return value
    return None


class Jsonl:
    """Reads every file with a ledger's suffix."""

    name = "jsonl"

    def recognises(self, names: Sequence[str]) -> bool:
        return False

    def kind(self, file: str) -> Kind | None:
        return _KIND if _ROTATED.sub("", file.lower()).endswith(SUFFIXES) else None


_KIND = Kind(Jsonl.name, JsonLines(own_id))

FORMAT = Jsonl()
