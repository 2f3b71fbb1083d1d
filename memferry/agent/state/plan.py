"""The plan: what a batch of verdicts means for the journal, as frozen data, before anything is touched. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from memferry.agent.state.known import FOREIGN, FORGOTTEN, HELD, KnownFile, Seen, digest_number
from memferry.model import Hold, Op, Place, Put
from memferry.policies.base import Held, Kept

SAME_KEY = Hold("lineage", "another version of it is held")
UNSEEN = Seen(0, HELD, 0)


class Stamp(NamedTuple):
    """What every operation of a batch carries. `tags` are added to each record's own, `type` replaces it."""

    hlc: str
    first_seq: int
    tags: tuple[str, ...] = ()
    type: str | None = None


class Knowledge(NamedTuple):
    """What is known of a batch's records before it. `lying`: place -> id of the record that lies there, and the
    digest of its version; `holes`: places of its files in use once, where nothing is stored any more; `bases`: full hex
    digests of stored versions that the batch may replace; `foreign`: files that records of other machines lie in;
    `reheld`: ids whose held version was met again in this reading of their file; `own_holds`: ids that no other file
    holds than the one where they are met now; `missing`: places of entries that their owner took out."""

    seen: Mapping[int, Seen]
    lying: Mapping[int, tuple[int, int]]
    holes: frozenset[int]
    bases: Mapping[int, str]
    foreign: Mapping[int, str]
    reheld: frozenset[int]
    own_holds: frozenset[int]
    missing: frozenset[int] = frozenset()


class Part(NamedTuple):
    """The verdicts of a batch on what one file holds. `position`: where the first of them would be placed."""

    file: KnownFile
    position: int
    verdicts: Sequence[Kept | Held]


class Reached(NamedTuple):
    """How far one part of a batch came. `used`: verdicts consumed; fewer than given where the file's layout must be
    renewed at `position` first. `position`: the next free one. `wrote`: whether operations are queued for it."""

    used: int
    position: int
    wrote: bool
    held: Sequence[Held]


class Plan(NamedTuple):
    """`parts`: how far each of the batch came. `ops`: for the journal. `stored`: the records behind new puts. `held`:
    verdicts. `withdrawn`: ids of stored records that are held from now on; `released`: the opposite. `rows`: new states
    of record keys. `versions`, `placed`: rows of these tables. `duplicates`, `forgotten`, `unchanged`: counts."""

    parts: Sequence[Reached]
    ops: Sequence[Op]
    stored: Sequence[Kept]
    held: Sequence[Held]
    withdrawn: frozenset[int]
    released: frozenset[int]
    rows: Sequence[tuple[int, int, int, int]]
    versions: Sequence[tuple[int, int, int]]
    placed: Sequence[tuple[int, int, int]]
    modified: int
    duplicates: int
    forgotten: int
    unchanged: int


def plan(parts: Iterable[Part], known: Knowledge, stamp: Stamp) -> Plan:
    """Decide for each verdict in turn.

    Where a record lies only another version of it may be put: else it would come to light again when what covers it
    is withdrawn. A file in which another record lies there is left at that point (`used`), so that its layout is
    renewed and everything behind is placed again.
    """
    draft = _Draft(known, stamp)
    return draft.finish([draft.take(part) for part in parts])


