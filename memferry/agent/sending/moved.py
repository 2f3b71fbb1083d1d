"""When a backend is configured to lie elsewhere: what it has there is looked at, and what is missing is due again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memferry.agent.pulling.peers import Peers
from memferry.agent.recovery import heirs
from memferry.agent.state import place
from memferry.backends.base import Backend, HeadSeen, MachineLog, Readable, Rooted

if TYPE_CHECKING:
    from memferry.agent.service import Agent


def is_moved(agent: Agent, name: str) -> bool:
    """Whether it was used at another place before."""
    before = agent.state.meta(place.key(name))
    return before is not None and before != place.mark(agent.config.backends[name])


def settle(agent: Agent, backend: Backend) -> None:
    """Call before it is told anything. Raises BackendError where it cannot be looked at yet; then nothing changes.

    A vault that was carried there has this machine's log, and goes on behind it; an older copy lacks what came since.
    Anywhere else nothing was delivered or met so far. What may have been sent stays on record: it was, somewhere.
    """
    name, mark = backend.name, place.mark(agent.config.backends[backend.name])
    if agent.state.meta(place.key(name)) == mark:
        return
    if not is_moved(agent, name):
        with agent.state.transaction():
            agent.state.set_meta(place.key(name), mark)
        return
    head = _own_head(agent, backend)
    with agent.state.transaction():
        agent.state.set_meta(place.key(name), mark)
        agent.checkpoints.start_over(name, head)
        if head is None:
            Peers(agent.state, name, agent.me).start_over()
            heirs.start_over(agent.state, name)


def _own_head(agent: Agent, backend: Backend) -> HeadSeen | None:
    """What a place has of this machine's log; None: nothing, or nobody can tell. Where it is not what this state has
    written, its own head stays expected, and the next delivery or `verify` says so."""
    if isinstance(backend, Rooted):
        backend.make_way()
    if not isinstance(backend, Readable):
        return None
    survey, known = backend.survey(), agent.checkpoints.of(backend.name)
    log = next((log for log in survey.logs if log.id == agent.me.id), None)
    if log is None:
        return known.head if agent.me.id in survey.refused else None
    return log.head if known.head and _is_older(log.head, known.head) and _is_ours(agent, log) else known.head


def _is_older(head: HeadSeen, than: HeadSeen) -> bool:
    return head.sequence < than.sequence and head.last_seq <= than.last_seq


def _is_ours(agent: Agent, log: MachineLog) -> bool:
    return (log.epoch, log.installation) == (agent.me.epoch, agent.me.installation)
