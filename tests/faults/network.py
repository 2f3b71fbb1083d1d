"""B16: a line that is cut, swallows, forgets, crawls and lags, under two machines that go on writing."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from memferry.agent.service import REST
from tests.faults.bar import Result, Trial, bar, meanwhile
from tests.faults.far import TOOLS, Far, check_trees, far_away, join
from tests.faults.lines import Book, joined
from tests.faults.machine import SETTINGS, Machine, said, until
from tests.faults.proxy import Proxy

HARD_LIMIT_S = 120.0
PAUSE_S = 0.25
START_S = 10.0
"""For a process to start and end on a busy computer."""
TOLD = re.compile(r"deliver failed .* seconds=([0-9.]+)")


class Timeouts(NamedTuple):
    """The two settings, in seconds."""

    connect_s: float
    request_s: float

    @property
    def whole_s(self) -> float:
        """The longest that a delivery waits for a server that says nothing any more: the last attempt begins in time,
        logs in, opens SFTP and asks."""
        return 20.0 + 2 * self.connect_s + self.request_s

    @property
    def settings(self) -> dict[str, Any]:
        return {"connect_timeout_s": self.connect_s, "request_timeout_s": self.request_s}


class Fault(NamedTuple):
    """`every_s`: how often it is done again while it lasts; None: once. `lasts_s`: at the small size and at the full
    one. `silent`: another machine asks meanwhile, and gets no answer."""

    name: str
    begin: Callable[[Proxy], None]
    every_s: float | None
    lasts_s: tuple[float, float]
    silent: bool = False


def _crawl(proxy: Proxy) -> None:
    proxy.bytes_per_s = 1.0


def _lag(proxy: Proxy) -> None:
    """From the login on."""
    proxy.delay_s = 0.25
    proxy.reset()


def _heal(proxy: Proxy) -> None:
    proxy.bytes_per_s, proxy.delay_s = None, 0.0
    proxy.heal()


FAULTS = (
    Fault("reset", Proxy.reset, 0.7, (3, 60)),
    Fault("half-open", Proxy.half_open, 2.5, (3, 120)),
    Fault("500 ms", _lag, None, (5, 60)),
    Fault("1 B/s", _crawl, None, (4, 120), silent=True),
    Fault("black hole", Proxy.swallow, None, (13, 600), silent=True),
)


@bar("B16", "a bad network", tools=TOOLS)
def bad_network(trial: Trial) -> None:
    patient, hasty = (Timeouts(30, 30),) * 2 if trial.size == "full" else (Timeouts(4, 2), Timeouts(3, 3))
    with far_away(trial.folder("server")) as far:
        agent = f"{SETTINGS}\n  pull_interval_s: 1"
        ant = far.machine(trial.folder("ant"), "ant", agent=agent, **patient.settings)
        bee = far.machine(trial.folder("bee"), "bee", agent=agent, **hasty.settings)
        book, entries = Book(trial.seed), trial.pick(2000, 50_000)
        _append(ant, book, entries // 2)
        ant.push()  # which makes the vault
        join(ant, bee)
        with ant.running(), _written(ant, bee, book, entries, sum(one.lasts_s[trial.size == "full"] for one in FAULTS)):
            for fault in FAULTS:
                _endure(trial, far, fault, ant, bee, hasty)
                trial.result.n += 1
        _judge(trial.result, far, ant, bee, book)
    longest = max(map(float, TOLD.findall((ant.logs / "background.log").read_text())), default=0.0)
    trial.result.expect(longest <= min(patient.whole_s, HARD_LIMIT_S), f"a delivery took {longest:.1f} s to fail")
    trial.result.notes.append(f"the longest delivery that failed took {longest:.1f} s; the bound is {patient.whole_s}")


@contextmanager
def _written(ant: Machine, bee: Machine, book: Book, entries: int, lasts_s: float) -> Iterator[None]:
    """Both go on writing, for about so long; everything is written when the block ends."""
    stop, at_once = threading.Event(), max(1, int((entries - book.serial) * PAUSE_S / lasts_s))

    def write() -> None:
        while book.serial < entries and not stop.wait(PAUSE_S):
            _append(ant, book, at_once)
            _append(bee, book, 1)

    try:
        with meanwhile(write, stop):
            yield
    finally:
        _append(ant, book, 5)


def _append(machine: Machine, book: Book, count: int) -> None:
    with (machine.space / "ledger.jsonl").open("ab") as ledger:
        ledger.write(joined(book.next(count)))


def _endure(trial: Trial, far: Far, fault: Fault, ant: Machine, bee: Machine, timeouts: Timeouts) -> None:
    result, lasts_s = trial.result, fault.lasts_s[trial.size == "full"]
    started = time.monotonic()
    with _harmed(far.proxy, fault):
        if fault.silent:
            _check_patience(result, fault, bee, timeouts)
        while (left := started + lasts_s - time.monotonic()) > 0:
            time.sleep(left)
        _check_rest(result, fault, ant)
    healed = time.monotonic()
    until(lambda: not ant.backend()["waiting"], f"the queue to drain after {fault.name}", REST.cap_s + 60)
    result.notes.append(f"{fault.name}: {healed - started:.0f} s; drained {time.monotonic() - healed:.1f} s after it")


@contextmanager
def _harmed(proxy: Proxy, fault: Fault) -> Iterator[None]:
    stop = threading.Event()

    def harm() -> None:
        while not stop.wait(fault.every_s):
            fault.begin(proxy)

    fault.begin(proxy)
    again = threading.Thread(target=harm)
    if fault.every_s is not None:
        again.start()
    try:
        yield
    finally:
        stop.set()
        if again.ident is not None:
            again.join()
        _heal(proxy)


def _check_patience(result: Result, fault: Fault, bee: Machine, timeouts: Timeouts) -> None:
    """Somebody asks, and hears in time that nothing comes of it."""
    started = time.monotonic()
    answer = bee.push(timeout_s=600)
    took = time.monotonic() - started
    result.expect(answer.code == 1, f"{fault.name}: a push meanwhile: {said(answer)}")
    result.expect(took <= min(timeouts.whole_s + START_S, HARD_LIMIT_S), f"{fault.name}: a push took {took:.1f} s")
    result.notes.append(f"{fault.name}: a push gave up after {took:.1f} s; {timeouts}")


def _check_rest(result: Result, fault: Fault, ant: Machine) -> None:
    """What failed so often rests at random up to a doubling bound, and never for more than five minutes."""
    backend = ant.backend()
    ahead, bound = (backend["next_attempt_at"] or 0.0) - time.time(), REST.bound(max(1, backend["failures"]))
    result.expect(
        ahead <= min(bound, 300.0), f"{fault.name}: {backend['failures']} failures, and it rests {ahead:.1f} s"
    )


def _judge(result: Result, far: Far, ant: Machine, bee: Machine, book: Book) -> None:
    for machine in (bee, ant, bee):
        answer = machine.call("sync-memory", "--json", timeout_s=600)
        result.expect(answer.code == 0, f"{machine.name} afterwards: {said(answer)}")
    for machine in (ant, bee):
        machine.judge(result, book.public, book, f"as {machine.name} sees it")
    verified = ant.call("verify", "--json")
    result.expect(verified.code == 0, f"verify: {said(verified)}")
    far.check_tidy(result, ant)
    check_trees(result, (ant, bee), book.public)
