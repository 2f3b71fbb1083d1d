"""The log of a machine that is gone has nobody who takes out of it what is withdrawn: another machine does so.

Which logs a machine looks after, a person says; only one that this very installation wrote before it became a fork,
its state having been restored from a backup, needs no word. Nothing is ever added to such a log.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from memferry.agent.state.database import State
from memferry.backends.base import Backend, Inheritable, MachineLog, Readable
from memferry.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from memferry.agent.service import Agent

ADOPTED = "adopted"
"""In the state: ids of the machines whose logs this one looks after, as a JSON list."""


def adopted(state: State) -> set[str]:
    """The machines that a person called gone, by id."""
    return set(json.loads(state.meta(ADOPTED) or "[]"))


def adopt(agent: Agent, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A machine is gone: what is or was withdrawn of its records leaves its log, in every backend that has one."""
    wanted = str(arguments["machine"])
    found = _logs_of(agent, wanted, tuple(arguments.get("backends", ())) or tuple(agent.config.backends))
    id_ = _the_one(agent, wanted, {log.id for logs in found.values() for log in logs})
    with agent.state.transaction():
        agent.state.set_meta(ADOPTED, json.dumps(sorted(adopted(agent.state) | {id_})))
        for name in found:
            agent.state.set_meta(_looked_at(name, id_), 0)
    agent.pull(tuple(found))  # what others have withdrawn of it
    for name in found:
        with agent.backend(name) as backend:
            _look_after(agent, backend)
    return {"adopted": wanted, "id": id_, "backends": sorted(found), "exit_code": 0}


def _logs_of(agent: Agent, wanted: str, names: Collection[str]) -> dict[str, list[MachineLog]]:
    """By backend, of those that have some."""
    found: dict[str, list[MachineLog]] = {}
    for name in names:
        with agent.backend(name) as backend:
            logs = backend.survey().logs if isinstance(backend, Readable) and isinstance(backend, Inheritable) else ()
            found[name] = [log for log in logs if wanted in (log.id, log.name)]
    return {name: logs for name, logs in found.items() if logs}


def _the_one(agent: Agent, wanted: str, ids: Collection[str]) -> str:
    if not ids:
        raise ConfigError(f"no machine {wanted} has a log in any backend", hint="`memferry machines` lists them")
    if len(ids) > 1:
        raise ConfigError(f"several machines are called {wanted}", hint="give the id that `memferry machines` shows")
    (id_,) = ids
    if id_ == agent.me.id:
        raise ConfigError(f"{wanted} is this machine", hint="name the one that is gone")
    return id_


def look_after(agent: Agent, backend: Backend) -> None:
    """Take what was withdrawn since the last time out of the logs of machines that are gone. What cannot be done now is
    done after the next delivery or pull."""
    with contextlib.suppress(BackendError):
        _look_after(agent, backend)


def _look_after(agent: Agent, backend: Backend) -> None:
    due = {id_: seqs for id_ in _maybe_ours(agent.state) if (seqs := _withdrawn(agent.state, backend.name, id_))}
    if not due or not isinstance(backend, Readable) or not isinstance(backend, Inheritable):
        return
    seen = agent.connections.heads_seen(backend.name)
    for log in _ours(agent, backend.survey().logs):
        if log.id in due:
            backend.erase(log.id, due[log.id], seen=seen.get(log.id))
    with agent.state.transaction():
        for id_, seqs in due.items():
            agent.state.set_meta(_looked_at(backend.name, id_), len(seqs))


def _maybe_ours(state: State) -> set[str]:
    """Those that are gone, and those under whose names this state wrote before."""
    return adopted(state) | {row[0] for row in state.rows("select machine from former")}


def _ours(agent: Agent, logs: Collection[MachineLog]) -> Iterator[MachineLog]:
    mine = adopted(agent.state)
    return (log for log in logs if log.id in mine or log.installation == agent.me.installation)


def _withdrawn(state: State, backend: str, machine: str) -> frozenset[int]:
    """Seqs; empty if there are none since the last time."""
    seqs = frozenset(row[0] for row in state.rows("select seq from dead where machine = ?", machine))
    return seqs if len(seqs) != int(state.meta(_looked_at(backend, machine)) or 0) else frozenset()


def _looked_at(backend: str, machine: str) -> str:
    """In the state: how many operations of a log were withdrawn when it was last looked after."""
    return f"looked after in {backend}: {machine}"
