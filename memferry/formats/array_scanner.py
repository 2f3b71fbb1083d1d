"""Where the elements of a JSON array begin and end in its text, each parsed once and checked by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from memferry.formats.strict_json import Unreadable, check_value, finite, refuse, unique

_BLANK = re.compile(r"[ \t\r\n]*")
_Part = TypeVar("_Part")
_Value = TypeVar("_Value")


class Element(NamedTuple):
    """`start`..`end` in the text, its value, and why that cannot be trusted, if so."""

    start: int
    end: int
    value: object
    problem: str | None


class Found(NamedTuple):
    """A whole file. `elements`: of the array, None where it has no such shape and all is one `value`. `inside`: right
    behind the opening bracket. `members`: what else the object around the array holds."""

    elements: list[Element] | None
    inside: int
    members: dict[str, object]
    value: object
    problem: str | None


def scan(text: str) -> Found:
    """An array, an object with an array under `entries`, or another value.

    Unreadable where the text is no JSON, or where what surrounds the entries is ambiguous.
    """
    try:
        return _Scanner(text).file()
    except json.JSONDecodeError:
        raise Unreadable("not JSON") from None
    except RecursionError:
        raise Unreadable("nested too deeply") from None


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._problem: str | None = None
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._noted(unique, dict),
            parse_float=self._noted(finite, lambda number: 0.0),
            parse_int=self._noted(int, lambda number: 0),
            parse_constant=self._noted(refuse, lambda constant: None),
        )

    def file(self) -> Found:
        at = self._blank(0)
        if self._text.startswith("[", at):
            elements, end = self._array(at + 1)
            found = Found(elements, at + 1, {}, None, None)
        else:
            whole = self._element(at)
            end = whole.end
            found = Found(None, 0, {}, whole.value, whole.problem)
            if type(whole.value) is dict and type(whole.value.get("entries")) is list:
                found = self._object(at + 1)
        if self._blank(end) != len(self._text):
            raise json.JSONDecodeError("more than one value", self._text, end)
        return found

    def _object(self, at: int) -> Found:
        """The members of an object known to be well-formed. Found: as above."""
        pairs: list[tuple[str, object]] = []
        elements: list[Element] = []
        inside = 0
        at = self._blank(at)
        while not self._text.startswith("}", at):
            key, at = self._decoder.raw_decode(self._text, at)
            at = self._blank(self._blank(at) + 1)
            if key == "entries":
                inside = at + 1
                elements, at = self._array(inside)
                pairs.append((key, None))
            else:
                member = self._element(at)
                if member.problem is not None:
                    raise Unreadable(member.problem)
                pairs.append((key, member.value))
                at = member.end
            at = self._blank(at)
            at = self._blank(at + 1) if self._text.startswith(",", at) else at
        members = unique(pairs)
        del members["entries"]
        return Found(elements, inside, members, None, None)

    def _array(self, at: int) -> tuple[list[Element], int]:
        """The elements from `at`, right behind the bracket, and where the array ends."""
        elements: list[Element] = []
        at = self._blank(at)
        if self._text.startswith("]", at):
            return elements, at + 1
        while True:
            elements.append(self._element(at))
            at = self._blank(elements[-1].end)
            if self._text.startswith("]", at):
                return elements, at + 1
            if not self._text.startswith(",", at):
                raise json.JSONDecodeError("an array without an end", self._text, at)
            at = self._blank(at + 1)

    def _element(self, at: int) -> Element:
        self._problem = None
        value, end = self._decoder.raw_decode(self._text, at)
        problem = self._problem
        if problem is None:
            try:
                check_value(value, self._text[at:end])
            except Unreadable as exc:
                problem = exc.reason
        return Element(at, end, value, problem)

    def _blank(self, at: int) -> int:
        found = _BLANK.match(self._text, at)
        return found.end() if found else at

    def _noted(
        self, strict: Callable[[_Part], _Value], lenient: Callable[[_Part], _Value]
    ) -> Callable[[_Part], _Value]:
        """A hook that goes on where `strict` refuses: one bad element is no reason to lose the others."""

        def read(part: _Part) -> _Value:
            try:
                return strict(part)
            except Unreadable as exc:
                self._problem = exc.reason
            except ValueError:
                self._problem = "a number is too long"
            return lenient(part)

        return read
