"""Finds formats by looking: a module of `memferry.formats` that offers `FORMAT` is one."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from functools import cache

from memferry import formats
from memferry.errors import ConfigError
from memferry.formats import files
from memferry.formats.base import Format


@cache
def formats_by_name() -> Mapping[str, Format]:
    """All formats there are, by name."""
    modules = (
        importlib.import_module(f"{formats.__name__}.{found.name}") for found in pkgutil.iter_modules(formats.__path__)
    )
    offered: list[Format] = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {one.name: one for one in sorted(offered, key=lambda one: one.name)}


def by_name(name: str) -> Format:
    """The format of this name; ConfigError names the nearest one."""
    known = formats_by_name()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"one of: {', '.join(known)}"
    raise ConfigError(f"there is no format called {name!r}", hint=hint)


def recognise(root_names: Sequence[str]) -> Format:
    """The format of a space, by the entries of its top folder (folders end in `/`); file by file when none knows it."""
    return next((one for one in formats_by_name().values() if one.recognises(root_names)), files.FORMAT)
