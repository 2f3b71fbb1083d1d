"""Rotated ledgers in gzip: whole or not at all, and never a bomb."""

from __future__ import annotations

import gzip
import os
import tracemalloc
import zlib
from pathlib import Path

import pytest

from memferry.agent.files.gzipped import Broken, Unfinished, read_gz_lines
from memferry.agent.files.opening import opened
from memferry.agent.files.tail import Chunk, Oversize
from tests.agent.machines import Machine

LINES = [f'{{"number": {number}}}\n'.encode() for number in range(50_000)]


def read(path: Path, **limits: int) -> list[Chunk | Oversize | Unfinished | Broken]:
    with opened(path.parent, path.name) as (descriptor, _):
        return list(read_gz_lines(descriptor, **limits))


def lines(path: Path) -> list[bytes]:
    found = b"".join(part.lines for part in read(path) if isinstance(part, Chunk))
    return [line + b"\n" for line in found.split(b"\n")[:-1]]


def broken(path: Path, **limits: int) -> str:
    (only,) = read(path, **limits)
    assert isinstance(only, Broken)
    return only.reason


@pytest.fixture
def rotated(tmp_path: Path) -> Path:
    path = tmp_path / "log.1.gz"
    path.write_bytes(gzip.compress(b"".join(LINES)))
    return path


def test_all_lines_in_order_with_offsets_of_the_unpacked_bytes(rotated: Path) -> None:
    assert lines(rotated) == LINES
    offset = 0
    for part in read(rotated):
        assert isinstance(part, Chunk)
        assert part.start == offset
        offset += len(part.lines)


def test_several_members_and_padding(rotated: Path) -> None:
    rotated.write_bytes(gzip.compress(b"a\nb") + gzip.compress(b"") + gzip.compress(b"c\nd\n") + b"\0" * 512)
    assert read(rotated) == [Chunk(0, b"a\n"), Chunk(2, b"bc\nd\n")]


def test_an_empty_ledger(rotated: Path) -> None:
    rotated.write_bytes(gzip.compress(b""))
    assert read(rotated) == []


def test_a_last_line_without_newline_is_counted_and_not_read(rotated: Path) -> None:
    rotated.write_bytes(gzip.compress(b"a\nhalf"))
    assert read(rotated) == [Chunk(0, b"a\n"), Unfinished(2, 4)]


def test_a_line_that_is_too_long_is_reported(rotated: Path) -> None:
    rotated.write_bytes(gzip.compress(b"a\n" + b"x" * 5000 + b"\nb\n"))
    assert read(rotated, line_bytes=1000) == [Chunk(0, b"a\n"), Oversize(2, 5001, b"x" * 5000), Chunk(5003, b"b\n")]


@pytest.mark.parametrize("kept", [0, 1, 10, 1000, -9, -1])
def test_a_cut_file_gives_nothing_but_the_reason(rotated: Path, kept: int) -> None:
    rotated.write_bytes(rotated.read_bytes()[:kept])
    assert "ends too early" in broken(rotated)


@pytest.mark.parametrize("offset", [0, 2, 1000, -5, -1])
def test_a_damaged_file_gives_nothing_but_the_reason(rotated: Path, offset: int) -> None:
    data = bytearray(rotated.read_bytes())
    data[offset] ^= 0x55
    rotated.write_bytes(data)
    assert broken(rotated)


def test_what_is_no_gzip_is_named(rotated: Path) -> None:
    rotated.write_bytes(b"".join(LINES))
    assert broken(rotated) == "is damaged, or is not gzip"
    rotated.write_bytes(gzip.compress(b"a\n") + b"rubbish")
    assert broken(rotated) == "is damaged, or is not gzip"


def test_more_than_the_limit_is_refused(rotated: Path) -> None:
    size = sum(map(len, LINES))
    assert isinstance(read(rotated, limit_bytes=size)[0], Chunk)
    assert broken(rotated, limit_bytes=size - 1) == f"unpacks to more than {size - 1:,} bytes"


def test_a_bomb_is_refused_early_and_in_little_memory(rotated: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    with rotated.open("wb") as file:
        for _ in range(256):
            file.write(packer.compress(bytes(1024 * 1024)))
        file.write(packer.flush())
    tracemalloc.start()
    try:
        assert broken(rotated) == "unpacks to more than 250 times its size"
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_file_damaged_between_check_and_reading_ends_with_the_reason(rotated: Path) -> None:
    noise = b"".join(os.urandom(40).hex().encode() + b"\n" for _ in range(60_000))
    rotated.write_bytes(gzip.compress(noise))
    with opened(rotated.parent, rotated.name) as (descriptor, stat):
        reading = read_gz_lines(descriptor)
        assert isinstance(next(reading), Chunk)
        os.truncate(rotated, stat.size // 4)
        *_, last = reading
    assert isinstance(last, Broken)


def test_an_archive_is_one_also_in_upper_case(ant: Machine, bee: Machine) -> None:
    (ant.tree / "LOG.JSONL.GZ").write_bytes(gzip.compress(b'{"id": "a1"}\n'))
    ant.do("push")
    bee.do("pull")
    assert bee.read("LOG@ant.JSONL") == '{"id": "a1"}\n'
    ant.do("restore", machine="ant", to=str(ant.home / "back"))
    assert gzip.decompress((ant.home / "back/notes/LOG.JSONL.GZ").read_bytes()) == b'{"id": "a1"}\n'
