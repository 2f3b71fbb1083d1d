"""When two states continue one log: a state directory was copied, or restored from a backup.

Nobody can tell which of the two is the original, and it does not matter. The one that finds out takes a new identity;
its log under that holds what it has, and the old log is pulled like any other machine's. So both go on, and nothing is
overwritten, lost or doubled.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from memferry.agent.recovery import identity
from memferry.agent.state.database import State
from memferry.agent.state.notices import notice
from memferry.model import Identity, Settle, Sighting

if TYPE_CHECKING:
    from memferry.agent.service import Agent


def part(agent: Agent, taken: Collection[str]) -> None:
    """Give this state an identity of its own. `taken`: names of machines. Then pull before anything is delivered: what
    the old log has withdrawn since must not be told anew."""
    old = agent.me
    new = identity.new(agent.config.state, agent.config.machine or old.name, {*taken, old.name})
    with agent.state.transaction():
        _leave_log(agent.state, old)
        identity.keep(agent.state, new, wanted=agent.config.machine)
        agent.become(new)
        _repeat_facts(agent, old, new)
        agent.state.count("forks")
        notice(agent.state, _told(old, new))


def _leave_log(state: State, old: Identity) -> None:
    """What was acknowledged there is the same in both logs; what comes behind it is the other's alone."""
    rows = state.rows("select backend, through from checkpoint")
    through = max((row[1] for row in rows), default=0)
    state.execute("insert or replace into former values(?, ?)", (old.id, through))
    for backend, acknowledged in rows:
        state.execute(
            "insert or replace into peer values(?, ?, ?, 0, '', 0, ?)", (backend, old.id, old.name, acknowledged)
        )
    for table in ("checkpoint", "refused"):
        state.execute(f"delete from {table}")


def _repeat_facts(agent: Agent, old: Identity, new: Identity) -> None:
    """What was said about operations of the old log holds for their twins in the new one."""
    state, journal = agent.state, agent.journal
    settled = [(new.id, row[0]) for row in state.rows("select seq from settled where machine = ?", old.id)]
    if settled:
        journal.append_ops([Settle(*journal.next(), "", tuple(settled))])
        agent.received.settle(settled)
    for through, hlc in state.rows("select through, hlc from sighting where machine = ?", old.id):
        sighting = Sighting(journal.last_seq + 1, hlc, new.id, through)
        journal.append_ops([sighting])
        agent.received.see(sighting)


def _told(old: Identity, new: Identity) -> str:
    return (
        f"another memferry writes as {old.name}: this state was copied, or restored from a backup."
        f" This machine is {new.name} from now on; both go on, and nothing was overwritten. If the other one is gone:"
        f" memferry machines adopt {old.name} --gone"
    )
