"""One instance per state directory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from memferry import filelock
from memferry.errors import StateError, StateLocked
from memferry.filelock import FileLock, Holder

LOCK_FILE = "lock"


class StateLock:
    """A context manager: inside, this process alone holds `directory`, which is made (0700) when missing.

    `purpose`: what for, in one word, for the others' message. Not for use from several threads. Entering raises
    StateLocked when another instance holds it (after 0.1 s, so that a `holder()` just looking is no obstacle) and
    StateError when the directory cannot be used.
    """

    def __init__(self, directory: Path, purpose: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._directory = directory
        self._lock = FileLock(directory / LOCK_FILE, purpose, sleep=sleep)

    def __enter__(self) -> Self:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._lock.take():
                raise _locked(self._directory)
        except OSError as error:
            self._lock.release()
            raise _unusable(self._directory, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


def holder(directory: Path) -> Holder | None:
    """Who holds the state now, None when nobody does. Takes nothing away from anybody. Raises StateError."""
    try:
        return filelock.holder(directory / LOCK_FILE)
    except OSError as error:
        raise _unusable(directory, error) from error


def refuse_if_held(directory: Path) -> None:
    """Raises StateLocked while another instance is at work there."""
    if holder(directory) is not None:
        raise _locked(directory)


def _unusable(directory: Path, error: OSError) -> StateError:
    return StateError(
        f"the state directory {directory} cannot be used: {error.strerror}",
        hint="check its owner, its permissions and the free space, or set `state` in the configuration",
    )


def _locked(directory: Path) -> StateLocked:
    other = holder(directory) or Holder(0, "")
    return StateLocked(
        f"{other} holds the state directory {directory}",
        hint=f"wait until it has finished, or stop it{filelock.how_to_stop(other)}",
    )
