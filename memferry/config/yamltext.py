"""YAML text to plain values that remember where they stood, so that an error can name the line."""

from __future__ import annotations

import json
import os
from binascii import crc32
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from memferry.errors import ConfigError

if TYPE_CHECKING:
    import yaml

MAX_DEPTH = 100
"""Lists and mappings in one another. Composing calls itself for each, in C, until the stack is full and the process
dies."""


class Document(NamedTuple):
    """A parsed text. `lines`: place (`spaces[0].path`, empty for the whole) -> line, from 1."""

    value: object
    lines: Mapping[str, int]


def parse(text: str, file: str) -> Document:
    """Safe YAML: no tags that build objects. Raises ConfigError, also for a key that stands twice in one mapping."""
    import yaml

    loader_class: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _require_shallow(yaml.parse(text, loader_class), file)
        loader = loader_class(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return Document(None, {})
            lines = dict(_lines(node, "", file, set()))
            return Document(loader.construct_document(node), lines)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date like 2026-02-30
        raise _explained(error, file) from error


def _require_shallow(events: Iterable[Any], file: str) -> None:
    import yaml

    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1
            raise ConfigError(
                f"{file}, line {line}: more than {MAX_DEPTH} lists and mappings lie in one another",
                hint="look for brackets or braces that are not closed",
            )


def _lines(node: yaml.Node, place: str, file: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Every place below `node` with its line. `seen`: nodes that had their turn; an alias may lead back to one."""
    import yaml

    yield place, node.start_mark.line + 1
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in first:
                raise ConfigError(
                    f"{file}, line {line}: {_join(place, name)!r} stands twice, first in line {first[name]}",
                    hint="remove one of the two",
                )
            first[name] = line
            yield from _lines(value, _join(place, name), file, seen)
            yield _join(place, name), line
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _lines(item, f"{place}[{number}]", file, seen)


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _explained(error: Exception, file: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    at = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    problem = getattr(error, "problem", None) or str(error)
    hint = "mind the indentation, and quote texts with : or #"
    return ConfigError(f"{file}{at}: this is not YAML: {problem}", hint=hint)


# -- the last result, kept


class Memo:
    """`parse` that keeps its last result in a file, because importing a YAML parser takes as long as Python's start.

    A stored result counts only for exactly the same text; a damaged one is made again.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def parse(self, text: str, file: str) -> Document:
        stored = self._read(text)
        if stored is None:
            stored = parse(text, file)
            self._write(text, stored)
        return stored

    def _read(self, text: str) -> Document | None:
        with suppress(OSError, ValueError):
            with open(self._path, encoding="utf-8") as file:
                checksum, _, content = file.read().partition("\n")
            if int(checksum, 16) == crc32(content.encode()):
                stored_text, value, lines = json.loads(content)
                return Document(value, lines) if stored_text == text else None
        return None

    def _write(self, text: str, document: Document) -> None:
        """Only into a folder that is there, and only what JSON can say."""
        with suppress(OSError, TypeError, ValueError):
            content = json.dumps([text, *document])
            if json.loads(content)[1] != document.value:
                return
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(f"{crc32(content.encode()):08x}\n{content}")
