from __future__ import annotations

import inspect
import logging
import random
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memferry.backends.base import Backend, Capacity, Readable, Receipt, Verifiable
from memferry.backends.faulty import Fault, FaultyBackend, FaultyStore, When
from memferry.backends.local import LocalStore
from memferry.backends.memory import MemoryStore
from memferry.backends.registry import Offer, open_backend
from memferry.backends.vault.backend import Vault
from memferry.backends.wrappers import Backoff, Breaker, Logged, Retry, Wrapper
from memferry.errors import AccessDenied, BackendError, ConfigError, TransientError
from memferry.model import Sealed
from tests.backends.contract import BackendContract, StoreContract, held
from tests.backends.samples import KEYS, ME, puts, retract, seal


def vault_at(tmp_path: Path) -> Vault:
    return Vault(LocalStore(tmp_path / "vault", name="vault"), ME, name="vault")


def no_sleep(seconds: float) -> None:
    pytest.fail("nothing failed")


class TestWrapper(BackendContract):
    def make_backend(self, tmp_path: Path) -> Backend:
        return Wrapper(vault_at(tmp_path))


class TestLogged(BackendContract):
    def make_backend(self, tmp_path: Path) -> Backend:
        return Logged(vault_at(tmp_path), lambda: 0.0)


class TestFaultyBackendWithoutFaults(BackendContract):
    def make_backend(self, tmp_path: Path) -> Backend:
        return FaultyBackend(vault_at(tmp_path), Fault(None))


class TestFaultyStoreWithoutFaults(StoreContract):
    def make_store(self, tmp_path: Path) -> FaultyStore:
        return FaultyStore(LocalStore(tmp_path / "vault"), Fault(None))


# -- backoff


@given(st.integers(-5, 10_000), st.floats(0.001, 1000), st.floats(0.001, 1000), st.integers())
def test_delays_are_random_and_bounded(attempt: int, base_s: float, cap_s: float, seed: int) -> None:
    backoff = Backoff(base_s, cap_s)
    delay = backoff.delay(attempt, random.Random(seed))
    assert 0 <= delay <= backoff.bound(attempt) <= cap_s
    assert backoff.delay(attempt, random.Random(seed)) == delay


