"""One cycle over one space: scan, read what changed, notice what vanished. The truth is what lies on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import groupby
from typing import NamedTuple

from memferry.agent.files import scan
from memferry.agent.intake.ingest import Ingest
from memferry.agent.intake.work import Work
from memferry.agent.state.catalog import Catalog
from memferry.errors import Halted, MemferryError, ScannerBroken, SpaceMissing, StateError
from memferry.formats.base import Kind, Whole

GONE = (
    "mount the disk again; `memferry push --accept-deletions` if they are meant to be gone; if they were deleted by"
    " mistake: `memferry doctor --rebuild`, copy what `memferry restore` gives of this machine, then `memferry pull`"
)
"""What to do about files that vanished at once."""
ROUNDS = 3
"""A copy is written after its original. So when a copy was read, the originals are looked at once more, and what
turns out to repeat a private record is withdrawn before anything is sent."""


class Lot(NamedTuple):
    """At most so many files, and about so many bytes of them; a larger one is alone."""

    files: int
    size_bytes: int


COMMITTED = Lot(10_000, 32 << 20)
"""Small files share a transaction, whose fsync costs more than reading one, and whose fingerprints touch all pages of
their indexes; a large ledger has many of its own."""
JUDGED = Lot(1000, 1 << 19)
"""Documents are judged and stored together, as the lines of a ledger are."""


class Guard(NamedTuple):
    """How much may vanish in one cycle before it looks like an unmounted disk: a share of what is known, or a count."""

    fraction: float = 0.5
    number: int = 100

    def refuses(self, vanished: int, known: int) -> bool:
        return vanished > self.number or vanished > self.fraction * known


class Cycle:
    """Brings the journal up to date with one space. `accept_deletions`: the user confirmed what `guard` refuses.
    `wanted`: which files this run is about. `progress`: called before each with how many are done, and of how many."""

    def __init__(
        self, work: Work, ingest: Ingest, guard: Guard, *, accept_deletions: bool = False,
        wanted: Callable[[str, Kind], bool] = lambda file, kind: True,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:  # fmt: skip
        self._work = work
        self._state = work.state
        self._catalog = Catalog(work.state)
        self._tree = work.tree
        self._outcome = work.outcome
        self._ingest = ingest
        self._guard = guard
        self._accept_deletions = accept_deletions
        self._wanted = wanted
        self._progress = progress

    def run(self, *, all_files: bool = False) -> None:
        """The whole space. `all_files`: look into every file, also where its stat says that it is as it was.

        Raises Halted when most of it vanished at once: then nothing of it was touched.
        """
        found = self._scan(all_files)
        self._refuse_mass_vanishing(found)
        self._read(found)
        for _ in range(ROUNDS - 1):
            if not (self._holds_copies or self._reconsiders()):
                break
            found = self._scan(False)
            self._read(found)
        self._settle_vanished(found)
        self._settle_failed()
        self._remove_entries()
        with self._state.transaction():
            self._state.clear_problem("space", self._tree.name)

    def run_some(self, files: Iterable[str]) -> None:
        """Only these files, which the watcher saw change. Nothing is concluded from what is missing."""
        seen = [one for file in files if (one := scan.look(self._tree.root, file)) is not None]
        known = self._catalog.files.stats(self._tree.name, [one.file for one in seen])
        self._read(scan.changes(seen, known))
        if self._holds_copies or self._reconsiders():
            self.run()
        else:
            self._remove_entries()

    def _reconsiders(self) -> bool:
        """Whether files are to be read again because something is no longer held."""
        if not self._ingest.has_released():
            return False
        with self._state.transaction():
            self._catalog.files.reconsider(self._tree.name)
        return True

    # -- scanning

    def _scan(self, all_files: bool) -> scan.Changes:
        try:
            known = self._catalog.files.stats(self._tree.name)
            seen = list(scan.walk(self._tree.root, descend=self._tree.rules.descends))
        except SpaceMissing as error:
            self._halt(str(error), error.hint)
            raise Halted(f"space {self._tree.name}: {error}", hint=error.hint) from error
        self._outcome.files[self._tree.name] = len(seen)
        changes = scan.changes(
            seen, {file: known[file]._replace(ctime_ns=-1) for file in known} if all_files else known
        )
        self._show_skipped([one for one in changes.skipped if not self._tree.rules.leaves_out(one.file)])
        return changes

    def _show_skipped(self, skipped: Sequence[scan.Skipped]) -> None:
        prefix = f"{self._tree.name}/"
        now = {prefix + one.file: one for one in skipped}
        self._outcome.skipped |= {subject: one.reason for subject, one in now.items()}
        known = self._state.rows(
            "select subject from problem where area = 'skipped' and substr(subject, 1, ?) = ?", len(prefix), prefix
        )
        if now.keys() == {row[0] for row in known}:
            return
        with self._state.transaction():
            for (subject,) in known:
                self._state.clear_problem("skipped", subject)
            for subject, one in now.items():
                self._state.report_problem("skipped", subject, one.reason, one.hint)

    def _kind(self, file: str) -> Kind | None:
        if file in self._pulled:
            return None  # its lines are another machine's to carry, and a losing version is kept for a person
        kind = self._tree.kind(file)
        if kind is None:
            return None
        verdict = self._tree.rules.verdict_here(file)
        if verdict is not None:
            self._outcome.excluded[f"{self._tree.name}/{file}"] = verdict.reason
            return None
        return kind if self._wanted(file, kind) else None

    # -- reading

    def _read(self, changes: scan.Changes) -> None:
        """Derived files first: what they repeat is then read after them, never before it was written."""
        self._holds_copies = False
        self._pulled = self._catalog.files.pulled(self._tree.name)
        kinds = {one.file: kind for one in changes.changed if (kind := self._kind(one.file)) is not None}
        moved = _renames_in_order(changes.moved)
        rest = sorted(kinds.keys() - moved.keys(), key=lambda file: (not kinds[file].derived, file))
        order = [*(new for new in moved if new in kinds), *rest]
        sizes = {one.file: one.stat.size for one in changes.changed}
        steps = self._counted(len(order))
        for group in _grouped(order, sizes, COMMITTED):
            with self._state.transaction() if len(group) > 1 else nullcontext():
                for is_document, files in groupby(group, key=lambda file: kinds[file].is_document):
                    for some in _grouped(files, sizes, JUDGED):
                        due = ((file, kinds[file]) for file, _ in zip(some, steps, strict=False))
                        if is_document:
                            self._read_documents(due)
                        else:
                            self._read_each(due, moved)

    def _counted(self, total: int) -> Iterator[None]:
        """A step before each file."""
        for done in range(total):
            yield self._progress(done, total)

    def _read_documents(self, files: Iterable[tuple[str, Kind]]) -> None:
        before = self._outcome.stored
        self._ingest.read_documents(files)
        self._holds_copies |= self._outcome.stored > before

    def _read_each(self, files: Iterable[tuple[str, Kind]], moved: Mapping[str, str]) -> None:
        for file, kind in files:
            before = self._outcome.stored
            try:
                self._ingest.read(file, kind, was=moved.get(file))
            except (StateError, ScannerBroken):
                raise
            except MemferryError as error:
                self._work.fail(file, error)
            self._holds_copies |= self._outcome.stored > before and (kind.derived or isinstance(kind.reader, Whole))

    # -- vanishing

    def _refuse_mass_vanishing(self, changes: scan.Changes) -> None:
        if not changes.vanished or self._accept_deletions:
            return
        known = len(self._catalog.files.stats(self._tree.name))
        vanished = {file for file in changes.vanished if not self._tree.rules.is_own(file)}  # that is not read any more
        lost = len(vanished)
        if self._guard.refuses(lost, known):
            lost = len(vanished - self._renamed(changes))
        if self._guard.refuses(lost, known):
            text = f"{lost} of {known} files vanished at once"
            self._halt(text, GONE)
            raise Halted(f"space {self._tree.name}: {text}", hint="see `memferry status`; nothing was withdrawn")

    def _renamed(self, changes: scan.Changes) -> set[str]:
        return {old for new, old in changes.moved.items() if self._ingest.is_renamed(new, old)}

    def _settle_vanished(self, changes: scan.Changes) -> None:
        for file in changes.vanished:
            self._ingest.note_vanished(file)

    def _settle_failed(self) -> None:
        """A file that could not be taken, and was not touched since, is as bad news as before; one that is gone, or is
        not to be carried any more, is none."""
        prefix = f"{self._tree.name}/"
        for subject, text, hint in self._state.rows(
            "select subject, text, hint from problem where area = 'file' and substr(subject, 1, ?) = ?",
            len(prefix), prefix,
        ):  # fmt: skip
            file = subject.removeprefix(prefix)
            if not os.path.lexists(self._tree.root / file) or self._tree.rules.verdict(file) is not None:
                with self._state.transaction():  # nobody knows what had become private in it, so nothing of it leaves
                    self._work.withdrawal.withdraw_unsent(self._tree.name, file)
                    self._state.clear_problem("file", subject)
            elif self._kind(file) is not None:
                self._outcome.failed.setdefault(subject, (text, hint))

    def _remove_entries(self) -> None:
        removals = self._ingest.ending.removals
        if not removals:
            return
        doomed = len(self._ingest.ending.gone() - self._ingest.ending.expected)
        row = self._state.one(
            "select count(*) from member join file on file.id = member.file where file.space = ?", self._tree.name
        )
        known = row[0] if row else 0
        if self._guard.refuses(doomed, known) and not self._accept_deletions:
            removals.clear()
            text = f"{doomed} of {known} entries were removed at once"
            self._halt(text, "restore the file; `memferry push --accept-deletions` to withdraw them everywhere")
            raise Halted(f"space {self._tree.name}: {text}", hint="see `memferry status`; nothing was withdrawn")
        if self._ingest.ending.carry_out_removals():
            self._read(self._scan(False))

    def _halt(self, text: str, hint: str) -> None:
        with self._state.transaction():
            self._state.report_problem("space", self._tree.name, f"halted: {text}", hint)


def _grouped(files: Iterable[str], sizes: Mapping[str, int], lot: Lot) -> Iterator[list[str]]:
    """In order."""
    group: list[str] = []
    room = lot.size_bytes
    for file in files:
        room -= sizes[file]
        if group and (room < 0 or len(group) == lot.files):
            yield group
            group, room = [], lot.size_bytes - sizes[file]
        group.append(file)
    if group:
        yield group


def _renames_in_order(moved: Mapping[str, str]) -> dict[str, str]:
    """new -> old, each behind the rename that frees its new name (a.1 -> a.2 before a -> a.1); swaps are left out."""
    ordered: dict[str, str] = {}
    waiting = dict(moved)
    while taken := set(waiting.values()):
        ready = [new for new in waiting if new not in taken]
        if not ready:
            break
        for new in ready:
            ordered[new] = waiting.pop(new)
    return ordered
