"""Giving the index's records their vectors: behind everything else, in a thread that mostly waits for a model."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from memferry.agent.index.leaving import leaving
from memferry.config import Config
from memferry.errors import ConfigError, EmbedderBroken, IndexBroken, MemferryError
from memferry.progress import Progress, silent
from memferry.recall.embed.child import Worker, shared
from memferry.recall.embed.feed import embed
from memferry.recall.embed.registry import Choice, of_settings
from memferry.recall.embed.tier import is_wanted
from memferry.recall.index import remove
from memferry.recall.layout import HELD, INDEX
from memferry.recall.vectors import Vectors, all_beside, beside

QUIET_S = 5.0
"""So long after a change the model is left alone: what comes next may change as well, and a short life needs none."""
REST_S = 30.0
"""So long at least between two times that the model is loaded for what is new: it ends when that is done, unless
somebody asks questions."""
RETRY_S = 60.0
"""After this long a model that did not work is tried again."""


class Embedding:
    """Owns the thread. `close` ends it within one batch of the model.

    What leaves the index leaves the vectors of every model at once (`prune`); what is new gets its vectors later.
    `problem`: why the last try ended early.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._behind = True
        self._begin_at = time.monotonic() + QUIET_S
        self.problem: MemferryError | None = None

    def close(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def prune(self) -> None:
        """Remove the vectors of what the index does not show any more; needs no model. Raises IndexBroken."""
        for index, held in self._parts():
            for path in all_beside(index):
                with contextlib.closing(Vectors(path, index, held=held)) as vectors:
                    vectors.prune()

    def keep_up(self, *, changed: bool) -> None:
        """Begin to make what is missing, unless that goes on already or nothing is wanted. `changed`: there is more to
        do than at the last call."""
        if changed and not self._behind:
            self._behind = True
            self._begin_at = max(self._begin_at, time.monotonic() + QUIET_S)
        works = self._thread is not None and self._thread.is_alive()
        if works or not self._behind or time.monotonic() < self._begin_at:
            return
        self._behind = False
        if is_wanted(self._config):
            self._over.clear()
            self._thread = threading.Thread(target=self._work, name="embedding", daemon=True)
            self._thread.start()

    def finish(self, progress: Progress = silent, *, limit: int | None = None) -> int:
        """Make what is missing now, of at most `limit` records of each part; returns of how many. EmbedderBroken,
        ConfigError."""
        choice = of_settings(self._config.recall)
        worker = self._worker(choice)
        done = 0
        for index, held in self._parts():
            with contextlib.closing(Vectors(beside(index, choice.label), index, held=held)) as vectors:
                may = partial(leaving, self._config)
                done += embed(vectors, worker, limit=limit, progress=progress, stop=self._over.is_set, leaving=may)
                whole = not vectors.waiting()
            if whole:
                self._drop_others(index, choice.label)
        return done

    def _work(self) -> None:
        try:
            self.finish()
            self._worker(of_settings(self._config.recall)).close()
            self.problem = None
            self._begin_at = time.monotonic() + REST_S
        except (EmbedderBroken, IndexBroken, ConfigError) as error:
            self.problem = error
            self._behind = True
            self._begin_at = time.monotonic() + RETRY_S

    def _worker(self, choice: Choice) -> Worker:
        """The one that questions have, too."""
        return shared(choice, self._config.state, self._config.recall.idle_s)

    def _drop_others(self, index: Path, label: str) -> None:
        """Of models that were chosen before, now that this one has everything."""
        for path in all_beside(index):
            if path != beside(index, label):
                remove(path)

    def _parts(self) -> Sequence[tuple[Path, bool]]:
        """The files of the index that are there, and whether they are for what is held."""
        both = ((self._config.state / INDEX, False), (self._config.state / HELD, True))
        return [(path, held) for path, held in both if path.exists()]
