"""The process that a model lives in: `python -m memferry.recall.embed.worker`, started by `child.Worker`.

It answers one question after the other, ends when nobody has asked for a while or its parent is gone, and with it the
memory that a model takes.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from memferry.embedder import Embedder
from memferry.errors import MemferryError
from memferry.recall.embed import wire
from memferry.recall.embed.base import Question, TokenEmbedder, asked, packed_tokens, packed_vector, reads
from memferry.recall.embed.memory import give_back, keep_little
from memferry.recall.embed.registry import Choice, made

if TYPE_CHECKING:
    from memferry.recall.embed.search import Search

QUESTIONS_KEPT = 16
"""A question is asked twice: for what is near, and to compare."""


class Desk:
    """Answers requests with one embedder, which is made when it is first needed."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._embedder: Embedder | None = None
        self._searches: dict[str, Search] = {}
        self._ask = lru_cache(QUESTIONS_KEPT)(lambda text: asked(self.embedder, text))

    @property
    def embedder(self) -> Embedder:
        if self._embedder is None:
            self._embedder = made(self._choice)
            give_back()
        return self._embedder

    def answer(self, request: wire.Request) -> wire.Answer:
        """Errors of ours are answers, too; any other ends the process, which its parent notices."""
        try:
            return self._answered(request)
        except MemferryError as error:
            return wire.Failed(str(error), error.hint)

    def _answered(self, request: wire.Request) -> wire.Answer:
        match request:
            case wire.EmbedDocuments(texts):
                return wire.Vectors(self.embedder.embed_documents(texts).tobytes())
            case wire.EmbedQuery(text):
                return wire.Vectors(self.embedder.embed_query(text).tobytes())
            case wire.Read(texts):
                found = reads(self.embedder, texts)
                return wire.Readings([(packed_vector(one.vector), packed_tokens(one.tokens)) for one in found])
            case wire.Nearest(stores, text, limit):
                question = self._question(text)
                return _scored([search.nearest(question, limit) for search in self._of(stores)] if question else [])
            case wire.Compare(stores, text, ids):
                question = self._question(text)
                return _scored([search.compare(question, ids) for search in self._of(stores)] if question else [])
            case _:
                return wire.Described(self.embedder.model, isinstance(self.embedder, TokenEmbedder))

    def _question(self, text: str) -> Question | None:
        question: Question = self._ask(text)
        return question if question.understood else None

    def _of(self, stores: Sequence[str]) -> list[Search]:
        """Those that hold vectors of this very model."""
        from memferry.recall.embed.search import Search

        for path in stores:
            if path not in self._searches and Path(path).exists():
                self._searches[path] = Search(Path(path))
        found = [self._searches[path] for path in stores if path in self._searches]
        return [search for search in found if search.of(self.embedder.model)]


def _scored(parts: Sequence[dict[int, float]]) -> wire.Scored:
    found = {id_: score for part in parts for id_, score in part.items()}
    return wire.Scored(list(found), list(found.values()))


def serve(incoming: IO[bytes], outgoing: IO[bytes]) -> None:
    """Until the end of `incoming`, or nobody has asked for as long as the start said."""
    start = wire.request(incoming)
    if not isinstance(start, wire.Start):
        return
    desk = Desk(start.choice)
    waiting: queue.Queue[wire.Request | None] = queue.Queue(maxsize=1)
    threading.Thread(target=_receive, args=(incoming, waiting), daemon=True).start()
    while True:
        try:
            request = waiting.get(timeout=start.idle_s)
        except queue.Empty:
            return
        if request is None:
            return
        wire.send(outgoing, desk.answer(request))


def _receive(incoming: IO[bytes], waiting: queue.Queue[wire.Request | None]) -> None:
    while (request := wire.request(incoming)) is not None:
        waiting.put(request)
    waiting.put(None)


def main() -> None:
    """What a library prints must not get between the answers."""
    outgoing = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads wait for each other by spinning
    keep_little()
    with contextlib.suppress(BrokenPipeError):  # the parent is gone
        serve(sys.stdin.buffer, outgoing)
    os._exit(0)  # a reader that waits for stdin would hold up a usual end


if __name__ == "__main__":
    main()
