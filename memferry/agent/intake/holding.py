"""What is held stays at home, and so does what was stored before and turns out to derive from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from memferry.agent.intake.judging import kind_of
from memferry.agent.intake.work import Pass, Work
from memferry.agent.state.known import HELD, WITHDRAWN, digest_number
from memferry.agent.state.plan import SAME_KEY, Plan
from memferry.formats import registry
from memferry.formats.again import parse_alone
from memferry.model import Put, Record, Source
from memferry.policies import labels
from memferry.policies.base import Held, Kept
from memferry.policies.chain import recheck

_OfStored: TypeAlias = tuple[int, Held]
"""The id of a stored record, and a verdict on it. That may have another: if something is to be redacted in a record
without an id of its own, then of what would be left."""


class Holding:
    """Call inside a transaction of the state."""

    def __init__(self, work: Work) -> None:
        self._catalog = work.catalog
        self._journal = work.journal
        self._fingerprint = work.fingerprint
        self._withdrawal = work.withdrawal
        self._tree = work.tree
        self._space = work.tree.name
        self._outcome = work.outcome
        self._desk = work.desk

    def hold(self, passes: Sequence[Pass], made: Plan) -> None:
        """Hold these, withdraw those of them that were stored, and whatever derives from them, however old."""
        self._catalog.files.save_all(this.known for this in passes)  # a withdrawal may change what is known of them
        self._withdraw(made.withdrawn)
        met = [(this.known.id, held) for this, part in zip(passes, made.parts, strict=True) for held in part.held]
        self._catalog.hold(met, self._fingerprint, self._lifted(passes, made))
        derived = self.hold_stored(self._derived(made.held))
        for this in passes:
            this.held |= derived if this.again else set()
        self._refresh(passes)

    def _lifted(self, passes: Sequence[Pass], made: Plan) -> set[tuple[int, int]]:
        """Id and file of what a file that is read again does not hold any more, but another one does."""
        lifted: set[tuple[int, int]] = set()
        for this, part in zip(passes, made.parts, strict=True):
            if this.again:
                this.held.update(held.id for held in part.held if held.verdict != SAME_KEY)
                lifted.update((held.id, this.known.id) for held in part.held if held.id not in this.held)
        return lifted

    def hold_stored(self, held: Sequence[_OfStored]) -> set[int]:
        """Hold stored records, and whatever derives from them, each once. Returns their ids."""
        done: set[int] = set()
        while held:
            files = self._catalog.files.of([id_ for id_, _ in held])  # which may have other names by now
            self._withdraw([one.id for _, one in held])
            self._withdraw([id_ for id_, one in held if id_ != one.id], WITHDRAWN)
            for id_, one in held:
                self._catalog.hold([(files.get(id_, 0), one)], self._fingerprint)
                self._outcome.held[(one.verdict.rule, one.verdict.reason)] += 1
            done.update([id_ for id_, _ in held])
            held = [(id_, one) for id_, one in self._derived([one for _, one in held]) if id_ not in done]
        return done

    def make_way(self, passes: Sequence[Pass], redacted: Sequence[Kept]) -> None:
        """A redacted version replaces none: what was cut out may stand in the ones before, so they are withdrawn, and
        so is what repeats it elsewhere."""
        if not redacted:
            return
        seen = self._catalog.seen([one.id for one in redacted])
        replaced = [
            one.id
            for one in redacted
            if (before := seen.get(one.id)) and before.seq > 0 and before.digest != digest_number(one.record.digest)
        ]
        self._withdrawal.withdraw_own(self._space, replaced, WITHDRAWN)
        blocks = [Held(one.record, labels.MARKED, one.removed_id, one.removed) for one in redacted if one.removed]
        self._catalog.remember_passages(blocks)
        self.hold_stored(self._derived(blocks))
        self._refresh(passes)

    def _refresh(self, passes: Sequence[Pass]) -> None:
        """What a withdrawal has changed of the files that are being read."""
        known = self._catalog.files.find_all(self._space, [this.known.path for this in passes])
        for this in passes:
            now = known[this.known.path]
            this.known = this.known._replace(cleared=now.cleared, noted_mtime_ns=now.noted_mtime_ns, frame=now.frame)

    def _withdraw(self, ids: Iterable[int], status: int = HELD) -> None:
        self._outcome.take_back(self._withdrawal.withdraw_own(self._space, list(ids), status))

    def _derived(self, held: Iterable[Held]) -> list[_OfStored]:
        """Stored records that turn out to derive from what is held now. Where only versions do that were replaced
        since, they alone are withdrawn."""
        return self._judged_again(self._catalog.derived_from(held))

    def hold_if_derived(self, ids: Collection[int]) -> None:
        """Hold those of these stored records that derive from what is held."""
        if ids:
            self.hold_stored(self._judged_again(self._catalog.seqs_of(ids)))

    def _judged_again(self, suspects: Mapping[int, Sequence[int]]) -> list[_OfStored]:
        current = {seen.seq for seen in self._catalog.seen(suspects).values()}
        puts = self._journal.puts([seq for seqs in suspects.values() for seq in seqs])
        verdicts = {
            seq: recheck(self.stored(put), self._catalog, self._fingerprint, desk=self._desk)
            for seq, put in puts.items()
        }
        derived = {seq: (self.id_of(puts[seq]), one) for seq, one in verdicts.items() if isinstance(one, Held)}
        now = [one for seq, one in derived.items() if seq in current]
        private = {id_ for id_, _ in now}
        self._withdraw_replaced({seq: id_ for seq, (id_, _) in derived.items() if id_ not in private})
        return now

    def id_of(self, put: Put) -> int:
        """Under which its record is stored."""
        return self._fingerprint.key(put.space, put.key)

    def _withdraw_replaced(self, versions: Mapping[int, int]) -> None:
        """Seq -> id of their records, which stay."""
        self._withdrawal.withdraw_versions(self._space, versions)
        self._outcome.take_back(versions)

    def stored(self, put: Put) -> Record:
        """A stored record again, as the policies see it; with a `problem` where that cannot be done any more."""
        kind = kind_of(self._tree, put.file) or registry.by_name(put.format).kind(put.file)
        source = Source(put.space, put.file, put.format, kind.derived if kind else False)
        record = parse_alone(kind, source, put.body.encode()) if kind else None
        if record is None:
            content = bytes.fromhex(put.digest)
            return Record(source, put.key, content, put.body.encode(), 0, problem="is not read as it was any more")
        return msgspec.structs.replace(record, key=put.key)  # alone, it may seem to have another
