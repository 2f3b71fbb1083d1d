"""What a batch run is about."""

from __future__ import annotations

from typing import NamedTuple

from memferry.formats.brand import ALL


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
