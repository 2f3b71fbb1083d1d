"""Questions as they come to a service: how fast beside its other work, how large it grows, and whether anything ever
fails while it writes and others read. Linux."""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles

from bench.figures import Figure
from bench.program import Failed, Program, Service, cpu_s, given, resident_bytes
from memferry.agent import doorbell
from memferry.agent.index.lag import lag
from memferry.agent.lock import holder
from memferry.config import Config
from memferry.recall import asking
from memferry.recall.local import INDEX
from memferry.recall.search import Wanted

BARS_MS = {"core": 5, "semantic": 15, "model": 40}
BARS_MB = {"core": 60, "semantic": 120, "model": 300}
COMMAND_BARS_S = {"core": 0.2, "semantic": 1.0}
READY_S = 60.0
READERS = 2


def reference_ms() -> float:
    """A fixed piece of Python, the same on every machine: 11 ms on the one of docs/benchmarks.md when it is quiet."""
    started = time.process_time()
    sum(number * number for number in range(200_000))
    return 1000 * (time.process_time() - started)


def as_commands(config: Config, tier: str, questions: Sequence[str]) -> Iterator[Figure]:
    """`memferry recall` without a service: start, open, answer, end."""
    program = given(Path(sys.executable))
    ran = [program.memferry(config.source, "recall", "--json", "--tier", tier, *one.split()) for one in questions]
    bar = COMMAND_BARS_S.get(tier)
    yield Figure(
        f"memferry recall without a service, {tier}, p50", median(one.seconds for one in ran), "s", at_most=bar
    )
    yield Figure(f"  the same by processor time, {tier}", median(one.cpu_s for one in ran), "s")


def through_service(config: Config, tier: str, questions: Sequence[str], folder: Path) -> Iterator[Figure]:
    """Warm, one question after the other; and what the processes hold before and after everybody is silent."""
    with Service(given(Path(sys.executable)), config.source, folder / f"{tier}.log") as service:
        ready(config, tier)
        before = _cpu_s(service)
        taken_ms = [_asked_ms(config, tier, one) for one in questions]
        worked_ms = 1000 * (_cpu_s(service) - before) / len(questions)
        bar = BARS_MS[tier]
        yield Figure(f"recall through the service, {tier}, p50", median(taken_ms), "ms", at_most=bar)
        yield Figure(f"recall through the service, {tier}, p95", quantiles(taken_ms, n=20)[-1], "ms", at_most=3 * bar)
        yield Figure(f"  the same by processor time, {tier}, mean", worked_ms, "ms")
        yield Figure(f"memory of all its processes, {tier}", _resident_mb(service), "MB", at_most=BARS_MB[tier])
        yield Figure("  of that the service itself", resident_bytes(service.pid) / 1e6, "MB")
        time.sleep(config.recall.idle_s + 1)
        while len(_processes(service)) > 1:
            time.sleep(0.1)
        yield Figure(f"  {config.recall.idle_s:g} s after the last question", _resident_mb(service), "MB", at_most=60)


def beside_a_sync(config: Config, tier: str, questions: Sequence[str], ledger: Path, folder: Path) -> Iterator[Figure]:
    """While the service reads, delivers and indexes as many records again as `ledger` has."""
    with Service(given(Path(sys.executable)), config.source, folder / f"{tier}-beside.log") as service:
        ready(config, tier)
        lines = ledger.read_text("utf-8").splitlines(keepends=True)
        draft = folder / "more"
        draft.write_text("".join(line.replace('"id": "r', '"id": "again-r') for line in lines), "utf-8")
        draft.rename(ledger.with_name("again.jsonl"))
        taken_ms = []
        for question in itertools.cycle(questions):
            taken_ms.append(_asked_ms(config, tier, question))
            if len(taken_ms) >= len(questions) and _is_done(config, 2 * len(lines)):
                break
        service.check()
    bar = BARS_MS[tier]
    yield Figure(f"recall beside a sync, {tier}, p50 of {len(taken_ms):,}", median(taken_ms), "ms", at_most=bar)
    yield Figure(f"recall beside a sync, {tier}, p95", quantiles(taken_ms, n=20)[-1], "ms", at_most=3 * bar)


def together(config: Config, seconds: float, ledger: Path, folder: Path, question: str) -> Iterator[Figure]:
    """A service that writes all the time, and commands that read: every one must find what was there before."""
    program = given(Path(sys.executable))
    end = time.monotonic() + seconds
    with Service(program, config.source, folder / "together.log") as service, ThreadPoolExecutor(READERS + 1) as pool:
        written = pool.submit(_write, ledger, end)
        readers = [pool.submit(_read, program, config, end, number, question) for number in range(READERS)]
        asked = [one.result() for one in readers]
        service.check()
    trouble = [line for line in (folder / "together.log").read_text().splitlines() if "Traceback" in line]
    yield Figure(f"records written in {seconds:g} s", written.result(), "records")
    yield Figure("commands that read meanwhile", sum(count for count, _ in asked), "commands")
    yield Figure("errors of either", len(trouble) + sum(failed for _, failed in asked), "", at_most=0)


def _write(ledger: Path, end: float) -> int:
    for number in itertools.count():
        if time.monotonic() > end:
            return number
        with open(ledger, "a", encoding="utf-8") as file:
            file.write(json.dumps({"id": f"w{number}", "speaker": "ada", "text": f"written as number {number}"}) + "\n")
        time.sleep(0.02)
    raise AssertionError


def _read(program: Program, config: Config, end: float, reader: int, question: str) -> tuple[int, int]:
    """Commands, and how many of them failed. Every other leaves out what is held; every tenth lets the index be made
    again, by one reader."""
    failed = 0
    for number in itertools.count():
        if time.monotonic() > end:
            return number, failed
        further = ["--shareable"] if number % 2 else []
        further += ["--rebuild"] if reader == 0 and number % 10 == 9 else []
        try:
            ran = program.memferry(config.source, "recall", "--json", *question.split(), *further)
            failed += not json.loads(ran.output)
        except Failed as error:
            sys.stderr.write(f"{error}\n")
            failed += 1
    raise AssertionError


def ready(config: Config, tier: str) -> None:
    """The service has a process for questions, and that has everything open. Failed: not in time."""
    end = time.monotonic() + READY_S
    while (held := holder(config.state)) is None or held.purpose != doorbell.SERVICE:
        _wait(end)
    doorbell.leave(config.state, "answering")
    while asking.ask(config, Wanted("warm up"), shareable=False, tier=tier) is None:
        _wait(end)


def _wait(end: float) -> None:
    if time.monotonic() > end:
        raise Failed("the service answers no questions")
    time.sleep(0.05)


def _asked_ms(config: Config, tier: str, question: str) -> float:
    started = time.perf_counter()
    if asking.ask(config, Wanted(question), shareable=False, tier=tier) is None:
        raise Failed(f"no answer to {question!r}")
    return 1000 * (time.perf_counter() - started)


def _is_done(config: Config, count: int) -> bool:
    """Whether so many operations are in the index, and nothing waits."""
    with contextlib.closing(sqlite3.connect(config.state / INDEX)) as database:
        (seq,) = database.execute("select max(seq) from position").fetchone()
    return bool(seq >= count and not lag(config.state))


def _cpu_s(service: Service) -> float:
    return sum(map(cpu_s, _processes(service)))


def _resident_mb(service: Service) -> float:
    return sum(map(resident_bytes, _processes(service))) / 1e6


def _processes(service: Service) -> list[int]:
    """The service's, its children's and theirs."""
    found = [service.pid]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # it ends this moment
                found += map(int, children.read_text().split())
    return found
