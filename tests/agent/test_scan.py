"""The scan tells the truth about a tree, whatever lies in it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from memferry.agent.files import scan
from memferry.agent.files.scan import NOT_UTF8, TOO_LONG, Changes, Found, Skipped, Stat, changes, look, stat_of, walk
from memferry.errors import SpaceMissing

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")
linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems change or refuse such names")


def write(root: Path, *files: str) -> None:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.encode("utf-8", "surrogateescape"))


def names(root: Path, under: str = "") -> list[str]:
    return [one.file for one in walk(root, under=under)]


def skipped(root: Path) -> dict[str, str]:
    return {one.file: one.reason for one in walk(root) if isinstance(one, Skipped)}


def known(root: Path) -> dict[str, Stat]:
    return {one.file: one.stat for one in walk(root) if isinstance(one, Found)}


# -- walk


def test_files_come_folder_by_folder_in_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, "b/2", "b/1", "a/z/1", "a/2", "c", "D", "a/0")
    assert names(tmp_path) == ["D", "c", "a/0", "a/2", "a/z/1", "b/1", "b/2"]


def test_the_stat_is_that_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, "a/ledger.jsonl")
    assert known(tmp_path) == {"a/ledger.jsonl": stat_of(os.stat(tmp_path / "a/ledger.jsonl"))}


def test_an_empty_space_is_empty(tmp_path: Path) -> None:
    assert names(tmp_path) == []


def test_numbers_of_64_bits_are_folded_to_what_the_state_can_keep() -> None:
    times = {"st_mtime_ns": 2**63, "st_ctime_ns": -(2**64)}
    result = os.stat_result((0o100600, 2**64 - 1, 2**64 - 2, 1, 0, 0, 5, 0, 0, 0), times)
    stat = stat_of(result)
    assert (stat.inode, stat.device, stat.size) == (2**63 - 1, 2**63 - 2, 5)
    assert (stat.mtime_ns, stat.ctime_ns) == (2**63 - 1, 1 - 2**63)


def test_on_windows_a_file_has_one_ctime_by_name_and_when_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since Python 3.12 `st_ctime` is the time of creation by name, and that of the last change of an open file."""
    write(tmp_path, "file")
    by_name = os.lstat(tmp_path / "file")
    fields = {name: getattr(by_name, name) for name in dir(by_name) if name.startswith("st_")}
    lstat = {**fields, "st_birthtime_ns": 1, "st_ctime_ns": 1}
    monkeypatch.setattr(scan, "_WINDOWS", True)
    monkeypatch.setattr(os, "lstat", lambda path: SimpleNamespace(**lstat))
    opened = stat_of(cast("os.stat_result", SimpleNamespace(**{**lstat, "st_ctime_ns": 2})))
    assert list(walk(tmp_path)) == [Found("file", opened)]


def test_folders_that_may_not_be_entered_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, ".git/objects/1", "a/.git/1", "a/1")
    asked = []

    def descend(folder: str) -> bool:
        asked.append(folder)
        return not folder.endswith(".git")

    assert [one.file for one in walk(tmp_path, descend=descend)] == ["a/1"]
    assert sorted(asked) == [".git", "a", "a/.git"]
    assert list(walk(tmp_path, under=".git/objects", descend=descend)) == []
    assert list(walk(tmp_path, under=".git/objects/1", descend=descend)) == []


def test_a_part_of_a_space_can_be_scanned_alone(tmp_path: Path) -> None:
    write(tmp_path, "a/b/1", "a/b/c/2", "a/3", "4")
    assert names(tmp_path, "a/b") == ["a/b/1", "a/b/c/2"]
    assert names(tmp_path, "a/b/1") == ["a/b/1"]
    assert names(tmp_path, "a/gone") == names(tmp_path, "gone/b") == names(tmp_path, "4/b") == []


def test_a_file_is_found_by_the_name_that_its_folder_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Mac's disk, and one of Windows, finds `Plan.md` as `plan.md` too: after a renaming both would be there."""
    write(tmp_path, "Notes/plan.md")
    real = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: real(str(path).replace("notes", "Notes").replace("Plan", "plan")))
    monkeypatch.setattr(scan, "_KNOWS_NO_CASE", True)
    assert names(tmp_path, "Notes/plan.md") == ["Notes/plan.md"]
    assert names(tmp_path, "Notes/Plan.md") == []
    assert names(tmp_path, "notes/plan.md") == []


def test_a_part_that_was_excluded_itself_is_not_entered(tmp_path: Path) -> None:
    write(tmp_path, "drafts/1")
    assert list(walk(tmp_path, under="drafts", descend=lambda folder: folder != "drafts")) == []


