"""Bringing vectors up with the index: behind the sync, a few records at a time, the newest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import TypeAlias

from memferry.progress import Progress, silent
from memferry.recall.embed import wire
from memferry.recall.embed.child import Worker
from memferry.recall.index import PASSAGE_BITS
from memferry.recall.vectors import NEWEST, Packed, Unread, Vectors

AT_ONCE = 64
"""Records that the model reads before anything else gets its turn. Sixteen at a time cost a third more."""
FROM_THE_TOP = 16
"""After so many batches what is new by then goes first."""


def never() -> bool:
    """For whoever has time."""
    return False


Leaving: TypeAlias = Callable[[Sequence[Unread]], Sequence[Unread]]
"""Those of the passages that may leave this machine, as its files say now."""


def embed(
    vectors: Vectors, worker: Worker, *, limit: int | None = None, progress: Progress = silent,
    stop: Callable[[], bool] = never, leaving: Leaving = list,
) -> int:  # fmt: skip
    """Give vectors to at most `limit` records that have none, until `stop` says so; returns how many got them. What is
    read is committed as it goes, so that nothing is read twice after a stop. EmbedderBroken: the rest waits.

    The one place where texts of the index go to a model: those that are held never go to one that is elsewhere, nor
    does what is not `leaving` any more. That waits, until the index knows why.
    """
    if vectors.held and worker.choice.remote:
        return 0
    vectors.belong_to(worker.model)
    vectors.prune()
    waiting = vectors.waiting()
    total = waiting if limit is None else min(waiting, limit)
    done = 0
    for unread in _batches(vectors, total):
        if stop():
            break
        ready = leaving(unread) if worker.choice.remote else unread
        _read(vectors, worker, vectors.adopt(ready))
        done += _records(ready)
        progress("vectors", done, total)
    if not vectors.waiting():
        vectors.forget_the_unowned()
    return done


def _batches(vectors: Vectors, total: int) -> Iterator[list[Unread]]:
    """Of `total` records, from the newest down, and now and then from the top again, for what is new by then. Each is
    to be read before the next is asked for."""
    below = NEWEST
    for number in count():
        unread = vectors.unread(min(AT_ONCE, total), below) if total > 0 else []
        if unread:
            yield unread
        elif below == NEWEST:
            return
        total -= _records(unread)
        below = unread[-1].id if unread and (number + 1) % FROM_THE_TOP else NEWEST


def _records(unread: Sequence[Unread]) -> int:
    return len({one.id >> PASSAGE_BITS for one in unread})


def _read(vectors: Vectors, worker: Worker, unread: Sequence[Unread]) -> None:
    """A long record goes to the model in parts, too."""
    texts = list(dict.fromkeys(one.text for one in unread))
    packed: dict[str, Packed] = {}
    for at in range(0, len(texts), AT_ONCE):
        part = texts[at : at + AT_ONCE]
        packed |= zip(part, map(Packed._make, worker.call(wire.Read(part), wire.Readings).packed), strict=True)
    vectors.add([(one, packed[one.text]) for one in unread])
