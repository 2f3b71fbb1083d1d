"""Keeping the local index up with what was read and pulled: behind the sync, never in its way."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from memferry.agent.collection import no_collection
from memferry.agent.index.answering import Answering
from memferry.agent.index.embedding import Embedding
from memferry.agent.index.held_texts import held_rows, held_texts
from memferry.agent.state.journal import unseal
from memferry.backends.base import Readable
from memferry.errors import BackendError, IndexBroken
from memferry.model import Op, Sealed
from memferry.recall.index import Index, remove, replace
from memferry.recall.layout import HELD, INDEX

if TYPE_CHECKING:
    from memferry.agent.service import Agent

A_LITTLE = 2000
"""Operations that are taken in before the service looks whether there is anything else to do."""
DRAFT = ".new"
"""Ends the names of an index that is being made."""
HERE = "here"
"""The machine of what is held: it is on no other."""


class Indexing:
    """Owns both parts of the index: what is carried, and what stays at home. `close` it before the agent's state."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._parts: tuple[Index, Index] | None = None
        self._begun: tuple[Sealed, list[Op]] | None = None
        self._wiped = -1  # what an earlier process withdrew as its last may be in a file of vectors yet
        self.embedding = Embedding(agent.config)
        self.answering = Answering(agent.config)
        self._model_problem = ""
        self._pulled = 0  # operations that pulls took in, and that `embedding` has not been told of

    def close(self) -> None:
        self.answering.close()
        self.embedding.close()
        parts, self._parts = self._parts, None
        for part in parts or ():
            part.close()

    def rebuild(self) -> int:
        """Made again from nothing, beside the one that answers meanwhile; returns how many operations it took in."""
        self.close()
        self._drop_what_was_cut_short()
        self._parts = self._made(*self._drafts)
        count = self.catch_up()
        self.close()
        for path, draft in zip(self._paths, self._drafts, strict=True):
            replace(path, draft)
        return count

    def keep_up(self) -> bool:
        """A little of what is due; whether there is more. A broken index stops nothing else: it is a problem that
        `status` shows."""
        self.answering.reap()
        try:
            count = self.catch_up(A_LITTLE)
            self.embedding.keep_up(changed=count + self._pulled > 0)
            self._pulled = 0
            self._tell_of_the_model()
            carried, held = self._opened()
            return count >= A_LITTLE or carried.settle() or held.settle()
        except IndexBroken as error:
            self._tell_of_breakage(error)
            return False

    def take_in_pulled(self) -> None:
        """What others wrote, while it can be read: a question that is asked when nothing can be reached finds it."""
        if not self._agent.state.one("select 1 from peer where applied > 0"):
            return
        try:
            with no_collection():
                carried, _ = self._opened()
                self._pulled += self._add_peers(carried)
                self._tell_of_what_was_left_out()
                self._prune()
        except IndexBroken as error:
            self._tell_of_breakage(error)

    def _tell_of_breakage(self, error: IndexBroken) -> None:
        self.close()
        state = self._agent.state
        with state.transaction():
            state.report_problem("index", "recall", str(error), error.hint)

    @no_collection()
    def catch_up(self, limit: int | None = None) -> int:
        """Take in at most `limit` operations of this machine's journal and as many held records, then what was pulled;
        returns how many."""
        carried, held = self._opened()
        self._drop_withdrawn(carried)
        count = self._add_own(carried, limit) + self._add_held(held, limit)
        if limit is None or count < limit:
            count += self._add_peers(carried)
        self._tell_of_what_was_left_out()
        self._prune()
        return count

    def _prune(self) -> None:
        """What left the index leaves the vectors."""
        wiped = sum(part.wiped for part in self._opened())
        if wiped != self._wiped:
            self.embedding.prune()
            self._wiped = wiped

    def _tell_of_what_was_left_out(self) -> None:
        """A record that no index can hold is carried like the others, and only not found."""
        parts = self._opened()
        if count := sum(part.left_out for part in parts):
            with self._agent.state.transaction():
                self._agent.state.count("left out of the index", count)
        for part in parts:
            part.left_out = 0

    def _tell_of_the_model(self) -> None:
        """A model that does not work stops nothing: full text goes on, and `status` shows why."""
        problem = self.embedding.problem
        text = str(problem) if problem else "none"
        if text == self._model_problem:
            return
        state, self._model_problem = self._agent.state, text
        with state.transaction():
            if problem:
                state.report_problem("index", "model", text, problem.hint)
            else:
                state.clear_problem("index", "model")

    @property
    def _paths(self) -> tuple[Path, Path]:
        folder = self._agent.config.state
        return folder / INDEX, folder / HELD

    @property
    def _drafts(self) -> tuple[Path, Path]:
        carried, held = self._paths
        return carried.with_suffix(DRAFT), held.with_suffix(DRAFT)

    def _opened(self) -> tuple[Index, Index]:
        if self._parts is None:
            self._drop_what_was_cut_short()
            self._parts = self._made(*self._paths)
        return self._parts

    def _drop_what_was_cut_short(self) -> None:
        """Where making it again was: what was withdrawn meanwhile was told to the draft, and stands in the old one. The
        draft goes last, for it tells."""
        if any(draft.exists() for draft in self._drafts):
            for path in (*self._paths, *self._drafts):
                remove(path)

    def _made(self, carried: Path, held: Path) -> tuple[Index, Index]:
        parts = Index(carried), Index(held, held=True)
        with self._agent.state.transaction():
            self._agent.state.clear_problem("index", "recall")
            if parts[1].is_new:
                self._agent.state.execute("insert into held_change(id) select id from held")
        return parts

    # -- what this machine wrote

    def _drop_withdrawn(self, carried: Index) -> None:
        state = self._agent.state
        withdrawn = [row[0] for row in state.rows("select seq from withdrawn")]
        if withdrawn:
            carried.drop(self._agent.me.id, withdrawn)
            with state.transaction():
                state.execute("delete from withdrawn")

    def _add_own(self, carried: Index, limit: int | None) -> int:
        me, last = self._agent.me.id, self._agent.journal.last_seq
        position = carried.position(me)
        if position >= last:
            return 0
        ops = chain.from_iterable(self._own(position, last))
        count = carried.add(me, islice(ops, limit))
        if limit is None or count < limit:
            carried.reached(me, last)
            self._begun = None
        return count

    def _own(self, after: int, last: int) -> Iterator[list[Op]]:
        for sealed in self._agent.journal.sealed(after + 1, last):
            self._agent.progress("index", max(0, sealed.first - after - 1), last - after)
            yield [op for op in self._unsealed(sealed) if op.seq > after]

    def _unsealed(self, sealed: Sealed) -> list[Op]:
        """A little ends amid a row of the journal, mostly; the next one begins there, if that is still what it was."""
        if self._begun is None or self._begun[0] != sealed:
            self._begun = None  # before there is another: they are a few megabytes each
            self._begun = sealed, unseal(sealed)
        return self._begun[1]

    # -- what stays at home

    def _add_held(self, held: Index, limit: int | None) -> int:
        """What was held or released since the last time: out with it as it was, in with it as it is."""
        state = self._agent.state
        rows = state.rows("select number, id from held_change order by number limit ?", -1 if limit is None else limit)
        if not rows:
            return 0
        ids = {id_ for _, id_ in rows}
        known, now = held.digests(HERE, ids), held_rows(state, ids)
        same = {
            row.id
            for row in now
            if row.id in known and self._agent.fingerprint(bytes.fromhex(known[row.id])) == row.digest
        }
        held.drop(HERE, known.keys() - same)
        new = [row for row in now if row.id not in same]
        count = held.add(
            HERE, held_texts(new, self._agent.trees, self._agent.fingerprint, lambda: self._agent.journal.wall)
        )
        with state.transaction():
            state.execute("delete from held_change where number <= ?", (rows[-1][0],))
        return count

    # -- what others wrote

    def _add_peers(self, carried: Index) -> int:
        """The other machines' logs, as far as they were pulled. A backend that is away now is asked next time; what
        was withdrawn there goes at once."""
        agent, count = self._agent, 0
        peers = agent.state.rows("select backend, machine, applied from peer")
        if any(carried.position(machine) < applied for _, machine, applied in peers):
            self._drop_dead(carried)
        for name, machine, applied in peers:
            after = carried.position(machine)
            if after >= applied or name not in agent.config.backends or agent.checkpoints.is_away(name):
                continue
            with contextlib.suppress(BackendError), agent.backend(name) as backend:
                if isinstance(backend, Readable):
                    count += carried.add(machine, self._pulled_ops(backend, machine, after, applied))
                    carried.reached(machine, applied)
        return count

    def _drop_dead(self, carried: Index) -> None:
        """What somebody withdrew, as the pulls were told. That needs no backend."""
        for machine, seqs in self._agent.state.rows("select machine, json_group_array(seq) from dead group by machine"):
            known = carried.digests(machine, json.loads(seqs))
            if known:
                carried.drop(machine, known)

    def _pulled_ops(self, backend: Readable, machine: str, after: int, applied: int) -> Iterator[Op]:
        """Of one log, but for what another one withdrew: which of them is read first must not matter."""
        dead = self._agent.received.dead_of(machine, after + 1, applied)
        for op in backend.read(machine, after=after):
            if op.seq > applied:
                return
            if op.seq not in dead:
                yield op
