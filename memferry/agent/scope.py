"""What a batch run is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from memferry.config import Space
from memferry.formats import registry
from memferry.formats.base import Kind
from memferry.formats.brand import ALL, SCOPES
from memferry.policies.paths import PathRules


class Scope(NamedTuple):
    """`only`: names of spaces, formats, or `space/path` files. `exclude`: gitignore patterns. `tags` are added to every
    record stored, `type` replaces its own. `force`: read everything again; `thorough`: compare every byte of what was
    read. `accept_deletions`: carry out what the guard refused. Empty `backends`: all.
    `contents`: `all`, or a part of brand memory (`formats.brand.SCOPES`)."""

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    type: str | None = None
    force: bool = False
    thorough: bool = False
    dry_run: bool = False
    accept_deletions: bool = False
    backends: tuple[str, ...] = ()
    contents: str = ALL


def is_about(scope: Scope, space: Space) -> bool:
    """Whether files of a space may be meant."""
    spaces = {name.partition("/")[0] for name in scope.only}
    formats = [space.format] if space.format else registry.formats_by_name()  # found by looking, when it is there
    return not scope.only or space.name in spaces or not set(scope.only).isdisjoint(formats)


def wanted(scope: Scope, space: str, format_name: str) -> Callable[[str, Kind], bool]:
    """Which files of a space it is about. `format_name`: of the space; a file may have another."""
    rules = PathRules(exclude=scope.exclude) if scope.exclude else None
    types = SCOPES.get(scope.contents)

    def is_wanted(file: str, kind: Kind) -> bool:
        if types is not None and kind.content_type not in types:
            return False
        if scope.only and not {space, format_name, kind.format, f"{space}/{file}"} & set(scope.only):
            return False
        return rules is None or rules.verdict(file) is None

    return is_wanted
