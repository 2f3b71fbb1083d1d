"""What has to change in files, so that each record shows the version that `merge` calls current.

A plan is made inside a transaction, which also says that these versions come from a merge: they will lie in files, and
are not to be pushed as edits.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from memferry.agent.pulling import apply
from memferry.agent.pulling.conflicts import Conflicts
from memferry.agent.pulling.edits import Edit, EditEntries, How, RemoveDocument, WriteDocument
from memferry.agent.pulling.here import Here
from memferry.agent.state.catalog import Catalog
from memferry.agent.state.known import FOREIGN, FORGOTTEN, HELD, WITHDRAWN, Seen, hex_number
from memferry.agent.state.merge import Merged, merge
from memferry.agent.state.received import Rival
from memferry.backends import names
from memferry.formats.base import Whole
from memferry.model import Source

CHUNK_BYTES = 8 << 20
CHUNK_IDS = 20_000


@dataclass(slots=True)
class _Array:
    """What is to change in one JSON array. `over`: of a key, the versions that may be replaced."""

    put: dict[str, bytes] = field(default_factory=dict)
    over: dict[str, Collection[int]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    ids: set[int] = field(default_factory=set)
    replaces: bool = False

    @property
    def how(self) -> How:
        if self.put:
            return "replaced" if self.replaces else "grows"
        return "shrinks"


def merged_here(catalog: Catalog, id_: int, seen: Seen | None, rivals: Sequence[Rival]) -> Merged:
    """What is current on this machine. Where its file has the original of a redacted version, nothing replaces that by
    itself: a version that was made from what left is kept beside, for a person to take over."""
    merged = merge([one.version for one in rivals])
    if seen is None or seen.seq <= 0 or not catalog.redacted([id_]):
        return merged
    mine = (one.version for one in rivals if one.version.seq == seen.seq and not one.version.settled)
    own = [one for one in mine if hex_number(one.digest) == seen.digest]
    if not own or merged.current.digest == own[0].digest:
        return merged
    others = (merged.current, *(one for one in merged.rivals if one.digest != own[0].digest))
    return Merged(own[0], others)


class Planned(NamedTuple):
    """`left`: records that are not to be settled by this plan: their space is away, or their file is not understood.
    `gone`: those of which nothing is left, once that is done."""

    edits: Sequence[Edit]
    left: frozenset[int]
    gone: frozenset[int]


class Planning:
    """`recognise`: after a state was lost, what lies in a file as all agree is known again; the rest is left to the
    next pull."""

    def __init__(self, here: Here, name_of: Callable[[str], str], *, recognise: bool = False) -> None:
        self._state = here.state
        self._catalog = here.catalog
        self._received = here.received
        self._trees = here.trees
        self._recognise = recognise
        self._made: set[tuple[str, str]] = set()
        self._left: set[int] = set()
        self._gone: set[int] = set()
        self.conflicts = Conflicts(here, name_of)

    def chunks(self) -> Iterator[list[int]]:
        """What is marked, the entries of one array together, about so many bytes at a time."""
        chunk: list[int] = []
        room = CHUNK_BYTES
        for id_, size in self._state.rows(
            "select unwritten.id, total(raw_bytes) from unwritten left join rival on rival.id = unwritten.id"
            " group by unwritten.id order by min(space), min(file), min(hlc), min(seq), unwritten.id"
        ):
            if chunk and (room < size or len(chunk) == CHUNK_IDS):
                yield chunk
                chunk, room = [], CHUNK_BYTES
            chunk.append(id_)
            room -= int(size)
        if chunk:
            yield chunk

    def planned(self, ids: Sequence[int]) -> Planned:
        """What these come to. Call inside a transaction."""
        self._left, self._gone = set(), set()
        edits = list(self._edits(ids))
        return Planned(edits, frozenset(self._left | self.conflicts.renamed), frozenset(self._gone))

    def how(self, space: str, file: str, otherwise: How) -> How:
        """What becomes of a file: `otherwise`, or it is new."""
        if (space, file) in self._made or self._is_there(space, file):
            return otherwise
        self._made.add((space, file))
        return "new"

    def _is_there(self, space: str, file: str) -> bool:
        """Not asked of the disk where a name might lead out of the space; whoever writes it is told."""
        return names.fits_here(file) and os.path.exists(self._trees[space].root / file)

    def _edits(self, ids: Sequence[int]) -> Iterator[Edit]:
        seen, versions = self._catalog.seen(ids), self._received.versions(ids)
        arrays: dict[tuple[str, str], _Array] = defaultdict(_Array)
        for id_ in ids:
            yield from self._plan_one(id_, seen.get(id_), versions.get(id_, ()), arrays)
        for (space, file), array in arrays.items():
            how = self.how(space, file, array.how)
            if how == "new" and (known := self._catalog.files.find(space, file)) is not None:
                self._catalog.files.forget_members(known.id)
            change = EditEntries(array.put, array.over, frozenset(array.removed))
            yield Edit(space, file, how, change, frozenset(array.ids))

    def _plan_one(
        self, id_: int, seen: Seen | None, rivals: Sequence[Rival], arrays: Mapping[tuple[str, str], _Array]
    ) -> Iterator[Edit]:
        if seen is not None and seen.seq in (HELD, FORGOTTEN):
            yield from self.conflicts.settle(id_)
        elif not rivals:
            yield from self.conflicts.settle(id_)
            yield from self._removal(id_, arrays)
        elif any(one.space not in self._trees for one in rivals):
            self._left.add(id_)
        else:
            merged = merged_here(self._catalog, id_, seen, rivals)
            current = next(one for one in rivals if one.version == merged.current)
            if self._recognise and not self._holds(current):
                self._left.add(id_)
                return
            yield from self.conflicts.keep_beside(current, merged)
            yield from self._replacement(current, seen, arrays)

    def _holds(self, one: Rival) -> bool:
        tree = self._trees[one.space]
        kind = tree.kind(one.file)
        if kind is None or not isinstance(kind.reader, Whole) or not names.fits_here(one.file):
            return False
        return apply.holds(
            tree.root, Source(one.space, one.file, kind.format), kind.reader, one.key, one.version.digest
        )

    def _replacement(self, one: Rival, seen: Seen | None, arrays: Mapping[tuple[str, str], _Array]) -> Iterator[Edit]:
        """The current version into its file, unless that shows it already."""
        number = hex_number(one.version.digest)
        if seen is not None and seen.digest == number and (seen.seq > 0 or self._is_written(one)):
            return
        over = self._replaceable(one.id)
        before = self._lies_in(one.id, seen)
        self._intend(one, seen, number)
        if self._recognise:
            return
        body = one.version.text.encode()
        if one.key == one.file:
            how = self.how(one.space, one.file, "replaced")
            yield Edit(one.space, one.file, how, WriteDocument(body, over | {number}), frozenset([one.id]))
            return
        array = arrays[one.space, one.file]
        array.put[one.key], array.over[one.key] = body, over | {number}
        array.replaces |= seen is not None and seen.seq != WITHDRAWN
        array.ids.add(one.id)
        if before not in (None, one.file):
            self._take_out(one.space, before, one.key, one.id, arrays)
            arrays[one.space, before].over[one.key] = over

    def _lies_in(self, id_: int, seen: Seen | None) -> str | None:
        """The file in which an entry stands so far."""
        if seen is None:
            return None
        if seen.seq == FOREIGN:
            row = self._state.one("select file from foreign_record where id = ?", id_)
        else:
            row = self._state.one(
                "select path from record join layout on layout.id = place >> 32 join file on file.id = layout.file"
                " where record.id = ? and record.seq > 0 and place > 0 and not gone",
                id_,
            )
        return row[0] if row else None

    def _replaceable(self, id_: int) -> set[int]:
        """Digest numbers of what may lie in the file: every version met, and the last one, also if it was withdrawn."""
        rows = self._state.rows("select digest from foreign_record where id = ?", id_)
        return self._catalog.versions(id_) | {hex_number(row[0]) for row in rows}

    def _is_written(self, one: Rival) -> bool:
        row = self._state.one("select digest, file, pending from foreign_record where id = ?", one.id)
        return row is not None and row == (one.version.digest, one.file, 0)

    def _intend(self, one: Rival, seen: Seen | None, number: int) -> None:
        """From here on it is known that this version comes from a merge, and is not to be pushed as an edit."""
        execute, version = self._state.execute, one.version
        if seen is not None and seen.digest != number and seen.seq != WITHDRAWN:
            execute("insert or ignore into version values(?, ?, ?)", (one.id, seen.digest, max(seen.seq, 0)))
        execute("insert or replace into record values(?, ?, ?, 0)", (one.id, number, FOREIGN))
        execute(
            "insert or replace into foreign_record values(?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                one.id, version.machine, version.seq, version.hlc, version.digest, one.space, one.file, one.key,
                not self._recognise,
            ),
        )  # fmt: skip

    def _removal(self, id_: int, arrays: Mapping[tuple[str, str], _Array]) -> Iterator[Edit]:
        """Nothing of a record is left: it goes from the file it was written to."""
        row = self._state.one("select space, file, key, digest from foreign_record where id = ?", id_)
        if row is None or row[0] not in self._trees:
            return
        self._gone.add(id_)
        space, file, key, was = row
        if key == file:
            yield Edit(space, file, "removed", RemoveDocument(was), frozenset([id_]))
            return
        self._take_out(space, file, key, id_, arrays)

    def _take_out(
        self, space: str, file: str, key: str, id_: int, arrays: Mapping[tuple[str, str], _Array]
    ) -> None:  # fmt: skip
        arrays[space, file].removed.add(key)
        arrays[space, file].ids.add(id_)
        known = self._catalog.files.find(space, file)
        if known is not None:
            self._catalog.files.drop_members(known.id, [id_])  # its owner removed it, so nobody removes it here
