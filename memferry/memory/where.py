"""Which folder a command on entries is about: a configured space, or a `spark-memory` of the project around."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from memferry.config import Config, Space
from memferry.errors import ConfigError

FOLDER = "spark-memory"
FORMAT = "entries"


class Home(NamedTuple):
    """A folder of topics. `space`: its name, None where no configuration has it and so nothing carries it."""

    folder: Path
    space: str | None


def home(config: Config | None, here: Path, wanted: str | None = None) -> Home:
    """Where entries are kept: the space `wanted`, the only one there is, or of several the one whose project `here`
    lies in. Without any: see `project`. Raises ConfigError where that leaves a choice."""
    spaces = () if config is None else homes(config)
    if wanted is not None:
        return _named(spaces, wanted)
    if len(spaces) == 1:
        return spaces[0]
    around = [
        one for one in spaces if one.folder.parent in (here, *here.parents) or one.folder in (here, *here.parents)
    ]
    if around:
        return max(around, key=lambda one: len(one.folder.parts))
    if spaces:
        names = ", ".join(str(one.space) for one in spaces)
        raise ConfigError("several spaces hold entries", hint=f"say which with --space: {names}")
    return Home(project(here), None)


def homes(config: Config) -> Sequence[Home]:
    """Every configured space that holds topics."""
    return [Home(space.path, space.name) for space in config.spaces if _holds_topics(space)]


def project(here: Path) -> Path:
    """The nearest `spark-memory` above; else where one belongs: at the top of the repository, or here."""
    way = (here, *here.parents)
    for folder in way:
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    return next((folder for folder in way if (folder / ".git").exists()), here) / FOLDER


def _holds_topics(space: Space) -> bool:
    return space.format == FORMAT or (space.format is None and space.path.name == FOLDER)


def _named(spaces: Iterable[Home], wanted: str) -> Home:
    names = {one.space: one for one in spaces}
    if wanted in names:
        return names[wanted]
    known = ", ".join(str(name) for name in names) or "none is configured"
    raise ConfigError(f"there is no space {wanted!r} of format entries", hint=f"spaces of entries: {known}")
