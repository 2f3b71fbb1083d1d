"""B8's fourteen ways in which a ledger is not the file it was. Each is a generator: where it yields, a scan sees what
lies there; between two yields nobody looks."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from tests.faults.lines import Book, joined

Story: TypeAlias = Callable[[Path, Book], Iterator[None]]
LINES = 30


class Scenario(NamedTuple):
    """`gap`: lines may come and go unseen in it, and that must be counted."""

    name: str
    story: Story
    gap: bool = False


def _append(path: Path, lines: list[str]) -> None:
    with open(path, "ab") as file:
        file.write(joined(lines))


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".draft")
    draft.write_bytes(content)
    draft.replace(path)


def _overwrite(path: Path, content: bytes) -> None:
    """In place: the same inode."""
    with open(path, "r+b") as file:
        file.truncate(0)
        file.write(content)


def rename_rotation(folder: Path, book: Book) -> Iterator[None]:
    log = folder / "log.jsonl"
    for number in range(3):
        _append(log, book.next(LINES))
        yield
        _append(log, book.next(5))
        log.rename(folder / f"log-{number}.jsonl")
        _append(log, book.next(5))
        yield


def rename_chain(folder: Path, book: Book) -> Iterator[None]:
    """Older ones move up: 1 -> 2, log -> 1, a new log."""
    log, one, two = folder / "log.jsonl", folder / "log-1.jsonl", folder / "log-2.jsonl"
    _append(log, book.next(LINES))
    yield
    log.rename(one)
    _append(log, book.next(LINES))
    yield
    one.rename(two)
    log.rename(one)
    _append(log, book.next(LINES))
    yield


def copytruncate(folder: Path, book: Book) -> Iterator[None]:
    log = folder / "log.jsonl"
    _append(log, book.next(LINES))
    yield
    _append(log, book.next(5))
    shutil.copyfile(log, folder / "log-1.jsonl")
    _overwrite(log, joined(book.next(3)))
    yield


def rewrite_of_the_same_size(folder: Path, book: Book) -> Iterator[None]:
    log = folder / "log.jsonl"
    _append(log, book.next(LINES))
    yield
    _overwrite(log, joined(book.next(LINES)))
    yield


def shrink_and_regrow(folder: Path, book: Book) -> Iterator[None]:
    log = folder / "log.jsonl"
    _append(log, book.next(LINES))
    yield
    _append(log, book.next(2))
    _overwrite(log, joined(book.next(LINES + 10)))
    yield


def delete_and_create(folder: Path, book: Book) -> Iterator[None]:
    log = folder / "log.jsonl"
    _append(log, book.next(LINES))
    yield
    log.unlink()
    _append(log, book.next(LINES))
    yield


def hard_link(folder: Path, book: Book) -> Iterator[None]:
    log = folder / "log.jsonl"
    _append(log, book.next(LINES))
    yield
    os.link(log, folder / "same.jsonl")
    _append(log, book.next(5))
    yield
    log.unlink()
    _append(folder / "same.jsonl", book.next(5))
    yield


def link_retarget(folder: Path, book: Book) -> Iterator[None]:
    one, two, link = folder / "one.jsonl", folder / "two.jsonl", folder / "log.jsonl"
    _append(one, book.next(LINES))
    _append(two, book.next(LINES))
    link.symlink_to(one.name)
    yield
    link.unlink()
    link.symlink_to(two.name)
    _append(two, book.next(5))
    yield


def atomic_replace(folder: Path, book: Book) -> Iterator[None]:
    log, kept = folder / "log.jsonl", book.next(LINES)
    _append(log, kept)
    yield
    kept = kept[3:] + book.next(8)
    _replace(log, joined(kept))
    yield


def the_same_head(folder: Path, book: Book) -> Iterator[None]:
    """Two files that share their first 4 KiB, and then swap places."""
    one, two, head = folder / "one.jsonl", folder / "two.jsonl", book.next(40)
    _append(one, head + book.next(5))
    _append(two, head + book.next(7))
    yield
    spare = folder / "spare.jsonl.tmp"
    one.rename(spare)
    two.rename(one)
    spare.rename(two)
    _append(one, book.next(3))
    _append(two, book.next(3))
    yield


def replace_with_the_old_time(folder: Path, book: Book) -> Iterator[None]:
    log = folder / "log.jsonl"
    _append(log, book.next(LINES))
    yield
    seen = log.stat()
    _replace(log, joined(book.next(LINES)))
    os.utime(log, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    yield


def edit_in_the_middle(folder: Path, book: Book) -> Iterator[None]:
    """The same entry says something else; the size, the ends and the time stay."""
    log, first = folder / "log.jsonl", book.serial
    lines = book.next(100, private=False)
    _append(log, lines)
    yield
    seen = log.stat()
    lines[50] = book.entry(first + 50, 1, private=False)
    _overwrite(log, joined(lines))
    os.utime(log, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    yield


def last_line_removed(folder: Path, book: Book) -> Iterator[None]:
    log, lines = folder / "log.jsonl", book.next(LINES)
    _append(log, lines)
    yield
    _overwrite(log, joined(lines[:-1]))
    yield
    _append(log, book.next(4))
    yield


def archive_of_a_rotated(folder: Path, book: Book) -> Iterator[None]:
    log, rotated = folder / "log.jsonl", folder / "log-1.jsonl"
    _append(log, book.next(LINES))
    yield
    _append(log, book.next(5))
    log.rename(rotated)
    _append(log, book.next(5))
    yield
    with gzip.open(folder / "log-1.jsonl.gz", "wb") as archive:
        archive.write(rotated.read_bytes())
    rotated.unlink()
    yield


SCENARIOS = (
    Scenario("rename rotation", rename_rotation),
    Scenario("a chain of renames", rename_chain),
    Scenario("copytruncate", copytruncate, gap=True),
    Scenario("rewrite of the same size", rewrite_of_the_same_size, gap=True),
    Scenario("shrink and regrow", shrink_and_regrow, gap=True),
    Scenario("delete and create", delete_and_create),
    Scenario("hard link", hard_link),
    Scenario("symlink retargeted", link_retarget),
    Scenario("atomic replace", atomic_replace),
    Scenario("two files with the same head", the_same_head),
    Scenario("replaced with the old time", replace_with_the_old_time),
    Scenario("edit in the middle", edit_in_the_middle, gap=True),
    Scenario("last line removed", last_line_removed, gap=True),
    Scenario("gz of a rotated file", archive_of_a_rotated),
)
