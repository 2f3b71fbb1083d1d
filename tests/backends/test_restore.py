from __future__ import annotations

import errno
import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memferry.backends import names
from memferry.backends.local import LocalStore
from memferry.backends.vault.backend import Vault
from memferry.backends.vault.layout import Layouts
from memferry.backends.vault.restore import RestoreReport, restore
from memferry.durable import Folder
from memferry.errors import ConfigError, TargetRefused, TransientError
from memferry.model import Op
from tests.backends.samples import ME, contents, note, place, put, retract, seal

POSIX = pytest.mark.skipif(os.name != "posix", reason="links")
ROOT = Path(__file__).resolve().parents[2]
WHEN = 1_700_000_000_123_456_789


def restored(to: Path, *ops: Op) -> dict[str, bytes]:
    restore(iter(ops), to, machine=ME.id)
    return dict(contents(to))


def line(seq: int, body: str, position: int | None = None, file: str = "log.jsonl", key: str | None = None) -> Op:
    more = {} if key is None else {"key": key}
    return put(seq, body, position=seq - 1 if position is None else position, file=file, **more)


def document(seq: int, body: str, file: str = "state.md", **more: str) -> Op:
    return put(seq, body, file=file, key=file, format="document", position=0, **more)


# -- byte for byte


def test_a_ledger(tmp_path: Path) -> None:
    lines = ['{"a": 1}', "", "  spaced\t", "crlf\r", "\u2028 \u0085 🦀", '{"b":"\\u0000"}']
    found = restored(tmp_path, *(line(seq, body) for seq, body in enumerate(lines, start=1)))
    assert found == {"notes/log.jsonl": "".join(text + "\n" for text in lines).encode()}


@pytest.mark.parametrize(
    "text", ["", "# Title\n\nno newline at the end", "\r\n\r\n", "\ufeffwith a mark", "x" * 5_000_000]
)
def test_a_document(tmp_path: Path, text: str) -> None:
    assert restored(tmp_path, document(1, text, "a/b/c.md")) == {"notes/a/b/c.md": text.encode()}


@pytest.mark.parametrize(
    ("frame", "bodies"),
    [
        (("[\n  ", ",\n  ", "\n]\n"), ['{"id": 1}', '{\n    "id": 2\n  }', "3"]),
        (('{"entries": [', ", ", '], "x": 1}'), ['{"id":1}']),
        (("[", ", ", "]"), []),
    ],
)
def test_an_array(tmp_path: Path, frame: tuple[str, str, str], bodies: list[str]) -> None:
    ops: list[Op] = [put(n + 1, body, file="e.json", format="entries", position=n) for n, body in enumerate(bodies)]
    before, between, after = frame
    assert restored(tmp_path, *ops, note(9, "e.json", format="entries", frame=frame, mtime_ns=WHEN)) == {
        "notes/e.json": (before + between.join(bodies) + after).encode()
    }


def test_an_array_without_a_frame_is_still_one(tmp_path: Path) -> None:
    ops = [
        put(n + 1, body, file="e.json", format="entries", position=n) for n, body in enumerate(['{"id":1}', '{"id":2}'])
    ]
    found = restored(tmp_path, *ops)
    assert json.loads(found["notes/e.json"]) == [{"id": 1}, {"id": 2}]


def test_an_archive_is_packed_again(tmp_path: Path) -> None:
    lines = [line(seq, f"line {seq}", file="old.jsonl.gz") for seq in range(1, 2000)]
    found = restored(tmp_path / "a", *lines)
    assert gzip.decompress(found["notes/old.jsonl.gz"]) == b"".join(b"line %d\n" % seq for seq in range(1, 2000))
    assert found["notes/old.jsonl.gz"][4:8] == bytes(4)
    assert restored(tmp_path / "b", *lines) == found


def test_times_and_modes(tmp_path: Path) -> None:
    restore([line(1, "x"), note(2, mtime_ns=1), note(3, mtime_ns=WHEN)], tmp_path)
    found = (tmp_path / "notes" / "log.jsonl").stat()
    assert found.st_mtime_ns // 1000 == WHEN // 1000
    if os.name == "posix":
        assert found.st_mode & 0o777 == 0o600


def test_several_spaces(tmp_path: Path) -> None:
    ops = [put(1, "one", space="atlas"), put(2, "two", space="borealis", position=0)]
    assert restored(tmp_path, *ops) == {"atlas/log.jsonl": b"one\n", "borealis/log.jsonl": b"two\n"}


