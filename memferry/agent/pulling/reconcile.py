"""Bringing files in line with what all machines' logs say: for every record, the version that `merge` calls current.

First the intent is durable, then the file is written, then it is done. A crash in between repeats, and a file that
cannot be written now is tried again by the next pull.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from memferry import durable
from memferry.agent.files.tree import Tree
from memferry.agent.pulling import apply, spelling
from memferry.agent.pulling.edits import (
    AddLines,
    DropLines,
    Edit,
    EditEntries,
    How,
    RemoveDocument,
    WriteDocument,
    carry_out,
    takes_away,
)
from memferry.agent.pulling.here import Here
from memferry.agent.state.catalog import Catalog
from memferry.agent.state.known import FOREIGN, FORGOTTEN, HELD, WITHDRAWN, Seen, digest_number
from memferry.agent.state.merge import Merged, Version, merge
from memferry.agent.state.received import Rival
from memferry.backends import names
from memferry.errors import MemferryError, StateError
from memferry.formats.base import Whole
from memferry.keys import digest
from memferry.model import Source

CHUNK_BYTES = 8 << 20
CHUNK_IDS = 20_000
RETRY = "run `memferry pull` again"


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
    own = [one.version for one in rivals if one.version.seq == seen.seq and _number(one.version) == seen.digest]
    if not own or merged.current.digest == own[0].digest:
        return merged
    others = (merged.current, *(one for one in merged.rivals if one.digest != own[0].digest))
    return Merged(own[0], others)


def _number(version: Version) -> int:
    return digest_number(bytes.fromhex(version.digest))


class Reconcile:
    """`name_of`: a machine's name by its id. `dry_run`: everything but the files. `recognise`: after a state was lost,
    what lies in a file as all agree is known again; the rest is left to the next pull."""

    def __init__(
        self, here: Here, name_of: Callable[[str], str], *, dry_run: bool = False, recognise: bool = False
    ) -> None:
        self._state = here.state
        self._catalog = here.catalog
        self._received = here.received
        self._trees = here.trees
        self._name_of = name_of
        self._dry_run = dry_run
        self._recognise = recognise
        self._made: set[tuple[str, str]] = set()
        self._left: set[int] = set()
        self.touched: dict[str, How] = {}
        """`space/file` -> what happened to it."""
        self.failed: dict[str, MemferryError] = {}
        self.conflicts = 0
        """New ones."""

    def run(self) -> None:
        """Everything that is marked, what is in conflict (an edit made here may have settled it), and every line
        that is doomed."""
        with self._state.transaction():
            self._state.execute("insert or ignore into unwritten select id from conflict")
        for ids in self._chunks():
            with self._state.transaction():
                edits = list(self._planned(ids))
            self.carry_out(edits, ids)
        drops = [
            Edit(space, file, "shrinks", DropLines(digests))
            for (space, file), digests in self._received.doomed().items()
            if space in self._trees
        ]
        self.carry_out(drops)

    def add_lines(self, lines: Mapping[tuple[str, str], Sequence[bytes]]) -> Collection[str]:
        """To shards, by space and file. Returns those (`space/file`) that could not be written."""
        edits = [
            Edit(space, file, self._how(space, file, "grows"), AddLines(tuple(bodies)))
            for (space, file), bodies in lines.items()
        ]
        self.carry_out(edits)
        return [f"{edit.space}/{edit.file}" for edit in edits if f"{edit.space}/{edit.file}" in self.failed]

    # -- carrying out

    def carry_out(self, edits: Sequence[Edit], ids: Iterable[int] = ()) -> None:
        """`ids`: what the edits are about, and what turned out to need none."""
        stuck: set[int] = set()
        for edit in edits:
            if edit.ids and not stuck.isdisjoint(edit.ids):
                continue  # the loser first, or not at all
            if error := self._failure(edit):
                stuck |= edit.ids
                self._fail(edit, error)
            else:
                self._done(edit)
        if done := set(ids) - stuck - self._left:
            with self._state.transaction():
                self._state.execute_many("update foreign_record set pending = 0 where id = ?", ((id_,) for id_ in done))
                self._received.unmark(done)

    def _failure(self, edit: Edit) -> MemferryError | None:
        tree = self._trees[edit.space]
        try:
            names.check_file(edit.file)
            with durable.explained(tree.root / edit.file):
                if self._is_elsewhere(tree, edit):
                    return None
                if not self._dry_run:
                    carry_out(tree, edit)
        except StateError:
            raise
        except MemferryError as error:
            return error
        return None

    def _is_elsewhere(self, tree: Tree, edit: Edit) -> bool:
        """Whether there is nothing to take away, for what would be met there is another file."""
        other = spelling.taken(tree.root, edit.file)
        if other is not None and not takes_away(edit.change):
            raise spelling.clash(edit.file, other)
        return other is not None

    def _fail(self, edit: Edit, error: MemferryError) -> None:
        subject = f"{edit.space}/{edit.file}"
        self.failed[subject] = error
        with self._state.transaction():
            self._state.report_problem("pull", subject, str(error), error.hint or RETRY)

    def _done(self, edit: Edit) -> None:
        subject = f"{edit.space}/{edit.file}"
        if self.touched.get(subject) != "new":
            self.touched[subject] = edit.how
        with self._state.transaction():
            self._state.clear_problem("pull", subject)
            match edit.change:
                case DropLines():
                    self._received.undoom(edit.space, edit.file)
                case RemoveDocument():
                    self._received.release_file(edit.space, edit.file)
                    self._state.execute("delete from conflict where space = ? and copy = ?", (edit.space, edit.file))
                case WriteDocument() if edit.how == "conflict copy":
                    self._state.execute(
                        "update conflict set written = 1 where space = ? and copy = ?", (edit.space, edit.file)
                    )

    # -- planning

    def _chunks(self) -> Iterator[list[int]]:
        """What is marked, the entries of one array together, about so many bytes at a time."""
        chunk: list[int] = []
        room = CHUNK_BYTES
        for id_, size in self._state.rows(
            "select unwritten.id, total(length(body)) from unwritten left join rival on rival.id = unwritten.id"
            " group by unwritten.id order by min(space), min(file), min(hlc), min(seq), unwritten.id"
        ):
            if chunk and (room < size or len(chunk) == CHUNK_IDS):
                yield chunk
                chunk, room = [], CHUNK_BYTES
            chunk.append(id_)
            room -= int(size)
        if chunk:
            yield chunk

    def _planned(self, ids: Sequence[int]) -> Iterator[Edit]:
        seen, versions = self._catalog.seen(ids), self._received.versions(ids)
        self._left = set()
        arrays: dict[tuple[str, str], _Array] = defaultdict(_Array)
        for id_ in ids:
            yield from self._plan_one(id_, seen.get(id_), versions.get(id_, ()), arrays)
        for (space, file), array in arrays.items():
            how = self._how(space, file, array.how)
            change = EditEntries(array.put, array.over, frozenset(array.removed))
            yield Edit(space, file, how, change, frozenset(array.ids))

    def _plan_one(
        self, id_: int, seen: Seen | None, rivals: Sequence[Rival], arrays: Mapping[tuple[str, str], _Array]
    ) -> Iterator[Edit]:
        if seen is not None and seen.seq in (HELD, FORGOTTEN):
            yield from self._settled(id_, keep=())
        elif not rivals:
            yield from self._settled(id_, keep=())
            yield from self._removal(id_, arrays)
        elif any(one.space not in self._trees for one in rivals):
            self._left.add(id_)
        else:
            merged = merged_here(self._catalog, id_, seen, rivals)
            current = next(one for one in rivals if one.version == merged.current)
            if self._recognise and not self._holds(current):
                self._left.add(id_)
                return
            yield from self._beside(current, merged)
            yield from self._replacement(current, seen, arrays)

    def _holds(self, one: Rival) -> bool:
        tree = self._trees[one.space]
        kind = tree.format.kind(one.file)
        if kind is None or not isinstance(kind.reader, Whole):
            return False
        return apply.holds(
            tree.root, Source(one.space, one.file, kind.format), kind.reader, one.key, one.version.digest
        )

    def _replacement(self, one: Rival, seen: Seen | None, arrays: Mapping[tuple[str, str], _Array]) -> Iterator[Edit]:
        """The current version into its file, unless that shows it already."""
        number = digest_number(bytes.fromhex(one.version.digest))
        if seen is not None and seen.digest == number and (seen.seq > 0 or self._is_written(one)):
            return
        over = self._replaceable(one.id)
        self._intend(one, seen, number)
        if self._recognise:
            return
        body = one.version.text.encode()
        if one.key == one.file:
            how = self._how(one.space, one.file, "replaced")
            yield Edit(one.space, one.file, how, WriteDocument(body, over | {number}), frozenset([one.id]))
            return
        array = arrays[one.space, one.file]
        array.put[one.key], array.over[one.key] = body, over | {number}
        array.replaces |= seen is not None and seen.seq != WITHDRAWN
        array.ids.add(one.id)

    def _replaceable(self, id_: int) -> set[int]:
        """Digest numbers of what may lie in the file: every version met, and the last one, also if it was withdrawn."""
        rows = self._state.rows("select digest from foreign_record where id = ?", id_)
        return self._catalog.versions(id_) | {digest_number(bytes.fromhex(row[0])) for row in rows}

    def _is_written(self, one: Rival) -> bool:
        row = self._state.one("select digest, pending from foreign_record where id = ?", one.id)
        return row is not None and row == (one.version.digest, 0)

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
        self._received.let_go(id_)
        space, file, key, was = row
        if key == file:
            yield Edit(space, file, "removed", RemoveDocument(was), frozenset([id_]))
            return
        arrays[space, file].removed.add(key)
        arrays[space, file].ids.add(id_)
        known = self._catalog.file(space, file)
        if known is not None:
            self._catalog.drop_members(known.id, [id_])  # its owner removed it, so nobody removes it here

    def _how(self, space: str, file: str, otherwise: How) -> How:
        if (space, file) in self._made or (self._trees[space].root / file).exists():
            return otherwise
        self._made.add((space, file))
        return "new"

    # -- conflicts

    def _beside(self, current: Rival, merged: Merged) -> Iterator[Edit]:
        """Every rival is listed, a document's kept as a copy; what is no rival any more goes."""
        yield from self._settled(current.id, keep={one.digest for one in merged.rivals})
        for version in merged.rivals:
            yield from self._list(current, version)

    def _list(self, current: Rival, version: Version) -> Iterator[Edit]:
        name = self._name_of(version.machine)
        copy = apply.conflict_copy(current.file, name, version.hlc) if current.key == current.file else None
        row = self._state.one(
            "select copy, written from conflict where id = ? and digest = ?", current.id, version.digest
        )
        if row is None:
            self.conflicts += 1
            self._state.execute(
                "insert or replace into conflict(space, key, file, machine, hlc, digest, copy, body, since, id)"
                " values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    current.space, current.key, current.file, name, version.hlc, version.digest, copy, version.text,
                    self._state.clock(), current.id,
                ),
            )  # fmt: skip
        elif row[1]:
            return
        else:
            copy = row[0]
        if copy is not None:
            self._received.shard(current.space, copy)
            change = WriteDocument(version.text.encode(), self._catalog.versions(current.id))
            yield Edit(current.space, copy, "conflict copy", change, frozenset([current.id]))

    def _settled(self, id_: int, *, keep: Collection[str]) -> Iterator[Edit]:
        for name, space, digest_, copy, body in self._state.rows(
            "select name, space, digest, copy, body from conflict where id = ?", id_
        ):
            if digest_ in keep:
                continue
            if copy is None or space not in self._trees:
                self._state.execute("delete from conflict where name = ?", (name,))
            else:
                yield Edit(space, copy, "removed", RemoveDocument(digest(body.encode()).hex()), frozenset([id_]))
