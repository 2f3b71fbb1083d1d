"""One rule of the user's, as a value. Imports next to nothing: every command reads the configuration."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Do: TypeAlias = Literal["hold", "redact", "allow"]
DOS: tuple[Do, ...] = ("hold", "redact", "allow")

SECRETS = "secrets."
"""Before the name of a finding, where it stands beside the names of other rules."""
BLOCK = "private-block"
"""What a rule calls a `<private>` block. Only a rule that says exactly this can be about one: it is a label."""


class Rule(NamedTuple):
    """One rule. Of each condition any value may match, of all conditions each must; an empty one asks nothing.

    `space`, `format`, `type`, `tags`, `scope`, `finding`: names, with `*` and `?`. `path`: patterns as in .gitignore.
    `label`: `name` or `name=value`. `text`: regular expressions (RE2); with `finding`, they look at what was found.
    `place`: file and line.
    """

    name: str
    do: Do
    reason: str = ""
    space: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    format: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    finding: tuple[str, ...] = ()
    place: str = ""


CONDITIONS = ("space", "path", "format", "type", "tags", "scope", "label", "text", "finding")
