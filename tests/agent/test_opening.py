"""No name leads out of a space, and no half-written file is taken for a whole one."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from memferry import windows
from memferry.agent.files.opening import Unreadable, open_regular, opened, read_at, read_stable
from memferry.agent.files.scan import Found, look, stat_of, walk
from memferry.durable import Folder
from memferry.errors import SpaceMissing

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")


@pytest.fixture
def space(tmp_path: Path) -> Path:
    (tmp_path / "space/a/b").mkdir(parents=True)
    (tmp_path / "space/a/b/file").write_bytes(b"inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"outside")
    return tmp_path / "space"


def append(path: Path, more: bytes) -> None:
    with path.open("ab") as file:
        file.write(more)


def replace_at_last(new: Path, path: Path) -> None:
    """On Windows a file cannot be replaced in the moment in which somebody reads it."""
    while True:
        try:
            os.replace(new, path)
            return
        except PermissionError:
            if sys.platform != "win32":
                raise


def reason(root: Path, file: str) -> str:
    with pytest.raises(Unreadable) as caught:
        os.close(open_regular(root, file))
    assert str(caught.value) == f"{file} {caught.value.reason}"
    return caught.value.reason


def test_a_file_inside_opens_with_its_stat(space: Path) -> None:
    with opened(space, "a/b/file") as (descriptor, stat):
        assert read_at(descriptor, 100, 2) == b"side"
        assert stat == stat_of(os.stat(space / "a/b/file"))
        assert not os.get_inheritable(descriptor)


def test_the_descriptor_is_closed_also_after_an_error(space: Path) -> None:
    with pytest.raises(ZeroDivisionError), opened(space, "a/b/file") as (descriptor, _):
        raise ZeroDivisionError
    with pytest.raises(OSError, match=r"Bad file descriptor|handle"):
        os.fstat(descriptor)


@pytest.mark.parametrize(
    "file", ["", ".", "..", "../outside/file", "a/../../outside/file", "/etc/passwd", "a//b", "a\0b"]
)
def test_only_plain_paths_are_taken(space: Path, file: str) -> None:
    assert reason(space, file) == "is not a path inside the space"


@posix
def test_no_link_is_followed_at_any_depth(space: Path) -> None:
    (space / "link").symlink_to("a/b/file")
    (space / "folder").symlink_to(space.parent / "outside")
    (space / "a/inner").symlink_to("b")
    assert reason(space, "link") == "is a link"
    assert reason(space, "folder/file") == "lies behind a link or a file"
    assert reason(space, "a/inner/file") == "lies behind a link or a file"


def test_a_path_longer_than_windows_takes_by_itself_is_found_written_and_read(space: Path) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(Folder.open(space))
        for name in ("a" * 80, "b" * 80, "c" * 80):
            folder = stack.enter_context(folder.sub(name, create=True))
        with folder.writing("file", replace=False) as draft:
            draft.write(b"deep")
        assert folder.names() == ["file"]
    (found,) = (one for one in walk(space) if one.file.endswith("c/file"))
    assert isinstance(found, Found)
    assert look(space, found.file) == found
    if sys.platform != "win32" or shutil.which("winepath") is None:  # wine cannot say what so deep a file is called
        with opened(space, found.file) as (descriptor, stat):
            assert (os.read(descriptor, 10), stat) == (b"deep", found.stat)


@pytest.mark.parametrize(
    ("path", "longer"),
    [("C:\\a", "\\\\?\\C:\\a"), ("\\\\nas\\share\\a", "\\\\?\\UNC\\nas\\share\\a"), ("\\\\?\\C:\\a", "\\\\?\\C:\\a")],
)
def test_windows_is_asked_for_paths_of_any_length(path: str, longer: str) -> None:
    assert windows.extended(path) == longer


def test_whoever_reads_keeps_nobody_from_renaming_or_deleting_it(space: Path) -> None:
    path = space / "a/b/file"
    with opened(space, "a/b/file") as (descriptor, _):
        path.rename(path.with_name("renamed"))
        path.with_name("renamed").unlink()
        assert os.read(descriptor, 10) == b"inside"


@posix
def test_the_root_may_be_a_link(space: Path) -> None:
    (space.parent / "link").symlink_to(space)
    with opened(space.parent / "link", "a/b/file") as (descriptor, _):
        assert os.read(descriptor, 10) == b"inside"


@posix
def test_a_pipe_neither_blocks_nor_opens(space: Path) -> None:
    os.mkfifo(space / "pipe")
    assert reason(space, "pipe") == "is not a regular file"
    assert reason(space, "a") == "is not a regular file"


def test_a_file_that_is_gone_says_so(space: Path) -> None:
    with pytest.raises(Unreadable) as caught:
        open_regular(space, "a/gone")
    assert caught.value.gone


def test_a_space_that_is_gone_is_another_error(space: Path) -> None:
    with pytest.raises(SpaceMissing):
        open_regular(space / "gone", "file")


def test_a_closed_file_names_the_reason(unprivileged: Path) -> None:
    (unprivileged / "file").write_bytes(b"x")
    (unprivileged / "file").chmod(0)
    assert reason(unprivileged, "file") == "cannot be read: Permission denied"


@posix
def test_a_folder_that_may_only_be_passed_through_is_passed(unprivileged: Path) -> None:
    (unprivileged / "a").mkdir()
    (unprivileged / "a/file").write_bytes(b"x")
    (unprivileged / "a").chmod(0o100)
    if sys.platform == "linux":
        os.close(open_regular(unprivileged, "a/file"))


@posix
def test_a_folder_swapped_for_a_link_meanwhile_never_leads_outside(space: Path) -> None:
    """10,000 opens while another thread swaps a folder and a link to the outside under one name."""
    (space / "link").symlink_to(space.parent / "outside")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            (space / "a").rename(space / "kept")
            (space / "link").rename(space / "a")
            (space / "a").rename(space / "link")
            (space / "kept").rename(space / "a")

    (space / "a/file").write_bytes(b"inside")
    swapping = threading.Thread(target=swap)
    swapping.start()
    read, refused = set(), 0
    try:
        for _ in range(10_000):
            try:
                with opened(space, "a/file") as (descriptor, _):
                    read.add(os.read(descriptor, 10))
            except Unreadable:
                refused += 1
    finally:
        done.set()
        swapping.join()
    assert read == {b"inside"}
    assert refused


def test_no_descriptor_leaks_on_any_refusal(space: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("counts descriptors in /proc")
    (space / "link").symlink_to("a")
    before = len(os.listdir("/proc/self/fd"))
    for file in ("a/b/file/x", "link/b", "link", "a/gone", "a", "a/b/c/d"):
        reason(space, file)
    assert len(os.listdir("/proc/self/fd")) == before


# -- read_stable


def test_a_quiet_file_is_read_with_its_stat(space: Path) -> None:
    assert read_stable(space, "a/b/file", 6) == (b"inside", stat_of(os.stat(space / "a/b/file")))
    (space / "empty").touch()
    content = read_stable(space, "empty", 0)
    assert content is not None
    assert content[0] == b""


def test_a_file_over_the_limit_is_named(space: Path) -> None:
    with pytest.raises(Unreadable, match="a/b/file is larger than 5 bytes"):
        read_stable(space, "a/b/file", 5)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: append(path, b"+"),
        lambda path: path.write_bytes(b"INSIDE"),
        lambda path: os.truncate(path, 3),
        lambda path: os.utime(path, ns=(1, 1)),
    ],
    ids=["append", "same size", "truncate", "touch"],
)
def test_a_file_that_changes_while_it_is_read_is_not_taken(
    space: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    path = space / "a/b/file"
    os.utime(path, ns=(10**18, 10**18))
    read = os.read

    def read_and_change(descriptor: int, size: int) -> bytes:
        monkeypatch.setattr(os, "read", read)
        content = read(descriptor, size)
        change(path)
        return content

    monkeypatch.setattr(os, "read", read_and_change)
    assert read_stable(space, "a/b/file", 100) is None
    assert read_stable(space, "a/b/file", 100) is not None


def test_a_file_that_was_just_written_waits_until_it_is_quiet(space: Path) -> None:
    (space / "a/b/file").write_bytes(b"half")
    changed = os.stat(space / "a/b/file").st_ctime
    assert read_stable(space, "a/b/file", 100, quiet_s=0.1, now=lambda: changed + 0.05) is None
    assert read_stable(space, "a/b/file", 100, quiet_s=0.1, now=lambda: changed + 0.15) is not None


def test_a_clock_that_runs_behind_the_files_is_no_reason_to_wait_for_ever(space: Path) -> None:
    assert read_stable(space, "a/b/file", 100, quiet_s=0.1, now=lambda: time.time() - 3600) is not None


def test_a_file_that_is_replaced_again_and_again_is_always_taken_whole(space: Path) -> None:
    path = space / "document.md"
    versions = [f"version {number}\n".encode() * 400 for number in range(500)]
    path.write_bytes(versions[0])
    done = threading.Event()

    def rewrite() -> None:
        for version in versions:
            path.with_suffix(".new").write_bytes(version)
            replace_at_last(path.with_suffix(".new"), path)
        done.set()

    writing = threading.Thread(target=rewrite)
    writing.start()
    taken = set()
    while not done.is_set():
        content = read_stable(space, "document.md", 1 << 20)
        if content is not None:
            taken.add(content[0])
    writing.join()
    last = read_stable(space, "document.md", 1 << 20)
    assert last is not None
    assert last[0] == versions[-1]
    assert taken <= set(versions)
