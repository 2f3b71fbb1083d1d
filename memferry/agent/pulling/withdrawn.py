"""What another machine withdrew goes from the files it was pulled into, and from this machine's own log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from memferry.agent.pulling.here import Here
from memferry.agent.state.known import FOREIGN, FORGOTTEN, WITHDRAWN
from memferry.agent.state.received import Named
from memferry.formats.base import Whole
from memferry.model import Retract


class Withdrawn:
    """Call inside a transaction of the state."""

    def __init__(self, here: Here) -> None:
        self._here = here

    def take(self, retract: Retract, machine: str) -> int:
        """What this machine said; its puts are known as far as they came with it. Returns how many records it was news
        for. Once: who writes one again after that has done so knowingly."""
        received = self._here.received
        own = self._own(retract.ops)
        edited = self._edited_meanwhile(retract, machine, own)
        ids = set(received.withdraw(retract.ops)) | {id_ for id_, _ in own.values()}
        if ids:
            received.mark(ids)
            before = {seq: id_ for seq, (id_, _) in own.items() if id_ in edited}
            self._here.withdrawal.withdraw_versions(retract.space, before)
            self._withdraw_own(retract.space, ids - edited)
        return len(ids)

    def _edited_meanwhile(self, retract: Retract, machine: str, own: Mapping[int, tuple[int, str]]) -> set[int]:
        """Records that were edited here before anybody knew that they were only moved there: that machine put the same
        text again. So nobody wants to be rid of it, and the edit stays."""
        received = self._here.received
        texts = {*own.values(), *received.texts_of(retract.ops)}
        moved = {id_ for id_, digest in texts if received.is_put_after(machine, retract.seq, id_, digest)}
        return {id_ for id_, seen in self._here.catalog.seen(moved).items() if seen.seq > 0 and seen.seq not in own}

    def ids_of(self, op: Named) -> Collection[int]:
        """The records that an operation put, whoever wrote it."""
        line = self._here.received.line(op)
        return {id_ for id_, _ in self._own([op]).values()} if line is None else (line.id,)

    def _own(self, ops: Iterable[Named]) -> dict[int, tuple[int, str]]:
        """Those of these operations that are this machine's own puts, and not withdrawn yet, by seq: the record, and
        the digest of its version."""
        here = self._here
        seqs = {op[1] for op in ops if op[0] == here.me.id or self._is_former(op)}
        puts = here.journal.puts(seqs)
        return {seq: (here.fingerprint.key(put.space, put.key), put.digest) for seq, put in puts.items()}

    def _is_former(self, op: Named) -> bool:
        """Whether an operation is this machine's own, under the id that it had before it became a fork."""
        row = self._here.state.one("select through from former where machine = ?", op[0])
        return row is not None and op[1] <= row[0]

    def _withdraw_own(self, space: str, ids: Collection[int]) -> None:
        """Entries go from their array. Lines and documents that were written here stay in their files, and at home."""
        seen = self._here.catalog.seen(ids)
        entries = self._own_entries(space, {id_: one.seq for id_, one in seen.items() if one.seq > 0})
        pulled = {id_ for id_, one in seen.items() if one.seq in (FOREIGN, WITHDRAWN)}
        self._here.withdrawal.withdraw_own(space, entries | pulled, WITHDRAWN)
        self._here.withdrawal.withdraw_own(space, set(seen) - entries - pulled, FORGOTTEN)

    def _own_entries(self, space: str, current: Mapping[int, int]) -> set[int]:
        """Those that lie in JSON arrays; where each lies is kept in mind for `Reconcile`."""
        here = self._here
        tree = here.trees.get(space)
        puts, entries = here.journal.puts(list(current.values())) if tree else {}, set()
        for id_, seq in current.items():
            put = puts.get(seq)
            kind = tree.kind(put.file) if tree and put else None
            if put is not None and kind and isinstance(kind.reader, Whole) and put.key != put.file:
                entries.add(id_)
                row = (id_, here.me.id, seq, put.hlc, put.digest, space, put.file, put.key)
                here.state.execute("insert or replace into foreign_record values(?, ?, ?, ?, ?, ?, ?, ?, 1)", row)
        return entries
