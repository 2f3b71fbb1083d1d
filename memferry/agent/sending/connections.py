"""The configured backends, each opened when it is first needed, and told what this machine knows of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from memferry.agent.sending import moved
from memferry.backends.base import Backend, HeadSeen, Informed, Known
from memferry.backends.registry import open_backend
from memferry.backends.wrappers import Logged
from memferry.config import Config
from memferry.embedder import Embedder
from memferry.errors import ConfigError
from memferry.recall.embed.tier import embedder
from memferry.recall.prose import text_of

if TYPE_CHECKING:
    from memferry.agent.service import Agent


class Connections:
    """They stay open, and so do their connections to servers, until `close`."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._open: dict[str, Backend] = {}
        self._embedder: Embedder | None = None

    @contextlib.contextmanager
    def backend(self, name: str) -> Iterator[Backend]:
        """One backend, with the newest head of our own log that it acknowledged."""
        backend = self.opened(name)
        moved.settle(self._agent, backend)
        if isinstance(backend, Informed):
            backend.inform(self._known(name))
        yield backend

    def opened(self, name: str) -> Backend:
        """As it is, told nothing."""
        if name not in self._open:
            agent = self._agent
            made = open_backend(name, agent.config.backends[name], agent.me, agent.keys)
            self._open[name] = Logged(made, time.monotonic)
        return self._open[name]

    def heads_seen(self, name: str) -> dict[str, HeadSeen]:
        """The newest heads of the other machines' logs that were pulled from a backend, by machine."""
        rows = self._agent.state.rows(
            "select machine, sequence, sha256, last_seq from peer where backend = ? and sequence > 0", name
        )
        return {row[0]: HeadSeen(*row[1:]) for row in rows}

    def close_backends(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def close(self) -> None:
        self.close_backends()
        if self._embedder is not None:
            self._embedder.close()
            self._embedder = None

    def _known(self, name: str) -> Known:
        agent = self._agent
        checkpoint = agent.checkpoints.of(name)
        refused = frozenset(row[0] for row in agent.state.rows("select seq from refused where backend = ?", name))
        return Known(
            checkpoint.head, checkpoint.through, refused, checkpoint.attempted > 0, agent.journal.last_seq,
            self.heads_seen(name), agent.journal, text_of, self._vectors,
        )  # fmt: skip

    def _vectors(self) -> Embedder:
        """What turns texts into vectors, made when it is first needed. Raises EmbedderBroken."""
        if self._embedder is None:
            self._embedder = embedder(self._agent.config)
        return self._embedder


def require_backends(config: Config, names: Sequence[str]) -> None:
    """Raises ConfigError for a name that is not configured."""
    for name in names:
        if name not in config.backends:
            known = ", ".join(config.backends) or "none is configured"
            raise ConfigError(f"there is no backend {name}", hint=f"known: {known}")
