"""Keeping the local index up with the logs: behind the sync, never in its way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice

from memferry.agent.journal import unseal
from memferry.agent.service import Agent
from memferry.backends.base import Readable
from memferry.errors import BackendError
from memferry.model import Op
from memferry.recall.index import Hit, Index, Wanted

INDEX = "index.db"
A_LITTLE = 2000


def recall(agent: Agent, wanted: Wanted) -> list[Hit]:
    """Answers from everything that was carried, here and elsewhere; the index is brought up to date first."""
    with contextlib.closing(Index(agent.config.state / INDEX)) as index:
        catch_up(agent, index)
        return index.search(wanted)


def catch_up(agent: Agent, index: Index, limit: int | None = None) -> int:
    """Take in at most `limit` operations of this machine's journal, and all that was pulled; returns how many."""
    withdrawn = [row[0] for row in agent.state.rows("select seq from withdrawn")]
    if withdrawn:
        index.drop(agent.me.id, withdrawn)
        with agent.state.transaction():
            agent.state.execute("delete from withdrawn")
    count = index.add(agent.me.id, islice(_own(agent, index.position(agent.me.id)), limit))
    if limit is None or count < limit:
        count += _add_peers(agent, index)
    return count


def _own(agent: Agent, after: int) -> Iterator[Op]:
    for sealed in agent.journal.sealed(after + 1, agent.journal.last_seq):
        yield from (op for op in unseal(sealed) if op.seq > after)


def _add_peers(agent: Agent, index: Index) -> int:
    """The other machines' logs, as far as they were pulled. A backend that is away now is asked next time."""
    count = 0
    for backend_name, machine, applied in agent.state.rows("select backend, machine, applied from peer"):
        if index.position(machine) >= applied or backend_name not in agent.config.backends:
            continue
        with contextlib.suppress(BackendError), agent.backend(backend_name) as backend:
            if isinstance(backend, Readable):
                ops = backend.read(machine, after=index.position(machine))
                count += index.add(machine, (op for op in ops if op.seq <= applied))
    return count
