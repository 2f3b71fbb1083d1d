"""Settling a conflict: one content becomes current, the other versions lose for good, and every machine hears of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from memferry.agent.files.tree import Tree
from memferry.agent.outcome import Outcome
from memferry.agent.pulling import apply
from memferry.agent.pulling.planning import merged_here
from memferry.agent.report import Report, delivery_report
from memferry.agent.scope import Scope
from memferry.agent.service import Agent
from memferry.agent.state import clock
from memferry.errors import ConfigError, Halted
from memferry.formats.base import Whole
from memferry.model import Settle, Source

CURRENT, OTHER = "current", "other"
SEE = "`memferry conflicts` lists them"


class Conflict(NamedTuple):
    """One version that lost. `name`: its number in the list; `copy`: the file it is kept in, None for an entry;
    `written`: whether that was written; times since 1970."""

    name: int
    space: str
    key: str
    file: str
    machine: str
    hlc: str
    digest: str
    copy: str | None
    body: str
    since: float
    id: int
    written: int


def listed(agent: Agent) -> list[Conflict]:
    """All conflicts that are open here, the oldest first."""
    return [
        Conflict(*row) for row in agent.state.rows(f"select {', '.join(Conflict._fields)} from conflict order by name")
    ]


def described(agent: Agent, conflict: Conflict) -> dict[str, object]:
    """Both versions, for a person and for scripts. `time`: when the losing one was written, seconds since 1970."""
    rivals = agent.received.versions([conflict.id]).get(conflict.id)
    seen = agent.catalog.seen([conflict.id]).get(conflict.id)
    current = merged_here(agent.catalog, conflict.id, seen, rivals).current if rivals else None
    names = agent.machine_names()
    facts = {name: value for name, value in conflict._asdict().items() if name not in ("id", "written")}
    return facts | {
        "time": clock.seconds(conflict.hlc),
        "current": current
        and {
            "machine": names.get(current.machine, current.machine),
            "time": clock.seconds(current.hlc),
            "digest": current.digest,
            "body": current.text,
        },
    }


def find(agent: Agent, wanted: str) -> Conflict:
    """By number, `space/file`, the copy's name or a key. ConfigError: there is none, or more than one."""
    found = [
        one
        for one in listed(agent)
        if wanted in (str(one.name), f"{one.space}/{one.file}", f"{one.space}/{one.copy}", one.key)
    ]
    if not found:
        raise ConfigError(f"there is no conflict {wanted}", hint=SEE)
    if len(found) > 1:
        numbers = ", ".join(str(one.name) for one in found)
        raise ConfigError(f"there are {len(found)} conflicts about {wanted}: {numbers}", hint="give a number")
    return found[0]


def resolve(agent: Agent, conflict: Conflict, keep: str) -> None:
    """`keep`: `current`, `other` (as the copy says now, if somebody edited it), or the path of a file whose content is
    to be current. What is kept passes the policies as every edit does."""
    tree = agent.trees.get(conflict.space)
    if tree is None:
        raise ConfigError(f"space {conflict.space} is not there", hint="mount its disk, then try again")
    lost = agent.received.ops_with(conflict.id, conflict.digest)
    if keep != CURRENT and agent.catalog.redacted([conflict.id]):
        raise ConfigError(
            f"{conflict.space}/{conflict.file} holds what never left this machine, and nothing may write over it",
            hint="take over by hand what you want from the other version, then resolve with `--keep current`",
        )
    if keep != CURRENT:
        content = _other(tree, conflict) if keep == OTHER else _content_of(Path(keep))
        _make_current(agent, tree, conflict, content)
    _settle(agent, conflict, lost)


def _settle(agent: Agent, conflict: Conflict, ops: Sequence[tuple[str, int]]) -> None:
    """The versions that lost are rivals no more, here and wherever this is pulled; the copy goes."""
    with agent.state.transaction():
        agent.journal.append_ops([Settle(*agent.journal.next(), conflict.space, tuple(sorted(ops)))])
        agent.received.settle(ops)
        agent.received.mark([conflict.id])
    agent.reconcile().run()


def settle_removed(agent: Agent) -> int:
    """A copy that somebody deleted or renamed has served: its conflict is settled as the current version stands.
    Returns how many. Not where the folder it lay in is gone, too: that looks like a disk that is away."""
    settled = 0
    for conflict in listed(agent):
        tree = agent.trees.get(conflict.space)
        if tree is None or conflict.copy is None or not conflict.written:
            continue
        if (tree.root / conflict.file).exists() and not (tree.root / conflict.copy).exists():
            _settle(agent, conflict, agent.received.ops_with(conflict.id, conflict.digest))
            settled += 1
    return settled


def _other(tree: Tree, conflict: Conflict) -> bytes:
    if conflict.copy is not None and (edited := apply.content(tree.root, conflict.copy)):
        return edited
    return conflict.body.encode()


def _content_of(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        hint = "--keep is `current`, `other` or a file with the content to keep"
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=hint) from error


def _make_current(agent: Agent, tree: Tree, conflict: Conflict, content: bytes) -> None:
    kind = tree.kind(conflict.file)
    if kind is None or not isinstance(kind.reader, Whole):
        raise ConfigError(f"{conflict.file} is neither a document nor an array", hint=SEE)
    over = agent.catalog.versions(conflict.id)
    if conflict.copy is not None:
        apply.write_document(tree.root, conflict.file, content, over=over)
    else:
        source = Source(tree.name, conflict.file, kind.format)
        snapshot = kind.reader.parse(source, kind.reader.render([content.strip()], None))
        if snapshot is None or [record.key for record in snapshot.records] != [conflict.key]:
            raise ConfigError(f"that is not one entry with the id {conflict.key}", hint="give the entry as JSON")
        apply.edit_array(tree.root, source, kind.reader, {conflict.key: content.strip()}, (), {conflict.key: over})
    agent.ingest(tree, Scope(), Outcome(agent.journal.last_seq + 1))


def conflicts(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Versions that lost against another machine's and were kept. `resolve`: settle this one, and `keep` so."""
    _, halted = agent.ingest_all(Scope())
    settled = settle_removed(agent)
    agent.reconcile().run()
    if "resolve" not in arguments:
        found = [described(agent, one) for one in listed(agent)]
        return {"conflicts": found, "settled": settled, "exit_code": 0}
    if halted:
        raise Halted("; ".join(halted), hint="see `memferry status`; settle conflicts after that")
    chosen, keep = find(agent, str(arguments["resolve"])), str(arguments.get("keep", CURRENT))
    resolve(agent, chosen, keep)
    told = delivery_report(agent.deliver())
    resolved = {"space": chosen.space, "file": chosen.file, "key": chosen.key, "keep": keep}
    return {"resolved": resolved, "left": len(listed(agent))} | told
