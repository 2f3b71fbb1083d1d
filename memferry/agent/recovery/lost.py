"""After the state was lost: where this machine's log lies, how it is taken back, and the first look at each space."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from memferry.agent.files.tree import Tree
from memferry.agent.pulling.pull import Pull
from memferry.agent.recovery import identity
from memferry.agent.recovery.bygone import Bygone, lost_notice
from memferry.agent.recovery.rebuild import adopt_shards, rebuild
from memferry.agent.state.notices import notice
from memferry.backends.base import MachineLog, Readable
from memferry.config import Config
from memferry.errors import BackendError, Halted, MemferryError, StateError
from memferry.model import Identity

if TYPE_CHECKING:
    from memferry.agent.service import Agent

UNMET = "not met since the state was lost: "
"""In the state, followed by the name of a space."""


def new_or_found_again(config: Config) -> tuple[Identity, dict[str, MachineLog]]:
    """A new identity; or, where this installation wrote a log before, that one and where the log lies."""
    installation = identity.installation(config.state)
    mine: dict[str, MachineLog] = {}
    taken: set[str] = set()
    for name in config.backends:
        with contextlib.suppress(BackendError), identity.visiting(config, name) as backend:
            if isinstance(backend, Readable):
                logs = backend.survey().logs
                taken |= {log.name for log in logs}
                own = [log for log in logs if identity.wrote(log, installation, config.machine)]
                mine |= {name: max(own, key=_length)} if own else {}
    if not mine:
        return identity.new(config.state, config.machine, taken), {}
    longest = max(mine.values(), key=_length)
    return Identity(longest.id, longest.name, longest.epoch, installation), mine


def _length(log: MachineLog) -> int:
    return log.head.last_seq


def take_back(agent: Agent, logs: Mapping[str, MachineLog]) -> None:
    """The state was lost: take the longest log back in, and believe every backend about what it has."""
    longest = max(logs, key=lambda name: _length(logs[name]))
    with agent.backend(longest) as backend:
        assert isinstance(backend, Readable)
        rebuild(agent.state, agent.journal, agent.fingerprint, backend.read(agent.me.id))
    with agent.state.transaction():
        for name, log in logs.items():
            agent.state.execute(
                "insert into checkpoint(backend, through, attempted, head) values(?, ?, ?, ?)",
                (name, log.head.last_seq, log.head.last_seq, json.dumps(log.head)),
            )
        agent.state.set_meta("seq", max(log.head.last_seq for log in logs.values()))
        agent.state.count("states rebuilt")
    for name in logs:
        with agent.backend(name) as backend:
            assert isinstance(backend, Readable)
            Pull(agent.here, name, recognise=True).run(backend)
    with agent.state.transaction():
        for space in agent.config.spaces:
            agent.state.set_meta(f"{UNMET}{space.name}", 1)


def meet_again(agent: Agent, tree: Tree) -> None:
    """The first look at a space since the state was lost: its disk may have been away when that was made again."""
    if agent.state.meta(UNMET + tree.name) is None:
        return
    others = set(agent.machine_names().values()) - {agent.me.name}
    with agent.state.transaction():
        _adopt_shards(agent, tree, others)
        if bygone(agent, tree).keep_home():
            notice(agent.state, lost_notice(tree.name))
        agent.state.execute("delete from meta where name = ?", (UNMET + tree.name,))


def _adopt_shards(agent: Agent, tree: Tree, others: Collection[str]) -> None:
    """Raises Halted where one cannot be read: what was withdrawn of it could not be told from the rest."""
    try:
        adopt_shards(agent.catalog, agent.received, tree, others)
    except StateError:
        raise
    except MemferryError as error:
        hint = error.hint or "let this user read it; the space is looked at again by the next sync"
        raise Halted(f"space {tree.name}: {error}", hint=hint) from error


def bygone(agent: Agent, tree: Tree) -> Bygone:
    return Bygone(agent.state, agent.catalog, agent.received, agent.fingerprint, tree)
