"""The log of a machine that is gone has nobody who takes out of it what is withdrawn: another machine does so.

Which logs a machine looks after, a person says; only one that this very installation wrote before it became a fork,
its state having been restored from a backup, needs no word. Nothing is ever added to such a log.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from memferry.agent.pulling.peers import Peers
from memferry.agent.state.database import State
from memferry.backends.base import Backend, Inheritable, MachineLog, Readable
from memferry.errors import BackendError, ConfigError, Damaged

if TYPE_CHECKING:
    from memferry.agent.service import Agent

ADOPTED = "adopted"
"""In the state: ids of the machines whose logs this one looks after, as a JSON list."""


class _Logs(NamedTuple):
    """Ids of machines, by what a backend has of them. `lost`: there was a log, and is none."""

    there: set[str]
    lost: set[str]


def adopted(state: State) -> set[str]:
    """The machines that a person called gone, by id."""
    return set(json.loads(state.meta(ADOPTED) or "[]"))


def adopt(agent: Agent, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A machine is gone: what is or was withdrawn of its records leaves its log, in every backend that has one. Where
    its log is gone, too, it is not expected any more."""
    wanted = str(arguments["machine"])
    names = tuple(arguments.get("backends", ())) or tuple(agent.config.backends)
    logs = {name: _logs_of(agent, name, wanted) for name in names}
    id_ = _the_one(agent, wanted, set().union(*(one.there | one.lost for one in logs.values())))
    found = [name for name in names if id_ in logs[name].there]
    lost = [name for name in names if id_ in logs[name].lost]
    with agent.state.transaction():
        agent.state.set_meta(ADOPTED, json.dumps(sorted(adopted(agent.state) | {id_})))
        for name in found:
            agent.state.set_meta(_looked_at(name, id_), 0)
        for name in lost:
            Peers(agent.state, name, agent.me).forget(id_)
    if found:
        agent.pull(tuple(found))  # what others have withdrawn of it
    for name in found:
        with agent.backend(name) as backend:
            _look_after(agent, backend)
    return {"adopted": wanted, "id": id_, "backends": sorted(found), "lost": sorted(lost), "exit_code": 0}


def _logs_of(agent: Agent, backend: str, wanted: str) -> _Logs:
    """By a machine's name or id."""
    with agent.backend(backend) as opened:
        if not isinstance(opened, Readable) or not isinstance(opened, Inheritable):
            return _Logs(set(), set())
        survey = opened.survey()
    names = agent.machine_names() | {log.id: log.name for log in survey.logs}
    meant = {id_ for id_, name in names.items() if wanted in (id_, name)}
    lost = {
        id_ for id_, error in survey.refused.items() if isinstance(error, Damaged) and error.problem == "missing-head"
    }
    return _Logs({log.id for log in survey.logs} & meant, lost & meant)


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


def start_over(state: State, backend: str) -> None:
    """It lies elsewhere: what was done at the other place is to be done there, too."""
    prefix = _looked_at(backend, "")
    state.execute("delete from meta where substr(name, 1, ?) = ?", (len(prefix), prefix))


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
