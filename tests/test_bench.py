"""The benchmarks work: every one of them at a tiny size, and the table they print says what was measured."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path

import pytest

from bench import asking, corpus, recall
from bench.__main__ import MEASURES, main
from bench.figures import Figure, table

TINY = ["--records", "300", "--files", "30", "--rounds", "2", "--appends", "3", "--idle-s", "0.2", "--calm-s", "2",
        "--hostile-bytes", "2000"]  # fmt: skip

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the benchmarks measure with wait4 and SIGTERM")


def test_the_same_seed_makes_the_same_material(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        corpus.write_ledger(tmp_path / name / "memory.jsonl", 50, seed=7)
        corpus.write_notes(tmp_path / name / "notes", 250, seed=7)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 251
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes() for file in files)


def test_records_are_json_lines_of_the_expected_size_and_shape() -> None:
    lines = list(islice(corpus.records(1), 2000))
    fields = [json.loads(line) for line in lines]
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    assert 530 < sum(map(len, lines)) / len(lines) < 590
    assert len({one["id"] for one in fields}) == len(lines)
    assert {one["sensitivity"] for one in fields} == set(corpus.SENSITIVITIES)


def test_lines_to_append_are_carried_and_new() -> None:
    old = {json.loads(line)["id"] for line in islice(corpus.records(1), 100)}
    more = [json.loads(line) for line in islice(corpus.cleared(1), 100)]
    assert {one["sensitivity"] for one in more} <= {"public", "internal"}
    assert old.isdisjoint(one["id"] for one in more)


def test_a_figure_is_held_to_its_bar() -> None:
    assert Figure("a", 50, "records/s", "ceiling", 100, at_least=0.4).reached is True
    assert Figure("a", 30, "records/s", "ceiling", 100, at_least=0.4).reached is False
    assert Figure("a", 160, "MB", at_most=150).reached is False
    assert Figure("a", 160, "MB").reached is None
    shown = table([Figure("peak", 160, "MB", at_most=150)]).split("\n")
    assert "".join(shown[2].split()) == "|peak|160MB|||<=150MB|MISSED|"


SHOWN = {
    "cold": {"cold sync of 300 records": "records/s"},
    "nochange": {"no-change sync of 30 files, in process": "ms"},
    "pull": {"pull of one new line behind 300 records": "ms"},
    "append": {"sync of one new line behind 300 records, in process": "ms"},
    "growth": {"one new line beside 300 records": "ms"},
    "latency": {"append to durable in the vault, p50": "ms"},
    "idle": {},
    "start": {"memferry status": "ms"},
    "learn": {"memferry learn": "ms", "100 writers that learn 1 times each, none lost": "s"},
    "memory": {"memoryctl capture": "ms", "reduce, one new event behind 300": "ms"},
    "policy": {"300 records judged": "records/s"},
    "remote": {
        "push of 300 records to a server, once they are read": "s",
        "append to durable on a server 50 ms away, p50": "ms",
    },
}
"""What each is made of, at the least, and in which unit."""


def test_no_measure_is_forgotten() -> None:
    assert SHOWN.keys() == MEASURES.keys()


@pytest.mark.parametrize("what", SHOWN)
def test_every_measure_runs(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([what, *TINY, "--python", sys.executable, "--folder", str(tmp_path), "--json"])
    told = capsys.readouterr()
    assert code in (0, 1), told.err
    figures = {one["name"]: one for one in json.loads(told.out)}
    assert figures
    for name, unit in SHOWN[what].items():
        assert figures[name]["unit"] == unit
        assert figures[name]["value"] > 0
    if what == "latency":
        assert (
            figures["append to durable in the vault, p50"]["value"] >= 50
        )  # not before the debounce is over, or nearly
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="it looks at processes in /proc")
def test_a_service_writes_and_commands_read_without_an_error(tmp_path: Path) -> None:
    """For seconds; `python -m bench.recall --together 600` for minutes."""
    questions = recall.write_records(tmp_path / "spaces", 200)
    config = recall.carried(tmp_path, tmp_path / "spaces", tier="core")
    recall.indexed(config)
    ledger = tmp_path / "spaces" / "many" / "memory.jsonl"
    written, asked, errors = asking.together(config, 3, ledger, tmp_path, questions[0])
    assert (written.value > 0, asked.value > 0, errors.value) == (True, True, 0)
