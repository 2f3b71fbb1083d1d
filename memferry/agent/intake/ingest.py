"""From one file into the journal: read, judge, plan, and store together with the cursor in one transaction."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from memferry.agent.files import gzipped, opening, tail
from memferry.agent.files.scan import Stat
from memferry.agent.intake.ending import Ended, Ending
from memferry.agent.intake.storing import Storing
from memferry.agent.intake.wholes import Wholes
from memferry.agent.intake.work import Pass, Work
from memferry.agent.state.known import KnownFile
from memferry.formats.base import Kind, Ledger, Whole
from memferry.keys import digest
from memferry.model import Record, Source

TOO_LONG = "longer than max_line_bytes"
CHUNK_BYTES = 1 << 19
"""What is judged at once: twice as much takes 8 MB more, and no less time."""
COMMIT_BYTES = 32 << 20
"""Fingerprints are random, so every commit touches all of their indexes: the bulk path commits in larger steps than
it judges."""


class Ingest:
    """Reads the files of one space. Call from the thread that owns the state."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._state = work.state
        self._catalog = work.catalog
        self._fingerprint = work.fingerprint
        self._withdrawal = work.withdrawal
        self._space = work.tree.name
        self._root = work.tree.root
        self._reading = work.reading
        self._outcome = work.outcome
        self._storing = Storing(work)
        self.ending = Ending(work, self._storing)
        self._wholes = Wholes(work, self._storing, self.ending)

    def close(self) -> None:
        self._storing.close()

    def look_again(self) -> None:
        """At what was stored before something was held that it repeats. Call before anything of it is sent."""
        self._storing.second_look.take()

    def has_released(self) -> bool:
        """Whether since it was last asked something has become free: then what was held because of it is to be judged
        again."""
        released, self._storing.released = self._storing.released, False
        return released

    def read_documents(self, files: Iterable[tuple[str, Kind]]) -> None:
        """Bring them up to date, all together."""
        self._wholes.read(map(self._noted, files))

    def _noted(self, file: tuple[str, Kind]) -> tuple[str, Kind]:
        self._outcome.changed_files.append(f"{self._space}/{file[0]}")
        return file

    def read(self, path: str, kind: Kind, *, was: str | None = None) -> None:
        """Bring one file up to date. `was`: the name it seems to have had. Raises opening.Unreadable."""
        self._outcome.changed_files.append(f"{self._space}/{path}")
        if isinstance(kind.reader, Whole):
            self._wholes.read([(path, kind)])
            return
        with opening.opened(self._root, path) as (descriptor, stat):
            if path.lower().endswith(".gz"):
                self._read_archive(descriptor, stat, path, kind)
                return
            if was is not None:
                self._rename(descriptor, stat, was, path, kind)
            self._read_ledger(descriptor, stat, path, kind)

    # -- ledgers

    def _read_ledger(self, descriptor: int, stat: Stat, path: str, kind: Kind) -> None:
        known = self._meet(path, kind)
        cursor = None if self._reading.force else known.cursor
        start = tail.resume(
            descriptor, stat, cursor, self._fingerprint, now=self._state.clock(), whole=self._reading.thorough
        )
        if isinstance(start, tail.Restart):
            self._note_restart(start.reason)
        again = start.trail.offset == 0 and (known.placed > 0 or self._catalog.holds_of(known.id))
        this = Pass(known, kind, start.trail.offset and known.position, again)
        source, reader = self._source(path, kind)
        parts = tail.read_lines(
            descriptor, start.trail.offset, chunk_bytes=CHUNK_BYTES, line_bytes=self._reading.max_line_bytes
        )
        while (first := next(parts, None)) is not None:
            with self._state.transaction():
                for part in _up_to(COMMIT_BYTES, chain((first,), parts)):
                    start.trail.advance(part, descriptor)
                    self._storing.store(this, records_in(reader, source, part), start.trail.cursor())
        self.ending.finish([Ended(this, stat if start.trail.is_proved else stat.doubted, start.trail.cursor())])

    def _read_archive(self, descriptor: int, stat: Stat, path: str, kind: Kind) -> None:
        this = Pass(self._meet(path, kind), kind)
        source, reader = self._source(path, kind)
        for part in gzipped.read_gz_lines(descriptor, line_bytes=self._reading.max_line_bytes):
            if isinstance(part, gzipped.Broken):
                raise opening.Unreadable(path, part.reason, hint=part.hint)
            if isinstance(part, tail.Chunk | tail.Oversize):
                self._storing.store(this, records_in(reader, source, part))
        self.ending.finish([Ended(this, stat)])

    def _source(self, path: str, kind: Kind) -> tuple[Source, Ledger]:
        assert not isinstance(kind.reader, Whole)
        return Source(self._space, path, kind.format, kind.derived), kind.reader

    def _note_restart(self, reason: str) -> None:
        """A ledger that is not what it was: lines may have come and gone unseen, and that is said."""
        if reason == "new":
            return
        self._outcome.restarted[reason] += 1
        with self._state.transaction():
            self._state.count(f"ledgers {reason}")
            if reason in ("truncated", "rewritten"):
                self._outcome.gaps += 1
                self._state.count("possible gaps")

    def _rename(self, descriptor: int, stat: Stat, was: str, path: str, kind: Kind) -> None:
        """The same ledger under a new name keeps what is known of it."""
        known = self._catalog.files.find(self._space, was)
        if known is None or not self._goes_on(descriptor, stat, known):
            return
        with self._state.transaction():
            self._catalog.files.displace(self._space, path)
            if self._is_judged_alike(was, path, kind):
                self._catalog.files.save(known._replace(path=path, gone=False))
                if known.cleared:
                    self._work.tell(known, was=was, path=path)
            else:
                self._start_again(known, path)

    def _start_again(self, known: KnownFile, path: str) -> None:
        """Under its new name all of a ledger is read once more; that name is told by the lines that leave under it, if
        any do."""
        if known.cleared:
            self._work.tell(known, keep=0, gone=True)
        laid = self._catalog.files.relay(known._replace(path=path, gone=False), 0)
        self._catalog.files.save(laid._replace(stat=None, cursor=None, position=0, cleared=False, noted_mtime_ns=None))

    def _is_judged_alike(self, was: str, path: str, kind: Kind) -> bool:
        """Whether names decide nothing: not by rules, nor by what is found in them, nor by what links lead to."""
        before, desk = self._work.tree.kind(was), self._work.desk
        if before is None or (before.format, before.derived) != (kind.format, kind.derived):
            return False
        if posixpath.dirname(was) != posixpath.dirname(path) or desk.rules.tell_apart(was, path):
            return False
        sources = [Source(self._space, file, kind.format, kind.derived) for file in (was, path)]
        return not any(desk.find([Record(source, "", b"", b"{}", 0, {}) for source in sources]))

    def _goes_on(self, descriptor: int, stat: Stat, known: KnownFile) -> bool:
        """Whether an open file begins with what was read of a known ledger: its inode alone proves nothing."""
        return known.cursor is not None and isinstance(
            tail.resume(descriptor, stat, known.cursor, self._fingerprint, now=self._state.clock()), tail.Resume
        )

    def is_renamed(self, path: str, was: str) -> bool:
        """Whether the file at `path` surely is the one that was called `was`, grown or not."""
        known = self._catalog.files.find(self._space, was)
        if known is None or known.stat is None:
            return False
        try:
            with opening.opened(self._root, path) as (descriptor, stat):
                same = (stat.size, stat.mtime_ns) == (known.stat.size, known.stat.mtime_ns)
                return same or self._goes_on(descriptor, stat, known)
        except opening.Unreadable:
            return False

    def note_vanished(self, path: str) -> None:
        """The file is gone. That withdraws nothing; a restore must only know."""
        known = self._catalog.files.find(self._space, path)
        if known is None or known.gone:
            return
        with self._state.transaction():
            self._catalog.files.save(known._replace(gone=True))
            self._catalog.files.forget_members(known.id)
            self._catalog.lose_held(known.id)
            if known.cleared:
                self._work.tell(known, gone=True)

    def _meet(self, path: str, kind: Kind) -> KnownFile:
        with self._state.transaction():
            return self._catalog.files.meet(self._space, path, kind.format)._replace(format=kind.format)


def _up_to(size: int, parts: Iterable[tail.Chunk | tail.Oversize]) -> Iterator[tail.Chunk | tail.Oversize]:
    """The next parts, about `size` bytes of them, each read when it is wanted."""
    for part in parts:
        yield part
        size -= len(part.lines) if isinstance(part, tail.Chunk) else 0
        if size <= 0:
            return


def records_in(reader: Ledger, source: Source, part: tail.Chunk | tail.Oversize) -> Sequence[Record]:
    """A line that is too long is one that cannot be read, known by where it stands and its size."""
    if isinstance(part, tail.Chunk):
        return reader.parse(source, part.lines, part.start)
    mark = digest(f"{source.file}\0{part.start}\0{part.size_bytes}".encode())
    return [Record(source, mark.hex(), mark, part.head, part.start, problem=TOO_LONG)]
