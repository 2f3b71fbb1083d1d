"""Writing what other machines wrote into the files of a space. Every edit may be repeated after a crash."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from memferry.agent import opening
from memferry.agent.known import digest_number
from memferry.durable import write_durably
from memferry.errors import MemferryError
from memferry.formats.base import Kind, Whole
from memferry.keys import digest
from memferry.model import Source

LARGEST_BYTES = 1 << 40


def shard(file: str, machine: str) -> str:
    """Where lines of another machine's ledger go: a file of their own, so no two machines append to one file."""
    path = PurePosixPath(file.removesuffix(".gz"))
    return str(path.with_name(f"{path.stem}@{machine}{path.suffix}"))


def conflict_copy(file: str, machine: str, hlc: str) -> str:
    """The name of a losing version, the same on every machine."""
    path = PurePosixPath(file)
    return str(path.with_name(f"{path.stem}.conflict-{machine}-{hlc}{path.suffix}"))


def append_lines(root: Path, file: str, lines: Sequence[bytes]) -> None:
    """Add lines to a shard that are not in it yet. A half line that a crash left is cut off first."""
    present = _content(root, file)
    whole = present[: present.rfind(b"\n") + 1]
    known = {digest(line) for line in whole.split(b"\n")}
    fresh = [line for line in dict.fromkeys(lines) if digest(line) not in known]
    if fresh or whole != present:
        _write(root, file, whole + b"".join(line + b"\n" for line in fresh))


def remove_lines(root: Path, file: str, digests: frozenset[bytes]) -> None:
    """Take withdrawn lines out of a shard."""
    present = _content(root, file)
    kept = [line for line in present.split(b"\n") if digest(line) not in digests]
    _write_or_delete(root, file, present, b"\n".join(kept))


def write_document(root: Path, file: str, body: bytes, *, over: Collection[int] = ()) -> None:
    """`over`: digest numbers of the versions that may be replaced; what somebody wrote just now never is."""
    present = _content(root, file)
    if present == body and (root / file).exists():
        return
    if present and digest_number(digest(present)) not in over:
        raise MemferryError(
            f"{file} was changed a moment ago, so nothing was merged into it", hint="run `memferry pull` again"
        )
    _write(root, file, body)


def holds(root: Path, source: Source, reader: Whole, key: str, content_digest: str) -> bool:
    """Whether a file has this very version of a record."""
    present = _content(root, source.file)
    snapshot = reader.parse(source, present) if present else None
    return snapshot is not None and any(
        record.key == key and record.digest.hex() == content_digest for record in snapshot.records
    )


def remove(root: Path, source: Source, kind: Kind, key: str, content_digest: bytes) -> None:
    """Take a withdrawn record out of the file that it was pulled into."""
    if not isinstance(kind.reader, Whole):
        remove_lines(root, source.file, frozenset([content_digest]))
    elif key == source.file:
        delete_document(root, source.file, content_digest)
    else:
        edit_array(root, source, kind.reader, {}, frozenset([key]))


def delete_document(root: Path, file: str, body_digest: bytes) -> None:
    """Only as it was pulled: what somebody changed here stays."""
    present = _content(root, file)
    if present and digest(present) == body_digest:
        (root / file).unlink(missing_ok=True)


def edit_array(root: Path, source: Source, reader: Whole, put: Mapping[str, bytes], removed: frozenset[str]) -> None:
    """Put entries into a JSON array by key, in place or at the end, and take others out."""
    present = _content(root, source.file)
    snapshot = reader.parse(source, present or b"[]")
    if snapshot is None:
        raise MemferryError(
            f"{source.space}/{source.file} is no complete JSON, so nothing was merged into it",
            hint="repair the file, then `memferry pull` again",
        )
    bodies = {record.key: record.body for record in snapshot.records}
    bodies.update(put)
    kept = [body for key, body in bodies.items() if key not in removed]
    content = reader.render(kept, snapshot.frame)
    if content != present:
        _write(root, source.file, content)


def _content(root: Path, file: str) -> bytes:
    """b"" when there is no such file yet."""
    try:
        read = opening.read_stable(root, file, LARGEST_BYTES)
    except opening.Unreadable as error:
        if error.gone:
            return b""
        raise
    if read is None:
        raise MemferryError(f"{file} is being written just now", hint="run `memferry pull` again")
    return read[0]


def _write(root: Path, file: str, content: bytes) -> None:
    """Every folder on the way must be one: a link could lead out of the space."""
    target = root / file
    if not _is_plain(root, file):
        raise MemferryError(f"{file} lies behind a link", hint="remove the link; nothing was written through it")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_durably(target, content)


def _is_plain(root: Path, file: str) -> bool:
    parts = file.split("/")
    return not any((root / "/".join(parts[:depth])).is_symlink() for depth in range(1, len(parts) + 1))


def _write_or_delete(root: Path, file: str, before: bytes, after: bytes) -> None:
    if after == before:
        return
    if after.strip():
        _write(root, file, after)
    else:
        os.unlink(root / file)
