"""Writing what other machines wrote into the files of a space. Every edit may be repeated after a crash."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from memferry.agent.files import opening
from memferry.agent.state.known import digest_number
from memferry.durable import Folder
from memferry.errors import MemferryError
from memferry.formats.base import Whole
from memferry.keys import digest
from memferry.memory.locks import alone
from memferry.model import Source

LARGEST_BYTES = 1 << 40


@lru_cache
def shard(file: str, machine: str) -> str:
    """Where lines of another machine's ledger go: a file of their own, so no two machines append to one file."""
    path = PurePosixPath(file[:-3] if file.lower().endswith(".gz") else file)
    return str(path.with_name(f"{path.stem}@{machine}{path.suffix}"))


def is_shard(file: str, machines: Collection[str]) -> bool:
    """Whether a ledger has the name of a shard of one of these machines."""
    return PurePosixPath(file).stem.rpartition("@")[2] in machines


def shards_beside(file: str, shards: Collection[str]) -> set[str]:
    """Those of the same ledger as `file`, if that is a shard; without itself."""
    return {one for one in shards if one != file and _ledger_of(one) == _ledger_of(file)}


def _ledger_of(shard: str) -> tuple[PurePosixPath, str, str]:
    path = PurePosixPath(shard)
    return path.parent, path.stem.rpartition("@")[0], path.suffix


def conflict_copy(file: str, machine: str, hlc: str) -> str:
    """The name of a losing version, the same on every machine."""
    path = PurePosixPath(file)
    return str(path.with_name(f"{path.stem}.conflict-{machine}-{hlc}{path.suffix}"))


def append_lines(root: Path, file: str, lines: Sequence[bytes], *, after: int = 0) -> int:
    """Add lines to a shard that are not in it yet. A half line that a crash left is cut off first. `after`: none of
    them lies in its first so many bytes. Returns the bytes of the shard, all of them whole lines."""
    with _folder_of(root, file, create=True) as (folder, name):
        end, size = 0, 0
        missing = dict.fromkeys(lines)
        with suppress(FileNotFoundError), folder.reading(name) as shard:
            size = shard.seek(0, os.SEEK_END)
            end = after if after <= size and _begins_line(shard, after) else 0
            shard.seek(end)
            for line in shard:
                if line.endswith(b"\n"):
                    missing.pop(line[:-1], None)
                    end += len(line)
        fresh = b"".join(line + b"\n" for line in missing)
        if fresh or size != after:  # what a crash left may not be durable yet
            folder.extend(name, end, fresh)
        return end + len(fresh)


def _begins_line(file: BinaryIO, at: int) -> bool:
    file.seek(max(at - 1, 0))
    return at == 0 or file.read(1) == b"\n"


def remove_lines(root: Path, file: str, numbers: Collection[int]) -> None:
    """Take withdrawn lines out of a shard, and the shard away with the last; `numbers`: of their digests."""

    def stays(line: bytes) -> bool:
        return digest_number(digest(line.removesuffix(b"\n"))) not in numbers

    with suppress(FileNotFoundError), _folder_of(root, file) as (folder, name):
        with folder.reading(name) as shard:
            staying = {stays(line) for line in shard if line.strip()}
        if staying == {False}:
            folder.remove(name)
        elif False in staying:
            with folder.writing(name, replace=True) as draft, folder.reading(name) as shard:
                draft.writelines(filter(stays, shard))


def lines_of(root: Path, file: str) -> Iterator[bytes]:
    """The whole lines of a ledger, one at a time, without their ends. Raises Unreadable."""
    with opening.opened(root, file) as (descriptor, _), os.fdopen(descriptor, "rb", closefd=False) as ledger:
        yield from (line[:-1] for line in ledger if line.endswith(b"\n"))


def write_document(root: Path, file: str, body: bytes, *, over: Collection[int] = ()) -> None:
    """`over`: digest numbers of the versions that may be replaced; what somebody wrote just now never is."""
    present = content(root, file)
    if present == body and (root / file).exists():
        return
    if present and digest_number(digest(present)) not in over:
        raise _changed(file)
    _write(root, file, body, over=present)


def _changed(file: str) -> MemferryError:
    text = f"{file} was changed a moment ago, so nothing was merged into it"
    return MemferryError(text, hint="run `memferry pull` again")


def holds(root: Path, source: Source, reader: Whole, key: str, content_digest: str) -> bool:
    """Whether a file has this very version of a record."""
    present = content(root, source.file)
    snapshot = reader.parse(source, present) if present else None
    return snapshot is not None and any(
        record.key == key and record.digest.hex() == content_digest for record in snapshot.records
    )


def delete_document(root: Path, file: str, body_digest: bytes) -> None:
    """Only as it was pulled: what somebody changed here stays."""
    present = content(root, file)
    if present and digest(present) == body_digest:
        _remove(root, file)


def edit_array(
    root: Path, source: Source, reader: Whole, put: Mapping[str, bytes], removed: Collection[str],
    over: Mapping[str, Collection[int]],
) -> None:  # fmt: skip
    """Put entries into a JSON array by key, in place or at the end, and take others out. `over`: by key, digest numbers
    of the versions that may be replaced; what somebody wrote just now never is, and who learns meanwhile waits."""
    with alone(root / source.file):
        _edit_array(root, source, reader, put, removed, over)


def _edit_array(
    root: Path, source: Source, reader: Whole, put: Mapping[str, bytes], removed: Collection[str],
    over: Mapping[str, Collection[int]],
) -> None:  # fmt: skip
    present = content(root, source.file)
    snapshot = reader.parse(source, present or b"[]")
    if snapshot is None:
        raise MemferryError(
            f"{source.space}/{source.file} is not complete JSON, so nothing was merged into it",
            hint="repair the file, then `memferry pull` again",
        )
    for record in snapshot.records:
        if record.key in over and digest_number(record.digest) not in over[record.key]:
            raise _changed(source.file)
    bodies = {record.key: record.body for record in snapshot.records}
    bodies.update(put)
    kept = [body for key, body in bodies.items() if key not in removed]
    rewritten = reader.render(kept, snapshot.frame)
    if rewritten != present:
        _write(root, source.file, rewritten, over=present)


def content(root: Path, file: str) -> bytes:
    """A whole file; b"" when there is no such file yet. MemferryError where it cannot be read now."""
    try:
        read = opening.read_stable(root, file, LARGEST_BYTES)
    except opening.Unreadable as error:
        if error.gone:
            return b""
        raise
    if read is None:
        raise MemferryError(f"{file} is being written just now", hint="run `memferry pull` again")
    return read[0]


def _write(root: Path, file: str, body: bytes, *, over: bytes) -> None:
    """Every folder on the way is held open while the next one is entered: a link could lead out of the space. `over`:
    what was there when this was decided; until the new content is on the disk, somebody may write something else."""

    def check() -> None:
        if content(root, file) != over:
            raise _changed(file)

    with (
        _folder_of(root, file, create=True) as (folder, name),
        folder.writing(name, replace=True, check=check) as draft,
    ):
        draft.write(body)


def _remove(root: Path, file: str) -> None:
    with suppress(FileNotFoundError), _folder_of(root, file) as (folder, name):
        folder.remove(name)


@contextmanager
def _folder_of(root: Path, file: str, *, create: bool = False) -> Iterator[tuple[Folder, str]]:
    *folders, name = file.split("/")
    with ExitStack() as stack:
        folder = stack.enter_context(Folder.open(root))
        for part in folders:
            folder = stack.enter_context(folder.sub(part, create=create))
        yield folder, name
