"""From one file into the journal: read, judge, plan, and store together with the cursor in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, pairwise
from typing import NamedTuple

import msgspec

from memferry.agent import gzipped, opening, tail
from memferry.agent.catalog import Catalog
from memferry.agent.journal import Journal, seal
from memferry.agent.known import HELD, WITHDRAWN, KnownFile, digest_number
from memferry.agent.outcome import Outcome
from memferry.agent.plan import Knowledge, Plan, Stamp, plan
from memferry.agent.scan import Stat
from memferry.agent.state import State
from memferry.agent.tree import Tree
from memferry.agent.withdraw import Withdrawal
from memferry.formats.base import Kind, Ledger, Whole
from memferry.keys import Fingerprinter, digest
from memferry.model import Note, Op, Put, Record, Sealed, Source
from memferry.policies.base import Held, Kept
from memferry.policies.chain import judge, recheck

CHUNK_BYTES = 1 << 20
COMMIT_BYTES = 32 << 20
"""Fingerprints are random, so every commit touches all of their indexes: the bulk path commits in larger steps than
it judges."""
WHOLE_FILE_BYTES = 64 << 20
WORTH_A_THREAD = 64
HOLES_AHEAD = 10_000


class Reading(NamedTuple):
    """How files are read. `settle_s`: a rewritten file must have been left alone for so many seconds.
    `force`: read all again. `thorough`: compare every byte of a ledger, not only its ends.
    `tags` are added to every record that is stored, `type` replaces its own."""

    max_line_bytes: int = tail.LINE_BYTES
    settle_s: float = 0.3
    force: bool = False
    thorough: bool = False
    tags: tuple[str, ...] = ()
    type: str | None = None


@dataclass(slots=True)
class _Pass:
    """One pass over one file. `known`: its row so far; `position`: the next free one; `again`: it was read before, so a
    private version that is not met again has lost its label; `held`: then, the ids met as held; `present`: of an array
    whose owner removes entries, all ids met; `wrote`: whether operations were queued."""

    known: KnownFile
    kind: Kind
    position: int = 0
    again: bool = True
    wrote: bool = False
    held: set[int] = field(default_factory=set)
    present: set[int] = field(default_factory=set)


class Ingest:
    """Reads the files of one space. Call from the thread that owns the state."""

    def __init__(
        self, state: State, journal: Journal, fingerprint: Fingerprinter, withdrawal: Withdrawal, tree: Tree,
        reading: Reading, outcome: Outcome,
    ) -> None:  # fmt: skip
        self._state = state
        self._catalog = Catalog(state, alone=True)
        self._journal = journal
        self._fingerprint = fingerprint
        self._withdrawal = withdrawal
        self._space = tree.name
        self._root = tree.root
        self._format = tree.format
        self._reading = reading
        self.outcome = outcome
        self.released = False
        """Whether something is no longer held: then what was held because of it is to be judged again."""
        self.removals: list[tuple[int, frozenset[int]]] = []
        self._sealer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="memferry-seal")

    def close(self) -> None:
        self._sealer.shutdown()

    def read(self, path: str, kind: Kind, *, was: str | None = None) -> None:
        """Bring one file up to date. `was`: the name it seems to have had. Raises opening.Unreadable."""
        self.outcome.changed_files.append(f"{self._space}/{path}")
        if isinstance(kind.reader, Whole):
            self._read_whole(path, kind, kind.reader)
            return
        with opening.opened(self._root, path) as (descriptor, stat):
            if path.endswith(".gz"):
                self._read_archive(descriptor, stat, path, kind)
                return
            if was is not None:
                self._rename(descriptor, stat, was, path)
            self._read_ledger(descriptor, stat, path, kind)

    # -- ledgers

    def _read_ledger(self, descriptor: int, stat: Stat, path: str, kind: Kind) -> None:
        known = self._meet(path, kind)
        cursor = None if self._reading.force else known.cursor
        start = tail.resume(descriptor, stat, cursor, self._fingerprint, whole=self._reading.thorough)
        if isinstance(start, tail.Restart):
            self._note_restart(start.reason)
        again = start.trail.offset == 0 and (known.placed > 0 or self._catalog.holds_of(known.id))
        this = _Pass(known, kind, start.trail.offset and known.position, again)
        source, reader = self._source(path, kind)
        parts = tail.read_lines(
            descriptor, start.trail.offset, chunk_bytes=CHUNK_BYTES, line_bytes=self._reading.max_line_bytes
        )
        while (first := next(parts, None)) is not None:
            with self._state.transaction():
                for part in _up_to(COMMIT_BYTES, chain((first,), parts)):
                    start.trail.advance(part, descriptor)
                    self._store(this, _records(reader, source, part), start.trail.cursor())
        self._finish(this, stat, cursor=start.trail.cursor())

    def _read_archive(self, descriptor: int, stat: Stat, path: str, kind: Kind) -> None:
        this = _Pass(self._meet(path, kind), kind)
        source, reader = self._source(path, kind)
        for part in gzipped.read_gz_lines(descriptor, line_bytes=self._reading.max_line_bytes):
            if isinstance(part, gzipped.Broken):
                raise opening.Unreadable(path, part.reason)
            if isinstance(part, tail.Chunk | tail.Oversize):
                self._store(this, _records(reader, source, part))
        self._finish(this, stat)

    def _source(self, path: str, kind: Kind) -> tuple[Source, Ledger]:
        assert not isinstance(kind.reader, Whole)
        return Source(self._space, path, kind.format, kind.derived), kind.reader

    def _note_restart(self, reason: str) -> None:
        """A ledger that is not what it was: lines may have come and gone unseen, and that is said."""
        if reason == "new":
            return
        self.outcome.restarted[reason] += 1
        with self._state.transaction():
            self._state.count(f"ledgers {reason}")
            if reason in ("truncated", "rewritten"):
                self.outcome.gaps += 1
                self._state.count("possible gaps")

    def _rename(self, descriptor: int, stat: Stat, was: str, path: str) -> None:
        """The same ledger under a new name keeps what is known of it."""
        known = self._catalog.file(self._space, was)
        if known is None or not self._goes_on(descriptor, stat, known):
            return
        with self._state.transaction():
            self._catalog.displace(self._space, path)
            self._catalog.save_file(known._replace(path=path, gone=False))
            if known.cleared:
                self._tell(known, was=was, path=path)

    def _goes_on(self, descriptor: int, stat: Stat, known: KnownFile) -> bool:
        """Whether an open file begins with what was read of a known ledger: its inode alone proves nothing."""
        return known.cursor is not None and isinstance(
            tail.resume(descriptor, stat, known.cursor, self._fingerprint), tail.Resume
        )

    def is_renamed(self, path: str, was: str) -> bool:
        """Whether the file at `path` surely is the one that was called `was`, grown or not."""
        known = self._catalog.file(self._space, was)
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
        known = self._catalog.file(self._space, path)
        if known is None or known.gone:
            return
        with self._state.transaction():
            self._catalog.save_file(known._replace(gone=True))
            self._catalog.lose_held(known.id)
            if known.cleared:
                self._tell(known, gone=True)

    # -- whole files

    def _read_whole(self, path: str, kind: Kind, reader: Whole) -> None:
        read = opening.read_stable(
            self._root, path, WHOLE_FILE_BYTES, quiet_s=self._reading.settle_s, now=self._state.clock
        )
        if read is None:
            self.outcome.unsettled.append(f"{self._space}/{path}")
            return
        content, stat = read
        known = self._meet(path, kind)
        mark = self._fingerprint(content)
        if known.content == mark and not known.gone and not self._reading.force:
            with self._state.transaction():
                self._catalog.save_file(known._replace(stat=stat))
        elif known.cleared and not content.strip():
            self._refuse_blank(known, stat)
        elif (snapshot := reader.parse(Source(self._space, path, kind.format, kind.derived), content)) is None:
            self._refuse_broken(known, stat)
        else:
            self.outcome.read_bytes += len(content)
            this = _Pass(known, kind)
            self._store(this, snapshot.records)
            self._finish(this, stat, content=mark, frame=snapshot.frame)

    def _refuse_blank(self, known: KnownFile, stat: Stat) -> None:
        """A blank version never replaces a full one silently."""
        with self._state.transaction():
            self._catalog.save_file(known._replace(stat=stat))
            self._state.report_problem(
                "file",
                f"{known.space}/{known.path}",
                "is blank now; its last full version is kept in the backends",
                f"write it again, `memferry restore` it, or `memferry forget {known.space}/{known.path}`",
            )

    def _refuse_broken(self, known: KnownFile, stat: Stat) -> None:
        """Half-written or broken: the last good version stays, and the next change is looked at again."""
        subject = f"{known.space}/{known.path}"
        text, hint = "is not complete (it does not parse)", "repair the file; its last good version is kept"
        self.outcome.failed[subject] = (text, hint)
        with self._state.transaction():
            self._catalog.save_file(known._replace(stat=stat))
            self._state.report_problem("file", subject, text, hint)

    # -- one batch

    def _store(self, this: _Pass, records: Sequence[Record], cursor: tail.Cursor | None = None) -> None:
        """Judge a batch and store it: operations, what is known of records, verdicts and cursor, all or nothing."""
        if cursor is not None:
            self.outcome.read_bytes += cursor.offset - (this.known.cursor.offset if this.known.cursor else 0)
        verdicts: Sequence[Kept | Held] = judge(records, self._catalog, self._fingerprint)
        if isinstance(this.kind.reader, Whole) and this.kind.reader.removes:
            this.present.update(verdict.id for verdict in verdicts)
        with self._state.transaction():
            while verdicts:
                made = self._plan(this, verdicts)
                self._carry_out(this, made)
                verdicts = verdicts[made.used :]
                if verdicts:
                    self._renew_layout(this)
            if cursor is not None:
                placed = max(this.position, this.known.placed)
                this.known = this.known._replace(cursor=cursor, position=this.position, placed=placed)
                self._catalog.save_file(this.known)

    def _plan(self, this: _Pass, verdicts: Sequence[Kept | Held]) -> Plan:
        stamp = Stamp(self._journal.next_hlc(), self._journal.last_seq + 1, self._reading.tags, self._reading.type)
        known = self._knowledge(this, verdicts)
        return plan(verdicts, known, this.known, this.position, stamp, ledger=not isinstance(this.kind.reader, Whole))

    def _knowledge(self, this: _Pass, verdicts: Sequence[Kept | Held]) -> Knowledge:
        seen = self._catalog.seen([verdict.id for verdict in verdicts])
        if not seen:
            return Knowledge({}, {}, frozenset(), {}, {}, frozenset(this.held), frozenset())
        changed = {
            verdict.id: seen[verdict.id].seq
            for verdict in verdicts
            if isinstance(verdict, Kept)
            and verdict.id in seen
            and seen[verdict.id].digest != digest_number(verdict.record.digest)
        }
        puts = self._journal.puts([seq for seq in changed.values() if seq > 0])
        bases = {id_: puts[seq].digest for id_, seq in changed.items() if seq in puts}
        bases |= self._catalog.foreign_digests([id_ for id_, seq in changed.items() if seq < 0])
        holes = self._holes(this, len(verdicts))
        spots = {this.known.place(this.position + n) for n in range(len(verdicts) + len(holes))}
        return Knowledge(
            seen,
            self._catalog.places(spots),
            holes,
            bases,
            self._catalog.foreign_files([id_ for id_, one in seen.items() if one.seq < 0]),
            frozenset(this.held),
            self._catalog.held_in(this.known.id, [id_ for id_, one in seen.items() if this.again and one.seq == HELD]),
        )

    def _holes(self, this: _Pass, count: int) -> frozenset[int]:
        """Places ahead, as far as this batch reaches, that were used once; only a file that is read again has any."""
        known = this.known
        if this.position >= known.placed:
            return frozenset()
        end = min(known.placed, this.position + count + HOLES_AHEAD)
        starts = [this.position, *(start for start, _ in known.layouts if this.position < start < end), end]
        return frozenset().union(
            *(self._catalog.holes(known.place(a), known.place(b - 1)) for a, b in pairwise(starts) if a < b)
        )

    def _carry_out(self, this: _Pass, made: Plan) -> None:
        sealing = self._sealing(made.ops) if made.ops else None
        self._catalog.release(made.released)
        self._catalog.store(made)
        if sealing is not None:
            self._journal.append(sealing())
            this.wrote = True
            this.known = self._catalog.save_file(this.known._replace(cleared=True))
        if made.held:
            self._hold(this, made)
        self.released |= bool(made.released)
        this.position = made.position
        self.outcome.take(made)

    def _sealing(self, ops: Sequence[Op]) -> Callable[[], Sealed]:
        """Many are compressed in a thread while the rows are written here."""
        sealed = partial(seal, ops, self._journal.machine)
        return self._sealer.submit(sealed).result if len(ops) >= WORTH_A_THREAD else sealed

    # -- holding

    def _hold(self, this: _Pass, made: Plan) -> None:
        """Hold these, withdraw those of them that were stored, and whatever derives from them, however old."""
        self._withdraw(made.withdrawn)
        self._catalog.hold(made.held, this.known.id, self._fingerprint)
        if this.again:
            this.held.update(held.id for held in made.held)
        held: Sequence[Held] = made.held
        while held := self._derived(held):
            self._withdraw([one.id for one in held])
            for one in held:
                known = self._catalog.file(one.record.source.space, one.record.source.file)
                self._catalog.hold([one], known.id if known else 0, self._fingerprint)
                self.outcome.held[(one.verdict.rule, one.verdict.reason)] += 1
        cleared = self._catalog.file(self._space, this.known.path)
        this.known = this.known._replace(cleared=cleared is not None and cleared.cleared)

    def _withdraw(self, ids: Iterable[int]) -> None:
        self.outcome.take_back(self._withdrawal.withdraw(self._space, list(ids), HELD))

    def _derived(self, held: Iterable[Held]) -> list[Held]:
        """Stored records that turn out to derive from what is held now."""
        suspects = self._catalog.derived_from(held)
        puts = self._journal.puts([seen.seq for seen in self._catalog.seen(suspects).values()]).values()
        verdicts = (recheck(self._reparse(put), self._catalog, self._fingerprint) for put in puts)
        return [verdict for verdict in verdicts if isinstance(verdict, Held)]

    def _reparse(self, put: Put) -> Record:
        """A stored record again, as the policies see it."""
        kind = self._format.kind(put.file)
        assert kind is not None
        source = Source(put.space, put.file, put.format, kind.derived)
        body = put.body.encode()
        if not isinstance(kind.reader, Whole):
            return kind.reader.parse(source, body + b"\n", 0)[0]
        snapshot = kind.reader.parse(source, kind.reader.render([body], None))
        assert snapshot is not None
        return msgspec.structs.replace(snapshot.records[0], key=put.key)  # alone, it may seem to have another

    # -- the end of a file

    def _finish(
        self, this: _Pass, stat: Stat, *, cursor: tail.Cursor | None = None, content: int | None = None,
        frame: tuple[str, str, str] | None = None,
    ) -> None:  # fmt: skip
        """Remember the file as read to its end: what was placed beyond is no more."""
        before = this.known
        with self._state.transaction():
            if this.position < this.known.placed:
                self._renew_layout(this)
            text = "\0".join(frame) if frame else None
            known = this.known._replace(
                stat=stat, cursor=cursor, content=content, format=this.kind.format, gone=False,
                position=this.position, placed=this.position, frame=text,
            )  # fmt: skip
            told = (before.noted_mtime_ns, before.frame, before.gone) == (stat.mtime_ns, text, False)
            if known.cleared and not told and (this.wrote or before.gone or text != before.frame):
                self._tell(known, mtime_ns=stat.mtime_ns, frame=frame)
                known = known._replace(noted_mtime_ns=stat.mtime_ns)
            if isinstance(this.kind.reader, Whole) and this.kind.reader.removes:
                known = self._compare_members(this, known)
            self._catalog.save_file(known)
            self._state.clear_problem("file", f"{known.space}/{known.path}")

    def _compare_members(self, this: _Pass, known: KnownFile) -> KnownFile:
        removed = frozenset(self._catalog.members(known.id) - this.present)
        self._catalog.add_members(known.id, this.present)
        if not removed:
            return known
        self.removals.append((known.id, removed))
        return known._replace(stat=None, content=None)  # read again until the removal is carried out

    def carry_out_removals(self) -> None:
        """Withdraw the array entries that their owners removed."""
        with self._state.transaction():
            for file, ids in self.removals:
                self.outcome.removed += len(self._withdrawal.withdraw(self._space, ids, WITHDRAWN))
                self._catalog.drop_members(file, ids)
        self.removals.clear()

    def _meet(self, path: str, kind: Kind) -> KnownFile:
        with self._state.transaction():
            return self._catalog.meet_file(self._space, path, kind.format)._replace(format=kind.format)

    def _renew_layout(self, this: _Pass) -> None:
        """Positions from here on will hold other lines than they did."""
        this.known = self._catalog.relay(this.known, this.position)
        if this.known.cleared:
            self._tell(this.known, keep=this.position)

    def _tell(self, known: KnownFile, *, path: str | None = None, **facts: object) -> None:
        hlc = self._journal.next_hlc()
        seq = self._journal.last_seq + 1
        note = Note(seq, hlc, known.space, path or known.path, known.format, **facts)  # type: ignore[arg-type]
        self._journal.append_ops([note])
        self._catalog.add_note(known.id, seq)


def _up_to(size: int, parts: Iterable[tail.Chunk | tail.Oversize]) -> Iterator[tail.Chunk | tail.Oversize]:
    """The next parts, about `size` bytes of them, each read when it is wanted."""
    for part in parts:
        yield part
        size -= len(part.lines) if isinstance(part, tail.Chunk) else 0
        if size <= 0:
            return


def _records(reader: Ledger, source: Source, part: tail.Chunk | tail.Oversize) -> Sequence[Record]:
    if isinstance(part, tail.Chunk):
        return reader.parse(source, part.lines, part.start)
    mark = digest(f"{source.file}\0{part.start}\0{part.size_bytes}".encode())
    problem = "longer than max_line_bytes"
    return [Record(source, mark.hex(), mark, b"", part.start, problem=problem)]
