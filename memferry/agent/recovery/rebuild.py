"""A lost state, made again from this machine's own log. What is then found on disk is known already."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from memferry.agent.files import scan
from memferry.agent.files.tree import Tree
from memferry.agent.pulling import apply
from memferry.agent.state.catalog import Catalog
from memferry.agent.state.database import State
from memferry.agent.state.journal import Journal, batches
from memferry.agent.state.known import WITHDRAWN, KnownFile, digest_number
from memferry.agent.state.received import Received
from memferry.formats import registry
from memferry.formats.base import Whole
from memferry.keys import Fingerprinter, digest
from memferry.model import Note, Op, Place, Put, Retract, Settle, Sighting

BATCH = 2000


def rebuild(state: State, journal: Journal, fingerprint: Fingerprinter, ops: Iterable[Op]) -> int:
    """Take a log back in, in order; returns how many operations. Files are read again by the next scan."""
    builder = _Builder(state, journal, fingerprint)
    count = 0
    with state.transaction():
        for batch in batches(ops, BATCH):
            journal.append_ops(batch)
            for op in batch:
                builder.take(op)
            journal.resume(max(op.hlc for op in batch))
            count += len(batch)
    return count


def adopt_shards(catalog: Catalog, received: Received, tree: Tree, machines: Collection[str]) -> None:
    """Ledgers that pulls wrote before the state was lost: not this machine's own, and what was withdrawn since goes.
    `machines`: names of the others. A ledger that this machine's own log tells of is its own, whatever its name."""
    for one in scan.walk(tree.root, descend=tree.rules.descends):
        kind = tree.kind(one.file)
        if kind is None or isinstance(kind.reader, Whole) or not isinstance(one, scan.Found):
            continue
        known = catalog.files.find(tree.name, one.file)
        if known is not None and known.cleared:
            continue
        if apply.is_shard(one.file, machines):
            received.adopt(tree.name, one.file, _digests(tree, one.file))
        elif "@" in one.file:
            _adopt_former(received, tree, one.file)


def _adopt_former(received: Received, tree: Tree, file: str) -> None:
    """A shard of a machine that has another name by now: what another shard has goes. What is left is not this
    machine's to carry, but nobody can tell that it was withdrawn."""
    others = apply.shards_beside(file, received.shards(tree.name))
    if again := _digests(tree, file) & received.digests_in(tree.name, others):
        received.doom_in(tree.name, file, again)


def _digests(tree: Tree, file: str) -> set[int]:
    return {digest_number(digest(line)) for line in apply.lines_of(tree.root, file)}


class _Builder:
    def __init__(self, state: State, journal: Journal, fingerprint: Fingerprinter) -> None:
        self._state = state
        self._journal = journal
        self._received = Received(state, journal)
        self._catalog = Catalog(state)
        self._fingerprint = fingerprint

    def take(self, op: Op) -> None:
        if isinstance(op, Put):
            self._put(op)
        elif isinstance(op, Place):
            self._place(op)
        elif isinstance(op, Note):
            self._note(op)
        elif isinstance(op, Retract):
            self._received.bury(op.ops)
            self._received.note_withdrawal(op.space, op.hlc)
        elif isinstance(op, Settle):
            self._received.settle(op.ops)
        elif isinstance(op, Sighting):
            self._received.see(op)

    def _put(self, op: Put) -> None:
        known = self._reach(op.space, op.file, op.position)
        id_ = self._fingerprint.key(op.space, op.key)
        number = digest_number(bytes.fromhex(op.digest))
        seen = self._catalog.seen([id_]).get(id_)
        if seen is not None and seen.seq != WITHDRAWN:
            self._state.execute("insert or ignore into version values(?, ?, ?)", (id_, seen.digest, seen.seq))
        place = known.place(op.position)
        if seen is not None and seen.seq > 0 and seen.place != place:
            self._state.execute("insert or ignore into place values(?, ?, ?)", (seen.place, id_, seen.seq))
        self._state.execute("insert or replace into record values(?, ?, ?, ?)", (id_, number, op.seq, place))
        if op.redacted:
            self._state.execute("insert or ignore into redacted values(?, 0)", (id_,))
        if op.key not in (op.file, op.digest) and _is_array(op):
            self._catalog.files.add_members(known.id, [id_])

    def _place(self, op: Place) -> None:
        known = self._reach(op.space, op.file, op.position)
        put = self._journal.put(op.put)
        if put is not None:
            row = (known.place(op.position), self._fingerprint.key(put.space, put.key), op.seq)
            self._state.execute("insert or replace into place values(?, ?, ?)", row)

    def _note(self, op: Note) -> None:
        if op.was is not None and (old := self._catalog.files.find(op.space, op.was)) is not None:
            self._catalog.files.displace(op.space, op.file)
            self._catalog.files.save(old._replace(path=op.file))
        known = self._catalog.files.meet(op.space, op.file, op.format)
        if op.keep is not None and op.keep < known.placed:
            known = self._catalog.files.relay(known, op.keep)
        frame = "\0".join(op.frame) if op.frame else known.frame
        self._catalog.files.save(
            known._replace(gone=op.gone, frame=frame, cleared=True, noted_mtime_ns=op.mtime_ns or known.noted_mtime_ns)
        )
        self._catalog.files.add_notes([(known.id, op.seq)])

    def _reach(self, space: str, file: str, position: int) -> KnownFile:
        known = self._catalog.files.meet(space, file, "")
        if position < known.placed and known.cleared:
            return known
        return self._catalog.files.save(known._replace(placed=max(known.placed, position + 1), cleared=True))


def _is_array(op: Put) -> bool:
    kind = registry.by_name(op.format).kind(op.file)
    return kind is not None and isinstance(kind.reader, Whole) and kind.reader.removes
