"""Whole lines, once each, from files that grow, rotate, shrink and are rewritten."""

from __future__ import annotations

import os
import random
import shutil
import sys
import threading
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from memferry.agent.files import tail
from memferry.agent.files.opening import Unreadable, opened
from memferry.agent.files.tail import (
    OVERSIZE_HEAD_BYTES,
    Chunk,
    Cursor,
    Oversize,
    Restart,
    Splitter,
    Trail,
    read_lines,
    resume,
)
from memferry.keys import Fingerprinter

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")

FINGERPRINT = Fingerprinter(b"k" * 32)


# -- the splitter


def lines_of(parts: Iterable[Chunk | Oversize]) -> list[bytes | int]:
    """Each line, or the size of one that was too long; checks that the parts join without a gap."""
    found: list[bytes | int] = []
    expected = None
    for part in parts:
        assert expected in (None, part.start)
        if isinstance(part, Oversize):
            found.append(part.size_bytes)
            expected = part.start + part.size_bytes
        else:
            assert part.lines.endswith(b"\n")
            found.extend(line + b"\n" for line in part.lines.split(b"\n")[:-1])
            expected = part.start + len(part.lines)
    return found


def expected_lines(data: bytes, line_bytes: int) -> list[bytes | int]:
    lines = [line + b"\n" for line in data.split(b"\n")[:-1]]
    return [line if len(line) - 1 <= line_bytes else len(line) for line in lines]


@given(
    data=st.lists(st.sampled_from([b"\n", b"\r", b"a", b"bc", b"\xe2\x80\xa8", b"\xc2\x85", b"\xff", b"x" * 9])).map(
        b"".join
    ),
    cuts=st.lists(st.integers(0, 200)),
    line_bytes=st.integers(1, 12),
    start=st.integers(0, 10),
)
def test_any_fragmentation_gives_the_same_lines(data: bytes, cuts: list[int], line_bytes: int, start: int) -> None:
    splitter = Splitter(start, line_bytes=line_bytes)
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [part for a, b in pairwise(bounds) for part in splitter.feed(data[a:b])]
    assert lines_of(parts) == expected_lines(data, line_bytes)
    consumed = data.rfind(b"\n") + 1
    assert splitter.start == start + consumed
    assert splitter.pending_bytes == len(data) - consumed
    assert not parts or parts[0].start == start


def test_lines_are_cut_at_newlines_only() -> None:
    """Not at U+2028, U+0085, a carriage return or a form feed, as str.splitlines would."""
    line = "a\u2028b\u0085c\rd\x0ce\x1cf\r\n".encode()
    assert list(Splitter().feed(line)) == [Chunk(0, line)]


def test_an_endless_line_costs_no_memory() -> None:
    splitter = Splitter(line_bytes=1000)
    for _ in range(300):
        assert list(splitter.feed(b"x" * 10_000)) == []
    assert splitter.pending_bytes == 3_000_000
    assert sum(map(len, splitter._parts)) == OVERSIZE_HEAD_BYTES
    found = list(splitter.feed(b"\nnext\n"))
    assert found == [Oversize(0, 3_000_001, b"x" * OVERSIZE_HEAD_BYTES), Chunk(3_000_001, b"next\n")]


def test_the_head_of_a_line_that_is_too_long_is_the_same_however_it_comes() -> None:
    line = bytes(range(32, 127)) * 3
    for step in range(1, len(line) + 2):
        splitter = Splitter(line_bytes=50)
        fed = [part for at in range(0, len(line) + 1, step) for part in splitter.feed((line + b"\n")[at : at + step])]
        assert fed == [Oversize(0, len(line) + 1, line)]


# -- a reader that keeps what a state would keep


class Look(NamedTuple):
    """What one look at a file gave. `begin`: "resume", or why it was read from 0."""

    begin: str
    lines: list[bytes | int]


class Tail:
    """Looks at a file again and again; its cursor survives as msgpack between two looks, as in the state."""

    def __init__(self, path: Path, *, chunk_bytes: int = tail.CHUNK_BYTES, line_bytes: int = tail.LINE_BYTES) -> None:
        self.path = path
        self.kept: list[bytes | int] = []
        self.now = 1000.0
        self.is_proved = False
        self._stored: bytes | None = None
        self._sizes = {"chunk_bytes": chunk_bytes, "line_bytes": line_bytes}

    @property
    def cursor(self) -> Cursor | None:
        return None if self._stored is None else msgspec.msgpack.decode(self._stored, type=Cursor)

    def look(self, *, whole: bool = False, path: Path | None = None) -> Look:
        path = path or self.path
        with opened(path.parent, path.name) as (descriptor, stat):
            found = resume(descriptor, stat, self.cursor, FINGERPRINT, now=self.now, whole=whole)
            trail = found.trail
            lines = []
            for part in read_lines(descriptor, trail.offset, end=stat.size, **self._sizes):
                trail.advance(part, descriptor)
                lines.extend(lines_of([part]))
            self._stored = msgspec.msgpack.encode(trail.cursor())
            self.is_proved = trail.is_proved
        begin = found.reason if isinstance(found, Restart) else "resume"
        self.kept = [*(self.kept if begin == "resume" else []), *lines]
        return Look(begin, lines)


