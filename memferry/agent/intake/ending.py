"""The end of files that were read: remembered, told to the backends where that is news, and what is missing in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from memferry.agent.files.scan import Stat
from memferry.agent.files.tail import Cursor
from memferry.agent.intake.storing import Storing
from memferry.agent.intake.work import Pass, Work
from memferry.agent.state.known import WITHDRAWN, KnownFile
from memferry.formats.base import Whole
from memferry.memory import undo


class Ended(NamedTuple):
    """A file that was read to its end, and what it was like then. `content`: fingerprint of a whole file's bytes;
    `frame`: the bytes (before, between, after) an array's entries."""

    this: Pass
    stat: Stat
    cursor: Cursor | None = None
    content: int | None = None
    frame: tuple[str, str, str] | None = None


class Ending:
    """`removals`: entries that their owners took out of arrays, by file; `expected`: those among them that a digest
    took out."""

    def __init__(self, work: Work, storing: Storing) -> None:
        self._work = work
        self._storing = storing
        self._catalog = work.catalog
        self.removals: list[tuple[int, frozenset[int]]] = []
        self.expected: set[int] = set()

    def finish(self, files: Sequence[Ended]) -> None:
        """Remember them as read to their ends: what was placed beyond is no more."""
        with self._work.state.transaction():
            known = [self._at_end(one) for one in files]
            news = [(now, one) for now, one in zip(known, files, strict=True) if _is_news(now, one)]
            if news:
                self._work.tell_all([(now, _news(one)) for now, one in news])
            noted = {now.id: one.stat.mtime_ns for now, one in news}
            known = [now._replace(noted_mtime_ns=noted.get(now.id, now.noted_mtime_ns)) for now in known]
            self._catalog.files.save_all(map(self._compared, known, files))
            read = {now.id: one.this.held for now, one in zip(known, files, strict=True) if one.this.again}
            self._storing.released |= self._catalog.hold_no_more(read)
            self._work.state.clear_problems("file", [f"{now.space}/{now.path}" for now in known])

    def _at_end(self, one: Ended) -> KnownFile:
        this = one.this
        if this.position < this.known.placed:
            self._storing.renew_layout(this)
        return this.known._replace(
            stat=one.stat, cursor=one.cursor, content=one.content, format=this.kind.format, gone=False,
            position=this.position, placed=this.position,
            frame=_joined(one.frame) if _may_be_told(one) else this.known.frame,
        )  # fmt: skip

    # -- what its owner removed

    def _compared(self, known: KnownFile, one: Ended) -> KnownFile:
        reader = one.this.kind.reader
        if not (isinstance(reader, Whole) and reader.removes):
            return known
        removed = frozenset(self._catalog.files.members(known.id) - one.this.present)
        self._catalog.files.add_members(known.id, one.this.present)
        if not removed:
            return known
        self.removals.append((known.id, removed))
        self.expected |= removed & self._digested(known.path)
        return known._replace(stat=None, content=None)  # read again until the removal is carried out

    def _digested(self, path: str) -> set[int]:
        """Which entries `memferry digest` took out of an array: nobody needs to be asked about these."""
        tree = self._work.tree
        return {self._work.fingerprint.key(tree.name, one) for one in undo.meant_to_go(tree.root / path)}

    def gone(self) -> set[int]:
        """The entries that their owners removed and that stand nowhere else."""
        return self._gone(self._standing())

    def carry_out_removals(self) -> bool:
        """Withdraw the array entries that their owners removed. One that was only moved is read again where it stands
        now, and so is put there for all machines. Returns whether any was."""
        with self._work.state.transaction():
            standing = self._standing()
            gone = self._gone(standing)
            for file, ids in self.removals:
                self._catalog.files.drop_members(file, ids)
            self._work.outcome.removed += len(self._withdraw(gone))
            self._withdraw({id_ for _, id_ in standing})
            self._catalog.files.reconsider_these({file for file, _ in standing})
        self.removals.clear()
        return bool(standing)

    def _withdraw(self, ids: Collection[int]) -> list[int]:
        return self._work.withdrawal.withdraw(self._work.tree.name, ids, WITHDRAWN)

    def _gone(self, standing: Collection[tuple[int, int]]) -> set[int]:
        return {id_ for _, ids in self.removals for id_ in ids} - {id_ for _, id_ in standing}

    def _standing(self) -> set[tuple[int, int]]:
        """(file, id): where what was removed from one file stands in another."""
        removed = {(file, id_) for file, ids in self.removals for id_ in ids}
        return self._catalog.files.standing({id_ for _, id_ in removed}) - removed


def _is_news(now: KnownFile, one: Ended) -> bool:
    """Whether a backend that holds something of the file does not know yet how it ends."""
    before = one.this.known
    told = (before.noted_mtime_ns, before.frame, before.gone) == (one.stat.mtime_ns, now.frame, False)
    return now.cleared and not told and (one.this.wrote or before.gone or now.frame != before.frame)


def _news(one: Ended) -> Mapping[str, object]:
    return {"mtime_ns": one.stat.mtime_ns, "frame": one.frame if _may_be_told(one) else None}


def _may_be_told(one: Ended) -> bool:
    """What surrounds an array's entries is judged with each of them: with none that may leave, nobody has judged it."""
    return one.this.kept or one.frame is None or not "".join(one.frame).strip("[], \t\r\n")


def _joined(frame: tuple[str, str, str] | None) -> str | None:
    return "\0".join(frame) if frame else None