def test_bounds_double_up_to_the_cap() -> None:
    assert [Backoff(1, 10).bound(attempt) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert Backoff(1).cap_s == 300


def test_delays_use_the_whole_range() -> None:
    chance = random.Random(1)
    delays = [Backoff(10).delay(1, chance) for _ in range(1000)]
    assert min(delays) < 1
    assert max(delays) > 9


# -- breaker


def test_a_breaker_rests_longer_with_each_failure_and_then_allows_one_try() -> None:
    backoff, dice = Backoff(base_s=1, cap_s=300), random.Random(3)
    breaker = Breaker()
    now = 1000.0
    assert breaker.allows(now)
    for failures in range(1, 20):
        breaker = breaker.after_failure(now, backoff, dice)
        assert breaker.failures == failures
        assert now <= breaker.rests_until <= now + min(300, 2 ** (failures - 1))
        assert breaker.allows(breaker.rests_until)
        if breaker.rests_until > now:
            assert not breaker.allows(now)


# -- trying again


class Failing:
    """Fails so many times with an error, then works."""

    name = "failing"

    def __init__(self, error: BackendError, times: int) -> None:
        self.error = error
        self.left = times
        self.calls = 0

    def deliver(self, batch: Sequence[Sealed]) -> Receipt:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return Receipt(7, {})

    def capacity(self) -> Capacity:
        self.deliver([])
        return Capacity(1, 2)

    def close(self) -> None:
        pass


def test_transient_errors_are_tried_again_after_a_wait() -> None:
    slept: list[float] = []
    failing = Failing(TransientError("busy"), 2)
    retry = Retry(Backoff(1), 3, random.Random(1), slept.append)
    assert retry(lambda: failing.deliver([])) == Receipt(7, {})
    assert failing.calls == 3
    assert len(slept) == 2
    assert slept[0] <= 1
    assert slept[1] <= 2


def test_the_last_attempt_tells_its_error_without_a_wait() -> None:
    slept: list[float] = []
    failing = Failing(TransientError("busy"), 9)
    with pytest.raises(TransientError, match="busy"):
        Retry(Backoff(1), 3, random.Random(1), slept.append)(lambda: failing.deliver([]))
    assert (failing.calls, len(slept)) == (3, 2)


def test_what_took_long_is_not_tried_again() -> None:
    """A server that is silent until the time is up would be waited for three times over."""
    slept: list[float] = []
    failing = Failing(TransientError("silent"), 9)
    clock = iter([100.0, 101.0, 131.0])
    retry = Retry(Backoff(1), 5, random.Random(1), slept.append, clock=lambda: next(clock), patience_s=20)
    with pytest.raises(TransientError, match="silent"):
        retry(lambda: failing.deliver([]))
    assert (failing.calls, len(slept)) == (2, 1)


def test_other_errors_rise_at_once() -> None:
    failing = Failing(AccessDenied("read-only"), 9)
    with pytest.raises(AccessDenied):
        Retry(Backoff(1), 3, random.Random(1), no_sleep)(lambda: failing.deliver([]))
    assert failing.calls == 1


def test_what_a_backend_can_do_a_wrapped_one_can_too(tmp_path: Path) -> None:
    wrapped = Logged(Wrapper(vault_at(tmp_path)), lambda: 0.0)
    wrapped.deliver([seal(puts(1, 2))])
    assert isinstance(wrapped, Readable)
    assert isinstance(wrapped, Verifiable)
    assert all(inspect.getattr_static(wrapped, name) for name in ("survey", "verify")), "as isinstance looks since 3.12"
    assert wrapped.verify({}) == []
    assert not isinstance(Wrapper(Failing(TransientError(""), 0)), Readable)
    with pytest.raises(AttributeError):
        wrapped.nothing_like_it  # noqa: B018


# -- logging


def test_counts_are_logged_and_content_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = iter([10.0, 12.5])
    with caplog.at_level(logging.DEBUG):
        Logged(vault_at(tmp_path), lambda: next(clock)).deliver([seal(puts(1, 3)), seal(puts(4, 5))])
    (record,) = caplog.records
    message = record.getMessage()
    assert record.levelno == logging.INFO
    assert "backend=vault operations=5" in message
    assert "through=5 refused=0 seconds=2.500" in message
    assert "remember" not in caplog.text
    assert "log.jsonl" not in caplog.text


def test_failures_are_logged_by_their_kind(caplog: pytest.LogCaptureFixture) -> None:
    clock = iter([10.0, 12.5])
    with caplog.at_level(logging.DEBUG), pytest.raises(AccessDenied):
        Logged(Failing(AccessDenied("the secret path"), 1), lambda: next(clock)).deliver([])
    assert "error=AccessDenied seconds=2.500" in caplog.text
    assert "secret" not in caplog.text


# -- faults


@pytest.mark.parametrize(("when", "arrived"), [("before", False), ("after", True)])
def test_a_faulty_backend_fails_once(tmp_path: Path, when: When, arrived: bool) -> None:
    vault = vault_at(tmp_path)
    fault = Fault(2, when)
    backend = FaultyBackend(vault, fault)
    backend.deliver([seal(puts(1, 1))])
    assert not fault.failed
    with pytest.raises(TransientError):
        backend.deliver([seal(puts(2, 2))])
    assert fault.failed
    assert (len(held(vault)) == 2) is arrived
    backend.deliver([seal(puts(2, 2))])
    assert held(vault) == puts(1, 2)


def test_a_faulty_backend_refuses_what_it_is_told_to(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    backend = FaultyBackend(vault, Fault(None), refuses={2, 3, 9})
    receipt = backend.deliver([seal(puts(1, 3)), seal(puts(4, 5))])
    assert receipt.through == 5
    assert sorted(receipt.refused) == [2, 3]
    assert [op.seq for op in held(vault)] == [1, 4, 5]
    assert sorted(backend.deliver([seal(puts(2, 2))]).refused) == [2]
    backend.refuses = ()
    assert backend.deliver([seal(puts(2, 3))]).refused == {}
    assert held(vault) == puts(1, 5)


def test_what_is_refused_at_first_and_withdrawn_since_stays_away(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    backend = FaultyBackend(vault, Fault(None), refuses={2})
    backend.deliver([seal(puts(1, 3))])
    backend.deliver([seal([retract(4, 2)])])
    assert [op.seq for op in held(vault)] == [1, 3, 4]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_faulty_store_counts_every_call(when: When) -> None:
    store = MemoryStore()
    for at in range(1, 5):
        fault = Fault(at, when)
        faulty = FaultyStore(store, fault)
        version = store.put(f"k{at}", b"x", if_version=None)
        calls: list[Callable[[], object]] = [
            partial(faulty.put, f"new{at}", b"x", if_version=None),
            partial(faulty.get, f"k{at}"),
            faulty.entries,
            partial(faulty.delete, f"k{at}", if_version=version),
        ]
        for number, call in enumerate(calls, start=1):
            if number == at:
                with pytest.raises(TransientError):
                    call()
            else:
                call()
        assert fault.calls == 4
    assert ("new1" in store.values) is (when == "after")
    assert ("k4" in store.values) is (when == "before")


# -- registry


def test_the_type_local(tmp_path: Path) -> None:
    backend = open_backend("backup", {"type": "local", "path": str(tmp_path / "vault")}, ME, KEYS)
    assert isinstance(backend, Vault)
    assert backend.name == "backup"


@pytest.mark.parametrize(
    ("settings", "hint"),
    [({"type": "locla"}, "local"), ({}, "local"), ({"type": None}, "local"), ({"type": ["local"]}, "local")],
)
def test_an_unknown_type_names_what_there_is(settings: dict[str, object], hint: str) -> None:
    with pytest.raises(ConfigError, match="backup") as caught:
        open_backend("backup", settings, ME, KEYS)
    assert hint in caught.value.hint


def test_a_missing_extra_names_the_command() -> None:
    offers = {"ftp": Offer("memferry.backends.not_there:open_backend", "ftp")}
    with pytest.raises(ConfigError, match="ftp") as caught:
        open_backend("old", {"type": "ftp"}, ME, KEYS, offers=offers)
    assert caught.value.hint == 'pip install "memferry[ftp]"'


def test_a_package_without_the_factory_it_promised() -> None:
    offers = {"odd": Offer("memferry.keys:open_backend")}
    with pytest.raises(ConfigError, match="has no open_backend"):
        open_backend("odd", {"type": "odd"}, ME, KEYS, offers=offers)


def test_other_packages_offer_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[object, ...]] = []

    class Point:
        name, value = "memory", "a_plugin:make"

    plugin = ModuleType("a_plugin")

    def make(*given: object) -> Failing:
        made.append(given)
        return Failing(TransientError(""), 0)

    plugin.make = make  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_plugin", plugin)
    installed = {"memferry.backends": [Point]}
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: installed.get(group, []))
    backend = open_backend("fast", {"type": "memory", "size": 3}, ME, KEYS)
    assert isinstance(backend, Failing)
    assert made == [("fast", {"size": 3}, ME, KEYS)]


def test_nobody_replaces_a_type_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Point:
        name, value = "local", "evil:make"

    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Point])
    assert isinstance(open_backend("backup", {"type": "local", "path": str(tmp_path)}, ME, KEYS), Vault)
