"""The look before records of the index leave this machine, as before every try to send: what became private since it
was read must not leave. Reads files and databases only, in any thread. docs/adr/0010"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar

from memferry.agent.files import scan
from memferry.agent.files.tree import Tree, tree_of
from memferry.agent.state.files import stats_of
from memferry.config import Config
from memferry.errors import IndexBroken, SpaceMissing
from memferry.looking import SQLITE_ERRORS, looked_at, said
from memferry.places import DATABASE
from memferry.policies.own import Own
from memferry.recall.kept_here import kept_here

R = TypeVar("R", bound="Known")


class Known(Protocol):
    """A record of the index, or a passage of one."""

    @property
    def space(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def file(self) -> str: ...


def leaving(config: Config, records: Sequence[R]) -> list[R]:
    """Without what is held here by now, whoever wrote it, and what lies in a file that has changed or gone since it was
    read, that is excluded, or whose space cannot be read. Raises IndexBroken where nobody can say."""
    kept = kept_here(config.state, {(one.space, one.key) for one in records})
    files = {(one.space, one.file) for one in records}
    try:
        doubtful = {
            (space, file)
            for space in {space for space, _ in files}
            for file in _doubtful(config, space, [file for of, file in files if of == space])
        }
    except SQLITE_ERRORS as error:
        raise IndexBroken(f"the state cannot be read: {said(error)}", hint="run `memferry doctor`") from error
    return [one for one in records if (one.space, one.key) not in kept and (one.space, one.file) not in doubtful]


def _doubtful(config: Config, space: str, files: Sequence[str]) -> Collection[str]:
    """Of files of one space. Where this machine has none of that name, others wrote it, and no label here holds it."""
    before = _stats(config, space, files)
    found = next((one for one in config.spaces if one.name == space), None)
    if found is None:
        return before
    try:
        tree = tree_of(found, Own(config.own))
    except SpaceMissing:
        return files
    return [file for file in files if not _is_as_it_was(tree, file, before.get(file))]


def _is_as_it_was(tree: Tree, file: str, before: scan.Stat | None) -> bool:
    if tree.rules.verdict(file) is not None:
        return False
    now = scan.stat_at(tree.root, file)
    return now is None if before is None else now is not None and before in (now, now.doubted)


def _stats(config: Config, space: str, files: Sequence[str]) -> dict[str, scan.Stat]:
    sql = (
        "select path, stat from file where space = ? and not gone and stat is not null"
        " and path in (select value from json_each(?))"
    )
    with looked_at(str(config.state / DATABASE)) as database:
        return stats_of(database.execute(sql, (space, json.dumps(files))).fetchall())
