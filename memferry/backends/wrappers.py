"""Logging around any backend; and when to try again, to rest and to give up, as values without I/O."""

from __future__ import annotations

import inspect
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from memferry.backends.base import Backend, Capacity, Receipt
from memferry.errors import BackendError, TransientError
from memferry.model import Sealed

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after a failure: at random between nothing and a bound that doubles from `base_s` to `cap_s`, so
    that many who failed together do not come back together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/, "full jitter")."""

    base_s: float
    cap_s: float = 300.0

    def bound(self, attempt: int) -> float:
        """The longest wait in seconds after failure number `attempt`, from 1."""
        doublings = min(max(attempt, 1) - 1, 64)  # beyond it the cap has long been reached
        return min(self.cap_s, self.base_s * 2.0**doublings)

    def delay(self, attempt: int, random: random.Random) -> float:
        """Seconds to wait after failure number `attempt`, from 1."""
        return random.random() * self.bound(attempt)


@dataclass(frozen=True, slots=True)
class Breaker:
    """Whether a destination is worth a try: after a failure not until `rests_until` (seconds of the caller's clock);
    then one try decides whether it closes again or rests longer. `failures`: in a row."""

    failures: int = 0
    rests_until: float = 0.0

    def allows(self, now: float) -> bool:
        """Whether to try now."""
        return now >= self.rests_until

    def after_failure(self, now: float, backoff: Backoff, random: random.Random) -> Breaker:
        """Open, for a time that grows with the failures."""
        failures = self.failures + 1
        return Breaker(failures, now + backoff.delay(failures, random))


@dataclass(frozen=True, slots=True)
class Retry:
    """Tries again after a TransientError, up to `attempts` times in all, the last of which begins within `patience_s`:
    what took longer is no hiccup, and is for the next delivery. Every other error rises at once. `clock`: seconds,
    monotonic."""

    backoff: Backoff
    attempts: int
    random: random.Random
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    patience_s: float = 20.0

    def __call__(self, call: Callable[[], _T]) -> _T:
        """What `call` returns. It is asked anew each time, so that it can look again at what it is about to do."""
        end = self.clock() + self.patience_s
        for attempt in range(1, self.attempts):
            try:
                return call()
            except TransientError as error:
                wait = max(self.backoff.delay(attempt, self.random), error.retry_after_s or 0.0)
                if self.clock() + wait > end:
                    raise
                self.sleep(wait)
        return call()


class Wrapper:
    """Passes everything on, so that what a backend can do beyond `Backend` (be read, verified), a wrapped one can
    too.

    Its methods become attributes of the wrapper: since Python 3.12 `isinstance` does not ask `__getattr__` what
    a protocol wants (https://docs.python.org/3/whatsnew/3.12.html#typing)."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.name = backend.name
        for name in dir(backend):
            if not name.startswith("_") and not hasattr(type(self), name) and _is_method(backend, name):
                setattr(self, name, getattr(backend, name))

    def deliver(self, batch: Sequence[Sealed]) -> Receipt:
        """See `Backend`."""
        return self._backend.deliver(batch)

    def capacity(self) -> Capacity:
        """See `Backend`."""
        return self._backend.capacity()

    def close(self) -> None:
        """See `Backend`."""
        self._backend.close()

    def __getattr__(self, name: str) -> object:
        if name == "_backend":
            raise AttributeError(name)  # not made yet: copy and pickle ask
        return getattr(self._backend, name)


def _is_method(backend: Backend, name: str) -> bool:
    """Looked at without asking for its value, which a property may not have yet."""
    return callable(inspect.getattr_static(backend, name))


class Logged(Wrapper):
    """Logs every delivery with its counts, and nothing of its content. `clock`: seconds, monotonic."""

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        super().__init__(backend)
        self._clock = clock

    def deliver(self, batch: Sequence[Sealed]) -> Receipt:
        """See `Backend`."""
        start = self._clock()
        try:
            receipt = self._backend.deliver(batch)
        except BackendError as error:
            took = self._clock() - start
            _log.warning("deliver failed backend=%s error=%s seconds=%.3f", self.name, type(error).__name__, took)
            raise
        _log.info(
            "delivered backend=%s operations=%d bytes=%d through=%d refused=%d seconds=%.3f",
            self.name,
            sum(sealed.count for sealed in batch),
            sum(len(sealed.frame) for sealed in batch),
            receipt.through,
            len(receipt.refused),
            self._clock() - start,
        )
        return receipt
