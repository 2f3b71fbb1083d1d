"""What a format promises: bytes to records, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from memferry.model import Record, Source


class Snapshot(NamedTuple):
    """A whole file, parsed. `frame`: the bytes (before, between, after) a JSON array's entries, else None.
    `around`: what these say, as a record under the file's path; it is judged and held like others, and never stored."""

    records: Sequence[Record]
    frame: tuple[str, str, str] | None = None
    around: Record | None = None


class Ledger(Protocol):
    """A file that grows by whole lines; read from where the last read ended."""

    def parse(self, source: Source, lines: bytes, start: int) -> Sequence[Record]:
        """`lines`: whole lines, each ended by a newline, that lie at byte `start` of the file. One record a line.

        Never raises: a line that cannot be read becomes a record with a `problem`.
        """
        ...


class Whole(ABC):
    """A file that is rewritten in place; always read as a whole. A base class, since a reader is asked what it is for
    every file, which takes a protocol ten times as long to tell."""

    removes: bool
    """Whether the file has entries, and one that is missing was removed by its owner (and is to be retracted); else it
    is one document."""

    @abstractmethod
    def parse(self, source: Source, content: bytes) -> Snapshot | None:
        """None: half-written (it does not parse now), look again later."""

    @abstractmethod
    def render(self, bodies: Sequence[bytes], frame: tuple[str, str, str] | None) -> bytes:
        """The file again, from the bodies of its records in order."""


class Kind(NamedTuple):
    """How one file of a space is read."""

    format: str
    reader: Ledger | Whole
    derived: bool = False
    local: bool = False
    """Read so that what it refers to is known; but its records belong to this machine and are not applied elsewhere."""
    content_type: str | None = None
    """What all of its records are, where that follows from where they lie."""

    @property
    def is_document(self) -> bool:
        """Whether the file is one record under its path, so that no other file can hold another version of it."""
        return isinstance(self.reader, Whole) and not self.reader.removes


class Format(Protocol):
    """One way to keep memory in files. A module of `memferry.formats` offers it as `FORMAT`."""

    name: str

    def recognises(self, names: Sequence[str]) -> bool:
        """`names`: the entries of a space's top folder, folders ending in `/`. True: this is such a space."""
        ...

    def kind(self, file: str) -> Kind | None:
        """How to read `file` (a path inside the space), None: not memory, or not to be carried."""
        ...
