"""The machines of a backend, and who of them has the keys: list, invite, join, revoke."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memferry.agent.lock import StateLock
from memferry.agent.recovery import heirs, identity
from memferry.agent.recovery.former import set_aside
from memferry.agent.report import Report
from memferry.agent.sending.connections import require_backends
from memferry.agent.service import Agent, opened
from memferry.agent.state.database import State
from memferry.backends.base import Backend, HeadSeen, MachineLog, Readable, Rekeyed
from memferry.backends.encryption import invites
from memferry.backends.encryption import ring as rings
from memferry.backends.encryption.members import Members
from memferry.backends.encryption.ring import Member, Ring
from memferry.config import Config
from memferry.errors import AlreadyExists, BackendError, ConfigError, TargetRefused
from memferry.places import DATABASE
from memferry.progress import Progress, silent

REVOKE_ATTEMPTS = 5


# -- which backend


def encrypted(config: Config, name: str | None) -> str:
    """The backend that a command about keys is for: as named, else the only encrypted one. ConfigError if there is
    none, or more than one."""
    require_backends(config, (name,) if name else ())
    found = [one for one in (name and (name,)) or config.backends if _is_encrypted(config, one)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"several backends are encrypted: {', '.join(found)}", hint="choose one with --backend")
    raise ConfigError(f"{name or 'no backend'} is encrypted", hint="`encryption: age` in the configuration")


def _is_encrypted(config: Config, name: str) -> bool:
    with identity.visiting(config, name) as backend:
        return _members(backend) is not None


def members_of(backend: Backend) -> Members:
    """Who has its keys. ConfigError if it is not encrypted."""
    found = _members(backend)
    if found is None:
        raise ConfigError(f"{backend.name} is not encrypted", hint="`encryption: age` in the configuration")
    return found


def _members(backend: Backend) -> Members | None:
    """Only a vault has them; what wraps one passes them on."""
    found = getattr(backend, "members", None)
    return found if isinstance(found, Members) else None


# -- list


def machines(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Every machine in every backend (or these), and the fingerprint of its keys."""
    names = tuple(arguments.get("backends", ()))
    require_backends(agent.config, names)
    found = [_listed(agent, name) for name in names or agent.config.backends]
    return {"backends": found, "exit_code": max((int(one.get("exit_code", 0)) for one in found), default=0)}


def _listed(agent: Agent, name: str) -> Report:
    try:
        with agent.backend(name) as backend:
            if not isinstance(backend, Readable):
                return {"backend": name, "index": True, "machines": []}
            logs, refused = backend.survey()
            members = _members(backend)
            ring = members.refresh() if members is not None and (logs or refused) else None
    except BackendError as error:
        return {"backend": name, "error": str(error), "hint": error.hint, "exit_code": error.exit_code, "machines": []}
    return {
        "backend": name,
        "encryption": "none" if members is None else "age",
        "fingerprint": rings.fingerprint(ring) if ring else None,
        "generation": ring.number if ring else None,
        "recovery_key_to_write_down": agent.keys.has_recovery(name),
        "machines": [_machine(agent, log) for log in logs] if ring is None else _with_keys(agent, logs, ring),
        "refused": [_refused(agent, *one) for one in sorted(refused.items())],
        "exit_code": TargetRefused.exit_code if refused else 0,
    }


def _refused(agent: Agent, id_: str, error: TargetRefused) -> Report:
    """A machine whose head cannot be believed."""
    name = agent.machine_names().get(id_, id_)
    return {"name": name, "id": id_, "error": str(error), "hint": error.hint}


def _with_keys(agent: Agent, logs: Sequence[MachineLog], ring: Ring) -> list[Report]:
    """Those with a log, and those that have keys, or had some, but none."""
    writing = {log.id for log in logs}
    mute = {one.machine: one for one in (*ring.revoked, *ring.members) if one.machine not in writing}
    members = {one.machine for one in ring.members}
    listed = [_machine(agent, log) | {"revoked": log.id not in members} for log in logs]
    return listed + [_silent(agent, one) | {"revoked": id_ not in members} for id_, one in mute.items()]


def _machine(agent: Agent, log: MachineLog) -> Report:
    head = log.head
    at = {"sequence": head.sequence, "last_seq": head.last_seq, "generation": log.generation}
    marks = {"this": log.id == agent.me.id, "adopted": log.id in heirs.adopted(agent.state), "revoked": False}
    return {"name": log.name, "id": log.id, **at, **marks}


def _silent(agent: Agent, member: Member) -> Report:
    nothing = {"sequence": 0, "last_seq": 0, "generation": None}
    this = member.machine == agent.me.id
    return {"name": member.name, "id": member.machine, **nothing, "this": this, "adopted": False}


# -- invite and join


