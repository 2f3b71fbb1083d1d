"""A model whose process died rests before it is started again, longer each time: loading one takes seconds, and what
killed it mostly does so again. In a file that all processes of this machine see, so commands count together.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from memferry.durable import write_whole
from memferry.errors import EmbedderBroken
from memferry.recall.layout import REST

FIRST_S = 5.0
LONGEST_S = 300.0
HINT = "is there enough memory? `memferry recall --tier core` works without a model"


class Rest(NamedTuple):
    """`failures`: in a row. `since`, `until`: seconds since 1970; then one try decides."""

    model: str
    failures: int
    since: float
    until: float

    def __str__(self) -> str:
        at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.until))
        times = "once" if self.failures == 1 else f"{self.failures} times"
        return f"the process of the model {self.model} ended {times} without an answer; it is tried again after {at}"


_decode = msgspec.json.Decoder(Rest).decode


def resting(folder: Path, model: str) -> Rest | None:
    """None: the last try of this model worked, or there was none."""
    try:
        rest = _decode((folder / REST).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None
    return rest if rest.model == model else None


def wake(rest: Rest | None) -> None:
    """EmbedderBroken: not yet."""
    if rest is not None and time.time() < rest.until:
        raise EmbedderBroken(str(rest), hint=HINT)


def failed(before: Rest | None, model: str, folder: Path | None) -> Rest:
    """One more. `folder`: where others look for it."""
    from memferry.backends.wrappers import Backoff

    now, failures = time.time(), before.failures + 1 if before else 1
    rest = Rest(model, failures, before.since if before else now, now + Backoff(FIRST_S, LONGEST_S).bound(failures))
    if folder is not None:
        with contextlib.suppress(OSError):  # a full disk; this process knows it all the same
            write_whole(folder / REST, msgspec.json.encode(rest))
    return rest


def recovered(folder: Path | None) -> None:
    """It works."""
    if folder is not None:
        with contextlib.suppress(OSError):
            (folder / REST).unlink(missing_ok=True)
