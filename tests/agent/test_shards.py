"""Lines of other machines' ledgers are added where they belong, whatever lies there."""

from __future__ import annotations

import errno
import json
import os
import sys
import tracemalloc
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from memferry import durable
from memferry.agent.pulling import apply
from memferry.agent.state.known import digest_number
from memferry.agent.state.received import Received
from memferry.keys import digest
from tests.agent.machines import Machine

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")


def numbers(*lines: bytes) -> Collection[int]:
    return {digest_number(digest(line)) for line in lines}


def shard(tmp_path: Path, content: bytes, name: str = "log@b.jsonl") -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize(
    ("before", "after", "lines", "then"),
    [
        (b"", 0, [b"1", b"2"], b"1\n2\n"),
        (b"1\n", 2, [b"2", b"2"], b"1\n2\n"),
        (b"1\n2\n", 2, [b"2", b"3"], b"1\n2\n3\n"),  # a crash came before anybody noted down the 2
        (b"1\n2", 2, [b"2"], b"1\n2\n"),  # a crash came amid the 2
        (b"1\nhal", 2, [b"2"], b"1\n2\n"),
        (b"1\n", 900, [b"1", b"2"], b"1\n2\n"),  # somebody cut it off
        (b"1\n2x", 4, [b"1", b"3"], b"1\n3\n"),  # or wrote into it
        (b"1\n2\n", 0, [b"1", b"2"], b"1\n2\n"),
    ],
)
def test_lines_are_added_once(tmp_path: Path, before: bytes, after: int, lines: Sequence[bytes], then: bytes) -> None:
    file = shard(tmp_path, before)
    assert apply.append_lines(tmp_path, file.name, lines, after=after) == len(then)
    assert file.read_bytes() == then


def test_a_new_shard_is_made_with_its_folders_and_is_private(tmp_path: Path) -> None:
    assert apply.append_lines(tmp_path, "a/b/log@b.jsonl", [b"1"]) == 2
    assert (tmp_path / "a/b/log@b.jsonl").read_bytes() == b"1\n"
    if sys.platform != "win32":
        assert (tmp_path / "a/b/log@b.jsonl").stat().st_mode & 0o777 == 0o600


def test_what_is_known_is_not_read_again_or_written(tmp_path: Path) -> None:
    """A gigabyte would be, for every line that arrives."""
    file = shard(tmp_path, b"x" * 99 + b"\n")
    with file.open("r+b") as inside:
        before = file.stat().st_ino
        apply.append_lines(tmp_path, file.name, [b"x" * 99], after=100)
        assert file.stat().st_ino == before
        assert inside.read() == (b"x" * 99 + b"\n") * 2


@posix
def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = shard(tmp_path, b"1\n")
    write, sizes = os.write, iter([3, 0])

    def full(descriptor: int, content: bytes) -> int:
        if not (size := next(sizes)):
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, content[:size])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="full"):
        apply.append_lines(tmp_path, file.name, [b"2222", b"3"], after=2)
    assert file.read_bytes() == b"1\n"


def test_what_could_not_be_made_durable_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may have dropped it, and call the next sync of the same bytes a success."""
    file = shard(tmp_path, b"1\n")

    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(durable, "sync_file", failing)
    with pytest.raises(OSError, match="broken"):
        apply.append_lines(tmp_path, file.name, [b"2"], after=2)
    assert file.read_bytes() == b"1\n"


def test_lines_that_a_crash_left_are_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = shard(tmp_path, b"1\n2\n")
    synced: list[int] = []
    monkeypatch.setattr(durable, "sync_file", synced.append)
    apply.append_lines(tmp_path, file.name, [b"2"], after=2)
    assert len(synced) == (1 if sys.platform == "win32" else 2)  # and the folder


@posix
@pytest.mark.parametrize("make", [os.symlink, lambda _, file: os.mkfifo(file)], ids=["link", "pipe"])
def test_what_is_no_regular_file_is_left_alone(tmp_path: Path, make: object) -> None:
    assert callable(make)
    (tmp_path / "elsewhere").write_bytes(b"mine\n")
    make(tmp_path / "elsewhere", tmp_path / "log@b.jsonl")
    with pytest.raises(OSError, match=r"regular|link"):
        apply.append_lines(tmp_path, "log@b.jsonl", [b"1"])
    assert (tmp_path / "elsewhere").read_bytes() == b"mine\n"


def test_another_name_of_the_shard_keeps_what_it_has(tmp_path: Path) -> None:
    """A snapshot made of hard links, or somebody's own file."""
    file = shard(tmp_path, b"1\n")
    os.link(file, tmp_path / "snapshot")
    apply.append_lines(tmp_path, file.name, [b"2"], after=2)
    assert (tmp_path / "snapshot").read_bytes() == b"1\n"
    assert file.read_bytes() == b"1\n2\n"


@pytest.mark.parametrize(
    ("before", "gone", "then"),
    [
        (b"1\n2\n3\n", [b"2"], b"1\n3\n"),
        (b"1\n2\n3", [b"3"], b"1\n2\n"),
        (b"1\n", [b"2"], b"1\n"),
        (b"1\n2\n", [b"1", b"2"], None),
        (b"1\n\n", [b"1"], None),
    ],
)
def test_withdrawn_lines_go_and_an_empty_shard_with_them(
    tmp_path: Path, before: bytes, gone: Sequence[bytes], then: bytes | None
) -> None:
    file = shard(tmp_path, before)
    apply.remove_lines(tmp_path, file.name, numbers(*gone))
    assert (file.read_bytes() if file.exists() else None) == then


def test_a_large_shard_is_not_held_in_memory(tmp_path: Path) -> None:
    file = shard(tmp_path, b"".join(b"%0999d\n" % number for number in range(40_000)))
    tracemalloc.start()
    try:
        apply.append_lines(tmp_path, file.name, [b"new"])
        apply.remove_lines(tmp_path, file.name, numbers(b"new"))
        assert sum(1 for _ in apply.lines_of(tmp_path, file.name)) == 40_000
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_after_a_crash_before_they_were_noted_down_no_line_is_there_twice(
    ant: Machine, bee: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ant.append("log.jsonl", {"id": "a1"})
    ant.do("push")
    bee.do("pull")
    once = bee.read("log@ant.jsonl")
    ant.append("log.jsonl", {"id": "a2"}, {"id": "a3"})
    ant.do("push")

    def crash(self: Received, shards: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Received, "know_bytes", crash)
        with pytest.raises(KeyboardInterrupt):
            bee.do("pull")
    assert bee.read("log@ant.jsonl") == ant.read("log.jsonl") != once
    for _ in range(2):
        bee.do("pull")
        assert bee.read("log@ant.jsonl") == ant.read("log.jsonl")


def test_a_shard_shrinks_and_grows_again(ant: Machine, bee: Machine) -> None:
    ant.append("log.jsonl", *({"id": f"a{number}"} for number in range(5)))
    ant.do("push")
    bee.do("pull")
    ant.do("forget", targets=["a1"])
    bee.do("pull")
    assert len(bee.read("log@ant.jsonl").splitlines()) == 4
    ant.append("log.jsonl", {"id": "a6"})
    ant.do("push")
    bee.do("pull")
    assert [json.loads(line)["id"] for line in bee.read("log@ant.jsonl").splitlines()] == ["a0", "a2", "a3", "a4", "a6"]