def invite(config: Config, name: str, now: float) -> str:
    """A code that lets one machine in, within a day of `now` (seconds since 1970)."""
    with identity.visiting(config, name) as backend:
        return invites.invite(members_of(backend), now)


def join(config: Config, name: str, code: str, now: float, *, progress: Progress = silent) -> Report:
    """Get the keys with an invitation's code."""
    report = _join(config, name, lambda members: invites.take(members, code, now), progress)
    with identity.visiting(config, name) as backend:
        invites.spend(members_of(backend), code)
    return report


def recover(config: Config, name: str, identity: str, *, progress: Progress = silent) -> Report:
    """Get the keys with the recovery key."""
    return _join(config, name, lambda members: members.recover(identity), progress)


def _join(config: Config, name: str, keys_from: Callable[[Members], Ring], progress: Progress) -> Report:
    """A crash at any step is mended by joining again, or by the next delivery."""
    with StateLock(config.state, "join"), identity.visiting(config, name) as backend:
        members = members_of(backend)
        members.adopt(keys_from(members))
        _give_way(config, backend)
    with opened(config, "join", progress=progress) as agent, agent.backend(name) as backend:
        members = members_of(backend)
        members.enrol(agent.me)
        agent.checkpoints.recovered(name)
        return {"backend": name, "machine": agent.me.name, "fingerprint": rings.fingerprint(members.ring)}


def _give_way(config: Config, backend: Backend) -> None:
    """A state that was made while this machine could not read its own log, and that has sent nothing, gives way to the
    one which that log tells."""
    path = config.state / DATABASE
    if not path.exists() or not isinstance(backend, Readable):
        return
    installation = identity.installation(config.state)
    mine = {log.id for log in backend.survey().logs if identity.wrote(log, installation, config.machine)}
    with contextlib.closing(State(path)) as state:
        elsewhere = "attempted > 0 and (backend <> ? or through > 0)"  # here a delivery fails before it writes
        sent = state.one(f"select 1 from checkpoint where {elsewhere}", backend.name) is not None
        known = state.meta("machine")
    if mine and known not in mine and not sent:
        set_aside(config.state)


# -- revoke


def revoke(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Give every other machine new keys, and write this machine's log anew with them. Doing it again finishes what was
    interrupted."""
    name, machine = str(arguments["backend"]), str(arguments["machine"])
    with agent.backend(name) as backend:
        members = members_of(backend)
        assert isinstance(backend, Rekeyed)
        ring = _without(agent, backend, members, machine)
        backend.renew()
        with agent.state.transaction():
            agent.dispatch.delivery(backend).remember_head()
    return {
        "backend": name, "revoked": machine, "generation": ring.number, "fingerprint": rings.fingerprint(ring),
        "members": sorted(member.name for member in ring.members), "exit_code": 0,
    }  # fmt: skip


def _without(agent: Agent, backend: Rekeyed, members: Members, machine: str) -> Ring:
    for _ in range(REVOKE_ATTEMPTS):
        logs = backend.sound_logs()
        ring = members.refresh()
        doomed = _named(ring, logs, machine)
        if agent.me.id in {member.machine for member in doomed}:
            raise ConfigError("this machine cannot revoke itself", hint="revoke it on another one")
        if not doomed:
            return ring
        invites.withdraw_all(members)
        began = _newest(logs, agent.connections.heads_seen(members.name))
        with contextlib.suppress(AlreadyExists):  # somebody else revoked at this very moment
            return members.revoke(doomed, began)
    raise ConfigError(f"the keys of {members.name} change all the time", hint="try again later")


def _newest(logs: Sequence[MachineLog], seen: Mapping[str, HeadSeen]) -> dict[str, tuple[int, str]]:
    """Sequence and SHA-256 of each machine's newest head, whether it lies in the vault now or was seen before."""
    there = {log.id: log.head for log in logs}
    heads = {id_: max(found) for id_ in {*there, *seen} if (found := [one[id_] for one in (there, seen) if id_ in one])}
    return {id_: (head.sequence, head.sha256) for id_, head in sorted(heads.items())}


def _named(ring: Ring, logs: Sequence[MachineLog], machine: str) -> list[Member]:
    """The members that `machine`, a name or an id, means; none of them: it is revoked already."""
    ids = {log.id for log in logs if machine in (log.id, log.name)}
    ids |= {one.machine for one in (*ring.members, *ring.revoked) if machine in (one.machine, one.name)}
    if not ids:
        raise ConfigError(f"there is no machine {machine} in this vault", hint="`memferry machines` lists them")
    found = [member for member in ring.members if member.machine in ids]
    if len({member.machine for member in found}) > 1:
        raise ConfigError(f"several machines are called {machine}", hint="give the id that `memferry machines` shows")
    return found
