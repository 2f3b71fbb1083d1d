"""What a system's service manager does for memferry, and the values that go in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class Job(NamedTuple):
    """What is to run at every login. `command`: an absolute program and its arguments, as the program is to see them.
    `log`: where it writes its log on a system that keeps none."""

    command: tuple[str, ...]
    log: Path


class Condition(NamedTuple):
    """`state`: in the manager's own words. `facts`: more of them, by its own names. `hint`: what is worth doing."""

    installed: bool
    state: str
    facts: Mapping[str, str] = {}
    hint: str = ""


class Supervisor(Protocol):
    """Runs one job for one user at every login, and again when it fails.

    Every call may be repeated: installing what is installed and stopping what has stopped succeed. All raise
    SupervisorError where the manager is not there or refuses.
    """

    name: str
    unit: Path
    """Where its description of the job lies."""

    def render(self, job: Job) -> str:
        """The description of the job. Pure. Raises ConfigError for a command that cannot be written down."""
        ...

    def install(self, job: Job) -> bool:
        """Write the description, and have it run now and at every login. Whether the description changed; a job that
        runs by another one is started anew."""
        ...

    def uninstall(self) -> bool:
        """Stop it and forget it. Whether there was something to forget."""
        ...

    def start(self) -> None:
        """Run what is installed. Returns before it is up."""
        ...

    def stop(self) -> None:
        """Until `start`, or the next login."""
        ...

    def condition(self) -> Condition:
        """How it is with the job."""
        ...

    def logs(self, lines: int) -> Sequence[str]:
        """The last `lines` lines of its log, oldest first."""
        ...