def test_an_empty_log(tmp_path: Path) -> None:
    assert restore([], tmp_path / "to") == RestoreReport(0, 0, 0, 0)
    assert contents(tmp_path) == {}


def test_a_log_through_a_vault(tmp_path: Path) -> None:
    ops: list[Op] = [
        *(line(seq, f"line {seq}") for seq in range(1, 500)),
        document(500, "# State\n"),
        note(501, mtime_ns=WHEN),
    ]
    vault = Vault(LocalStore(tmp_path / "vault"), ME, name="vault")
    vault.deliver([seal(ops[:200]), seal(ops[200:])])
    vault.deliver([seal([retract(502, 7, 300)])])
    report = restore(vault.read(ME.id), tmp_path / "to", machine=ME.id)
    text = b"".join(b"line %d\n" % seq for seq in range(1, 500) if seq not in (7, 300))
    assert contents(tmp_path / "to") == {"notes/log.jsonl": text, "notes/state.md": b"# State\n"}
    assert report == RestoreReport(2, 498, 0, len(text) + 8)


# -- what happened to files


def test_a_version_in_two_places(tmp_path: Path) -> None:
    assert restored(tmp_path, line(1, "a"), line(2, "b"), place(3, "log.jsonl", 2, 1)) == {
        "notes/log.jsonl": b"a\nb\na\n"
    }


def test_a_renamed_file(tmp_path: Path) -> None:
    ops = [line(1, "a"), note(2, "new.jsonl", was="log.jsonl"), line(3, "b", 1, "new.jsonl")]
    assert restored(tmp_path, *ops) == {"notes/new.jsonl": b"a\nb\n"}


def test_a_file_renamed_over_another(tmp_path: Path) -> None:
    ops = [line(1, "a", 0), line(2, "b", 0, "b.jsonl"), note(3, "b.jsonl", was="log.jsonl")]
    assert restored(tmp_path, *ops) == {"notes/b.jsonl": b"a\n", ".memferry-kept/notes/b.jsonl": b"b\n"}


def test_a_file_that_is_gone_is_restored(tmp_path: Path) -> None:
    assert restored(tmp_path, line(1, "a"), note(2, gone=True)) == {"notes/log.jsonl": b"a\n"}


def test_a_rotated_file_is_not_restored_twice(tmp_path: Path) -> None:
    rotated: list[Op] = [place(3, "log-p01.jsonl", 0, 1), place(4, "log-p02.jsonl", 0, 2), note(5, gone=True)]
    ops = [line(1, "a"), line(2, "b"), *rotated]
    assert restored(tmp_path, *ops) == {"notes/log-p01.jsonl": b"a\n", "notes/log-p02.jsonl": b"b\n"}


def test_a_file_of_which_only_a_part_was_rotated_is_restored(tmp_path: Path) -> None:
    ops = [line(1, "a"), line(2, "b"), place(3, "log-p01.jsonl", 0, 1), note(4, gone=True)]
    assert restored(tmp_path, *ops) == {"notes/log-p01.jsonl": b"a\n", "notes/log.jsonl": b"a\nb\n"}


def test_a_copy_that_is_gone_too_does_not_count(tmp_path: Path) -> None:
    ops = [line(1, "a"), place(2, "copy.jsonl", 0, 1), note(3, gone=True), note(4, "copy.jsonl", gone=True)]
    assert restored(tmp_path, *ops) == {"notes/copy.jsonl": b"a\n", "notes/log.jsonl": b"a\n"}


def test_a_file_that_came_back(tmp_path: Path) -> None:
    ops = [document(1, "one"), note(2, "state.md", format="document", gone=True), document(3, "three")]
    assert restored(tmp_path, *ops) == {"notes/state.md": b"three"}


def test_a_file_that_was_renamed_in_its_letters_only_makes_way_for_what_it_is_called_now(tmp_path: Path) -> None:
    """On a disk that takes the two names for one the old version would be restored, and the new one left out."""
    gone = note(2, "Plan.md", format="document", gone=True)
    ops = [document(1, "old", "Plan.md"), gone, document(3, "new", "plan.md")]
    assert restored(tmp_path, *ops) == {"notes/plan.md": b"new", ".memferry-kept/notes/Plan.md.gone": b"old"}


