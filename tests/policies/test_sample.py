"""The policies on the memory that DiaSync's own tool made: what is private stays, and nothing else does."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from memferry.formats.base import Whole
from memferry.formats.diasync import FORMAT
from memferry.keys import Fingerprinter
from memferry.model import Record, Source
from memferry.policies.base import Held, Kept
from memferry.policies.chain import judge, recheck
from tests.policies.held import FINGERPRINT, MemoryKnown

SAMPLE = Path(__file__).parents[1] / "data" / "diasync-sample"
CANARY = b"PRIVATE-CANARY"


def read() -> dict[str, list[Record]]:
    """All records of the sample by file, derived files last."""
    found: dict[str, list[Record]] = {}
    kinds = {
        path.relative_to(SAMPLE).as_posix(): FORMAT.kind(path.relative_to(SAMPLE).as_posix())
        for path in SAMPLE.rglob("*.*")
    }
    for file, kind in sorted(kinds.items(), key=lambda item: (bool(item[1] and item[1].derived), item[0])):
        if kind is None:
            continue
        source, content = Source("atlas", file, kind.format, kind.derived), (SAMPLE / file).read_bytes()
        if isinstance(kind.reader, Whole):
            snapshot = kind.reader.parse(source, content)
            assert snapshot is not None
            found[file] = list(snapshot.records)
        else:
            found[file] = list(kind.reader.parse(source, content, 0))
    return found


BY_FILE = read()
RECORDS = [record for records in BY_FILE.values() for record in records]


def ids(record: Record) -> set[bytes]:
    """By what others name a record: its own id, or that of the note that it is."""
    fields = record.fields if isinstance(record.fields, dict) else {}
    own = {record.key} if record.key != record.digest.hex() and record.text is None else set()
    schema = str(fields.get("schema_version"))
    notes = {"conflict-event": "conflict_id", "finding-event": "finding_id", "optimization-plan": "plan_id"}
    own |= {str(fields[name]) for kind, name in notes.items() if schema.endswith(kind)}
    return {one.encode() for one in own}


def expected() -> set[int]:
    """An oracle of its own: whoever bears the canary, and whoever has the id of such a record anywhere in its bytes."""
    held = {at for at, record in enumerate(RECORDS) if CANARY in record.body}
    while True:
        named = {one for at in held for one in ids(RECORDS[at])}
        more = {at for at, record in enumerate(RECORDS) if any(one in record.body for one in named)}
        if more <= held:
            return held
        held |= more


EXPECTED = expected()


def held_of(verdicts: Sequence[Kept | Held]) -> set[int]:
    return {id(one.record) for one in verdicts if isinstance(one, Held)}


@pytest.mark.parametrize("secret", [b"k" * 32, b"another secret of 32 bytes ......"])
def test_exactly_what_is_private_or_derived_is_held(secret: bytes) -> None:
    verdicts = judge(RECORDS, MemoryKnown(), Fingerprinter(secret))
    assert {at for at, one in enumerate(verdicts) if isinstance(one, Held)} == EXPECTED
    rules = Counter(one.verdict.rule for one in verdicts if isinstance(one, Held))
    assert rules == {"labels.visibility": 178, "lineage": 204}


def test_what_the_tool_derives_from_private_events_is_held() -> None:
    verdicts = judge(RECORDS, MemoryKnown(), FINGERPRINT)
    by_file: Counter[str] = Counter()
    for one in verdicts:
        if isinstance(one, Held) and one.verdict.rule == "lineage":
            by_file[one.record.source.file.split("/")[0]] += 1
    assert by_file == {"streams": 64, "_meta": 91, "coordination": 29, "projects": 16, "governance": 2, "views": 2}


@pytest.mark.parametrize("seed", range(3))
def test_file_by_file_in_any_order_nothing_private_stays_out(seed: int) -> None:
    """As the agent does it: what was kept is judged again when a record that it may derive from is held."""
    known = MemoryKnown()
    kept: dict[int, Kept] = {}
    held: set[int] = set()
    order = list(BY_FILE.values())
    random.Random(seed).shuffle(order)
    for records in order:
        fresh = judge(records, known, FINGERPRINT)
        kept |= {id(one.record): one for one in fresh if isinstance(one, Kept)}
        news = [one for one in fresh if isinstance(one, Held)]
        while news:
            held |= held_of(news)
            known.learn(news)
            news = [
                again
                for one in suspects(kept.values(), news)
                if isinstance(again := recheck(one, known, FINGERPRINT), Held)
            ]
            for one in news:
                del kept[id(one.record)]
    assert held == {id(RECORDS[at]) for at in EXPECTED}


def suspects(kept: Iterable[Kept], held: Sequence[Held]) -> list[Record]:
    names = {name for one in held for name in (one.id, *one.also)}
    marks = {mark for one in held for passage in one.passages for mark in (passage.mark, passage.whole)}
    return [one.record for one in kept if names & set(one.refs) or marks & set(one.echoes)]


def test_a_private_text_is_held_wherever_it_is_repeated_and_its_pattern_is_not() -> None:
    """The sentences of the sample are of few patterns: the number tells them apart."""
    file = "streams/global/x/2026-12-01.jsonl"
    kind = FORMAT.kind(file)
    assert kind is not None
    assert not isinstance(kind.reader, Whole)
    copies = [
        {"id": str(at), "visibility": "project", "text": f"Seen: {text.lower()}"} for at, text in enumerate(captured())
    ]
    raw = b"".join(json.dumps(copy).encode() + b"\n" for copy in copies)
    verdicts = judge(
        [*RECORDS, *kind.reader.parse(Source("atlas", file, "diasync"), raw, 0)], MemoryKnown(), FINGERPRINT
    )
    assert {at for at, one in enumerate(verdicts[: len(RECORDS)]) if isinstance(one, Held)} == EXPECTED
    assert [one.verdict.rule for one in verdicts[len(RECORDS) :] if isinstance(one, Held)] == ["overlap"] * 64


def captured() -> list[str]:
    """What the private notes say."""
    events = [json.loads(one.body) for one in RECORDS if CANARY in one.body and one.type == "memory.captured"]
    return [event["payload"]["summary"] for event in events]
