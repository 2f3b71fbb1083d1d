"""B29: private entries of every kind, through kills, lost answers, a bad network and logs that tell everything."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tests.canary.capture import Capture
from tests.canary.plants import Garden
from tests.canary.search import Place, folder, home, said, search
from tests.canary.traces import Traces
from tests.faults import oracle
from tests.faults.bar import Result, Trial, bar, meanwhile
from tests.faults.far import TOOLS, Far, far_away, join
from tests.faults.lines import Book, joined
from tests.faults.machine import ANSWERS, ROOT, SETTINGS, Answer, Machine
from tests.faults.machine import said as spoken
from tests.faults.proxy import Proxy

PRIVATE_SHARE = 0.1
PLAIN = "\n  plain: {type: local, path: plain, encryption: none}"
LEDGERS = 4


def _lag(proxy: Proxy) -> None:
    proxy.delay_s = 0.1


def _lose_an_answer(proxy: Proxy) -> None:
    proxy.cut_reply(random.Random(proxy.replies).randint(1, 4))


HARMS: Sequence[Callable[[Proxy], None]] = (_lose_an_answer, Proxy.reset, _lag, _lose_an_answer, Proxy.half_open)
"""What happens to the line while a process that will be killed is at work."""


@bar("B29", "private entries, through kills, a bad network and logs that tell everything", tools=TOOLS)
def private_entries(trial: Trial) -> None:
    with far_away(trial.folder("server"), recording=True) as far, Capture([far.proxy.port, far.server.port]) as wire:
        ant = _verbose(far.machine(trial.folder("ant"), "ant", agent=AGENT, more=PLAIN, **TIMEOUTS))
        bee = _verbose(far.machine(trial.folder("bee"), "bee", agent=AGENT, **TIMEOUTS))
        garden, book = Garden(trial.seed), Book(trial.seed)
        garden.grow(ant.space)
        _append(ant, book, trial.pick(300, 50_000))
        answer = _pushed(ant)
        trial.result.expect(answer.code == 0, f"the first push: {spoken(answer)}")
        join(ant, bee)
        _suffer(trial, far, ant, book)
        _crash(trial.result, ant, book)
        terminal = _on_a_terminal(trial.result, ant, book)
        for machine in (ant, bee, ant):
            answer = machine.call("sync-memory", "--json")
            trial.result.expect(answer.code == 0, f"{machine.name} afterwards: {spoken(answer)}")
        _judge(trial, ant, bee, far, wire, garden, book, terminal)


AGENT = f"{SETTINGS}\n  pull_interval_s: 1"
TIMEOUTS: Mapping[str, Any] = {"connect_timeout_s": 10, "request_timeout_s": 10}


def _verbose(machine: Machine) -> Machine:
    machine.verbose = ("-vv",)
    return machine


def _pushed(machine: Machine) -> Answer:
    """Nothing has been harmed yet, but where the computer is busy an answer may come too late for these time limits."""
    answer = machine.push()
    for _ in range(3):
        if answer.code == 0:
            break
        answer = machine.push()
    return answer


def _append(machine: Machine, book: Book, count: int) -> None:
    """Of the next `count` entries a tenth is private."""
    for ledger in range(LEDGERS):
        serials = range(book.serial + ledger, book.serial + count, LEDGERS)
        lines = [book.entry(serial, private=random.Random(serial).random() < PRIVATE_SHARE) for serial in serials]
        with (machine.space / f"ledger-{ledger}.jsonl").open("ab") as file:
            file.write(joined(lines))
    book.serial += count


def _suffer(trial: Trial, far: Far, ant: Machine, book: Book) -> None:
    """Processes of both kinds, killed at random times over a line that is harmed, while entries are written."""
    chance, stop = random.Random(f"{trial.seed}/B29"), threading.Event()
    kills, entries = trial.pick(5, 200), trial.pick(600, 100_000)
    at_once = max(1, (entries - book.serial) // (kills * 10))

    def write() -> None:
        while book.serial < entries and not stop.wait(0.05):
            _append(ant, book, at_once)

    with meanwhile(write, stop):
        for number in range(kills):
            process = ant.spawn(("run", "push")[number % 2])
            end = time.monotonic() + chance.uniform(0.4, 1.5)
            while time.monotonic() < end and process.poll() is None:
                HARMS[number % len(HARMS)](far.proxy)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.3)
            process.send_signal((signal.SIGKILL, signal.SIGABRT)[number % 2])
            process.wait()
            far.proxy.delay_s = 0.0
    _append(ant, book, max(0, entries - book.serial))
    trial.result.notes.append(f"{kills} kills, {far.proxy.cuts} answers lost, {far.proxy.connections} connections")


def _crash(result: Result, ant: Machine, book: Book) -> None:
    """An error whose text is all that was read."""
    _append(ant, book, 40)
    for command in ("push", "run"):
        answer = ant.call(command, launcher=("-m", "tests.faults.launch", "crashing"))
        result.expect(answer.code == 70, f"{command} that crashes: {spoken(answer)}")


def _on_a_terminal(result: Result, ant: Machine, book: Book) -> bytes:
    """What a person sees of a push, its progress line included."""
    _append(ant, book, 400)
    with _terminal() as (screen, shown):
        for name in ("push", "status"):
            done = subprocess.run(
                ant.command(name), cwd=ROOT, stdin=screen, stdout=screen, stderr=screen, check=False, timeout=120
            )
            result.expect(done.returncode == 0, f"{name} on a terminal ended with {done.returncode}")
    return bytes(shown)


@contextmanager
def _terminal() -> Iterator[tuple[int, bytearray]]:
    """A terminal for programs, and what they write to it; complete when the block has ended."""
    master, screen = pty.openpty()
    shown = bytearray()

    def read() -> None:
        with contextlib.suppress(OSError):  # nobody has it open any more
            while data := os.read(master, 65536):
                shown.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield screen, shown
    finally:
        os.close(screen)
        reader.join()
        os.close(master)


def _judge(
    trial: Trial, ant: Machine, bee: Machine, far: Far, wire: Capture, garden: Garden, book: Book, terminal: bytes
) -> None:
    result = trial.result
    written = garden.public | book.public
    ant.compare(result, garden.public | book.public, written, "after it all")
    plain = oracle.read_vault(ant.base / "plain")
    count = oracle.compare(plain, garden.public | book.public, written)
    result.expect(not any(count), f"the vault without encryption: {count} {plain.problems[:2]}")
    private = garden.private | book.private
    leaks = search(Traces(private | garden.names), outside(ant, bee, far, wire), ant.identities)
    leaks += search(Traces(private), at_home(ant, terminal))
    result.n = len(private | garden.names)
    result.leaked = len(leaks)
    result.failures += sorted({str(leak) for leak in leaks})[:10]
    recorded, captured = sum(map(len, far.proxy.recorded)), sum(map(len, wire.flows.values()))
    result.expect(recorded, "the proxy has recorded nothing")
    result.expect(captured or not wire.permitted, "no packet was captured")
    seen = f"{captured:,} of packets" if wire.permitted else "no packets, which is not permitted here"
    result.notes.append(f"searched: {recorded:,} bytes recorded, {seen}, {len(terminal):,} on a terminal")


def outside(ant: Machine, bee: Machine, far: Far, wire: Capture) -> list[Place]:
    """Everything that anybody but ant's user could read, and its logs, which are shown to others."""
    return [
        folder(far.vault),
        folder(ant.base / "plain"),
        folder(ant.logs, passing=(ANSWERS,)),
        folder(bee.state),
        folder(bee.logs),
        folder(bee.space),
        *(said(f"connection {number}", bytes(one)) for number, one in enumerate(far.proxy.recorded)),
        *(said(f"packets {ends}", bytes(one)) for ends, one in wire.flows.items()),
        said("the server's log", far.server.log.read_bytes()),
    ]


def at_home(ant: Machine, terminal: bytes) -> list[Place]:
    """Where the names of files may stand, and nothing else: the state, and what its user asked for."""
    return [home(ant.state), said("answers", (ant.logs / ANSWERS).read_bytes()), said("a terminal", terminal)]
