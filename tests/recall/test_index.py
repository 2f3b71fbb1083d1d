"""The index: what goes in, what comes out for good, and who may look meanwhile."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from memferry.errors import IndexBroken
from memferry.model import Retract
from memferry.recall.index import Index
from memferry.recall.layout import HELD_FROM
from memferry.recall.lookup import Reader
from tests.recall.records import document, indexed, keys, put, search


def retract(seq: int, *ops: tuple[str, int]) -> Retract:
    return Retract(seq, f"{seq:016x}", "s", ops)


def content(path: Path) -> bytes:
    """Every byte of the index and its log, lower case as the words in it."""
    return b"".join(one.read_bytes() for one in path.parent.glob(f"{path.name}*")).lower()


def vocabulary(path: Path) -> set[str]:
    database = sqlite3.connect(path)
    try:
        database.execute("create virtual table temp.vocabulary using fts5vocab(main, words, row)")
        return {row[0] for row in database.execute("select term from vocabulary")}
    finally:
        database.close()


def test_what_was_said_before_it_finds_a_record_too(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    ops = [
        put(1, "Which harbour?", speaker="Ada"),
        put(2, "Rostock.", speaker="Bo"),
        put(3, "Fine.", speaker="Ada"),
        put(4, "Elsewhere", speaker="Bo", file="b.jsonl", position=0),
    ]
    with indexed(path, *ops):
        hits = search(path, "harbour")
    assert keys(hits) == ["k1", "k2"]
    assert hits[1].why["matched_before"] == ("harbour",)
    assert hits[1].snippet == "Bo: Rostock."


def test_facts_in_a_list_are_found_by_their_own_words_alone(tmp_path: Path) -> None:
    with indexed(tmp_path / "i.db", put(1, "harbour"), put(2, "another matter")):
        assert keys(search(tmp_path / "i.db", "harbour")) == ["k1"]


def test_a_record_behind_a_gap_has_nothing_before_it(tmp_path: Path) -> None:
    far = put(2, "far behind", position=7, speaker="Bo")
    with indexed(tmp_path / "i.db", put(1, "harbour", speaker="Ada"), far):
        assert keys(search(tmp_path / "i.db", "harbour")) == ["k1"]


def test_the_stream_goes_on_in_a_later_batch(tmp_path: Path) -> None:
    with indexed(tmp_path / "i.db", put(1, "harbour")) as index:
        index.add("ant", [put(2, "later", speaker="Bo")])
        assert keys(search(tmp_path / "i.db", "harbour")) == ["k1", "k2"]
        assert index.position("ant") == 2


def test_a_newer_version_takes_the_place_of_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    with indexed(path, put(1, "anchor"), put(2, "follower", speaker="Bo"), put(3, "mast", key="k1", position=0)):
        assert search(path, "anchor") == []
        assert keys(search(path, "mast")) == ["k1", "k2"]
        assert vocabulary(path) == {"mast", "follow", "bo"}


def test_an_older_version_that_arrives_late_changes_nothing(tmp_path: Path) -> None:
    with indexed(tmp_path / "i.db", put(1, "new", hlc="f" * 16), put(2, "old", key="k1", hlc="0" * 16)):
        assert keys(search(tmp_path / "i.db", "new")) == ["k1"]
        assert search(tmp_path / "i.db", "old") == []


def test_what_is_withdrawn_is_gone_from_the_file_and_from_what_followed_it(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    followers = (put(2, "zanzibar", speaker="Bo"), put(3, "follower", speaker="Bo"))
    with indexed(path, put(1, "mooring"), *followers) as index:
        assert b"zanzibar" in content(path)
        index.add("ant", [retract(4, ("ant", 2))])
        assert b"zanzibar" not in content(path)
        assert vocabulary(path) == {"moor", "follow", "bo"}
        assert keys(search(path, "mooring")) == ["k1", "k3"]  # the chain is closed again
        index.drop("ant", [1, 99])
        assert vocabulary(path) == {"follow", "bo"}


def test_a_record_that_several_machines_hold_is_one_hit_with_its_origins(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    with indexed(path, put(1, "tide table")) as index:
        index.add("bee", [put(1, "tide table", hlc="2" * 16)])
        (hit,) = search(path, "tide")
        assert sorted(hit.origins) == ["ant", "bee"]
        assert keys(search(path, "tide", machine="bee")) == ["k1"]
        index.drop("ant", [1])
        (hit,) = search(path, "tide")
        assert hit.origins == ("bee",)


def test_of_two_versions_the_later_is_shown_and_the_other_one_after_it_was_withdrawn(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    with indexed(path, put(1, "first words")) as index:
        index.add("bee", [put(9, "second words", key="k1")])
        assert [hit.text for hit in search(path, "words")] == ["second words"]
        assert search(path, "first") == []
        index.add("bee", [retract(10, ("bee", 9))])
        assert [hit.text for hit in search(path, "words")] == ["first words"]


def test_a_record_of_a_megabyte_is_one_answer(tmp_path: Path) -> None:
    long = " ".join(f"filler{n % 997}" for n in range(110_000)) + " needle at the end"
    assert len(long) > 1_000_000
    with indexed(tmp_path / "i.db", put(1, long), put(2, "needle", speaker="Bo")):
        hits = search(tmp_path / "i.db", "needle filler3")
    assert sorted(keys(hits)) == ["k1", "k2"]
    assert all(len(hit.snippet) < 400 for hit in hits)


def segments(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as database:
        count: int = database.execute("select count(distinct segid) from words_idx").fetchone()[0]
    return count


def test_what_came_in_piece_by_piece_is_merged_when_there_is_time(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    with indexed(path) as index:
        for number in range(1, 31):
            index.add("ant", [put(number, f"harbour {'quay ' * number}")])
        assert segments(path) == 30
        before = keys(search(path, "harbour quay", limit=30))
        steps = 1
        while index.settle():
            steps += 1
        assert (segments(path), steps < 10) == (1, True)
        assert keys(search(path, "harbour quay", limit=30)) == before
        assert len(before) == 30


def test_large_batches_are_not_merged_while_they_come_in(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    with indexed(path) as index:
        for number in range(1, 7):
            words = " ".join(f"word{number * word}" for word in range(20_000))
            index.add("ant", [put(number, words)])
        assert segments(path) == 6


def test_a_little_that_is_new_is_not_merged_into_a_large_segment(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    words = " ".join(f"word{number}" for number in range(3000))
    with indexed(path, put(1, words)) as index:
        index.add("ant", [put(2, "harbour")])
        while index.settle():
            pass
        assert segments(path) == 2
        index.add("ant", [put(number, "harbour") for number in range(3, 6)])
        index.add("ant", [put(6, "harbour")])
        index.add("ant", [put(7, "harbour")])
        while index.settle():
            pass
        assert segments(path) < 5
        assert len(search(path, "harbour")) == 6


def test_held_records_are_numbered_apart(tmp_path: Path) -> None:
    with indexed(tmp_path / "h.db", put(1, "secret"), held=True), indexed(tmp_path / "i.db", put(1, "secret")):
        hits = search([tmp_path / "i.db", tmp_path / "h.db"], "secret")
        assert sorted(hit.held for hit in hits) == [False, True]
        with contextlib.closing(Reader(tmp_path / "h.db")) as reader:
            (row,) = reader.rows("select min(id) from entry")
    assert row[0] >= HELD_FROM


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such modes")
def test_only_this_user_may_read_it(tmp_path: Path, careless: None) -> None:
    with indexed(tmp_path / "i.db", put(1, "x")):
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_one_of_another_memferry_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    database = sqlite3.connect(path)
    database.execute("pragma user_version = 1")
    database.close()
    with indexed(path) as index:
        assert index.position("ant") == 0


def test_a_damaged_one_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "i.db").write_bytes(b"this is no database" * 1000)
    for opened in (Index, Reader):
        with pytest.raises(IndexBroken) as caught:
            opened(tmp_path / "i.db")
        assert "recall --rebuild" in caught.value.hint


READ_ON = """
import sys
from pathlib import Path
from memferry.recall.lookup import Filters, Reader
path, stop = map(Path, sys.argv[1:])
last = reads = 0
print("ready", flush=True)
while not stop.exists():
    reader = Reader(path)
    with reader.snapshot():
        found = len(reader.candidates(['"common"'], Filters(), 500))
    reader.close()
    assert found >= last, (found, last)
    last, reads = found, reads + 1
print(reads, last)
"""


def test_many_processes_read_while_one_writes(tmp_path: Path) -> None:
    path, stop = tmp_path / "i.db", tmp_path / "stop"
    with indexed(path, put(1, "common")) as index:
        command = [sys.executable, "-c", READ_ON, str(path), str(stop)]
        readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        assert [reader.stdout.readline() for reader in readers if reader.stdout] == ["ready\n"] * 2
        for seq in range(2, 300):
            index.add("ant", [put(seq, f"common number {seq}", file=f"{seq}.jsonl")])
        stop.touch()
        for reader in readers:
            output, _ = reader.communicate(timeout=60)
            assert reader.returncode == 0
            assert int(output.split()[0]) > 0


def test_a_document_whose_title_is_half_a_surrogate_pair_is_found_by_its_words(tmp_path: Path) -> None:
    """Another machine's memferry may have sent it."""
    pulled = document(1, "a.md", '---\ntitle: "\\ud800"\nscope: "\\ud800"\n---\nzanzibar\n')
    with indexed(tmp_path / "i.db", pulled):
        assert keys(search(tmp_path / "i.db", "zanzibar")) == ["a.md"]
