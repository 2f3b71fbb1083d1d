"""Comparing collections with this machine's journal, and putting them right from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from memferry.backends.base import Finding, Refill, Repaired
from memferry.backends.qdrant.engine import Engine
from memferry.backends.qdrant.points import Drawing, fingerprint, metadata_of
from memferry.backends.qdrant.writing import Writer
from memferry.backends.vault import segments
from memferry.backends.vault.segments import Piece, Unsound
from memferry.errors import InvalidValue
from memferry.model import Identity, Op, Put, Retract, Sealed

LAST = 1 << 53
_decode = msgspec.json.Decoder(Op).decode


class _Record(NamedTuple):
    """A record as the journal has it last. `seq`: of its newest put; `points`: ids and fingerprints, in order."""

    seq: int
    points: Sequence[tuple[str, bytes]]


class _Expected(NamedTuple):
    """What collections should hold of this machine. `records`: by collection and the id of the first point. `open`: ids
    of points about which nothing can be said, for their delivery is still to come, or was refused. `leaving`: seqs
    whose retraction is still to come."""

    records: Mapping[tuple[str, str], _Record]
    open: Collection[str]
    leaving: Collection[int]


def operations(sealed: Sealed) -> Iterator[Op]:
    """Those of a frame, in order. Raises InvalidValue where it is not what was sealed."""
    if sealed.count == 0:
        return
    whole = Piece(sealed.first, sealed.last, sealed.count, sealed.raw_bytes, sealed.frame)
    try:
        for _, line in segments.opened(whole):
            yield _decode(line)
    except (Unsound, msgspec.DecodeError, UnicodeDecodeError) as error:
        text = f"the journal's operations {sealed.first} to {sealed.last} cannot be read"
        raise InvalidValue(text, hint="memferry doctor") from error


class Audit:
    """`through`: the last seq that was acknowledged; `refused`: those up to it that were not taken."""

    def __init__(
        self,
        engine: Engine,
        drawing: Drawing,
        me: Identity,
        journal: Refill,
        collection_of: Callable[[str], str],
        *,
        through: int,
        refused: Collection[int],
    ) -> None:
        self._engine = engine
        self._drawing = drawing
        self._me = me
        self._journal = journal
        self._collection_of = collection_of
        self._through = through
        self._refused = refused

    # -- finding

    def findings(self, collections: Iterable[str], vector: str) -> Sequence[Finding]:
        """Points that are missing, changed, not this machine's records any more, or without a `vector`. Texts are
        compared, vectors are not."""
        expected = self._expected()
        wanted = {
            (collection, id_): mark
            for (collection, _), record in expected.records.items()
            for id_, mark in record.points
        }  # fmt: skip
        found: list[Finding] = []
        for collection in sorted({*collections, *(one for one, _ in wanted)}):
            found += self._of_collection(collection, vector, wanted, expected)
        missing = (
            self._finding("removed", where, "it is missing") for where in wanted if where[1] not in expected.open
        )
        return sorted([*found, *missing], key=lambda finding: finding.object)

    def _of_collection(
        self, collection: str, vector: str, wanted: dict[tuple[str, str], bytes], expected: _Expected
    ) -> Iterator[Finding]:
        """Takes out of `wanted` what is there."""
        look = self._engine.look(collection)
        if look is None:
            return
        for stored in self._engine.scroll(collection, self._drawing.home):
            where = collection, stored.id
            mark = wanted.pop(where, None)
            if stored.id in expected.open or metadata_of(stored.payload).get("seq") in expected.leaving:
                continue
            if mark is None:
                yield self._finding("foreign", where, "it is of no record that this machine still carries")
            elif mark != fingerprint(stored.payload):
                yield self._finding("changed", where, "its payload is not what was written")
        if vector in look.vectors:
            for stored in self._engine.scroll(collection, self._drawing.home, without=vector):
                yield self._finding("changed", (collection, stored.id), f"it has no vector {vector} yet")

    def _finding(self, problem: str, where: tuple[str, str], detail: str) -> Finding:
        return Finding(problem, self._me.id, "/".join(where), detail)

    def _expected(self) -> _Expected:
        records: dict[tuple[str, str], _Record] = {}
        unsure: set[str] = set()
        withdrawn: dict[int, int] = {}
        for op in self._operations():
            if isinstance(op, Put):
                collection, drafts = self._collection_of(op.space), self._drawing.points(op)
                points = [(draft.id, fingerprint(draft.payload)) for draft in drafts]
                before = records.get((collection, drafts[0].id))
                records[collection, drafts[0].id] = _Record(op.seq, points)
                if op.seq > self._through or op.seq in self._refused:
                    unsure |= {id_ for id_, _ in [*points, *(before.points if before else ())]}
            elif isinstance(op, Retract):
                withdrawn |= {seq: op.seq for machine, seq in op.ops if machine == self._me.id}
        carried = {where: record for where, record in records.items() if record.seq not in withdrawn}
        return _Expected(carried, unsure, {seq for seq, by in withdrawn.items() if by > self._through})

    def _operations(self) -> Iterator[Op]:
        for sealed in self._journal.sealed(1, LAST):
            yield from operations(sealed)

    # -- repairing

    def repair(self, findings: Sequence[Finding], writer: Writer) -> Sequence[Repaired]:
        """One answer for each, in their order."""
        for collection, ids in _by_collection(one.object for one in findings if one.problem == "foreign").items():
            self._engine.delete(collection, ids)
        broken = {_parted(finding.object) for finding in findings if finding.problem != "foreign"}
        refused = writer.store(self._puts_behind(broken)) if broken else {}
        return [self._answer(finding, refused) for finding in findings]

    def _answer(self, finding: Finding, refused: Mapping[int, str]) -> Repaired:
        if finding.problem == "foreign":
            return Repaired(finding, True, "removed")
        if refused:
            return Repaired(finding, False, f"{len(refused)} operations were not taken: {next(iter(refused.values()))}")
        return Repaired(finding, True, "written anew from this machine's journal")

    def _puts_behind(self, broken: Collection[tuple[str, str]]) -> Iterator[Put]:
        """The newest version of each record that one of these points belongs to."""
        wanted = {
            record.seq
            for (collection, _), record in self._expected().records.items()
            if any((collection, id_) in broken for id_, _ in record.points)
        }
        return (op for op in self._operations() if isinstance(op, Put) and op.seq in wanted)


def _parted(object_: str) -> tuple[str, str]:
    collection, _, id_ = object_.rpartition("/")
    return collection, id_


def _by_collection(objects: Iterable[str]) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for collection, id_ in map(_parted, objects):
        found.setdefault(collection, []).append(id_)
    return found
