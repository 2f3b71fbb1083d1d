"""Bringing files in line with what all machines' logs say: for every record, the version that is planned.

First the intent is durable, then the file is written, then it is done. A crash in between repeats, and a file that
cannot be written now is tried again by the next pull.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence

from memferry import durable
from memferry.agent.files.tree import Tree
from memferry.agent.pulling import spelling
from memferry.agent.pulling.edits import (
    AddLines,
    DropLines,
    Edit,
    How,
    RemoveDocument,
    WriteDocument,
    carry_out,
    takes_away,
)
from memferry.agent.pulling.here import Here
from memferry.agent.pulling.planning import Planning
from memferry.agent.state.received import Shard
from memferry.backends import names
from memferry.errors import MemferryError, StateError

RETRY = "run `memferry pull` again"
OWN = "move the vault or state there elsewhere; nothing else is ever written into it"


class Reconcile:
    """`name_of`: a machine's name by its id. `dry_run`: everything but the files. `recognise`: see `Planning`."""

    def __init__(
        self, here: Here, name_of: Callable[[str], str], *, dry_run: bool = False, recognise: bool = False
    ) -> None:
        self._state = here.state
        self._received = here.received
        self._trees = here.trees
        self._files = here.catalog.files
        self._planning = Planning(here, name_of, recognise=recognise)
        self._dry_run = dry_run
        self.touched: dict[str, How] = {}
        """`space/file` -> what happened to it."""
        self.failed: dict[str, MemferryError] = {}
        self._bytes: dict[Shard, int] = {}

    @property
    def conflicts(self) -> int:
        """New ones."""
        return self._planning.conflicts.found

    def run(self) -> None:
        """Everything that is marked, what is in conflict (an edit made here may have settled it), and every line
        that is doomed."""
        with self._state.transaction():
            self._state.execute("insert or ignore into unwritten select id from conflict")
        self._settle_marked()
        if self._planning.conflicts.renamed:
            self._planning.conflicts.renamed.clear()
            self._settle_marked()
        self._carry_out([
            Edit(space, file, "shrinks", DropLines(digests))
            for (space, file), digests in self._received.doomed().items()
            if space in self._trees
        ])  # fmt: skip

    def _settle_marked(self) -> None:
        for ids in self._planning.chunks():
            with self._state.transaction():
                edits, left, gone = self._planning.planned(ids)
            self._carry_out(edits, set(ids) - left, gone)

    def add_lines(self, lines: Mapping[Shard, Sequence[bytes]]) -> Mapping[Shard, int]:
        """To shards. Returns their bytes; a shard that could not be written is missing."""
        self._bytes.clear()
        for shard, bodies in lines.items():
            change = AddLines(tuple(bodies), self._received.known_bytes(shard))
            self._carry_out([Edit(*shard, self._planning.how(*shard, "grows"), change)])
        return dict(self._bytes)

    def _carry_out(self, edits: Sequence[Edit], ids: Collection[int] = (), gone: Collection[int] = ()) -> None:
        """`ids`: what the edits are about, and what turned out to need none; of those that are `gone` nothing is left
        then."""
        stuck: set[int] = set()
        for edit in edits:
            if edit.ids and not stuck.isdisjoint(edit.ids):
                continue  # the loser first, or not at all
            if error := self._failure(edit):
                stuck |= edit.ids
                self._fail(edit, error)
            else:
                self._done(edit)
        if done := set(ids) - stuck:
            with self._state.transaction():
                self._state.execute_many("update foreign_record set pending = 0 where id = ?", ((id_,) for id_ in done))
                self._received.unmark(done)
                for id_ in done.intersection(gone):
                    self._received.let_go(id_)

    def _failure(self, edit: Edit) -> MemferryError | None:
        tree = self._trees[edit.space]
        try:
            names.check_file(edit.file)
            if tree.rules.is_own(edit.file):  # told before that folder became one
                raise MemferryError(f"{edit.file} would lie in what is memferry's own", hint=OWN)
            with durable.explained(tree.root / edit.file):
                if self._is_elsewhere(tree, edit):
                    return None
                self._bytes[edit.space, edit.file] = 0 if self._dry_run else carry_out(tree, edit)
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
                    self._received.know_bytes({(edit.space, edit.file): 0})
                case RemoveDocument():
                    self._received.release_file(edit.space, edit.file)
                    self._state.wipe()
                    self._note_gone(edit.space, edit.file)
                    self._state.execute("delete from conflict where space = ? and copy = ?", (edit.space, edit.file))
                case WriteDocument() if edit.how == "conflict copy":
                    self._state.execute(
                        "update conflict set written = 1 where space = ? and copy = ?", (edit.space, edit.file)
                    )

    def _note_gone(self, space: str, file: str) -> None:
        """It did not vanish. Where others were told of it, the next scan tells them."""
        known = self._files.find(space, file)
        if known is not None and not known.cleared and not os.path.lexists(self._trees[space].root / file):
            self._files.save(known._replace(gone=True))
