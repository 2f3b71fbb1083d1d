"""A space as the agent meets it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from memferry.config import Space
from memferry.formats import registry
from memferry.formats.base import Format
from memferry.policies.paths import PathRules, read_rules

FIND_IT = "mount its disk, create the folder on a new machine, or correct `path` in the configuration"
"""What to do about a space whose folder is not there."""


class Tree(NamedTuple):
    """`root`: resolved; `format`: how its files are read; `rules`: which of them are read at all."""

    name: str
    root: Path
    format: Format
    rules: PathRules


def tree_of(space: Space) -> Tree:
    """A space whose folder is there."""
    root = space.path.resolve()
    format_ = registry.by_name(space.format) if space.format else registry.recognise(_names(root))
    return Tree(space.name, root, format_, read_rules(root, space.exclude, space.include, opt_in=space.opt_in))


def _names(root: Path) -> list[str]:
    return sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in root.iterdir())
