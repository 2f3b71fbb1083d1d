"""After the state was lost: where this machine's log lies, how it is taken back, and the first look at each space."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from memferry.agent.files.tree import Tree
from memferry.agent.pulling.pull import Pull
from memferry.agent.recovery import identity
from memferry.agent.recovery.bygone import Bygone, lost_notice
from memferry.agent.recovery.former import Checkpoint, Former, TakenOver, tell, unused
from memferry.agent.recovery.rebuild import adopt_shards, rebuild
from memferry.agent.state.notices import notice
from memferry.backends.base import MachineLog, Readable
from memferry.config import Config
from memferry.errors import BackendError, Halted, MemferryError, StateError
from memferry.model import Identity, Op

if TYPE_CHECKING:
    from memferry.agent.service import Agent

UNMET = "not met since the state was lost: "
"""In the state, followed by the name of a space."""


class Found(NamedTuple):
    """Who this machine is: `me`. `logs`: its own, by the backends that have them; `away`: backends that could not be
    asked."""

    me: Identity
    logs: Mapping[str, MachineLog]
    away: Collection[str]


def new_or_found_again(config: Config, former: Former | None) -> Found:
    """A new identity; or, where this installation wrote a log before, that one; or, where no log is in reach, that of
    the state before."""
    installation = identity.installation(config.state)
    mine: dict[str, MachineLog] = {}
    others: list[MachineLog] = []
    away: set[str] = set()
    for name in config.backends:
        try:
            with identity.visiting(config, name) as backend:
                logs = backend.survey().logs if isinstance(backend, Readable) else ()
        except BackendError:
            away.add(name)
            continue
        own = [log for log in logs if identity.wrote(log, installation, config.machine)]
        mine |= {name: max(own, key=_length)} if own else {}
        others += logs
    if mine:
        longest = max(mine.values(), key=_length)
        return Found(Identity(longest.id, longest.name, longest.epoch, installation), mine, away)
    before = former.identity(config.machine) if former else None
    if before is not None and before.id not in {log.id for log in others}:
        return Found(before, {}, away)
    return Found(identity.new(config.state, config.machine, {log.name for log in others}), {}, away)


def _length(log: MachineLog) -> int:
    return log.head.last_seq


def take_back(agent: Agent, found: Found, former: Former | None) -> None:
    """The state was lost: take the longest log back in, and what the state before has beyond it; believe every backend
    about what it has. Inside a transaction."""
    logs = found.logs
    if not logs and former is None:
        return
    _take_operations(agent, logs, former)
    for name, log in logs.items():
        _expect(agent, name, Checkpoint(log.head.last_seq, log.head.last_seq, log.head))
    agent.state.count("states rebuilt")
    if former is not None:
        _take_over(agent, found, former)
    _recognise(agent, logs)


def _take_operations(agent: Agent, logs: Mapping[str, MachineLog], former: Former | None) -> None:
    through = max(map(_length, logs.values()), default=0)
    same = former if former is not None and former.machine() == agent.me.id else None
    withdrawn = same.withdrawn(through) if same else frozenset()

    def take(ops: Iterable[Op]) -> int:
        return rebuild(agent.state, agent.journal, agent.fingerprint, (op for op in ops if op.seq not in withdrawn))

    if logs:
        with agent.backend(max(logs, key=lambda name: _length(logs[name]))) as backend:
            assert isinstance(backend, Readable)
            take(backend.read(agent.me.id))
    taken = take(same.operations(through)) if same else 0
    agent.state.set_meta("seq", max(through, agent.journal.last_seq))
    if former is not None:
        left = former.left if same else former.waiting()
        tell(agent.state, TakenOver(unused(), taken, left if former.whole else None))


def _take_over(agent: Agent, found: Found, former: Former) -> None:
    """What the state before knew beside its operations."""
    if former.machine() == agent.me.id:
        _expect_as_before(agent, found, former)
    for space, file in former.pulled_files():
        agent.received.shard(space, file)
    if former.knows_by(agent.state.meta(identity.SECRET_MARK)):
        former.hand_over(agent.state, agent.catalog)


def _expect_as_before(agent: Agent, found: Found, former: Former) -> None:
    """Of backends whose log was not read. What may have been sent stays on record, or it would not be withdrawn."""
    for name in agent.config.backends.keys() - found.logs.keys():
        if known := former.checkpoint(name):
            _expect(agent, name, known if name in found.away else Checkpoint(0, known.attempted, None))
    attempted = max((known.attempted for name in found.logs if (known := former.checkpoint(name))), default=0)
    agent.state.execute("update checkpoint set attempted = max(attempted, ?) where through > 0", (attempted,))


def _expect(agent: Agent, backend: str, known: Checkpoint) -> None:
    sql = "insert or replace into checkpoint(backend, through, attempted, head) values(?, ?, ?, ?)"
    head = json.dumps(known.head) if known.head else None
    agent.state.execute(sql, (backend, known.through, known.attempted, head))


def _recognise(agent: Agent, logs: Collection[str]) -> None:
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
