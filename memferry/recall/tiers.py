"""Which tier answers: each needs more than the one below it, and finds more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from memferry.config import Config
from memferry.errors import ConfigError, EmbedderBroken
from memferry.recall.base import CORE, Tier

Make = Callable[[Config, Sequence[Path]], Tier]
"""From the configuration and the files of the index that are searched."""


class Installable(NamedTuple):
    """`make`: `module:function`; `needs`: modules that the extra brings."""

    make: str
    extra: str
    needs: Sequence[str]


TIERS = {
    "semantic": Installable("memferry.recall.static.tier:semantic", "semantic", ("numpy",)),
    "model": Installable("memferry.recall.embed.tier:model", "minilm", ("numpy",)),
}
"""Above `core`, the best one last."""


def chosen(config: Config, parts: Sequence[Path], name: str) -> Tier:
    """`best`: the best that is installed and works. Raises ConfigError for one that is not installed."""
    if name == "best":
        return _best(config, parts)
    if name == CORE.name:
        return CORE
    tier = TIERS.get(name)
    if tier is None or not _is_installed(tier):
        extra = tier.extra if tier else name
        raise ConfigError(f"the tier {name} is not installed", hint=f'pip install "memferry[{extra}]"')
    return _made(tier, config, parts)


def _best(config: Config, parts: Sequence[Path]) -> Tier:
    for tier in reversed(TIERS.values()):
        if _is_installed(tier):
            try:
                return _made(tier, config, parts)
            except EmbedderBroken:
                continue
    return CORE


def _is_installed(tier: Installable) -> bool:
    return all(find_spec(module) is not None for module in tier.needs)


def _made(tier: Installable, config: Config, parts: Sequence[Path]) -> Tier:
    module, _, function = tier.make.partition(":")
    make: Make = getattr(import_module(module), function)
    return make(config, parts)