def line(number: int, *, size: int = 100) -> bytes:
    return f"{number} ".encode().ljust(size - 1, b".") + b"\n"


def some(first: int, last: int, *, size: int = 100) -> bytes:
    return b"".join(line(number, size=size) for number in range(first, last))


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def parts(data: bytes) -> list[bytes | int]:
    return [part + b"\n" for part in data.split(b"\n")[:-1]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


@pytest.fixture(params=[10, 100, 5_000], ids=["1 kB", "10 kB", "500 kB"])
def tailed(request: pytest.FixtureRequest, log: Path) -> Tail:
    """A log read to its end: smaller than a head, than a window, and many blocks long."""
    log.write_bytes(some(0, request.param))
    following = Tail(log)
    assert following.look() == Look("new", parts(some(0, request.param)))
    return following


# -- growing


def test_only_what_was_appended_is_read(tailed: Tail) -> None:
    assert tailed.look() == Look("resume", [])
    for number in range(3):
        append(tailed.path, line(number))
        assert tailed.look() == Look("resume", [line(number)])


def test_a_last_line_without_newline_waits_and_is_counted(tailed: Tail) -> None:
    append(tailed.path, b"half")
    assert tailed.look() == Look("resume", [])
    assert tailed.cursor is not None
    assert tailed.cursor.pending_bytes == 4
    append(tailed.path, b" whole\nnext")
    assert tailed.look() == Look("resume", [b"half whole\n"])
    assert tailed.cursor.pending_bytes == 4
    append(tailed.path, b"\n")
    assert tailed.look() == Look("resume", [b"next\n"])
    assert tailed.cursor.pending_bytes == 0


def test_an_empty_file_is_read_once_it_has_a_line(log: Path) -> None:
    log.touch()
    following = Tail(log)
    assert following.look() == Look("new", [])
    append(log, b"a\n")
    assert following.look() == Look("resume", [b"a\n"])


def test_empty_lines_are_lines(log: Path) -> None:
    log.write_bytes(b"\n\na\n\n")
    assert Tail(log).look().lines == [b"\n", b"\n", b"a\n", b"\n"]


def test_a_line_that_is_too_long_is_reported_and_reading_goes_on(log: Path) -> None:
    log.write_bytes(b"a\n" + b"x" * 300_000 + b"\nb\n")
    following = Tail(log, chunk_bytes=1000, line_bytes=5000)
    assert following.look() == Look("new", [b"a\n", 300_001, b"b\n"])
    assert following.look() == Look("resume", [])
    append(log, b"y" * 5000 + b"\n" + b"z" * 5001)
    assert following.look() == Look("resume", [b"y" * 5000 + b"\n"])
    append(log, b"\nc\n")
    assert following.look() == Look("resume", [5002, b"c\n"])
    overwrite(log, 150_000, b"X")
    assert following.look() == Look("rewritten", [b"a\n", 300_001, b"b\n", b"y" * 5000 + b"\n", 5002, b"c\n"])


@settings(max_examples=50)
@given(chunk_bytes=st.integers(1, 40), sizes=st.lists(st.integers(0, 60)))
def test_the_size_of_a_read_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, chunk_bytes: int, sizes: list[int]
) -> None:
    log = tmp_path_factory.mktemp("t") / "log"
    data = b"".join(b"x" * size + b"\n" for size in sizes) + b"rest"
    log.write_bytes(data)
    following = Tail(log, chunk_bytes=chunk_bytes, line_bytes=50)
    assert following.look().lines == expected_lines(data, 50)


# -- the ways in which a file is, or is not, the one it was


def test_rename_rotation(tailed: Tail) -> None:
    """The new file is another; the old one goes on under its new name with the same cursor."""
    old = tailed.path.with_name("log.1")
    append(tailed.path, line(7))
    tailed.path.rename(old)
    tailed.path.write_bytes(some(90, 95))
    following = Tail(old)
    following._stored = tailed._stored
    assert following.look() == Look("resume", [line(7)])
    assert tailed.look() == Look("replaced", parts(some(90, 95)))