def test_a_gone_file_makes_way(tmp_path: Path) -> None:
    """What was a file is a folder now, and the other way round."""
    ops = [
        line(1, "a", 0, "x"), note(2, "x", gone=True), line(3, "b", 0, "x/y"),
        line(4, "c", 0, "d/e"), note(5, "d/e", gone=True), line(6, "d", 0, "d"),
    ]  # fmt: skip
    assert restored(tmp_path, *ops) == {
        "notes/x/y": b"b\n", "notes/d": b"d\n",
        ".memferry-kept/notes/x.gone": b"a\n", ".memferry-kept/notes/d/e.gone": b"c\n",
    }  # fmt: skip


def test_a_rewrite_keeps_its_beginning_and_what_it_removed_is_kept_aside(tmp_path: Path) -> None:
    ops = [line(1, "a"), line(2, "b"), line(3, "c"), note(4, keep=1), line(5, "d", 1)]
    assert restored(tmp_path, *ops) == {"notes/log.jsonl": b"a\nd\n", ".memferry-kept/notes/log.jsonl": b"b\nc\n"}
    assert restore(ops, tmp_path / "again").kept_aside == 2


def test_a_truncated_ledger_is_empty(tmp_path: Path) -> None:
    ops = [line(1, "a"), note(2, keep=0), note(3, mtime_ns=WHEN)]
    assert restored(tmp_path, *ops) == {"notes/log.jsonl": b"", ".memferry-kept/notes/log.jsonl": b"a\n"}


def test_lines_that_a_rewrite_moved_are_not_kept_aside(tmp_path: Path) -> None:
    ops = [line(1, "a"), line(2, "b"), note(3, keep=0), place(4, "log.jsonl", 0, 2), place(5, "log.jsonl", 1, 1)]
    assert restored(tmp_path, *ops) == {"notes/log.jsonl": b"b\na\n"}


def test_an_edited_document_is_restored_alone(tmp_path: Path) -> None:
    assert restored(tmp_path, document(1, "one"), document(2, "one two")) == {"notes/state.md": b"one two"}


def test_a_longer_version_is_never_lost_behind_a_shorter_one(tmp_path: Path) -> None:
    ops = [document(1, "one two three"), document(2, "one"), document(3, "one two")]
    assert restored(tmp_path, *ops) == {
        "notes/state.md": b"one two",
        ".memferry-kept/notes/state.1.md": b"one two three",
    }


def test_an_entry_that_was_removed_is_kept_aside_as_an_array(tmp_path: Path) -> None:
    frame = ("[", ",", "]")
    ops = [put(n, f'{{"id":{n}}}', file="e.json", format="entries", position=n - 1, key=str(n)) for n in (1, 2, 3)]
    found = restored(tmp_path, *ops, note(4, "e.json", format="entries", keep=1, frame=frame))
    assert found["notes/e.json"] == b'[{"id":1}]'
    assert json.loads(found[".memferry-kept/notes/e.json"]) == [{"id": 2}, {"id": 3}]


# -- what was withdrawn


def test_withdrawn_lines_leave_no_gap(tmp_path: Path) -> None:
    """Withdrawn operations are missing in the log; their positions stay empty."""
    ops = [line(1, "a"), line(3, "c"), place(4, "log.jsonl", 3, 2), line(6, "f")]
    assert restored(tmp_path, *ops) == {"notes/log.jsonl": b"a\nc\nf\n"}


def test_a_retraction_counts_where_the_vault_has_not_applied_it(tmp_path: Path) -> None:
    ops = [line(1, "a"), line(2, "b"), retract(3, 2), document(4, "x"), retract(5, 4)]
    assert restored(tmp_path, *ops) == {"notes/log.jsonl": b"a\n"}


def test_a_retraction_of_another_machines_operation_does_not(tmp_path: Path) -> None:
    assert restored(tmp_path, line(1, "a"), retract(2, 1, machine="c" * 32)) == {"notes/log.jsonl": b"a\n"}


# -- where it may write


HOSTILE = [
    "/etc/passwd", "../escape", "a/../../escape", "..", ".", "a//b", "", "nul\0byte", "a/" + "x" * 300, "x/" * 2000,
    ".memferry-0123456789abcdef.tmp",
]  # fmt: skip
GOOD = {"to/notes/log.jsonl": b"good\n"}


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_lead_elsewhere_are_left_out_and_told(tmp_path: Path, name: str) -> None:
    report = restore([line(1, "good"), line(2, "evil", 0, name)], tmp_path / "to")
    assert contents(tmp_path) == GOOD
    (left,) = report.left_out
    assert left.file.startswith("notes/")
    assert left.next_step
    assert (left.strange, report.exit_code) == (True, 4)
    assert (report.files, report.records) == (1, 1)


