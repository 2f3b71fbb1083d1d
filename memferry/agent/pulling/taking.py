"""Taking in one log, a batch at a time: what cannot be believed is left out and named, lines go into their shards, and
all facts into the state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from memferry.agent.pulling.clocks import Clocks
from memferry.agent.pulling.here import Here
from memferry.agent.pulling.lines import Arrival, Lines
from memferry.agent.pulling.peers import Peers
from memferry.agent.pulling.reconcile import Reconcile
from memferry.agent.pulling.withdrawn import Withdrawn
from memferry.agent.state import clock
from memferry.agent.state.known import hex_number
from memferry.backends import names, operations
from memferry.backends.base import MachineLog
from memferry.model import Op, Put, Retract, Settle, Sighting

STRANGE = "operations"
"""What a complaint about single operations is about."""


class Taking:
    """`files`: what brings files in line afterwards. `counts`: taken and withdrawn records, operations that were
    skipped because they are of a space or a file that is not carried here, and strange ones."""

    def __init__(self, here: Here, log: MachineLog, peers: Peers, clocks: Clocks, files: Reconcile) -> None:
        self._here = here
        self._log = log
        self._peers = peers
        self._clocks = clocks
        self._files = files
        self._lines = Lines(here, log)
        self._withdrawn = Withdrawn(here)
        self.counts: Counter[str] = Counter()

    def take(self, ops: Sequence[Op]) -> int | None:
        """One batch, in one transaction but for the lines, which come first. Returns the first seq that has to be read
        again, because its shard could not be written."""
        sound = [op for op in ops if not self._is_strange(op)]
        dead = self._here.received.dead_of(self._log.id, ops[0].seq, ops[-1].seq)
        arrivals = [one for op in sound if isinstance(op, Put) and op.seq not in dead and (one := self._arrival(op))]
        arrivals = [one for one in arrivals if self._is_true(one)]
        lines, texts = self._lines.sort([one for one in arrivals if one.is_line])
        self.counts["taken"] += sum(map(len, texts.values()))
        grown = self._files.add_lines(texts)
        stuck = self._lines.numbers(texts.keys() - grown.keys())
        with self._here.state.transaction():
            self._here.received.know_bytes(grown)
            self._lines.add([line for line in lines if line.shard not in stuck])
            self._add_rivals([one for one in arrivals if not one.is_line])
            for op in sound:
                self._take_fact(op)
            self._clocks.hear(self._log, sound)
            self._peers.remember(self._log, ops[-1].seq)
        return min((line.seq for line in lines if line.shard in stuck), default=None)

    # -- what can be believed

    def _is_strange(self, op: Op) -> bool:
        why = operations.flaw(op)
        if why is not None:
            self._complain(op.seq, why)
        return why is not None

    def _is_true(self, one: Arrival) -> bool:
        true = operations.is_true(one.put, one.kind)
        if not true:
            self._complain(one.put.seq, "is not what its digest says")
        return true

    def _complain(self, seq: int, why: str) -> None:
        self.counts["strange"] += 1
        with self._here.state.transaction():
            text = f"operation {seq} {why}; it was left out"
            self._peers.complain(self._log.id, text, names.WHO_ELSE, about=STRANGE)

    # -- what it says

    def _arrival(self, put: Put) -> Arrival | None:
        """None: it is of a space or a file that is not carried here."""
        tree = self._here.trees.get(put.space)
        kind = tree.kind(put.file) if tree else None
        if tree is None or kind is None or kind.local or tree.rules.verdict(put.file) is not None:
            self.counts["skipped"] += 1
            return None
        return Arrival(put, self._here.fingerprint.key(put.space, put.key), kind)

    def _add_rivals(self, arrivals: Sequence[Arrival]) -> None:
        for one in arrivals:
            added = self._here.received.add_rival(self._log.id, one.put, one.id)
            self.counts["taken"] += added and self._is_news(one)

    def _is_news(self, one: Arrival) -> bool:
        seen = self._here.catalog.seen([one.id]).get(one.id)
        return seen is None or seen.digest != hex_number(one.put.digest)

    def _take_fact(self, op: Op) -> None:
        received = self._here.received
        match op:
            case Retract():
                if op.space in self._here.trees:
                    received.note_withdrawal(op.space, clock.latest(op.hlc))
                self.counts["withdrawn"] += self._withdrawn.take(op, self._log.id)
            case Settle():
                received.settle(op.ops)
                received.mark(id_ for one in op.ops for id_ in self._withdrawn.ids_of(one))
            case Sighting():
                received.see(op)
