"""One value of a settings file and its place, so that a complaint can name both and the nearest right word."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from memferry.errors import ConfigError

# ":" would be a stream of a file on Windows, "@" parts a shard's name, "/" parts `space/file`.
NAME = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")
NAME_RULE = "letters (a-z), digits, '.', '_' and '-', at most 64, no dot at either end"


class Node(NamedTuple):
    """A value of the document, with what is needed to complain about it."""

    value: Any
    place: str
    lines: Mapping[str, int]
    file: Path

    @property
    def where(self) -> str:
        """File and line."""
        line = self.lines.get(self.place)
        return f"{self.file}, line {line}" if line else str(self.file)

    def error(self, problem: str, hint: str = "") -> ConfigError:
        at = self.where
        return ConfigError(f"{at}: {self.place}: {problem}" if self.place else f"{at}: {problem}", hint=hint)

    def fields(self, *known: str, required: Sequence[str] = ()) -> dict[str, Node]:
        """The mapping's values by key, none of them unknown, nothing required missing."""
        found = self.mapping()
        for key in found:
            if key not in known:
                raise found[key].error(f"there is no setting {key!r} here", nearest(key, known))
        missing = [key for key in required if key not in found]
        if missing:
            raise self.error(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing", "add it")
        return found

    def mapping(self) -> dict[str, Node]:
        if not isinstance(self.value, dict):
            raise self._mistyped("settings as `name: value` lines")
        found = {}
        for key, value in self.value.items():
            node = self._replace(value=value, place=f"{self.place}.{key}" if self.place else str(key))
            if not isinstance(key, str):
                raise node.error("its name is not text", f"quote it: '{key}'")
            found[key] = node
        return found

    def items(self) -> list[Node]:
        if not isinstance(self.value, list):
            raise self._mistyped("a list")
        return [self._replace(value=item, place=f"{self.place}[{n}]") for n, item in enumerate(self.value)]

    def text(self) -> str:
        if not isinstance(self.value, str) or not self.value.strip() or "\0" in self.value:
            raise self._mistyped("text, quoted if it looks like something else")
        return self.value

    def texts(self) -> tuple[str, ...]:
        return tuple(item.text() for item in self.items())

    def one_or_more(self) -> tuple[str, ...]:
        """A text, or a list of texts that is not empty."""
        if not isinstance(self.value, list):
            return (self.text(),)
        if not self.value:
            raise self.error("must not be empty", "give a text or a list of texts, or remove the line")
        return self.texts()

    def among(self, known: Sequence[str]) -> str:
        """One of these words."""
        text = self.text()
        if text not in known:
            raise self.error(f"cannot be {text!r}", nearest(text, known))
        return text

    def name(self) -> str:
        text = self.text()
        if not NAME.fullmatch(text):
            raise self.error(f"{text!r} cannot be a name", f"use {NAME_RULE}")
        return text

    def path(self) -> Path:
        return Path(os.path.normpath(self.file.parent / os.path.expanduser(self.text())))

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self._mistyped("true or false")
        return self.value

    def number(self, kind: type[int | float]) -> int | float:
        """A whole number for `int`, any for `float`; neither negative nor endless."""
        fits = isinstance(self.value, int) or (kind is float and isinstance(self.value, float))
        if not fits or isinstance(self.value, bool):
            raise self._mistyped("a whole number" if kind is int else "a number")
        if not 0 <= self.value < 1e15:
            raise self.error("must be 0 or more", "remove the line to use the default")
        return kind(self.value)

    def _mistyped(self, wanted: str) -> ConfigError:
        found = "nothing" if self.value is None else _KINDS.get(type(self.value), type(self.value).__name__)
        return self.error(f"must be {wanted}, and is {found}", "see docs/configuration.md")


_KINDS = {dict: "settings", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


def nearest(word: str, known: Sequence[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
