"""What a person may mean by a name: a file, a record, or a whole space. A space that is no longer configured can be
named, too: the state still knows what it sent of it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from memferry.agent.service import Agent
from memferry.agent.state.known import FOREIGN, Seen
from memferry.config.node import nearest
from memferry.errors import ConfigError
from memferry.formats import registry

Counts = Callable[[Seen], bool]
HINT = (
    "give a record's key, `space:key`, or a file as its path or as `space/path`; `memferry explain` shows what is known"
)


class Meant(NamedTuple):
    """Records that a name may stand for. `name`: what stands for these alone. `key`: theirs, if one was named;
    `is_whole`: whether they are all that was stored of a space."""

    name: str
    space: str
    ids: Sequence[int]
    key: str | None = None
    is_whole: bool = False


class Target(NamedTuple):
    """A record, for a person to recognise; never its content. `key`: None where only the machine that wrote it can
    tell it."""

    space: str
    file: str
    key: str | None


def spaces(agent: Agent) -> list[str]:
    """What can be named: spaces that are there, then those that are no longer configured."""
    configured = {space.name for space in agent.config.spaces}
    return [*agent.trees, *sorted(agent.catalog.files.spaces() - configured)]


def located(agent: Agent, target: str) -> tuple[str, str] | None:
    """Space and file, of `space/path` or of a path from the root of the disk."""
    space, _, file = target.partition("/")
    if file and space in spaces(agent):
        return space, file
    path = Path(target).expanduser()
    if not path.is_absolute():
        return None
    for one in (path, path.parent.resolve() / path.name):  # a space's folder may be reached by a link
        for tree in agent.trees.values():
            if one.is_relative_to(tree.root):
                return tree.name, one.relative_to(tree.root).as_posix()
    return None


def keyed(agent: Agent, target: str) -> Iterator[tuple[str, str]]:
    """Space and key of what a target may name, known or not: a key anywhere, or `space:key`."""
    named = spaces(agent)
    yield from ((space, target) for space in named)
    space, colon, key = target.partition(":")
    if colon and space in named:
        yield space, key


def only_meant(
    agent: Agent, target: str, in_file: Callable[[str, str], Iterable[int]], counts: Counts, *, asked: str = "known"
) -> Meant:
    """What a target stands for. ConfigError: for nothing, or it may be more than one thing. A file comes before keys.
    `in_file`: records by space and file; `counts`: which of them are asked for, in a word `asked`."""
    place = located(agent, target)
    if place is not None:
        space, file = place
        stored = _counting(agent, {agent.fingerprint.key(space, file), *in_file(space, file)}, counts)
        if stored:
            return Meant(f"{space}/{file}", space, stored)
    found = [*_of_space(agent, target, counts), *_of_keys(agent, target, counts)]
    if not found:
        raise ConfigError(f"nothing is {asked} under {target}", hint=_why_not(agent, target))
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise ConfigError(f"{target} may be one of {len(found)}: {names}", hint="name the one you mean like that")
    return found[0]


def _of_space(agent: Agent, target: str, counts: Counts) -> Iterator[Meant]:
    name = target.removesuffix("/")
    is_former = name in spaces(agent) and name not in agent.trees
    if is_former and (stored := _counting(agent, agent.catalog.files.stored_of(name), counts)):
        yield Meant(f"{name}/", name, stored, is_whole=True)


def _of_keys(agent: Agent, target: str, counts: Counts) -> Iterator[Meant]:
    for space, key in keyed(agent, target):
        if stored := _counting(agent, [agent.fingerprint.key(space, key)], counts):
            is_file = bool(agent.catalog.files.named(space, key))
            yield Meant(f"{space}/{key}" if is_file else f"{space}:{key}", space, stored, key)


def _counting(agent: Agent, ids: Iterable[int], counts: Counts) -> list[int]:
    return [id_ for id_, seen in agent.catalog.seen(set(ids)).items() if counts(seen)]


def _why_not(agent: Agent, target: str) -> str:
    space = target.partition("/")[0]
    if space in agent.trees and not target.partition("/")[2]:
        return f"{space} is a space: name a file of it, or take it out of the configuration first"
    for one in agent.missing:
        if one.name == space:
            why = agent.why_missing(one)
            return f"{why}: {why.hint}"
    return HINT


def targets(agent: Agent, some: Iterable[Meant]) -> list[Target]:
    """The records that these stand for, each once."""
    found: dict[int, Target] = {}
    for meant in some:
        seen = agent.catalog.seen(meant.ids)
        puts = agent.journal.puts([one.seq for one in seen.values() if one.seq > 0])
        foreign = agent.received.places([id_ for id_, one in seen.items() if one.seq == FOREIGN])
        for id_, one in seen.items():
            if put := puts.get(one.seq):
                found[id_] = Target(put.space, put.file, put.key)
            else:
                file, key = foreign.get(id_, ("", None))
                found[id_] = Target(meant.space, file, key or meant.key)
    return sorted(found.values(), key=lambda one: (one.space, one.file, one.key or ""))


def require_about(agent: Agent, names: Iterable[str]) -> None:
    """Raises ConfigError for a name that is no space, no format, and no file that is in a space or was: what it was
    meant for would not be carried, and nobody would notice."""
    known = [*(space.name for space in agent.config.spaces), *registry.formats_by_name()]
    for name in names:
        space, _, file = name.partition("/")
        if file and space in known:
            _require_file(agent, space, file)
        elif name not in known:
            raise ConfigError(f"there is no space, format or `space/file` called {name}", hint=nearest(name, known))


def _require_file(agent: Agent, space: str, file: str) -> None:
    """One that was there once is no mistake; and where the space is not there, that is said."""
    tree = agent.trees.get(space)
    if tree is None or (tree.root / file).is_file() or agent.catalog.files.named(space, file):
        return
    near = difflib.get_close_matches(file, agent.catalog.files.stats(space), n=1)
    hint = f"did you mean {space}/{near[0]}?" if near else f"give it as it is called below {tree.root}"
    raise ConfigError(f"there is no file {file} in space {space}", hint=hint)


def require_space(agent: Agent, name: str) -> None:
    """Raises ConfigError for a space that is not configured, and never was."""
    known = spaces(agent) + [space.name for space in agent.missing]
    if name not in known:
        raise ConfigError(f"there is no space {name}", hint=nearest(name, known))
