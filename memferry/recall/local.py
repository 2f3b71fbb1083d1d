"""The index of this machine, opened for questions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from memferry.config import Config
from memferry.errors import IndexBroken
from memferry.recall import tiers
from memferry.recall.kept_here import kept_here
from memferry.recall.layout import HELD as HELD
from memferry.recall.layout import INDEX as INDEX
from memferry.recall.layout import REBUILD
from memferry.recall.lookup import Reader
from memferry.recall.search import Searcher


def parts(state: Path, *, shareable: bool) -> list[Path]:
    """The files to search; `shareable`: without what is held."""
    return [state / INDEX] if shareable else [state / INDEX, state / HELD]


def searcher(config: Config, *, shareable: bool, tier: str | None = None) -> Searcher:
    """Reads what the index holds now, and later what it holds then; any number of processes may. `shareable`: without
    what is held, also where another machine wrote it and it is held only here. `tier`: instead of the configured one.
    Raises IndexBroken where there is no index, ConfigError for a tier that is not installed."""
    paths = parts(config.state, shareable=shareable)
    chosen = tiers.chosen(config, paths, tier or config.recall.tier)
    kept = partial(kept_here, config.state) if shareable else None
    return Searcher(_readers(paths), chosen, config.recall, kept=kept)


def _readers(paths: Sequence[Path]) -> list[Reader]:
    found: list[Reader] = []
    for path in paths:
        if not path.exists():
            raise IndexBroken(f"{path} is not there", hint=REBUILD)
        found.append(Reader(path))
    return found