@pytest.mark.parametrize("name", [*HOSTILE, "../../escape"])
def test_no_older_version_leads_elsewhere_either(tmp_path: Path, name: str) -> None:
    """Of a document that got shorter, of a ledger that lost lines, and of one whose other lines lie elsewhere."""
    ledger = [line(1, "evil", 0, name), line(2, "evil, too", 1, name), note(3, name, keep=1)]
    moved = [*ledger, place(4, "log.jsonl", 0, 1), note(5, name, gone=True)]
    page = [document(1, "evil indeed", name), document(2, "evil", name)]
    for number, ops in enumerate((ledger, moved, page)):
        report = restore(ops, tmp_path / "in" / str(number) / "to")
        assert report.left_out
    assert all(path.split("/")[2] == "to" for path in contents(tmp_path))


@pytest.mark.parametrize("space", [*HOSTILE, "a/b", ".memferry-kept", ".memferry-restore-x"])
def test_spaces_too(tmp_path: Path, space: str) -> None:
    report = restore([line(1, "good"), put(2, "evil", space=space)], tmp_path / "to")
    assert contents(tmp_path) == GOOD
    assert report.exit_code == 4


def test_what_windows_cannot_store_is_left_out_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a letter and a colon are a drive, and a backslash leads to another folder."""
    monkeypatch.setattr(names, "ON_WINDOWS", True)
    odd = ["C:/x", "c:evil", "Q: how to deploy.md", "..\\x", "\\\\host\\share\\x", "CON.md", "end.", "what?"]
    ops = [line(seq, "x", 0, name) for seq, name in enumerate(odd, start=2)]
    report = restore([line(1, "good"), *ops], tmp_path / "to")
    assert contents(tmp_path) == GOOD
    assert {one.file for one in report.left_out} == {f"notes/{names.shown(name)}" for name in odd}
    assert report.exit_code == 1


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ, errno.EEXIST])
def test_a_name_that_the_disk_cannot_store_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As on exFAT, on an encrypted home folder, and where upper and lower case are one."""
    real = Folder.writing

    def writing(folder: Folder, name: str, **how: Any) -> AbstractContextManager[BinaryIO]:
        if name == "odd.jsonl":
            raise OSError(number, os.strerror(number))
        return real(folder, name, **how)

    monkeypatch.setattr(Folder, "writing", writing)
    report = restore([line(1, "good"), line(2, "x", 0, "odd.jsonl"), line(3, "y", 0, "p.jsonl")], tmp_path / "to")
    assert contents(tmp_path) == GOOD | {"to/notes/p.jsonl": b"y\n"}
    (left,) = report.left_out
    assert left.file == "notes/odd.jsonl"
    assert left.reason
    assert (report.exit_code, report.files, report.records) == (1, 2, 2)


@pytest.mark.parametrize("number", [3, 206])
def test_on_windows_a_path_that_is_too_long_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = Folder.writing

    def writing(folder: Folder, name: str, **how: Any) -> AbstractContextManager[BinaryIO]:
        if name == "odd.jsonl":
            error = OSError(errno.ENOENT, "no such path")
            error.winerror = number  # type: ignore[attr-defined,unused-ignore]
            raise error
        return real(folder, name, **how)

    monkeypatch.setattr(Folder, "writing", writing)
    report = restore([line(1, "good"), line(2, "x", 0, "odd.jsonl")], tmp_path / "to")
    assert contents(tmp_path) == GOOD
    assert [one.reason for one in report.left_out] == ["its name is too long for this disk"]


def test_a_file_and_a_folder_of_one_name(tmp_path: Path) -> None:
    """Both live, as after a push of some files only: one waits, the rest is there."""
    report = restore([document(1, "x", "a"), document(2, "y", "a/b"), line(3, "good")], tmp_path / "to")
    assert contents(tmp_path) == GOOD | {"to/notes/a": b"x"}
    assert [one.file for one in report.left_out] == ["notes/a/b"]


def test_a_name_that_has_no_room_for_more_is_kept_aside_shortened(tmp_path: Path) -> None:
    long = "n" * 252 + ".md"
    ops = [document(1, "the long one", long), document(2, "short", long)]
    assert sorted(map(len, restored(tmp_path, *ops))) == [len(f"notes/{long}"), len(f".memferry-kept/notes/{long}")]


