"""One batch of records: judged, planned, and stored together with the cursor in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

from memferry.agent.files import tail
from memferry.agent.intake.holding import Holding
from memferry.agent.intake.work import Pass, Work
from memferry.agent.state.journal import seal
from memferry.agent.state.known import HELD, digest_number
from memferry.agent.state.plan import Knowledge, Plan, Stamp, plan
from memferry.formats.base import Whole
from memferry.model import Op, Record, Sealed
from memferry.policies.base import Held, Kept
from memferry.policies.chain import judge

WORTH_A_THREAD = 64
HOLES_AHEAD = 10_000


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
        self.released = False
        self._sealer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="memferry-seal")

    def close(self) -> None:
        self._sealer.shutdown()

    def store(self, this: Pass, records: Sequence[Record], cursor: tail.Cursor | None = None) -> None:
        """Judge a batch and store it: operations, what is known of records, verdicts and cursor, all or nothing."""
        if cursor is not None:
            self._outcome.read_bytes += cursor.offset - (this.known.cursor.offset if this.known.cursor else 0)
        verdicts: Sequence[Kept | Held] = judge(records, self._catalog, self._fingerprint, desk=self._desk)
        if isinstance(this.kind.reader, Whole) and this.kind.reader.removes:
            this.present.update(verdict.id for verdict in verdicts)
        with self._state.transaction():
            self._holding.make_way(this, [one for one in verdicts if isinstance(one, Kept) and one.record.redacted])
            while verdicts:
                made = self._plan(this, verdicts)
                self._carry_out(this, made)
                verdicts = verdicts[made.used :]
                if verdicts:
                    self.renew_layout(this)
            if cursor is not None:
                placed = max(this.position, this.known.placed)
                this.known = this.known._replace(cursor=cursor, position=this.position, placed=placed)
                self._catalog.files.save(this.known)

    def renew_layout(self, this: Pass) -> None:
        """Positions from here on will hold other lines than they did."""
        this.known = self._catalog.files.relay(this.known, this.position)
        if this.known.cleared:
            self._work.tell(this.known, keep=this.position)

    def _plan(self, this: Pass, verdicts: Sequence[Kept | Held]) -> Plan:
        seq, hlc = self._journal.next()
        stamp = Stamp(hlc, seq, self._reading.tags, self._reading.type)
        known = self._knowledge(this, verdicts)
        return plan(verdicts, known, this.known, this.position, stamp, ledger=not isinstance(this.kind.reader, Whole))

    def _knowledge(self, this: Pass, verdicts: Sequence[Kept | Held]) -> Knowledge:
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

    def _carry_out(self, this: Pass, made: Plan) -> None:
        sealing = self._sealing(made.ops) if made.ops else None
        self._catalog.release(made.released)
        self._catalog.store(made)
        if sealing is not None:
            self._journal.append(sealing(), this.known.id)
            this.wrote = True
            this.known = self._catalog.files.save(this.known._replace(cleared=True))
        if made.held:
            self._holding.hold(this, made)
        self.released |= bool(made.released)
        this.position = made.position
        self._outcome.take(made)

    def _sealing(self, ops: Sequence[Op]) -> Callable[[], Sealed]:
        """Many are compressed in a thread while the rows are written here."""
        sealed = partial(seal, ops, self._journal.machine)
        return self._sealer.submit(sealed).result if len(ops) >= WORTH_A_THREAD else sealed
