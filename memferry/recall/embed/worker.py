"""The process that a model lives in: `python -m memferry.recall.embed.worker`, started by `child.Worker`.

One for everybody of this user who asks for that model: the service that makes vectors and the process that answers
questions have it together, for a model is the largest thing in memory. It ends when the last of them has gone or nobody
has asked for a while, and with it the memory that a model takes.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from memferry.embedder import Embedder
from memferry.errors import MemferryError
from memferry.heap import give_back, keep_little
from memferry.recall.embed import wire
from memferry.recall.embed.base import Question, TokenEmbedder, asked, packed_tokens, packed_vector, reads
from memferry.recall.embed.registry import Choice, made
from memferry.recall.line import Line, Listener
from memferry.recall.meeting import Note, forget, is_key, listening, random_hex, tell

if TYPE_CHECKING:
    from memferry.recall.embed.search import Search

QUESTIONS_KEPT = 16
"""A question is asked twice: for what is near, and to compare."""
WAITING = 16
PATIENCE_S = 60.0
"""For the first who comes, and for whoever does not take an answer."""
_END_OF_LINE = (OSError, EOFError, msgspec.MsgspecError)


class Loaded:
    """The embedder, made when it is first needed; any number of threads may ask for it."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self._embedder: Embedder | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Embedder:
        with self._lock:
            if self._embedder is None:
                self._embedder = made(self.choice)
                give_back()
            return self._embedder


class Desk:
    """Answers what one of them asks, one after the other. Whoever made it closes it."""

    def __init__(self, loaded: Callable[[], Embedder]) -> None:
        self._loaded = loaded
        self._searches: dict[str, Search] = {}
        self._ask = lru_cache(QUESTIONS_KEPT)(lambda text: asked(self.embedder, text))

    def close(self) -> None:
        while self._searches:
            self._searches.popitem()[1].close()

    @property
    def embedder(self) -> Embedder:
        return self._loaded()

    def answer(self, request: wire.Request) -> wire.Answer:
        """Errors of ours are answers, too; any other ends the process, which is noticed by who asked."""
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


class House:
    """Who is here, and until when. A guest has two threads: one hears that it has gone while the other is at work."""

    def __init__(self, choice: Choice, key: str, idle_s: float) -> None:
        self._loaded = Loaded(choice)
        self._key = key
        self._idle_s = idle_s
        self._news = threading.Condition()
        self._guests = 0
        self._unanswered = 0

    def wait(self) -> None:
        """Until the last guest has gone, or nobody has asked for a while; or nobody ever came."""
        with self._news:
            self._news.wait_for(lambda: self._guests, PATIENCE_S)
            while self._guests and (self._news.wait(self._idle_s) or self._unanswered):
                pass

    def admit(self, listener: Listener) -> None:
        """Whoever comes, for as long as the listener is there."""
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._welcome, args=(listener.accept(),), daemon=True).start()

    def _welcome(self, line: Line) -> None:
        with contextlib.closing(line), contextlib.suppress(*_END_OF_LINE):
            hello = wire.heard(line)
            if not isinstance(hello, wire.Hello) or not is_key(hello.key, self._key):
                return
            if hello.choice != self._loaded.choice:
                return
            self._note(guests=1)
            try:
                line.say(wire.encode(wire.Welcome()))
                self._attend(line)
            finally:
                self._note(guests=-1)

    def _attend(self, line: Line) -> None:
        waiting: queue.SimpleQueue[wire.Request | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, args=(line, waiting), daemon=True).start()
        try:
            request = wire.heard(line)
            while not isinstance(request, wire.Leave):
                self._note(unanswered=1)
                waiting.put(request)
                request = wire.heard(line)
            line.say(wire.encode(wire.Left(alone=self._guests == 1)))
        finally:
            waiting.put(None)

    def _work(self, line: Line, waiting: queue.SimpleQueue[wire.Request | None]) -> None:
        with contextlib.closing(Desk(self._loaded)) as desk:
            while (request := waiting.get()) is not None:
                answer = desk.answer(request)
                self._note(unanswered=-1)
                with contextlib.suppress(OSError):  # it has gone, which the other thread notices
                    line.say(wire.encode(answer))

    def _note(self, *, guests: int = 0, unanswered: int = 0) -> None:
        with self._news:
            self._guests += guests
            self._unanswered += unanswered
            self._news.notify_all()


def serve(incoming: IO[bytes], outgoing: IO[bytes]) -> None:
    """Until nobody needs it."""
    start = wire.request(incoming)
    if not isinstance(start, wire.Start):
        return
    folder = Path(start.folder) if start.folder is not None else None
    key = random_hex(32)
    with (
        listening(folder, "model", WAITING, PATIENCE_S) as (where, listener),
        contextlib.ExitStack() as told,
    ):
        house = House(start.choice, key, start.idle_s)
        threading.Thread(target=house.admit, args=(listener,), daemon=True).start()
        if folder is not None:
            told.callback(forget, folder / wire.NOTE, key)
            with contextlib.suppress(OSError):  # a full disk: only who started it finds it then
                tell(folder / wire.NOTE, Note(where, key))
        wire.send(outgoing, wire.Listening(where, key))
        house.wait()


def main() -> None:
    """What a library prints must not get between the answers."""
    outgoing = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads wait for each other by spinning
    if sys.platform != "win32":
        os.umask(0o077)
    threading.excepthook = lambda _: os._exit(1)  # a fault in a thread: who asked would wait for ever
    keep_little()
    with contextlib.suppress(BrokenPipeError):  # whoever started it is gone
        serve(sys.stdin.buffer, outgoing)
    os._exit(0)  # a library's threads would hold up a usual end


if __name__ == "__main__":
    main()
