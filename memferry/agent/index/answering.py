"""The process that answers questions while the service runs: started by the first question, ended with the service."""

from __future__ import annotations

import contextlib
import subprocess
import sys

from memferry.config import Config

PATIENCE_S = 5.0


class Answering:
    """Owns the process. `close` ends it; so does the end of this one, and being idle."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def begin(self) -> None:
        """Unless it runs already. Whoever asks finds it by its note."""
        if self.running:
            return
        self.close()
        files = (str(self._config.source), str(self._config.state))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "memferry.recall.answering", *files],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=self._config.state,  # Windows keeps the folder in which a process works from being renamed and removed
        )  # fmt: skip

    def reap(self) -> None:
        """One that has ended by itself must not stay in the system's table of processes."""
        if not self.running:
            self.close()

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
