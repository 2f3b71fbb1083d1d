"""DiaSync memory, on the data that its own tool made."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

from memferry.formats import registry
from memferry.formats.base import Kind, Whole
from memferry.formats.diasync import FORMAT
from memferry.model import Record, Source

SAMPLE = Path(__file__).parents[1] / "data" / "diasync-sample"


def kind(file: str) -> Kind:
    found = FORMAT.kind(file)
    assert found is not None
    return found


def read(file: str) -> list[Record]:
    how = kind(file)
    source = Source("atlas", file, how.format, how.derived)
    content = (SAMPLE / file).read_bytes()
    if isinstance(how.reader, Whole):
        snapshot = how.reader.parse(source, content)
        assert snapshot is not None
        return list(snapshot.records)
    return list(how.reader.parse(source, content, 0))


def files() -> list[str]:
    return sorted(path.relative_to(SAMPLE).as_posix() for path in SAMPLE.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "file",
    [
        "streams/global/ins-main/2026-09-01.jsonl",
        "bus/project-atlas/2026-11-21.jsonl",
        "views/facts/global/2026-11-p02.jsonl",
        "governance/findings/findings.jsonl",
        "coordination/reducers.jsonl",
        "coordination/leases.jsonl",
        "archive/2026/streams/x/2026-01-01.jsonl.gz",
        "_meta/spec.json",
    ],
)
def test_what_the_tool_writes_is_carried(file: str) -> None:
    assert (kind(file).derived, kind(file).local) == (False, False)


@pytest.mark.parametrize("file", ["projects/atlas/agenda.jsonl", "projects/atlas/state.md", "views/attach/atlas.md"])
def test_copies_are_derived(file: str) -> None:
    assert kind(file).derived


@pytest.mark.parametrize("file", ["coordination/cursors.jsonl", "_meta/distilled_event_ids.jsonl"])
def test_what_belongs_to_a_machine_is_local(file: str) -> None:
    assert kind(file).local


@pytest.mark.parametrize(
    "file",
    [
        "index/id_map.jsonl", "evidence/shot.png", "evidence/notes.md", "streams/.gitkeep", "streams/.x/a.jsonl",
        "x.md", "streams/a.jsonl.tmp", "_meta/lock", "views/attach/atlas.html",
    ],
)  # fmt: skip
def test_everything_else_stays(file: str) -> None:
    assert FORMAT.kind(file) is None


def test_the_folder_is_recognised() -> None:
    names = [path.name + "/" * path.is_dir() for path in SAMPLE.iterdir()]
    assert registry.recognise(names) is FORMAT
    assert not FORMAT.recognises(["streams/", "README.md"])


def test_every_record_of_the_sample_is_read() -> None:
    records = [record for file in files() if FORMAT.kind(file) for record in read(file)]
    assert len(records) == 2520
    assert [record for record in records if record.problem] == []
    ids = Counter(record.key for record in records if record.key != record.digest.hex())
    assert [key for key, count in ids.items() if count > 1] == []


def test_events_and_objects_have_their_ids_and_notes_about_them_their_digests() -> None:
    event = read("bus/project-atlas/2026-11-21.jsonl")[0]
    assert event.key.startswith("evt-")
    assert (event.type, event.ts) == ("memory.published", "2026-11-21T02:14:15Z")
    assert read("views/facts/global/2026-11.jsonl")[0].key.startswith("fac-")
    for file in ("coordination/reducers.jsonl", "_meta/distilled_event_ids.jsonl", "projects/atlas/agenda.jsonl"):
        assert all(record.key == record.digest.hex() for record in read(file))


def test_an_archived_line_is_the_same_record() -> None:
    file = "bus/global/2026-11-21.jsonl"
    packed = gzip.compress((SAMPLE / file).read_bytes())
    how = kind("archive/bus/global/2026-11-21.jsonl.gz")
    assert not isinstance(how.reader, Whole)
    again = how.reader.parse(Source("atlas", "archive/x.jsonl.gz", how.format), gzip.decompress(packed), 0)
    assert [(record.key, record.digest) for record in again] == [(record.key, record.digest) for record in read(file)]
