"""Many records with vectors, without the hour that a model takes to read them: it reads some, and the others get copies
of what it made of those. How long a question takes does not depend on what the vectors say.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.figures import Figure
from memferry.agent.commands import verbs
from memferry.agent.service import opened
from memferry.config import Config
from memferry.recall.embed import wire
from memferry.recall.embed.child import Worker, shared
from memferry.recall.embed.minilm import HERE
from memferry.recall.embed.registry import of_settings
from memferry.recall.local import INDEX
from memferry.recall.vectors import Packed, Vectors, beside

READ = 1000
"""Records that the model reads itself."""
AT_ONCE = 256
"""Texts that the model gets at once where nothing else is to be done."""


class _Spent(NamedTuple):
    """`worked_s`: processor time of this process and of those that it ended meanwhile."""

    seconds: float
    worked_s: float


def known_words() -> list[str]:
    """Whole words of MiniLM, the most frequent first: of others it makes several tokens each."""
    pieces = (HERE / "vocabulary.txt").read_text("utf-8").split()
    return [piece for piece in pieces if len(piece) > 1 and piece.isalpha() and piece.isascii()]


def made(config: Config, read: int = READ) -> Iterator[Figure]:
    """Vectors of `read` records, the model alone with the same texts in the same minute, and copies for the others."""
    spent = _spent(lambda: _embed(config, read))
    alone = _spent(lambda: _model_alone(config, read))
    yield Figure("vectors made", read / spent.seconds, "records/s", "the model alone", read / alone.seconds)
    yield Figure(
        "  the same by processor time", read / spent.worked_s, "records/s", "the model alone", read / alone.worked_s,
        at_least=0.9,
    )  # fmt: skip
    _copy(config)
    yield Figure("  file of vectors", _path(config).stat().st_size / 1e6, "MB")


def _embed(config: Config, read: int) -> None:
    with opened(config, "index") as agent:
        verbs.perform(agent, "index", {"embed": read})
    shared(of_settings(config.recall), config.state, config.recall.idle_s).close()


def _model_alone(config: Config, read: int) -> None:
    """As many other texts, all of them there at once."""
    with contextlib.closing(_vectors(config)) as vectors:
        texts = [one.text for one in vectors.unread(read)]
    with contextlib.closing(Worker(of_settings(config.recall))) as worker:
        for at in range(0, len(texts), AT_ONCE):
            worker.call(wire.Read(texts[at : at + AT_ONCE]), wire.Readings)


def _copy(config: Config) -> None:
    """Give what has no vectors yet those of others, in turn."""
    with contextlib.closing(sqlite3.connect(_path(config))) as database:
        made = database.execute(
            "select vector, ifnull(packed, x'') from passage left join tokens using (id)"
        ).fetchall()
    packed = itertools.cycle(itertools.starmap(Packed, made))
    with contextlib.closing(_vectors(config)) as vectors:
        while unread := vectors.unread(AT_ONCE):
            vectors.add([(one, next(packed)) for one in unread])


def _vectors(config: Config) -> Vectors:
    return Vectors(_path(config), config.state / INDEX)


def _path(config: Config) -> Path:
    return beside(config.state / INDEX, of_settings(config.recall).label)


def _spent(work: Callable[[], object]) -> _Spent:
    started, worked = time.perf_counter(), _worked_s()
    work()
    return _Spent(time.perf_counter() - started, _worked_s() - worked)


def _worked_s() -> float:
    return sum(os.times()[:4])