@posix
def test_links_are_never_followed_so_that_a_loop_is_no_loop(tmp_path: Path) -> None:
    write(tmp_path, "space/a/1", "elsewhere/secret")
    space = tmp_path / "space"
    (space / "a/loop").symlink_to(space)
    (space / "folder").symlink_to(tmp_path / "elsewhere")
    (space / "file").symlink_to(tmp_path / "elsewhere/secret")
    (space / "dangling").symlink_to(tmp_path / "nowhere")
    assert set(known(space)) == {"a/1"}
    assert skipped(space) == dict.fromkeys(["a/loop", "folder", "file", "dangling"], "is a link")
    assert list(walk(space, under="folder/secret")) == [Skipped("folder", "is a link")]
    assert look(space, "folder/secret") == Skipped("folder", "is a link")


@posix
def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path, "real/1")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert names(tmp_path / "link") == ["1"]


@posix
def test_pipes_sockets_and_devices_are_named_and_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "1")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # a socket's path has room for about 100 bytes
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        expected = ["pipe", "socket"]
        if sys.platform == "linux" and os.geteuid() == 0:
            os.mknod("device", 0o20600, os.makedev(1, 3))
            expected.append("device")
        assert skipped(tmp_path) == dict.fromkeys(expected, "is not a regular file")
        assert set(known(tmp_path)) == {"1"}


@linux
def test_names_that_are_not_utf8_are_shown_escaped(tmp_path: Path) -> None:
    write(tmp_path, os.fsdecode(b"caf\xe9"), os.fsdecode(b"bad\xff/inner"), "good")
    assert skipped(tmp_path) == {"caf\\xe9": NOT_UTF8, "bad\\xff": NOT_UTF8}
    assert set(known(tmp_path)) == {"good"}
    assert look(tmp_path, os.fsdecode(b"caf\xe9")) == Skipped("caf\\xe9", NOT_UTF8)


@linux
def test_odd_names_are_files_like_others(tmp_path: Path) -> None:
    odd = [
        "line\nbreak",
        "\u2028",
        " ",
        "x" * 255,
        "ü" * 127,
        "Case",
        "case",
        unicodedata.normalize("NFC", "é"),
        unicodedata.normalize("NFD", "é"),
        "-rf",
        "\\",
        "c:d",
        "😀",
    ]
    write(tmp_path, *odd)
    assert set(known(tmp_path)) == set(odd)
    assert all((tmp_path / file).read_bytes() == file.encode() for file in known(tmp_path))


@linux
def test_a_tree_deeper_than_a_path_may_be_long_is_read_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "z")
    monkeypatch.chdir(tmp_path)
    for _ in range(30):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    os.chdir(tmp_path)
    found = list(walk(tmp_path))
    assert found[0].file == "z"
    assert [type(one) for one in found] == [Found, Skipped]
    assert found[1].reason == TOO_LONG  # type: ignore[union-attr]
    shutil.rmtree(tmp_path / ("d" * 200), ignore_errors=True)


def test_what_may_not_be_read_is_skipped_with_the_reason(unprivileged: Path) -> None:
    write(unprivileged, "closed/1", "listed/2", "open/3")
    (unprivileged / "closed").chmod(0)
    (unprivileged / "listed").chmod(0o400)
    assert skipped(unprivileged) == dict.fromkeys(["closed", "listed/2"], "cannot be read: Permission denied")
    assert set(known(unprivileged)) == {"open/3"}
    assert look(unprivileged, "closed/1") == Skipped("closed/1", "cannot be read: Permission denied")


def test_a_hundred_thousand_files_in_one_folder(tmp_path: Path) -> None:
    for number in range(100_000):
        os.close(os.open(tmp_path / f"{number:05}", os.O_CREAT | os.O_WRONLY))
    assert names(tmp_path) == [f"{number:05}" for number in range(100_000)]
    shutil.rmtree(tmp_path)


def test_a_file_that_goes_while_its_folder_is_read_is_just_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a/1", "b/2", "c/3")
    scanning = walk(tmp_path)
    assert next(scanning).file == "a/1"
    shutil.rmtree(tmp_path / "b")
    assert [one.file for one in scanning] == ["c/3"]


# -- a space that is not there is not a space whose files were deleted


def test_a_missing_root_is_an_error_and_not_empty(tmp_path: Path) -> None:
    with pytest.raises(SpaceMissing) as caught:
        list(walk(tmp_path / "gone"))
    assert str(tmp_path / "gone") in str(caught.value)
    assert "mount" in caught.value.hint
    with pytest.raises(SpaceMissing):
        look(tmp_path / "gone", "1")


def test_a_root_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "1")
    with pytest.raises(SpaceMissing):
        list(walk(tmp_path / "1"))


def test_a_closed_root_is_an_error(unprivileged: Path) -> None:
    write(unprivileged, "space/1")
    (unprivileged / "space").chmod(0)
    with pytest.raises(SpaceMissing, match="Permission denied"):
        list(walk(unprivileged / "space"))


def test_a_root_that_goes_or_is_replaced_on_the_way_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "space/a/1", "space/b/2", "other/c")
    scanning = walk(tmp_path / "space")
    next(scanning)
    (tmp_path / "space").rename(tmp_path / "moved")
    with pytest.raises(SpaceMissing):
        list(scanning)
    scanning = walk(tmp_path / "moved")
    next(scanning)
    (tmp_path / "moved").rename(tmp_path / "away")
    (tmp_path / "other").rename(tmp_path / "moved")
    with pytest.raises(SpaceMissing, match="replaced"):
        list(scanning)


