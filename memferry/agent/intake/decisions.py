"""What a person decided about single findings, kept in a file of its own: it outlives a state that is made again.

A line each, the last one about a secret counts. A secret is named by a keyed fingerprint, so the file tells nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from memferry.errors import ConfigError
from memferry.filelock import sync_file
from memferry.keys import Fingerprinter
from memferry.places import DECISIONS
from memferry.policies.rule import DOS, Do
from memferry.values import iso

LOOSE: tuple[Do, ...] = ("allow", "redact", "hold")
"""From what lets most go to what lets nothing go."""


class Decision(NamedTuple):
    """`about`: fingerprint of the secret in its space. `do`: hold, redact or allow. `finding`: what it was called.
    `at`: ISO, UTC."""

    about: int
    do: Do
    space: str
    finding: str
    reason: str
    at: str


class Decisions:
    """The decisions of one state directory. Raises ConfigError where the file cannot be read: then nobody knows."""

    def __init__(self, directory: Path, fingerprint: Fingerprinter, *, clock: Callable[[], float] = time.time) -> None:
        self.path = directory / DECISIONS
        self._fingerprint = fingerprint
        self._clock = clock
        self._by_secret: dict[int, Decision] = {}
        self.revoked = 0
        """How often somebody thought better of letting something go: then what left by that is to be taken back."""
        for one in self._read():
            self._take(one)

    def __iter__(self) -> Iterator[Decision]:
        """Those that count, the oldest first."""
        return iter(sorted(self._by_secret.values(), key=lambda one: one.at))

    def about(self, space: str, secret: str) -> int:
        """The fingerprint by which a secret is known."""
        return self._fingerprint(f"decided\0{space}\0{secret}".encode("utf-8", "surrogatepass"))

    def decided(self, space: str, secret: str) -> Do | None:
        """What was decided about a secret, if anything."""
        if not self._by_secret:
            return None
        found = self._by_secret.get(self.about(space, secret))
        return None if found is None else found.do

    def decide(self, do: Do, space: str, finding: str, secret: str, reason: str) -> Decision:
        """Remember it; durable when this returns."""
        return self._remember(Decision(self.about(space, secret), do, space, finding, reason, self._now()))

    def decide_again(self, before: Decision, do: Do, reason: str) -> Decision:
        """Think better of it."""
        return self._remember(before._replace(do=do, reason=reason, at=self._now()))

    def _now(self) -> str:
        return iso(self._clock())

    def _remember(self, made: Decision) -> Decision:
        self.path.touch(0o600)
        with self.path.open("r+b") as file:
            file.seek(file.read().rfind(b"\n") + 1)  # over what a crash left half-written
            file.write(json.dumps(made._asdict()).encode() + b"\n")
            file.truncate()
            file.flush()
            sync_file(file.fileno())
        self._take(made)
        return made

    def _take(self, one: Decision) -> None:
        before = self._by_secret.get(one.about)
        self.revoked += before is not None and LOOSE.index(before.do) < LOOSE.index(one.do)
        self._by_secret[one.about] = one

    def _read(self) -> Iterator[Decision]:
        try:
            lines = self.path.read_text("utf-8").split("\n")
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise self._unreadable(0) from error
        for number, line in enumerate(lines[:-1], 1):  # what has no newline was never finished
            try:
                yield _decision(json.loads(line))
            except (ValueError, TypeError, KeyError) as error:
                raise self._unreadable(number) from error

    def _unreadable(self, line: int) -> ConfigError:
        at = f", line {line}" if line else ""
        return ConfigError(f"{self.path}{at}: cannot be read", hint="repair or remove the line; then decide again")


def _decision(raw: dict[str, Any]) -> Decision:
    made = Decision(**raw)
    if made.do not in DOS or type(made.about) is not int:
        raise ValueError(made.do)
    return made
