"""What several tests of the policies need: records from text, and a memory of what is held."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from memferry.formats import diasync, document, entries, jsonl
from memferry.keys import Fingerprinter
from memferry.model import Record, Source
from memferry.policies.base import Held, Kept
from memferry.policies.chain import judge
from memferry.policies.contents import contents_of

FINGERPRINT = Fingerprinter(b"a secret of thirty-two bytes ...")

PROSE = (
    "The delivery van leaves the warehouse at six every evening and its driver keeps the spare key"
    " under the third flower pot beside the back door of the old bakery on Mill Lane"
)


class MemoryKnown:
    """What was held before, as the state would answer."""

    def __init__(self) -> None:
        self.ids: dict[int, set[int]] = defaultdict(set)
        self.by_mark: dict[int, list[tuple[int, int, int]]] = defaultdict(list)

    def held_ids(self, ids: Collection[int]) -> Mapping[int, Collection[int]]:
        return {id_: self.ids[id_] for id_ in ids if id_ in self.ids}

    def has_passages(self) -> bool:
        return bool(self.by_mark)

    def passages(self, marks: Collection[int]) -> Mapping[int, Sequence[tuple[int, int, int]]]:
        return {mark: self.by_mark[mark] for mark in marks if mark in self.by_mark}

    def learn(self, verdicts: Iterable[Kept | Held]) -> None:
        for one in verdicts:
            if isinstance(one, Held):
                for name in (one.id, *one.also):
                    self.ids[name].add(one.id)
                for mark, length, whole in one.passages:
                    self.by_mark[mark].append((length, whole, one.id))


def lines(*values: object, file: str = "log.jsonl", derived: bool = False) -> list[Record]:
    """Ledger lines; bytes are taken as they are."""
    raw = b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in values)
    kind = (
        diasync if file.startswith(("streams/", "bus/", "views/", "projects/", "coordination/")) else jsonl
    ).FORMAT.kind(file)
    assert kind is not None
    return list(kind.reader.parse(Source("s", file, kind.format, derived or kind.derived), raw, 0))  # type: ignore[union-attr]


def doc(text: str | bytes, file: str = "notes/one.md", *, derived: bool = False) -> Record:
    raw = text if isinstance(text, bytes) else text.encode()
    return document.Documents().parse(Source("s", file, "document", derived), raw).records[0]


def array(text: str, file: str = "entries.json") -> list[Record]:
    snapshot = entries.Entries().parse(Source("s", file, "entries"), text.encode())
    assert snapshot is not None
    return list(snapshot.records)


def rules(records: Sequence[Record], known: MemoryKnown | None = None) -> list[str | None]:
    """The rule that holds each record; None: kept."""
    verdicts = judge(records, known or MemoryKnown(), FINGERPRINT)
    return [one.verdict.rule if isinstance(one, Held) else None for one in verdicts]


def public(text: str, id_: str, **more: object) -> dict[str, object]:
    return {"id": id_, "text": text, "visibility": "project", **more}


def private(text: str, id_: str, **more: object) -> dict[str, object]:
    return {"id": id_, "text": text, "visibility": "private", **more}


__all__ = [
    "FINGERPRINT", "PROSE", "MemoryKnown", "array", "contents_of", "doc", "lines", "private", "public", "rules",
]  # fmt: skip
