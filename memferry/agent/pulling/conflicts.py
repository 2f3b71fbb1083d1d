"""Versions of a record that lost to another: each is listed, a document's is kept as a copy beside its file, and both
end when somebody settles it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from memferry.agent.pulling import apply
from memferry.agent.pulling.edits import Edit, RemoveDocument, WriteDocument
from memferry.agent.pulling.here import Here
from memferry.agent.state.merge import Merged, Version
from memferry.agent.state.received import Rival
from memferry.keys import digest


class Conflicts:
    """`name_of`: a machine's name by its id. `found`: how many there are that were not listed before; `renamed`:
    records of which a copy goes, to be listed again as every machine calls it."""

    def __init__(self, here: Here, name_of: Callable[[str], str]) -> None:
        self._state = here.state
        self._catalog = here.catalog
        self._received = here.received
        self._trees = here.trees
        self._name_of = name_of
        self.found = 0
        self.renamed: set[int] = set()

    def keep_beside(self, current: Rival, merged: Merged) -> Iterator[Edit]:
        """Every rival is listed, a document's kept as a copy; what is no rival any more goes."""
        yield from self.settle(current.id, keep={self._called(one) for one in merged.rivals})
        for version in merged.rivals:
            yield from self._list(current, version)

    def _called(self, version: Version) -> tuple[str, str, str]:
        """By what machines know a version in a conflict. The same text can be written again later, by anybody."""
        return version.digest, self._name_of(version.machine), version.hlc

    def settle(self, id_: int, *, keep: Collection[tuple[str, str, str]] = ()) -> Iterator[Edit]:
        """End what is listed of a record, but for these versions, as they are `called`."""
        for name, space, copy, body, *called in self._state.rows(
            "select name, space, copy, body, digest, machine, hlc from conflict where id = ?", id_
        ):
            if tuple(called) in keep:
                continue
            if copy is None or space not in self._trees:
                self._state.wipe()
                self._state.execute("delete from conflict where name = ?", (name,))
            else:
                yield Edit(space, copy, "removed", RemoveDocument(digest(body.encode()).hex()), frozenset([id_]))

    def _list(self, current: Rival, version: Version) -> Iterator[Edit]:
        called = digest_, name, hlc = self._called(version)
        copy = apply.conflict_copy(current.file, name, hlc) if current.key == current.file else None
        row = self._state.one(
            "select copy, written, digest, machine, hlc from conflict where id = ? and digest = ?", current.id, digest_
        )
        if row is not None and row[2:] != called:
            self.renamed.add(current.id)  # its copy goes first
            return
        if row is None:
            self.found += 1
            self._state.execute(
                "insert or replace into conflict(space, key, file, machine, hlc, digest, copy, body, since, id)"
                " values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    current.space, current.key, current.file, name, hlc, digest_, copy, version.text,
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
