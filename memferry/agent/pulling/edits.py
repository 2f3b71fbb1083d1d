"""What a pull does to a file, as values: a dry run prints the same ones that a run carries out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, assert_never

from memferry.agent.files.tree import Tree
from memferry.agent.pulling import apply
from memferry.formats.base import Whole
from memferry.model import Source

How: TypeAlias = Literal["new", "grows", "shrinks", "replaced", "conflict copy", "removed"]


@dataclass(frozen=True, slots=True)
class AddLines:
    """To a shard: lines that are in it already are not added again. `after`: none is in its first so many bytes."""

    lines: tuple[bytes, ...]
    after: int = 0


@dataclass(frozen=True, slots=True)
class DropLines:
    """From a shard: by the first 8 bytes of their digests."""

    digests: Collection[int]


@dataclass(frozen=True, slots=True)
class EditEntries:
    """In a JSON array: entries to put by key, and keys to take out. `over`: by key, the digest numbers of the versions
    that may be replaced."""

    put: Mapping[str, bytes]
    over: Mapping[str, Collection[int]]
    removed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class WriteDocument:
    """`over`: digest numbers of the versions that may be replaced; what somebody wrote just now never is."""

    body: bytes
    over: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class RemoveDocument:
    """Only while it is as it was written: by the hex digest of that."""

    digest: str


Change: TypeAlias = AddLines | DropLines | EditEntries | WriteDocument | RemoveDocument


@dataclass(frozen=True, slots=True)
class Edit:
    """One file. `ids`: the records it is about."""

    space: str
    file: str
    how: How
    change: Change
    ids: frozenset[int] = field(default=frozenset())


def takes_away(change: Change) -> bool:
    """Whether a change adds nothing."""
    match change:
        case DropLines() | RemoveDocument():
            return True
        case EditEntries():
            return not change.put
        case AddLines() | WriteDocument():
            return False
        case _:
            assert_never(change)


def carry_out(tree: Tree, edit: Edit) -> int:
    """Do it; again does nothing. Raises MemferryError where the file cannot be written, or was changed meanwhile.
    Returns the bytes of a shard that lines were added to, all of them whole lines; 0 of anything else."""
    change, file = edit.change, edit.file
    match change:
        case AddLines():
            return apply.append_lines(tree.root, file, change.lines, after=change.after)
        case DropLines():
            apply.remove_lines(tree.root, file, change.digests)
        case EditEntries():
            kind = tree.kind(file)
            if kind is not None and isinstance(kind.reader, Whole):
                source = Source(tree.name, file, kind.format)
                apply.edit_array(tree.root, source, kind.reader, change.put, change.removed, change.over)
        case WriteDocument():
            apply.write_document(tree.root, file, change.body, over=change.over)
        case RemoveDocument():
            apply.delete_document(tree.root, file, bytes.fromhex(change.digest))
        case _:
            assert_never(change)
    return 0
