"""What is beyond a limit is named, with what to do about it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from memferry.agent.intake import wholes
from memferry.policies import lineage
from tests.agent.machines import Machine


@pytest.fixture
def ant(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "ant")


def failure(ant: Machine) -> tuple[str, str]:
    (one,) = ant.do("push")["failed"]
    (problem,) = ant.status()["problems"]
    assert (problem["text"], problem["hint"]) == (one["reason"], one["next_step"])
    return one["reason"], one["next_step"]


@pytest.mark.parametrize("file", ["plan.md", "facts.json"])
def test_a_file_that_is_too_large_says_what_to_do(ant: Machine, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wholes, "LIMIT_BYTES", 2000)
    ant.write(file, json.dumps(["plums are ripe"] * 200))
    assert failure(ant) == (f"{file} is larger than 2,000 bytes", "split it, or name it in .memferryignore")


@pytest.mark.parametrize(
    ("content", "reason", "hint"),
    [
        (gzip.compress(bytes(20_000_000)), "unpacks to more than 250 times its size", "unpack it"),
        (gzip.compress(b'{"id": "plum"}\n')[:-3], "ends too early", "if nobody is writing it: repair it"),
        (b"plums", "is damaged, or is not gzip", "repair it"),
    ],
    ids=["a bomb", "cut", "none"],
)
def test_an_archive_that_cannot_be_unpacked_says_what_to_do(
    ant: Machine, content: bytes, reason: str, hint: str
) -> None:
    ant.write("old.jsonl.gz", "")
    (ant.tree / "old.jsonl.gz").write_bytes(content)
    said, advised = failure(ant)
    assert reason in said
    assert advised.startswith(hint)
    assert advised.endswith("name it in .memferryignore")


def test_what_is_held_because_there_is_too_much_of_it_says_what_to_do(
    ant: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage, "MOST_NAMES", 5)
    ant.append("long.jsonl", {"id": "long", "text": "plums " * 3_000_000})
    ant.append("many.jsonl", {"id": "many", "refs": [f"another-record-{number}" for number in range(7)]})
    ant.do("push")
    held: Any = ant.do("held")["held"]
    assert {(one["reason"], one["way_out"]) for one in held} == {
        (
            "longer than max_line_bytes",
            "split it, or raise agent.max_line_bytes and run `memferry sync-memory --force`",
        ),
        ("it names too many records to keep track of", "split it"),
    }