@pytest.mark.parametrize("op", [put(1, "x", position=1 << 70), note(2, mtime_ns=1 << 70), note(2, keep=1 << 70)])
def test_numbers_that_no_log_holds_are_refused(tmp_path: Path, op: Op) -> None:
    with pytest.raises(TargetRefused):
        restore([op], tmp_path)


@POSIX
def test_odd_names_are_names(tmp_path: Path) -> None:
    odd = ["new\nline", "back\\slash", "colon: x", "ünïcödé 🦀", " space ", "-rf", "con", "Q: how?", "C:/x", "c:evil"]
    ops = [line(seq, "x", 0, name) for seq, name in enumerate(odd, start=1)]
    assert sorted(restored(tmp_path, *ops)) == sorted(f"notes/{name}" for name in odd)


@POSIX
def test_links_in_the_target_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    to = tmp_path / "to"
    to.mkdir()
    (to / "notes").symlink_to(outside)
    with pytest.raises(ConfigError, match="notes"):
        restore([line(1, "x")], to)
    assert contents(outside) == {}


@POSIX
def test_a_link_that_appears_while_we_write_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    to = tmp_path / "to"
    real = os.mkdir

    def swap(path: str, *more: int, **where: int) -> None:
        if path == "notes":
            (to / "notes").symlink_to(outside)
        real(path, *more, **where)

    monkeypatch.setattr(os, "mkdir", swap)
    report = restore([line(1, "x")], to)
    assert contents(outside) == {}
    assert [one.file for one in report.left_out] == ["notes/log.jsonl"]
    assert "a link" in report.left_out[0].reason


def test_the_target_itself_may_be_a_link_and_is_made(tmp_path: Path) -> None:
    restore([line(1, "x")], tmp_path / "deep" / "to")
    assert contents(tmp_path) == {"deep/to/notes/log.jsonl": b"x\n"}


def test_a_target_that_can_be_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    for to in (tmp_path / "file", tmp_path / "file" / "to"):
        with pytest.raises(ConfigError, match="no folder") as caught:
            restore([line(1, "x")], to)
        assert "new folder" in caught.value.hint
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is where nobody can make a folder")
def test_a_target_where_nothing_can_be_made() -> None:
    with pytest.raises(ConfigError, match="no folder"):
        restore([line(1, "x")], Path("/proc/restored"))


def test_a_disk_that_fails_says_to_restore_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing does that by itself."""

    def failing(folder: Folder, name: str, **how: Any) -> AbstractContextManager[BinaryIO]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Folder, "writing", failing)
    with pytest.raises(TransientError, match=r"log\.jsonl") as caught:
        restore([line(1, "x")], tmp_path)
    assert "restore again" in caught.value.hint


def test_a_target_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"mine\.txt") as caught:
        restore([line(1, "x")], tmp_path)
    assert "empty folder" in caught.value.hint
    assert contents(tmp_path) == {"mine.txt": b"mine"}


@pytest.mark.parametrize("there", [b"", b"a", b"a\nb\n", b"b\n"])
def test_a_target_with_another_version_is_refused(tmp_path: Path, there: bytes) -> None:
    path = tmp_path / "notes" / "log.jsonl"
    path.parent.mkdir()
    path.write_bytes(there)
    with pytest.raises(ConfigError, match=r"log\.jsonl"):
        restore([line(1, "a"), document(2, "x")], tmp_path)
    assert contents(tmp_path) == {"notes/log.jsonl": there}


def test_an_interrupted_restore_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ops = [line(1, "a"), document(2, "b", "b.md"), document(3, "c", "c.md"), note(4, mtime_ns=WHEN)]
    whole = restored(tmp_path / "whole", *ops)
    real = os.fsync
    for at in range(1, 30):
        to = tmp_path / str(at)
        calls = 0

        def fail(descriptor: int, at: int = at) -> None:
            nonlocal calls
            calls += 1
            if calls == at:
                raise KeyboardInterrupt
            real(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            try:
                restore(ops, to)
            except KeyboardInterrupt:
                pass
            else:
                break
        (to / ".memferry-restore-left").mkdir(exist_ok=True)
        assert restore(ops, to) == restore(ops, tmp_path / "whole")
        assert contents(to) == whole
    assert at > (3 if sys.platform == "win32" else 5)  # folders are not synced there


# -- the fold, against a model


class Ledger:
    """What a writer does to its files, and the operations that an agent makes of it."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.files: dict[str, list[int]] = {}
        self.gone: dict[str, list[int]] = {}

    @property
    def seq(self) -> int:
        return len(self.ops) + 1

    def append(self, file: str) -> None:
        lines = self.files.setdefault(file, self.gone.pop(file, []))
        self.ops.append(line(self.seq, f"line {self.seq}", len(lines), file))
        lines.append(self.seq - 1)

    def copy(self, file: str, pick: int) -> None:
        if self.ops and (known := [op.seq for op in self.ops if op.__class__.__name__ == "Put"]):
            lines = self.files.setdefault(file, self.gone.pop(file, []))
            chosen = known[pick % len(known)]
            self.ops.append(place(self.seq, file, len(lines), chosen))
            lines.append(chosen)

    def rewrite(self, file: str, keep: int) -> None:
        if file in self.files:
            keep %= len(self.files[file]) + 1
            self.ops.append(note(self.seq, file, keep=keep, mtime_ns=WHEN))
            self.files[file] = self.files[file][:keep]

    def rename(self, file: str, to: str) -> None:
        if file in self.files and to != file:
            self.ops.append(note(self.seq, to, was=file, mtime_ns=WHEN))
            self.gone.pop(to, None)
            self.files[to] = self.files.pop(file)

    def vanish(self, file: str) -> None:
        if file in self.files:
            self.ops.append(note(self.seq, file, gone=True, mtime_ns=WHEN))
            self.gone[file] = self.files.pop(file)

    def expected(self) -> dict[str, list[int]]:
        live = {seq for lines in self.files.values() for seq in lines}
        back = {file: lines for file, lines in self.gone.items() if not live.issuperset(lines)}
        return self.files | back

    def aside(self) -> set[int]:
        shown = {seq for lines in [*self.files.values(), *self.gone.values()] for seq in lines}
        return {op.seq for op in self.ops if op.__class__.__name__ == "Put"} - shown


