"""Long work in several turns, so that whoever captures something meanwhile need not wait for all of it."""

from __future__ import annotations

from argparse import Namespace

from memferry.memory.lifecycle.records import Fields
from memferry.memory.lifecycle.turn import Memory, Verb

SLICE = 2000


def perform(memory: Memory, verb: Verb, asked: Namespace, *, dry_run: bool) -> Fields:
    """What `Memory.perform` does, at most SLICE events in a turn. `verb`: distill or reduce."""
    if dry_run or asked.limit <= SLICE:
        return memory.perform(verb, asked, dry_run=dry_run)
    total = memory.perform(verb, _of(asked, SLICE))
    left, scanned = asked.limit - SLICE, total["scanned"]
    while left and scanned == SLICE:
        more = memory.perform(verb, _of(asked, min(SLICE, left)))
        left, scanned = left - min(SLICE, left), more["scanned"]
        _add(total, more)
    if getattr(asked, "reindex", False):
        total["index"] = memory.perform(verb, Namespace(**vars(asked) | {"limit": 0}))["index"]
    return total


def _of(asked: Namespace, limit: int) -> Namespace:
    return Namespace(**vars(asked) | {"limit": limit, "reindex": False})


def _add(total: Fields, more: Fields) -> None:
    """Counts and lists of a further turn."""
    for name, value in more.items():
        if name == "notices":
            total[name] = list(dict.fromkeys([*total.get(name, []), *value]))  # each turn meets the same half lines
        elif isinstance(value, int | list):
            total[name] += value
