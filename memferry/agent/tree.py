"""A space as the agent meets it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from memferry.formats.base import Format
from memferry.policies.paths import PathRules


class Tree(NamedTuple):
    """`root`: resolved; `format`: how its files are read; `rules`: which of them are read at all."""

    name: str
    root: Path
    format: Format
    rules: PathRules
