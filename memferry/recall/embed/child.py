"""A model in a process of its own, as an `Embedder`: started when it is needed, and again after it has ended."""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from memferry.embedder import Model
from memferry.errors import EmbedderBroken
from memferry.filelock import awaited
from memferry.recall.embed import rests, wire
from memferry.recall.embed.registry import Choice, known
from memferry.recall.line import Line, connected
from memferry.recall.meeting import noted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IDLE_S = 300.0
PATIENCE_S = 5.0
"""For the end of a process, and for its turn to be started."""
GREETING_S = 10.0
LOCK = "model.lock"
"""Held by who starts one: two who ask at once shall have the same."""
_BROKEN = (OSError, EOFError, msgspec.MsgspecError)
_A = TypeVar("_A", bound=wire.Answer)


class Worker:
    """Owns a line to the process, and the lock that lets one thread ask at a time. `close` leaves it, as the end of
    this process does; it ends when all have left, or nobody asks. `folder`: processes that name the same one have the
    same model, and know how often it failed; without one it is this object's alone."""

    def __init__(self, choice: Choice, folder: Path | None = None, *, idle_s: float = IDLE_S) -> None:
        self.choice = choice
        self._folder = folder
        self._idle_s = idle_s
        self._line: Line | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._described: wire.Described | None = None
        self._rest: rests.Rest | None = None
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
            self._leave()

    # -- beyond that

    @property
    def described(self) -> wire.Described:
        """What was loaded, asked once."""
        if self._described is None:
            self._described = self.call(wire.Describe(), wire.Described)
        return self._described

    @property
    def running(self) -> bool:
        """Whether there is a process now, as far as can be seen from here."""
        return self._line is not None and (self._process is None or self._process.poll() is None)

    def call(self, request: wire.Request, kind: type[_A]) -> _A:
        """Its answer. A process that has ended (idle, or killed) is started once more; one that does not live long
        enough to answer rests for a while. EmbedderBroken."""
        with self._lock:
            answer = self._answer(request)
        if isinstance(answer, wire.Failed):
            raise EmbedderBroken(answer.problem, hint=answer.hint)
        assert isinstance(answer, kind)
        return answer

    def _answer(self, request: wire.Request) -> wire.Answer:
        self._wake()
        answer = self._exchange(request) or self._exchange(request)
        if answer is None:
            raise self._failed()
        self._recovered()
        return answer

    def _rows(self, request: wire.Request) -> NDArray[np.float32]:
        import numpy as np

        rows = np.frombuffer(self.call(request, wire.Vectors).rows, np.float32)
        return rows.reshape(-1, self.model.dimensions)

    def _exchange(self, request: wire.Request) -> wire.Answer | None:
        """None: the process has ended."""
        try:
            if self._line is None:
                self._line = self._found()
            return wire.asked(self._line, request)
        except _BROKEN:
            self._lose()
            return None

    # -- the process

    def _found(self) -> Line:
        """A line to the one that runs, or to a new one."""
        _reap()
        with self._turn():
            return self._joined() or self._started()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Nobody else starts one meanwhile; who waited long enough does not care."""
        if self._folder is None:
            yield
            return
        path, lock = self._folder / LOCK, None
        with contextlib.suppress(OSError):  # a full disk
            lock = awaited(path, PATIENCE_S)
        try:
            yield
        finally:
            if lock is not None:
                os.close(lock)

    def _joined(self) -> Line | None:
        note = noted(self._folder / wire.NOTE) if self._folder is not None else None
        if note is None:
            return None
        with contextlib.suppress(*_BROKEN):
            return self._welcomed(note.address, note.key)
        return None

    def _started(self) -> Line:
        command = [sys.executable, "-P", "-m", "memferry.recall.embed.worker"]
        folder = str(self._folder) if self._folder is not None else None
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder if folder and os.path.isdir(folder) else None,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._process.stdin as told, self._process.stdout as said:
            wire.send(told, wire.Start(self.choice, self._idle_s, folder))
            listening = wire.answer(said)
        if not isinstance(listening, wire.Listening):
            raise EOFError
        return self._welcomed(listening.address, listening.key)

    def _welcomed(self, address: str, key: str) -> Line:
        line = connected(address, GREETING_S)
        try:
            wire.asked(line, wire.Hello(key, self.choice), GREETING_S)
        except _BROKEN:
            line.close()
            raise
        return line

    def _leave(self) -> None:
        """The last to leave sees the process end, if it has started it."""
        if self._line is None:
            return
        with contextlib.suppress(*_BROKEN):
            left = wire.asked(self._line, wire.Leave(), PATIENCE_S)
            if isinstance(left, wire.Left) and not left.alone and self._process is not None:
                _still_used.append(self._process)
                self._process = None
        self._lose()

    def _lose(self) -> None:
        """It has ended, or is to."""
        line, self._line = self._line, None
        process, self._process = self._process, None
        if line is not None:
            line.close()
        if process is None:
            return
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    # -- when it fails

    def _wake(self) -> None:
        """EmbedderBroken: it rests."""
        if self._line is None:
            if self._folder is not None:
                self._rest = rests.resting(self._folder, self.choice.model)
            rests.wake(self._rest)

    def _failed(self) -> EmbedderBroken:
        self._rest = rests.failed(self._rest, self.choice.model, self._folder)
        return EmbedderBroken(str(self._rest), hint=rests.HINT)

    def _recovered(self) -> None:
        if self._rest is not None:
            rests.recovered(self._folder)
            self._rest = None


_still_used: list[subprocess.Popen[bytes]] = []
"""Started here and left to others. Looked at now and then, so that the system's table of processes keeps none that has
ended."""


def _reap() -> None:
    _still_used[:] = [process for process in _still_used if process.poll() is None]


@lru_cache(maxsize=4)
def shared(choice: Choice, folder: Path | None, idle_s: float) -> Worker:
    """One line a model, however many searchers and feeders this process has. Left at its end."""
    worker = Worker(choice, folder, idle_s=idle_s)
    atexit.register(worker.close)
    return worker
