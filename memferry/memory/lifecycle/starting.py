"""init and validate: the verbs that are about the tree itself."""

from __future__ import annotations

from argparse import Namespace

from memferry.memory.lifecycle import founding, validating
from memferry.memory.lifecycle.records import Fields
from memferry.memory.lifecycle.turn import Turn


def init(turn: Turn, asked: Namespace) -> Fields:
    """What is missing of the tree is made; with --force the files in `_meta` are written anew."""
    founded = turn.founded
    if asked.force:
        founded = founded | {"written_meta": founding.missing(turn.root, force=True)["written_meta"]}
        turn.afterwards.append(lambda: founding.found(turn.root, force=True))
    return {"root": turn.root} | founded


def validate(turn: Turn, asked: Namespace) -> Fields:
    """The report on every line."""
    return validating.validate(turn.root, turn.seconds, strict=asked.strict)
