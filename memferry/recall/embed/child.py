"""A model in a process of its own, as an `Embedder`: started when it is needed, and again after it has ended."""

from __future__ import annotations

import atexit
import contextlib
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import IO, TYPE_CHECKING, TypeVar

from memferry.embedder import Model
from memferry.errors import EmbedderBroken
from memferry.recall.embed import wire
from memferry.recall.embed.registry import Choice, known

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IDLE_S = 300.0
PATIENCE_S = 5.0
_A = TypeVar("_A", bound=wire.Answer)


class Worker:
    """Owns the process, its pipes and the lock that lets one thread ask at a time. `close` ends it; so does being idle,
    and the end of this process."""

    def __init__(self, choice: Choice, *, idle_s: float = IDLE_S) -> None:
        self.choice = choice
        self._idle_s = idle_s
        self._process: subprocess.Popen[bytes] | None = None
        self._described: wire.Described | None = None
        self._lock = threading.Lock()

    # -- an `Embedder`

    @property
    def model(self) -> Model:
        """See `Embedder`. Loaded only where that is not known beforehand. EmbedderBroken: it cannot be."""
        return known(self.choice) or self.described.model

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder`."""
        return self._rows(wire.EmbedDocuments(list(texts)))

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """See `Embedder`."""
        row: NDArray[np.float32] = self._rows(wire.EmbedQuery(text))[0]
        return row

    def close(self) -> None:
        """See `Embedder`."""
        with self._lock:
            self._end()

    # -- beyond that

    @property
    def described(self) -> wire.Described:
        """What was loaded, asked once."""
        if self._described is None:
            self._described = self.call(wire.Describe(), wire.Described)
        return self._described

    @property
    def running(self) -> bool:
        """Whether there is a process now."""
        return self._process is not None and self._process.poll() is None

    def call(self, request: wire.Request, kind: type[_A]) -> _A:
        """Its answer. A worker that has ended (idle, or killed) is started once more. EmbedderBroken."""
        with self._lock:
            answer = self._exchange(request) or self._exchange(request)
        if isinstance(answer, wire.Failed):
            raise EmbedderBroken(answer.problem, hint=answer.hint)
        if not isinstance(answer, kind):
            raise EmbedderBroken(
                f"the process of the model {self.choice.model} ends without an answer",
                hint="is there enough memory? `memferry recall --tier core` works without a model",
            )
        return answer

    def _rows(self, request: wire.Request) -> NDArray[np.float32]:
        import numpy as np

        rows = np.frombuffer(self.call(request, wire.Vectors).rows, np.float32)
        return rows.reshape(-1, self.model.dimensions)

    def _exchange(self, request: wire.Request) -> wire.Answer | None:
        """None: the process has ended."""
        process = self._process if self.running else self._started()
        assert process is not None
        incoming, outgoing = _pipes(process)
        try:
            wire.send(outgoing, request)
            answer = wire.answer(incoming)
        except OSError:
            answer = None
        if answer is None:
            self._end()
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        self._end()
        command = [sys.executable, "-P", "-m", "memferry.recall.embed.worker"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        with contextlib.suppress(OSError):  # it has ended at once: the request finds that out
            wire.send(_pipes(self._process)[1], wire.Start(self.choice, self._idle_s))
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        incoming, outgoing = _pipes(process)
        with contextlib.suppress(OSError):
            outgoing.close()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        incoming.close()


@lru_cache(maxsize=4)
def shared(choice: Choice, idle_s: float) -> Worker:
    """One process a model, however many searchers and feeders this one has. Ended at its end."""
    worker = Worker(choice, idle_s=idle_s)
    atexit.register(worker.close)
    return worker


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """From it, to it."""
    assert process.stdout is not None
    assert process.stdin is not None
    return process.stdout, process.stdin
