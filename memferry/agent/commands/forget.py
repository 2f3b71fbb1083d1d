"""forget: withdraw records everywhere, and keep them away; or carry them again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from memferry.agent.commands import naming
from memferry.agent.commands.naming import Meant
from memferry.agent.intake.sync import Guard
from memferry.agent.recovery import lost
from memferry.agent.report import Report, delivery_report
from memferry.agent.scope import Scope
from memferry.agent.service import Agent
from memferry.agent.state.known import FOREIGN, FORGOTTEN, Seen
from memferry.errors import Halted


def forget(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Withdraw records everywhere, by key, by file or by a space that is no longer configured, and keep them away
    although they stay in their files; `undo`: carry those again."""
    names, dry_run = list(arguments["targets"]), bool(arguments.get("dry_run"))
    agent.ingest_all(Scope(dry_run=dry_run))
    if arguments.get("undo"):
        return _undo_forget(agent, names, dry_run)
    with agent.state.rehearsal() if dry_run else agent.state.transaction():
        meant = [naming.only_meant(agent, name, partial(come_from, agent), _is_stored) for name in names]
        if not (dry_run or arguments.get("accept_deletions")):
            _refuse_whole_spaces(agent, meant)
        told = naming.targets(agent, meant)
        count = sum(agent.withdrawal.forget(space, ids) for space, ids in _together(meant).items())
    if not dry_run:
        agent.finish_forgetting()
    return {"withdrawn": count, "targets": [one._asdict() for one in told]} | _told(agent, dry_run)


def come_from(agent: Agent, space: str, path: str) -> set[int]:
    """Records of which a version stood in a file, also where the current one stands in another."""
    ids = set(agent.received.written_to(space, path))
    for file in agent.catalog.files.named(space, path):
        versions = agent.journal.read_from(file, space, path)
        keys = {seq: agent.fingerprint.key(space, key) for seq, key in versions.items()}
        current = {seen.seq for seen in agent.catalog.seen(set(keys.values())).values()}
        # A current version lies where its place says: its file may have had this name when it was sent.
        ids.update(agent.catalog.files.lying_in(file), (id_ for seq, id_ in keys.items() if seq not in current))
    return ids


def _is_stored(seen: Seen) -> bool:
    return seen.seq > 0 or seen.seq == FOREIGN


def _refuse_whole_spaces(agent: Agent, meant: Iterable[Meant]) -> None:
    """As where most of a space vanishes at once: somebody must say that it is meant."""
    limits = agent.config.agent.deletion_guard
    guard = Guard(limits.fraction, limits.count)
    for one in meant:
        if one.is_whole and guard.refuses(len(one.ids), len(one.ids)):
            raise Halted(
                f"{one.name} stands for all that was stored of space {one.space} ({len(one.ids):,} records)",
                hint="--dry-run lists them; --accept-deletions withdraws them everywhere",
            )


def _together(meant: Iterable[Meant]) -> Mapping[str, Sequence[int]]:
    """The records of each space, once, however many names they had."""
    ids: defaultdict[str, dict[int, None]] = defaultdict(dict)
    for one in meant:
        ids[one.space] |= dict.fromkeys(one.ids)
    return {space: list(some) for space, some in ids.items()}


def _undo_forget(agent: Agent, names: Sequence[str], dry_run: bool) -> Report:
    with agent.state.rehearsal() if dry_run else agent.state.transaction():
        found = [_forgotten(agent, name) for name in names]
        undone = {id_ for space, ids in _together(found).items() for id_ in agent.withdrawal.undo(space, ids)}
    if not dry_run:
        agent.ingest_all(Scope())
        undone = {id_ for id_, seen in agent.catalog.seen(undone).items() if seen.seq > 0}
    return {"carried_again": len(undone)} | _told(agent, dry_run)


def _forgotten(agent: Agent, name: str) -> Meant:
    """Records that were forgotten under a key, or stand in a file now."""

    def in_file(space: str, path: str) -> Iterable[int]:
        return lost.bygone(agent, agent.trees[space]).ids_in(path) if space in agent.trees else ()

    return naming.only_meant(agent, name, in_file, lambda seen: seen.seq == FORGOTTEN, asked="forgotten")


def _told(agent: Agent, dry_run: bool) -> Report:
    """Every backend, at once."""
    return {"dry_run": dry_run} | delivery_report({} if dry_run else agent.deliver())
