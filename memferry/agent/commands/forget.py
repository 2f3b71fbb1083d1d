"""forget: withdraw records everywhere, and keep them away; or carry them again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memferry.agent.report import Report
from memferry.agent.scope import Scope
from memferry.agent.service import Agent
from memferry.errors import ConfigError


def forget(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Withdraw records everywhere, by key or by file, and keep them away although they stay in their files; `undo`:
    carry those again."""
    targets, dry_run = list(arguments["targets"]), bool(arguments.get("dry_run"))
    agent.ingest_all(Scope(dry_run=dry_run))
    if arguments.get("undo"):
        return _undo_forget(agent, targets, dry_run)
    with agent.state.rehearsal() if dry_run else agent.state.transaction():
        found = {target: agent.ids_of(target) for target in targets}
        unknown = [target for target, ids in found.items() if not ids]
        if unknown:
            raise ConfigError(
                f"nothing is known under {', '.join(unknown)}",
                hint="give a record's key, or a file as `space/path`; `memferry explain` shows what is known",
            )
        count = sum(agent.forget(space, ids, dry_run=dry_run) for space, ids in _together(found.values()).items())
    return {"withdrawn": count} | _told(agent, dry_run)


def _together(found: Iterable[Mapping[str, Sequence[int]]]) -> Mapping[str, Sequence[int]]:
    """The records of each space, once, however many targets named them."""
    ids: defaultdict[str, dict[int, None]] = defaultdict(dict)
    for spaces in found:
        for space, some in spaces.items():
            ids[space] |= dict.fromkeys(some)
    return {space: list(some) for space, some in ids.items()}


def _undo_forget(agent: Agent, targets: Sequence[str], dry_run: bool) -> Report:
    with agent.state.rehearsal() if dry_run else agent.state.transaction():
        found = {target: agent.undo_forget(target) for target in targets}
        if unknown := [target for target, ids in found.items() if not ids]:
            raise ConfigError(
                f"nothing is forgotten under {', '.join(unknown)}",
                hint="give a record's key, or a file as `space/path`; `memferry explain` shows what is known",
            )
    undone = {id_ for ids in found.values() for id_ in ids}
    if not dry_run:
        agent.ingest_all(Scope())
        undone = {id_ for id_, seen in agent.catalog.seen(undone).items() if seen.seq > 0}
    return {"carried_again": len(undone)} | _told(agent, dry_run)


def _told(agent: Agent, dry_run: bool) -> Report:
    """Every backend, at once."""
    delivered = {} if dry_run else agent.deliver()
    backends = {name: {"error": one.error, "through": one.after} for name, one in delivered.items()}
    return {"dry_run": dry_run, "backends": backends, "exit_code": int(any(one.error for one in delivered.values()))}
