"""YAML as front matter needs it: no anchors, aliases or tags, no key twice, and no text that UTF-8 cannot hold."""

from __future__ import annotations

import re

import yaml

_HALF_PAIR = re.compile(r"[\ud800-\udfff]")

ERRORS = (yaml.YAMLError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""What `load` raises where a text is no YAML."""


class NotPlain(Exception):
    """YAML beyond what front matter needs."""


def load(text: str) -> object:
    """Its value. Raises NotPlain, or one of ERRORS."""
    return yaml.load(text, _PlainLoader)


class _PlainLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise NotPlain("front matter uses anchors")
        if getattr(event, "tag", None) is not None:
            raise NotPlain("front matter uses tags")
        if isinstance(event, yaml.ScalarEvent) and _HALF_PAIR.search(event.value):  # written as an escape
            raise NotPlain("half of a surrogate pair")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        found: dict[object, object] = super().construct_mapping(node, deep=True)
        if len(found) != len(node.value):
            raise NotPlain("a key appears twice in the front matter")
        return found
