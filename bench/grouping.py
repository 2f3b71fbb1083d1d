"""`python -m bench.grouping`: how well a digest tells what is about the same, by words and with a model beside them.

LoCoMo (snap-research/LoCoMo, `locomo10.json`, CC BY-NC: not part of this project) has observations, each with the turns
of the conversation that it was made from. Such a pair says the same; any other observation and turn of the conversation
count as different, also where both are about one thing: the share of wrong pairs is an upper limit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from memferry.memory.grouping import Related, by_words
from memferry.memory.meaning import MEASURED, ByMeaning
from memferry.recall.embed.registry import choose, made

CHOSEN_ON = 2
"""Conversations on which the bounds were chosen; the others are reported apart."""


class Material(NamedTuple):
    """`texts`: the observations, then the turns. `same`: pairs of their numbers, the smaller first."""

    texts: Sequence[str]
    observations: int
    same: frozenset[tuple[int, int]]


class Found(NamedTuple):
    """Of all pairs of an observation and a turn: how many were found of those that say the same, and of the others."""

    same: int
    found: int
    others: int
    wrong: int

    def __str__(self) -> str:
        right = self.found / max(1, self.found + self.wrong)
        return (
            f"{self.found / self.same:.3f} of the same, {self.wrong / self.others:.5f} of the others, {right:.3f} right"
        )


def material(conversation: Mapping[str, Any]) -> Material:
    """One conversation of LoCoMo."""
    turns = {
        turn["dia_id"]: f"{turn['speaker']}: {turn['text']}"
        for name, session in conversation["conversation"].items()
        if name.startswith("session_") and isinstance(session, list)
        for turn in session
    }
    made_from = [(text, [id_ for id_ in ids if id_ in turns]) for text, ids in _observations(conversation)]
    made_from = [(text, ids) for text, ids in made_from if ids]
    used = sorted({id_ for _, ids in made_from for id_ in ids})
    number = {id_: len(made_from) + at for at, id_ in enumerate(used)}
    same = frozenset((at, number[id_]) for at, (_, ids) in enumerate(made_from) for id_ in ids)
    return Material([*(text for text, _ in made_from), *(turns[id_] for id_ in used)], len(made_from), same)


def _observations(conversation: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for session in conversation["observation"].values():
        for said in session.values():
            for text, ids in (pair for pair in said if len(pair) == 2):
                yield text, ids if isinstance(ids, list) else [ids]


def measured(related: Related, conversations: Iterable[Material]) -> Found:
    """Over all of them."""
    total = Found(0, 0, 0, 0)
    for one in conversations:
        pairs = {pair for pair in related(one.texts) if pair[0] < one.observations <= pair[1]}
        others = one.observations * (len(one.texts) - one.observations) - len(one.same)
        found = len(pairs & one.same)
        counted = (len(one.same), found, others, len(pairs) - found)
        total = Found._make(before + more for before, more in zip(total, counted, strict=True))
    return total


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser("python -m bench.grouping", description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--locomo", type=Path, required=True, metavar="FILE", help="locomo10.json")
    parser.add_argument("--model", choices=MEASURED, default="minilm")
    parser.add_argument("--conversations", type=int, default=10, metavar="N", help="the first N (default 10)")
    arguments = parser.parse_args(argv)
    conversations = [
        material(one) for one in json.loads(arguments.locomo.read_text("utf-8"))[: arguments.conversations]
    ]
    embedder = made(choose(arguments.model))
    ways: dict[str, Related] = {
        "words": by_words,
        f"words and {arguments.model}": ByMeaning(embedder.embed_documents, MEASURED[arguments.model]),
    }
    for part, some in (("chosen on", conversations[:CHOSEN_ON]), ("others", conversations[CHOSEN_ON:])):
        for name, related in ways.items():
            sys.stdout.write(f"{part} ({len(some)}), {name}: {measured(related, some)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