FILES = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.just("append"), FILES),
    st.tuples(st.just("append"), FILES),
    st.tuples(st.just("copy"), FILES, st.integers(0, 99)),
    st.tuples(st.just("rewrite"), FILES, st.integers(0, 9)),
    st.tuples(st.just("rename"), FILES, FILES),
    st.tuples(st.just("vanish"), FILES),
)


@given(st.lists(STEPS, max_size=40))
@example([("append", "a"), ("copy", "b", 0), ("vanish", "a"), ("copy", "a", 0)])
@settings(max_examples=200)
def test_the_fold_shows_what_the_writer_left(steps: list[tuple[object, ...]]) -> None:
    ledger = Ledger()
    for name, *arguments in steps:
        getattr(ledger, str(name))(*arguments)
    layouts = Layouts(machine=ME.id)
    for op in ledger.ops:
        layouts.apply(op)
    found = {file.name: list(layouts.bodies(file.id)) for file in layouts.files()}
    expected = {name: [b"line %d" % seq for seq in lines] for name, lines in ledger.expected().items()}
    assert {name: lines for name, lines in found.items() if lines} == {
        name: lines for name, lines in expected.items() if lines
    }
    layouts.set_aside(lambda space: "kept", lambda file, format_, seq: "kept")
    kept = [body for file in layouts.files() if file.space == "kept" for body in layouts.bodies(file.id)]
    assert kept == [b"line %d" % seq for seq in sorted(ledger.aside())]
    layouts.close()


# -- size


def many(count: int) -> Iterator[Op]:
    chance = random.Random(1)
    text = "".join(chance.choices("abcdefgh ijklmnop", k=2000))
    for seq in range(1, count + 1):
        yield line(
            seq, f'{{"id":{seq},"text":"{text[seq % 1400 : seq % 1400 + 500]}"}}', seq // 50, f"shard-{seq % 50}.jsonl"
        )


def peak_mib() -> float:
    import resource

    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def growth_mib(count: int, to: Path) -> float:
    """By how much the most memory that this process ever held grows."""
    before = peak_mib()
    assert restore(many(count), to).records == count
    return peak_mib() - before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_records_are_not_held_in_memory(tmp_path: Path) -> None:
    """Their bodies alone are 110 MB. In a process of its own: one that has held more before would not grow."""
    script = f"from tests.backends.test_restore import *\nprint(growth_mib(200_000, Path({str(tmp_path / 'to')!r})))"
    told = subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert float(told) < 70


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    ops: Sequence[Op] = list(many(5000))
    assert restore(ops, tmp_path).files == 50
