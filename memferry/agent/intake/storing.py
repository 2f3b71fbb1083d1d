"""One batch of records, of one file or of many: judged, planned, and stored together in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice, pairwise
from typing import TypeAlias

from memferry.agent.files import tail
from memferry.agent.intake.holding import Holding
from memferry.agent.intake.second_look import SecondLook
from memferry.agent.intake.work import Pass, Work
from memferry.agent.state.journal import SEVERAL, seal
from memferry.agent.state.known import HELD, KNOWN, Seen, digest_number, hex_number
from memferry.agent.state.plan import Knowledge, Part, Plan, Reached, Stamp, plan
from memferry.formats.base import Snapshot
from memferry.model import Op, Record, Sealed
from memferry.policies.base import Held, Kept
from memferry.policies.chain import judge

WORTH_A_THREAD = 64
HOLES_AHEAD = 10_000

_Batch: TypeAlias = Sequence[tuple[Pass, Sequence[Kept | Held]]]
"""What is judged and stored together, by file."""


class Storing:
    """`released`: whether something is no longer held."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._state = work.state
        self._catalog = work.catalog
        self._journal = work.journal
        self._fingerprint = work.fingerprint
        self._reading = work.reading
        self._outcome = work.outcome
        self._desk = work.desk
        self._holding = Holding(work)
        self.second_look = SecondLook(work)
        self.released = False
        self._sealer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="memferry-seal")

    def close(self) -> None:
        self._sealer.shutdown()

    def store(self, this: Pass, records: Sequence[Record], cursor: tail.Cursor | None = None) -> None:
        """Judge a batch of a ledger's lines and store it: operations, what is known of records, verdicts and cursor,
        all or nothing."""
        if cursor is not None:
            self._outcome.read_bytes += cursor.offset - (this.known.cursor.offset if this.known.cursor else 0)
        verdicts = self._judged(records)
        with self._state.transaction():
            self._carry_out_all([(this, verdicts)])
            if cursor is not None:
                placed = max(this.position, this.known.placed)
                this.known = this.known._replace(cursor=cursor, position=this.position, placed=placed)
            self._catalog.files.save(this.known)

    def store_whole(self, read: Sequence[tuple[Pass, Snapshot]]) -> None:
        """The same for all that some files hold; of documents, as if they were lines of one ledger."""
        around = [(this, one.around) for this, one in read if one.around is not None]
        records = [record for _, one in read for record in one.records]
        verdicts = iter(self._judged([*records, *(record for _, record in around)]))
        batch = [(this, list(islice(verdicts, len(one.records)))) for this, one in read]
        for this, own in batch:
            this.present.update([one.id for one in own])
            this.kept = any(isinstance(one, Kept) for one in own)
        with self._state.transaction():
            if around:
                self._judge_around([(this, verdict) for (this, _), verdict in zip(around, verdicts, strict=True)])
            self._carry_out_all(batch)

    def hold_beside(self, this: Pass, records: Sequence[Record]) -> None:
        """What could not be read of a file."""
        if records:
            with self._state.transaction():
                self._carry_out_all([(this, self._judged(records))])

    def _judge_around(self, judged: Sequence[tuple[Pass, Kept | Held]]) -> None:
        """What surrounds entries is held like a record, but there is nothing to store of it."""
        free = {one.id: this.known.id for this, one in judged if isinstance(one, Kept)}
        released = self._catalog.held_only_in(free)
        self._catalog.let_go(released)
        self.released |= bool(released)
        self._carry_out_all([(this, [one]) for this, one in judged if isinstance(one, Held)])

    def _carry_out_all(self, batch: _Batch) -> None:
        self._make_way([this for this, _ in batch], [one for _, verdicts in batch for one in verdicts])
        while batch:
            reached = self._carry_out(batch)
            left = [(this, verdicts[one.used :]) for (this, verdicts), one in zip(batch, reached, strict=True)]
            batch = [part for part in left if part[1]]
            for this, _ in batch:
                self.renew_layout(this)

    def _judged(self, records: Sequence[Record]) -> Sequence[Kept | Held]:
        return judge(records, self._catalog, self._fingerprint, desk=self._desk)

    def _make_way(self, passes: Sequence[Pass], verdicts: Sequence[Kept | Held]) -> None:
        self._holding.make_way(passes, [one for one in verdicts if isinstance(one, Kept) and one.record.redacted])

    def renew_layout(self, this: Pass) -> None:
        """Positions from here on will hold other lines than they did."""
        this.known = self._catalog.files.relay(this.known, this.position)
        if this.known.cleared:
            self._work.tell(this.known, keep=this.position)

    def _plan(self, batch: _Batch) -> Plan:
        seq, hlc = self._journal.next()
        stamp = Stamp(hlc, seq, self._reading.tags, self._reading.type)
        known = self._knowledge(batch)
        parts = [Part(this.known, this.position, verdicts) for this, verdicts in batch]
        return plan(parts, known, stamp)

    def _knowledge(self, batch: _Batch) -> Knowledge:
        verdicts = [verdict for _, part in batch for verdict in part]
        seen = self._catalog.seen([verdict.id for verdict in verdicts])
        self._check_strangers(batch, seen)
        reheld = frozenset().union(*(this.held for this, _ in batch))
        if not seen:
            return Knowledge({}, {}, frozenset(), {}, {}, reheld, frozenset())
        changed = {
            verdict.id: seen[verdict.id].seq
            for verdict in verdicts
            if isinstance(verdict, Kept)
            and verdict.id in seen
            and seen[verdict.id].digest != digest_number(verdict.record.digest)
        }
        puts = self._journal.puts([seq for seq in changed.values() if seq > 0])
        if any(hex_number(puts[seq].digest) != seen[id_].digest for id_, seq in changed.items() if seq in puts):
            raise self._state.damaged(KNOWN)
        bases = {id_: puts[seq].digest for id_, seq in changed.items() if seq in puts}
        bases |= self._catalog.foreign_digests([id_ for id_, seq in changed.items() if seq < 0])
        holes = [self._holes(this, len(part)) for this, part in batch]
        missing = [self._missing(this) for this, _ in batch]
        spots = {
            this.known.place(this.position + n)
            for (this, part), *passed in zip(batch, holes, missing, strict=True)
            for n in range(len(part) + sum(map(len, passed)))
        }
        files = {one.id: this.known.id for this, part in batch if this.again for one in part}
        return Knowledge(
            seen,
            self._catalog.lying(spots),
            frozenset().union(*holes),
            bases,
            self._catalog.foreign_files([id_ for id_, one in seen.items() if one.seq < 0]),
            reheld,
            self._catalog.held_only_in(
                {id_: files[id_] for id_, one in seen.items() if one.seq == HELD and id_ in files}
            ),
            frozenset().union(*missing),
        )

    def _check_strangers(self, batch: _Batch, seen: Mapping[int, Seen]) -> None:
        """A record that nobody knows, though the journal has it where it stands now: what was known of it is damaged.
        Else it would be sent twice."""
        again = [(this, part) for this, part in batch if this.position < this.known.placed]
        met = {verdict.id for _, part in again for verdict in part}
        if met <= seen.keys():
            return
        spots = {this.known.place(this.position + n) for this, part in again for n in range(len(part))}
        lying = {seq for id_, seq in self._catalog.lying_at(spots) if id_ not in met}
        ids = {self._fingerprint.key(put.space, put.key) for put in self._journal.puts(lying).values()}
        if not ids.isdisjoint(met):
            raise self._state.damaged(KNOWN)

    def _missing(self, this: Pass) -> frozenset[int]:
        """Places of an array's entries that are not in the file any more."""
        gone = self._catalog.files.members(this.known.id) - this.present if this.present else ()
        return frozenset(seen.place for seen in self._catalog.seen(gone).values() if seen.seq > 0)

    def _holes(self, this: Pass, count: int) -> frozenset[int]:
        """Places ahead, as far as this batch reaches, that were used once; only a file that is read again has any."""
        known = this.known
        if this.position >= known.placed:
            return frozenset()
        end = min(known.placed, this.position + count + HOLES_AHEAD)
        starts = [this.position, *(start for start, _ in known.layouts if this.position < start < end), end]
        return frozenset().union(
            *(self._catalog.holes(known.place(a), known.place(b - 1)) for a, b in pairwise(starts) if a < b)
        )

    def _carry_out(self, batch: _Batch) -> Sequence[Reached]:
        made = self._plan(batch)
        passes = [this for this, _ in batch]
        sealing = self._sealing(made.ops) if made.ops else None
        self._catalog.release(made.released)
        self._catalog.store(made)
        for this, reached in zip(passes, made.parts, strict=True):
            this.position = reached.position
            if reached.wrote:
                this.wrote = True
                this.known = this.known._replace(cleared=True)
        if sealing is not None:
            self._journal.append(sealing(), passes[0].known.id if len(passes) == 1 else SEVERAL)
        if made.held:
            self._holding.hold(passes, made)
        self.second_look.note()
        self.released |= bool(made.released)
        self._outcome.take(made)
        return made.parts

    def _sealing(self, ops: Sequence[Op]) -> Callable[[], Sealed]:
        """Many are compressed in a thread while the rows are written here."""
        sealed = partial(seal, ops, self._journal.machine)
        return self._sealer.submit(sealed).result if len(ops) >= WORTH_A_THREAD else sealed
