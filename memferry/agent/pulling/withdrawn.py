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

    def take(self, retract: Retract) -> int:
        """Returns how many records it was news for. Once: who writes one again after that has done so knowingly."""
        received = self._here.received
        ids = set(received.withdraw(retract.ops)) | self._own_ids(retract.ops)
        if ids:
            received.mark(ids)
            self._withdraw_own(retract.space, ids)
        return len(ids)

    def ids_of(self, op: Named) -> Collection[int]:
        """The records that an operation put, whoever wrote it."""
        line = self._here.received.line(op)
        return self._own_ids([op]) if line is None else (line.id,)

    def _own_ids(self, ops: Iterable[Named]) -> set[int]:
        """The records that those of these operations put which are this machine's own, and not withdrawn yet."""
        here = self._here
        seqs = {op[1] for op in ops if op[0] == here.me.id or self._is_former(op)}
        return {here.fingerprint.key(put.space, put.key) for put in here.journal.puts(seqs).values()}

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
