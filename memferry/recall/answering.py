"""The process that keeps the index open for questions: `python -m memferry.recall.answering CONFIG STATE`, started by
the service (`agent.index.answering`).

Not a thread of the service: a question would wait for the interpreter after each of its calls to SQLite, and the sync
for the question (docs/adr/0018-answering.md). The table, the pages and the model that a question needs stay in memory
here. It ends with its parent, and when nobody has asked for a while.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable
from functools import partial

from memferry.config import Config, load_quickly
from memferry.errors import ConfigError, IndexBroken
from memferry.recall.asking import NOTE, PATIENCE_S, Question, encode, question_in, settings_of
from memferry.recall.layout import VECTORS
from memferry.recall.line import Line, Listener
from memferry.recall.local import parts, searcher
from memferry.recall.meeting import Note, forget, is_key, listening, random_hex, tell
from memferry.recall.search import Answers, Searcher

A_MOMENT_S = 1.0
"""Whoever has a line asks at once."""
LONGEST_QUESTION = 1 << 20
WAITING = 16


class Desk:
    """Answers questions one after the other with searchers that stay open; whoever made it closes it. `is_over`: it was
    asked under other settings than it knows, so another should be started."""

    def __init__(self, config: Config, key: str) -> None:
        self._config = config
        self._key = key
        self._settings = settings_of(config)
        self._searchers: dict[tuple[bool, str | None], Searcher] = {}
        self._parts = list(map(os.fspath, parts(config.state, shareable=False)))
        self._files: list[object] = []
        self.is_over = False

    def close(self) -> None:
        while self._searchers:
            self._searchers.popitem()[1].close()

    def attend(self, line: Line) -> None:
        """One question, one answer. What goes wrong on the line is the asker's to notice."""
        with contextlib.closing(line), contextlib.suppress(OSError, EOFError):
            line.say(encode(self.answer(line.hear(LONGEST_QUESTION, A_MOMENT_S))))

    def answer(self, said: bytes) -> Answers | None:
        """None: ask the index yourself."""
        try:
            question = question_in(said)
        except ValueError:
            return None
        if not is_key(question.key, self._key):
            return None
        self.is_over = question.settings != self._settings
        return None if self.is_over else self._found(question)

    def _found(self, question: Question) -> Answers | None:
        try:
            return self._searcher(question.shareable, question.tier).search(question.wanted)
        except ConfigError:
            return None
        except IndexBroken:
            self.close()
            return None

    def _searcher(self, shareable: bool, tier: str | None) -> Searcher:
        self._notice_other_files()
        if (shareable, tier) not in self._searchers:
            self._searchers[shareable, tier] = searcher(self._config, shareable=shareable, tier=tier)
        return self._searchers[shareable, tier]

    def _notice_other_files(self) -> None:
        """An index that was made again is another file under the same name, and vectors make another tier the best."""
        vectors = sorted(name for name in os.listdir(self._config.state) if name.endswith(VECTORS))
        files: list[object] = [*vectors, *map(_identity, self._parts)]
        if files != self._files:
            self.close()
            self._files = files


def _identity(file: str) -> tuple[int, int] | None:
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(file)
        return found.st_dev, found.st_ino
    return None


def serve(config: Config, parent: int, ready: Callable[[], None] = lambda: None) -> None:
    """Until the descriptor `parent` ends, or nobody has asked for `recall.idle_s`. `ready`: called once, when whoever
    asks is heard."""
    waiting: queue.Queue[Line | None] = queue.Queue(WAITING)
    key = random_hex(32)
    with (
        listening(config.state, "answering", WAITING, PATIENCE_S) as (where, listener),
        contextlib.closing(Desk(config, key)) as desk,
    ):
        threading.Thread(target=_watch, args=(os.dup(parent), waiting), daemon=True).start()
        threading.Thread(target=_accept, args=(listener, waiting), daemon=True).start()
        tell(config.state / NOTE, Note(where, key))
        ready()
        try:
            for line in iter(partial(waiting.get, timeout=config.recall.idle_s), None):
                desk.attend(line)
                if desk.is_over:
                    return
        except queue.Empty:
            return
        finally:
            forget(config.state / NOTE, key)


def _accept(listener: Listener, waiting: queue.Queue[Line | None]) -> None:
    try:
        while True:
            waiting.put(listener.accept())
    except OSError:  # nobody can ask any more: another is started then
        waiting.put(None)


def _watch(parent: int, waiting: queue.Queue[Line | None]) -> None:
    """Owns `parent`: whoever called may close theirs before this thread first looks."""
    while os.read(parent, 1):
        pass
    os.close(parent)
    waiting.put(None)


def main(argv: list[str]) -> None:
    """CONFIG STATE"""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads wait for each other by spinning
    if sys.platform != "win32":
        os.umask(0o077)
    config_file, state = argv
    serve(load_quickly(os.environ, file=config_file, state=state), sys.stdin.fileno())


if __name__ == "__main__":
    main(sys.argv[1:])
