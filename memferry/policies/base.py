"""What a policy promises: the same record and the same knowledge give the same verdict, and no I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from memferry.model import Cleared, Hold, Record
from memferry.policies.findings import Finding


class Passage(NamedTuple):
    """A stretch of a held record's letters, as keyed fingerprints. `mark`: by which it is looked up; `length`: in bytes
    of UTF-8; `whole`: of all of them."""

    mark: int
    length: int
    whole: int


class Known(Protocol):
    """What was held before, asked for by fingerprint."""

    def held_ids(self, ids: Collection[int]) -> Mapping[int, Collection[int]]:
        """Those of the fingerprinted ids that name held records, with the ids of these."""
        ...

    def has_passages(self) -> bool:
        """Whether any passage is known at all."""
        ...

    def passages(self, marks: Collection[int]) -> Mapping[int, Sequence[tuple[int, int, int]]]:
        """For each mark that a held passage has: (length, whole, id of the record it was taken from)."""
        ...


class NothingHeld:
    """A `Known` for who does not ask what was held before."""

    def held_ids(self, ids: Collection[int]) -> Mapping[int, Collection[int]]:
        return {}

    def has_passages(self) -> bool:
        return False

    def passages(self, marks: Collection[int]) -> Mapping[int, Sequence[tuple[int, int, int]]]:
        return {}


class Search(Protocol):
    """Looks into records for what should not leave. The same records give the same findings."""

    def __call__(self, records: Sequence[Record]) -> Mapping[int, Sequence[Finding]]:
        """The findings of a batch, by the number of the record in it; a record without any is not named.

        `Finding.text` counts `strings.strings_of(record)`; `strings.ELSEWHERE` stands for what cannot be changed by
        changing the record: the name of its file, and what surrounds it.
        Raises ScannerBroken where it cannot do its work.
        """
        ...


class Held(msgspec.Struct, frozen=True, gc=False):
    """A record that stays at home: which rule decided, and by what others will be recognised as derived from it.

    `id`: fingerprint of its key; `also`: of other ids by which records name it. `passages`: of its texts; empty where
    its text is not secret by itself.
    """

    record: Record
    verdict: Hold
    id: int
    passages: tuple[Passage, ...]
    also: tuple[int, ...] = ()


class Kept(msgspec.Struct, frozen=True, gc=False):
    """A cleared record. `refs`: fingerprints of the ids it names, `echoes`: marks or passages of its texts; by both it
    is found again when a record that it derives from or repeats becomes private later. `removed`: of `<private>` blocks
    that were cut out of it, known under `removed_id`."""

    record: Cleared
    id: int
    refs: tuple[int, ...]
    echoes: tuple[int, ...]
    removed: tuple[Passage, ...] = ()
    removed_id: int = 0