def test_a_file_created_after_the_first_look(log: Path, tailed: Tail) -> None:
    other = Tail(log.with_name("other"))
    other.path.write_bytes(some(0, 3))
    assert other.look() == Look("new", parts(some(0, 3)))


def test_copytruncate(tailed: Tail) -> None:
    shutil.copyfile(tailed.path, tailed.path.with_name("log.1"))
    os.truncate(tailed.path, 0)
    append(tailed.path, some(90, 92))
    assert tailed.look() == Look("truncated", parts(some(90, 92)))


def test_truncated_and_rewritten_to_the_same_size(tailed: Tail) -> None:
    size = tailed.path.stat().st_size
    tailed.path.write_bytes(some(50_000, 50_000 + size // 100))
    assert tailed.path.stat().st_size == size
    assert tailed.look() == Look("rewritten", parts(some(50_000, 50_000 + size // 100)))


def test_shrunk_and_regrown_past_the_offset(tailed: Tail) -> None:
    os.truncate(tailed.path, 500)
    append(tailed.path, some(60_000, 66_000))
    found = tailed.look()
    assert found == Look("rewritten", parts(some(0, 5) + some(60_000, 66_000)))


def test_deleted_and_made_again_with_the_same_inode(tailed: Tail) -> None:
    inode = tailed.path.stat().st_ino
    tailed.path.unlink()
    tailed.path.write_bytes(some(70_000, 76_000))
    found = tailed.look()
    assert found.lines == parts(some(70_000, 76_000))
    assert found.begin == ("rewritten" if tailed.path.stat().st_ino == inode else "replaced")


@posix
def test_a_hard_link_is_the_same_file(tailed: Tail) -> None:
    other = tailed.path.with_name("link")
    os.link(tailed.path, other)
    append(other, line(7))
    assert tailed.look() == Look("resume", [line(7)])
    assert tailed.look(path=other) == Look("resume", [])


@posix
def test_a_link_to_another_target_is_not_followed_and_its_target_is_another_file(tailed: Tail) -> None:
    target = tailed.path.with_name("target")
    target.write_bytes(some(80, 85))
    tailed.path.unlink()
    tailed.path.symlink_to(target)
    with pytest.raises(Unreadable, match="is a link"):
        tailed.look()
    assert tailed.look(path=target).begin == "replaced"


def test_atomic_replace(tailed: Tail) -> None:
    new = tailed.path.with_name("new")
    data = tailed.path.read_bytes() + line(7)
    new.write_bytes(data)
    os.replace(new, tailed.path)
    assert tailed.look() == Look("replaced", parts(data))


@pytest.mark.parametrize("shared", [4096, 10_000, 300_000])
def test_two_files_that_begin_alike(tmp_path: Path, shared: int) -> None:
    """Even with one inode, the window tells them apart."""
    begin = some(0, shared // 50, size=50)
    one, other = begin + some(0, 30), begin + some(30, 90)
    log = tmp_path / "log"
    log.write_bytes(one)
    following = Tail(log)
    following.look()
    log.write_bytes(other)
    assert following.look() == Look("rewritten", parts(other))


def test_a_replacement_that_preserves_size_and_mtime(tailed: Tail) -> None:
    stat = tailed.path.stat()
    data = some(50_000, 50_000 + stat.st_size // 100)
    tailed.path.write_bytes(data)
    os.utime(tailed.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert tailed.look() == Look("rewritten", parts(data))


@pytest.mark.parametrize("where", [0.0, 0.01, 0.3, 0.5, 0.99])
def test_an_edit_of_one_byte_anywhere(tailed: Tail, where: float) -> None:
    """Seen at once while the file does not grow too."""
    overwrite(tailed.path, int(tailed.path.stat().st_size * where) // 100 * 100 + 50, b"!")
    assert tailed.look() == Look("rewritten", parts(tailed.path.read_bytes()))


@pytest.mark.parametrize("size", [50, 1_300, 5_000, tail.PROVED_ALWAYS_BYTES // 100])
def test_an_edit_followed_by_growth_is_seen_at_once_in_a_small_file(log: Path, size: int) -> None:
    for where in (0, size // 2, size - 1):
        log.write_bytes(some(0, size))
        following = Tail(log)
        following.look()
        overwrite(log, where * 100 + 50, b"!")
        append(log, line(7))
        assert following.look() == Look("rewritten", parts(log.read_bytes()))


LARGE = tail.PROVED_ALWAYS_BYTES // 100 + 1


def large_and_grown(log: Path, *, edit_at: int) -> Tail:
    """A log of more than 4 MiB that was read, edited at one byte, and has grown since."""
    log.write_bytes(some(0, LARGE))
    following = Tail(log)
    following.look()
    overwrite(log, edit_at, b"!")
    append(log, line(7))
    return following


@pytest.mark.parametrize("edit_at", [0, 4_000, LARGE * 100 - 100], ids=["head", "end of the head", "window"])
def test_an_edit_of_the_head_or_the_window_of_a_large_file_that_also_grew_is_seen_at_once(
    log: Path, edit_at: int
) -> None:
    assert large_and_grown(log, edit_at=edit_at).look() == Look("rewritten", parts(log.read_bytes()))


def test_an_edit_deep_inside_a_large_file_that_also_grew_is_found_by_the_next_look(log: Path) -> None:
    """The first takes in what is new and does not vouch for the rest."""
    following = large_and_grown(log, edit_at=100_050)
    assert following.look().begin == "resume"
    assert not following.is_proved
    assert following.look() == Look("rewritten", parts(log.read_bytes()))
    assert following.is_proved


def test_a_large_file_that_never_stops_growing_is_compared_from_time_to_time(log: Path) -> None:
    following = large_and_grown(log, edit_at=100_050)
    assert following.look().begin == "resume"
    append(log, line(8))
    following.now += LARGE * 100 / tail.PROVED_BYTES_PER_S + 0.1
    assert following.look() == Look("rewritten", parts(log.read_bytes()))


def test_a_clock_that_was_set_back_delays_no_comparison(log: Path) -> None:
    following = large_and_grown(log, edit_at=100_050)
    following.now -= 3600
    assert following.look().begin == "rewritten"


def test_the_last_line_removed(tailed: Tail) -> None:
    data = tailed.path.read_bytes()[:-100]
    os.truncate(tailed.path, len(data))
    assert tailed.look() == Look("truncated", parts(data))


def test_the_last_line_replaced_by_a_longer_one(tailed: Tail) -> None:
    data = tailed.path.read_bytes()[:-100] + line(7, size=200)
    os.truncate(tailed.path, len(data) - 200)
    append(tailed.path, line(7, size=200))
    assert tailed.look() == Look("rewritten", parts(data))


def test_an_edit_of_the_waiting_part_is_no_matter(tailed: Tail) -> None:
    append(tailed.path, b"first thought")
    tailed.look()
    os.truncate(tailed.path, tailed.path.stat().st_size - len(b"first thought"))
    append(tailed.path, b"2nd\n")
    assert tailed.look() == Look("resume", [b"2nd\n"])


def test_a_touched_file_is_still_the_same(tailed: Tail) -> None:
    os.utime(tailed.path, ns=(1, 1))
    assert tailed.look() == Look("resume", [])


def test_the_cursor_holds_nothing_that_can_be_guessed(tailed: Tail) -> None:
    """Another key gives other hashes: without it a dictionary of likely texts finds nothing."""
    with opened(tailed.path.parent, tailed.path.name) as (descriptor, stat):
        assert resume(descriptor, stat, tailed.cursor, Fingerprinter(b"K" * 32), now=0).trail.offset == 0


# -- while somebody writes


def test_nothing_torn_is_read_when_a_file_is_cut_and_rewritten_between_two_reads(log: Path) -> None:
    """However the new content lies against the old offset: no line that never was in the file."""
    old = some(0, 400)
    for shift in range(0, 250, 7):
        log.write_bytes(old)
        new = b"n" * shift + b"\n" + some(70_000, 70_500)
        with opened(log.parent, log.name) as (descriptor, stat):
            reading = read_lines(descriptor, 0, end=stat.size, chunk_bytes=1050)
            found = lines_of([next(reading)])
            log.write_bytes(new)
            found += lines_of(reading)
        assert set(found) <= {*parts(old), *parts(new)}
        assert found == parts(old)[: len(found)]


def test_a_file_cut_while_it_is_read_just_ends(log: Path) -> None:
    log.write_bytes(some(0, 400))
    with opened(log.parent, log.name) as (descriptor, stat):
        reading = read_lines(descriptor, 0, end=stat.size, chunk_bytes=1050)
        assert lines_of([next(reading)]) == parts(some(0, 10))
        os.truncate(log, 0)
        assert list(reading) == []


def test_a_line_too_long_that_is_cut_before_it_is_fingerprinted_is_read_again(log: Path) -> None:
    data = b"x" * 200_000 + b"\n" + line(1)
    log.write_bytes(data)
    with opened(log.parent, log.name) as (descriptor, stat):
        trail = Trail(FINGERPRINT, stat, proved_at=0)
        reading = read_lines(descriptor, 0, end=stat.size, line_bytes=1000)
        part = next(reading)
        os.truncate(log, 100_000)
        trail.advance(part, descriptor)
        cursor = trail.cursor()
        log.write_bytes(data)
        assert isinstance(resume(descriptor, stat, cursor, FINGERPRINT, now=0), Restart)


def test_a_writer_in_fragments_loses_no_line(log: Path) -> None:
    """20,000 lines in fragments of 1 to 4,096 bytes while the reader looks all the time: each once, in order, whole."""
    lines = [line(number, size=random.Random(number).randint(10, 300)) for number in range(20_000)]
    data = b"".join(lines)
    done = threading.Event()

    def write() -> None:
        dice, position = random.Random(1), 0
        with log.open("ab", buffering=0) as file:
            while position < len(data):
                position += file.write(data[position : position + dice.randint(1, 4096)])
        done.set()

    log.touch()
    following = Tail(log)
    writing = threading.Thread(target=write)
    writing.start()
    begins = set()
    while not done.is_set():
        begins.add(following.look().begin)
    writing.join()
    following.look()
    assert following.kept == lines
    assert begins <= {"new", "resume"}


# -- any sequence of what can happen to a file


class FileLife(RuleBasedStateMachine):
    """Blocks of 64 bytes and a head of 16, so that short files are many blocks long."""

    folder: Path
    number = 0

    def __init__(self) -> None:
        super().__init__()
        FileLife.number += 1
        self.path = self.folder / f"log{FileLife.number}"
        self.path.write_bytes(b"")
        self.following = Tail(self.path, chunk_bytes=50, line_bytes=40)
        self.in_doubt = False

    line = st.binary(max_size=50).map(lambda data: data.replace(b"\n", b" ") + b"\n")
    lines = st.lists(line, max_size=8).map(b"".join)
    places = st.floats(0, 1)

    @rule(data=lines)
    def append_lines(self, data: bytes) -> None:
        append(self.path, data)

    @rule(data=st.binary(max_size=20))
    def append_anything(self, data: bytes) -> None:
        append(self.path, data)

    @rule(data=lines)
    def rewrite(self, data: bytes) -> None:
        self.path.write_bytes(data)

    @rule(where=places)
    def truncate(self, where: float) -> None:
        os.truncate(self.path, int(where * self.path.stat().st_size))

    @rule(where=places, data=st.binary(min_size=1, max_size=5))
    def edit(self, where: float, data: bytes) -> None:
        offset = int(where * self.path.stat().st_size)
        if self.path.read_bytes()[offset : offset + len(data)] != data:
            overwrite(self.path, offset, data)
            self.in_doubt = True

    @rule(data=lines)
    def replace(self, data: bytes) -> None:
        new = self.path.with_suffix(".new")
        new.write_bytes(data)
        os.replace(new, self.path)

    @rule(data=lines)
    def recreate(self, data: bytes) -> None:
        self.path.unlink()
        self.path.write_bytes(data)

    @rule(data=lines)
    def rotate(self, data: bytes) -> None:
        self.path.replace(self.path.with_suffix(".1"))
        self.path.write_bytes(data)

    @rule()
    def copytruncate(self) -> None:
        os.truncate(self.path, 0)

    @rule(whole=st.booleans())
    def look(self, whole: bool) -> None:
        self.following.look(whole=whole)
        true = expected_lines(self.path.read_bytes(), 40)
        if whole:
            assert self.following.kept == true
            self.in_doubt = False
        elif not self.in_doubt:
            # Cut and grown again between two looks, all but what lies before the window is compared.
            assert self.following.kept[-2:] == true[-2:]

    @invariant()
    def the_cursor_ends_at_a_line(self) -> None:
        cursor = self.following.cursor
        if cursor is not None:
            assert 0 <= cursor.window_bytes <= cursor.offset <= cursor.size_bytes

    def teardown(self) -> None:
        self.following.look(whole=True)
        assert self.following.kept == expected_lines(self.path.read_bytes(), 40)


def test_whatever_happens_to_a_file_its_lines_are_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "BLOCK_BYTES", 64)
    monkeypatch.setattr(tail, "HEAD_BYTES", 16)
    FileLife.folder = tmp_path
    run_state_machine_as_test(
        FileLife,
        settings=settings(max_examples=100, stateful_step_count=30, suppress_health_check=list(HealthCheck)),
    )
