"""A space as the agent meets it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from memferry.agent.files import scan
from memferry.config import Space
from memferry.formats import registry
from memferry.formats.base import Format, Kind
from memferry.formats.files import FORMAT as BY_SUFFIX
from memferry.policies.own import Own
from memferry.policies.paths import PathRules, read_rules

FIND_IT = "mount its disk, create the folder on a new machine, or correct `path` in the configuration"
"""What to do about a space whose folder is not there."""


class Tree(NamedTuple):
    """`root`: resolved; `format`: how its files are read; `rules`: which of them are read at all."""

    name: str
    root: Path
    format: Format
    rules: PathRules

    def kind(self, file: str) -> Kind | None:
        """How a file is read; None: it is none that the format carries, nor one that was asked for by name. That one is
        read by what it looks like."""
        return self.format.kind(file) or (BY_SUFFIX.kind(file) if self.rules.includes(file) else None)

    def leaves_out(self, file: str) -> bool:
        """Whether a file that was read is not carried any more. One that is gone was read by the rules of its time."""
        return (self.rules.verdict_here if os.path.lexists(self.root / file) else self.rules.verdict)(file) is not None


def tree_of(space: Space, own: Own) -> Tree:
    """A space whose folder is there. `own`: what is memferry's on this machine. Raises SpaceMissing where it cannot be
    read: then nobody knows how, nor what is to stay at home."""
    root = space.path.resolve()
    names = entries_of(root)
    format_ = registry.by_name(space.format) if space.format else registry.recognise(names)
    rules = read_rules(root, space.exclude, space.include, opt_in=space.opt_in, own=own)
    return Tree(space.name, root, format_, rules)


def entries_of(root: Path) -> list[str]:
    """By name, those of folders with a `/` behind, as `registry.recognise` wants them. Raises SpaceMissing."""
    try:
        with os.scandir(root) as entries:
            names = sorted(f"{entry.name}/" if os.path.isdir(entry.path) else entry.name for entry in entries)
        os.stat(os.path.join(root, os.curdir))  # names may be told where nothing else is
    except OSError as error:
        raise scan.missing(root, error) from error
    return names