# -- changes


def compare(root: Path, before: dict[str, Stat]) -> Changes:
    return changes(walk(root), before)


def test_nothing_changed(tmp_path: Path) -> None:
    write(tmp_path, "a/1", "2")
    assert compare(tmp_path, known(tmp_path)) == Changes((), (), {}, ())


def test_new_changed_and_vanished_files(tmp_path: Path) -> None:
    write(tmp_path, "same", "grows", "goes")
    before = known(tmp_path)
    write(tmp_path, "new")
    with (tmp_path / "grows").open("ab") as file:
        file.write(b"more")
    (tmp_path / "goes").unlink()
    found = compare(tmp_path, before)
    assert [one.file for one in found.changed] == ["grows", "new"]
    assert found.vanished == ("goes",)


@posix
def test_an_edit_that_restores_size_and_mtime_is_a_change(tmp_path: Path) -> None:
    write(tmp_path, "1")
    before = known(tmp_path)
    stat = before["1"]
    (tmp_path / "1").write_bytes(b"X")
    os.utime(tmp_path / "1", ns=(stat.mtime_ns, stat.mtime_ns))
    found = compare(tmp_path, before)
    assert [one.file for one in found.changed] == ["1"]
    assert found.changed[0].stat[:4] == stat[:4]


def test_what_lies_in_an_unreadable_folder_has_not_vanished(unprivileged: Path) -> None:
    write(unprivileged, "a/b/1", "ab", "c")
    before = known(unprivileged)
    (unprivileged / "a").chmod(0)
    (unprivileged / "c").unlink()
    found = compare(unprivileged, before)
    assert found.vanished == ("c",)
    assert [one.file for one in found.skipped] == ["a"]


@posix
def test_a_file_that_became_a_link_has_not_vanished(tmp_path: Path) -> None:
    write(tmp_path, "a")
    before = known(tmp_path)
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to("/etc/hostname")
    assert compare(tmp_path, before) == Changes((), (), {}, (Skipped("a", "is a link"),))


def test_a_renamed_file_and_a_renamed_folder_are_moves(tmp_path: Path) -> None:
    write(tmp_path, "old", "folder/1", "folder/2")
    before = known(tmp_path)
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "folder").rename(tmp_path / "other")
    found = compare(tmp_path, before)
    assert found.moved == {"new": "old", "other/1": "folder/1", "other/2": "folder/2"}
    assert set(found.vanished) == {"old", "folder/1", "folder/2"}


def test_rotation_moves_every_generation_by_one(tmp_path: Path) -> None:
    write(tmp_path, "log", "log.1")
    before = known(tmp_path)
    (tmp_path / "log.1").rename(tmp_path / "log.2")
    (tmp_path / "log").rename(tmp_path / "log.1")
    write(tmp_path, "log")
    found = compare(tmp_path, before)
    assert found.moved == {"log.1": "log", "log.2": "log.1"}
    assert [one.file for one in found.changed] == ["log", "log.1", "log.2"]
    assert found.vanished == ()


def test_swapped_files_are_moves(tmp_path: Path) -> None:
    write(tmp_path, "a", "b")
    before = known(tmp_path)
    (tmp_path / "a").rename(tmp_path / "c")
    (tmp_path / "b").rename(tmp_path / "a")
    (tmp_path / "c").rename(tmp_path / "b")
    assert compare(tmp_path, before).moved == {"a": "b", "b": "a"}


@posix
def test_a_new_hard_link_is_no_move(tmp_path: Path) -> None:
    write(tmp_path, "a")
    before = known(tmp_path)
    os.link(tmp_path / "a", tmp_path / "b")
    found = compare(tmp_path, before)
    assert found.moved == {}
    assert "b" in [one.file for one in found.changed]


@posix
def test_of_two_new_names_of_a_vanished_file_one_is_the_move(tmp_path: Path) -> None:
    write(tmp_path, "a")
    before = known(tmp_path)
    os.link(tmp_path / "a", tmp_path / "b")
    os.link(tmp_path / "a", tmp_path / "c")
    (tmp_path / "a").unlink()
    assert compare(tmp_path, before).moved == {"b": "a"}


def test_a_path_that_nobody_could_restore_is_skipped_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "space"
    for _ in range(4):
        folder /= "d" * 250
    folder.mkdir(parents=True)
    longest = 1024 - len(str(folder.relative_to(tmp_path / "space"))) - 1
    (folder / ("x" * longest)).touch()
    (folder / ("y" * (longest + 1))).touch()
    found, skipped_ = sorted(walk(tmp_path / "space"), key=lambda one: one.file)
    assert isinstance(found, Found)
    assert skipped_ == Skipped(found.file[:-longest] + "y" * (longest + 1), TOO_LONG)
    assert look(tmp_path / "space", skipped_.file) == skipped_
