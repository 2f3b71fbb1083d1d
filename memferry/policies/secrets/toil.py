"""How much the engine is asked about at once.

Its rule for `curl -u ann:...` tries each `curl` with each `-u` of a call: a thousand of them in one call take a second,
and two thousand longer than it may take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from memferry.policies.secrets.views import View

MOST = 200
"""Commands in one call, which take it 30 ms. One text with more of them cannot be searched in time."""


class Toil(NamedTuple):
    """How often both halves of such a command stand in a text."""

    curls: int
    users: int

    @property
    def is_too_much(self) -> bool:
        return min(self) > MOST

    def and_that_of(self, other: Toil) -> Toil:
        return Toil(self.curls + other.curls, self.users + other.users)


NONE = Toil(0, 0)


def toil_of(view: View) -> Toil:
    return Toil(view.text.count("curl"), view.text.count("-u"))


def portions(pieces: Sequence[tuple[int, View]]) -> Iterator[Sequence[tuple[int, View]]]:
    """All of them, in order, in as many calls as it takes; only a piece that stands alone may be too much."""
    portion: list[tuple[int, View]] = []
    toil = NONE
    for piece in pieces:
        more = toil_of(piece[1])
        if portion and toil.and_that_of(more).is_too_much:
            yield portion
            portion, toil = [], NONE
        portion.append(piece)
        toil = toil.and_that_of(more)
    if portion:
        yield portion