class _Draft:
    """A plan in the making: the batch's records change what is known for those behind them."""

    file: KnownFile
    position: int
    place: int
    layout_starts: Collection[int]

    def __init__(self, known: Knowledge, stamp: Stamp) -> None:
        self.known = known
        self.seen = dict(known.seen)
        self.lying = dict(known.lying)
        self.stamp = stamp
        self.seq = stamp.first_seq
        self.reheld = set(known.reheld)
        self.ops: list[Op] = []
        self.stored: list[Kept] = []
        self.held: list[Held] = []
        self.withdrawn: set[int] = set()
        self.released: set[int] = set()
        self.rows: list[tuple[int, int, int, int]] = []
        self.versions: list[tuple[int, int, int]] = []
        self.placed: list[tuple[int, int, int]] = []
        self.modified = self.duplicates = self.forgotten = self.unchanged = 0

    def take(self, part: Part) -> Reached:
        """Decide for what one file holds."""
        self.file, self.position = part.file, part.position
        self.place = part.file.place(part.position)
        self.layout_starts = [start for start, _ in part.file.layouts]
        ops, held, used = len(self.ops), len(self.held), 0
        for verdict in part.verdicts:
            if isinstance(verdict, Held):
                self.hold(verdict)
            elif not self.keep(verdict):
                break
            used += 1
        return Reached(used, self.position, len(self.ops) > ops, self.held[held:])

    def hold(self, verdict: Held) -> None:
        self.held.append(verdict)
        self.reheld.add(verdict.id)
        seen = self.seen.get(verdict.id, UNSEEN)
        self.seen[verdict.id] = seen._replace(seq=HELD)  # so that a later version in this batch does not leave
        if seen.seq > 0 or seen.seq == FOREIGN:  # then older versions may be this machine's own
            self.withdrawn.add(verdict.id)
        if self._had_this_place(verdict.id, seen):
            self._advance()

    def keep(self, kept: Kept) -> bool:
        """False: nothing was done, because another record lies there."""
        seen = self.seen.get(kept.id)
        if (self.known.holes or self.known.missing) and seen is not None:
            self._pass_holes(kept.id)
        frozen = self._is_taken(kept.id)
        if seen is None:
            if frozen:
                return False
            self._put(kept, None)
        elif seen.seq > 0:
            return self._keep_again(kept, seen, frozen)
        elif seen.seq == HELD:
            return self._keep_once_held(kept, frozen)
        elif seen.seq == FORGOTTEN:
            self.forgotten += 1
            if self._had_this_place(kept.id, seen):
                self._advance()
        elif seen.seq == FOREIGN and self._lies_where_it_was_pulled(kept, seen):
            self.unchanged += 1
        elif frozen:
            return False
        else:
            self._put(kept, seen)
        return True

    def _is_taken(self, id_: int) -> bool:
        """Whether another record lies here."""
        return self.position < self.file.placed and self.place not in self.known.holes and not self._lies_here(id_)

    def _lies_here(self, id_: int) -> bool:
        return self.place in self.lying and self.lying[self.place][0] == id_

    def _had_this_place(self, id_: int, seen: Seen) -> bool:
        """When it was stored; and nothing has taken it since."""
        return seen.place == self.place and (self.place not in self.lying or self._lies_here(id_))

    def _pass_holes(self, id_: int) -> None:
        """If the record lies behind positions whose records were withdrawn, or will be, go there."""
        ahead = 0
        while self.place + ahead in self.known.holes or self.place + ahead in self.known.missing:
            ahead += 1
        if ahead and self.lying.get(self.place + ahead, (None, 0))[0] == id_:
            self.position += ahead
            self.place += ahead

    def _keep_again(self, kept: Kept, seen: Seen, frozen: bool) -> bool:
        number = digest_number(kept.record.digest)
        if self.lying.get(self.place) == (kept.id, number):
            self.unchanged += 1
            self._advance()
            return True
        if frozen:
            return False
        if seen.digest == number:
            self._place_again(kept, seen)
        else:
            self._put(kept, seen)
        return True

    def _keep_once_held(self, kept: Kept, frozen: bool) -> bool:
        """Its label changed, or another version of it is still private."""
        if kept.id in self.reheld or kept.id not in self.known.own_holds:
            self.held.append(Held(kept.record, SAME_KEY, kept.id, ()))
            return True
        if frozen:
            return False
        self.released.add(kept.id)
        self._put(kept, None)
        return True

    def _lies_where_it_was_pulled(self, kept: Kept, seen: Seen) -> bool:
        source = kept.record.source
        return seen.digest == digest_number(kept.record.digest) and (
            self.known.foreign.get(kept.id) == f"{source.space}/{source.file}"
        )

    def _put(self, kept: Kept, replaced: Seen | None) -> None:
        record, source, stamp = kept.record, kept.record.source, self.stamp
        number = digest_number(record.digest)
        base = None
        if replaced is not None and replaced.digest != number:
            base = self.known.bases.get(kept.id)
            self.modified += 1
            self.versions.append((kept.id, replaced.digest, max(replaced.seq, 0)))
        if replaced is not None and replaced.seq > 0 and replaced.place != self.place:
            self.placed.append((replaced.place, kept.id, replaced.seq))  # where the other version goes on to lie
        self.ops.append(
            Put(
                self.seq, stamp.hlc, source.space, record.key, source.file, self.position, record.digest.hex(),
                source.format, record.body.decode(), base, stamp.type or record.type, record.tags + stamp.tags,
                record.ts, record.redacted,
            )
        )  # fmt: skip
        self.stored.append(kept)
        self.rows.append((kept.id, number, self.seq, self.place))
        self.seen[kept.id] = Seen(number, self.seq, self.place)
        self.lying[self.place] = kept.id, number
        self.seq += 1
        self._advance()

    def _place_again(self, kept: Kept, seen: Seen) -> None:
        source = kept.record.source
        self.ops.append(Place(self.seq, self.stamp.hlc, source.space, source.file, self.position, seen.seq))
        self.placed.append((self.place, kept.id, self.seq))
        self.lying[self.place] = kept.id, seen.digest
        self.duplicates += 1
        self.seq += 1
        self._advance()

    def _advance(self) -> None:
        self.position += 1
        self.place += 1
        if self.position in self.layout_starts:
            self.place = self.file.place(self.position)

    def finish(self, parts: Sequence[Reached]) -> Plan:
        return Plan(
            parts, self.ops, self.stored, self.held, frozenset(self.withdrawn), frozenset(self.released), self.rows,
            self.versions, self.placed, self.modified, self.duplicates, self.forgotten, self.unchanged,
        )  # fmt: skip
