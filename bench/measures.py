"""What is measured. Each function returns figures beside their references, taken in the same run on the same files."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import median, quantiles

from bench import corpus
from bench.figures import Figure
from bench.lab import DEBOUNCE_MS, Bench, Lab, polled
from bench.program import Failed, Ran, Service, one_core, timed
from bench.sizes import Sizes

CEILING = "one-core ceiling"
MEGA = 1e6
ANSWER_S = 60.0


# -- cold


def cold(lab: Lab, sizes: Sizes) -> Iterator[Figure]:
    """The first sync of everything, as one command."""
    bench = lab.records(sizes.records)
    core = one_core()
    folder = lab.empty("ceiling")
    lab.say("ceiling")
    ceiling = lab.program.script("ceiling.py", bench.ledger, folder, core=core)
    shutil.rmtree(folder)
    bench.forget_sync()
    lab.say("cold sync on one core")
    pinned = lab.program.memferry(bench.config, "push", "--json", core=core)
    bench.forget_sync()
    free = lab.synced(bench)
    records, size = ceiling["records"], ceiling["bytes"]
    for name, ran in (("", free), (", kept on one core", pinned)):
        rate, best = records / ran.seconds, records / ceiling["seconds"]
        yield Figure(f"cold sync of {records:,} records{name}", rate, "records/s", CEILING, best, at_least=0.4)
        rate, best = size / ran.seconds / MEGA, size / ceiling["seconds"] / MEGA
        yield Figure(f"the same in bytes{name}", rate, "MB/s", CEILING, best)
    work, least = free.cpu_s / records * MEGA, ceiling["cpu_s"] / records * MEGA
    yield Figure("processor time per record", work, "us", CEILING, least)
    yield Figure("peak memory of the cold sync", max(free.peak_bytes, pinned.peak_bytes) / MEGA, "MB", at_most=150)
    yield from _against_rsync(lab, bench, f"cold sync of {records:,} records, whole command", free)
    notes = lab.notes(sizes.files)
    yield from _against_rsync(lab, notes, f"cold sync of {sizes.files:,} files, whole command", lab.synced(notes))


def _against_rsync(lab: Lab, bench: Bench, name: str, ran: Ran) -> Iterator[Figure]:
    reference = _rsync(bench.space, lab.empty("rsync"), "--fsync")
    shutil.rmtree(lab.folder / "rsync")
    yield Figure(name, ran.seconds, "s", *_beside("rsync -a --fsync", reference))


def _rsync(source: Path, target: Path, *options: str) -> float | None:
    """Seconds; None where there is no rsync."""
    if shutil.which("rsync") is None:
        return None
    return timed(["rsync", "-a", *options, f"{source}/", str(target)]).seconds


def _beside(against: str, reference: float | None) -> tuple[str, float | None]:
    return (against, reference) if reference is not None else ("", None)


# -- little or nothing changed


def nochange(lab: Lab, sizes: Sizes) -> Iterator[Figure]:
    """A sync of a tree in which nothing changed."""
    bench = lab.notes(sizes.files)
    lab.synced(bench)
    lab.say("syncs without a change")
    inside = lab.program.script("inside.py", bench.config, bench.space, sizes.rounds)
    stat_ms = inside["stat_s"] * 1000
    name = f"no-change sync of {sizes.files:,} files"
    yield Figure(f"{name}, in process", inside["sync_s"] * 1000, "ms", "os.stat loop", stat_ms, at_most=3)
    whole = median(lab.program.memferry(bench.config, "push", "--json").seconds for _ in range(sizes.rounds))
    yield Figure(f"{name}, whole command", whole * 1000, "ms", "os.stat loop", stat_ms)
    target = lab.empty("rsync")
    _rsync(bench.space, target)
    again = [_rsync(bench.space, target) for _ in range(3)]
    reference = median(seconds * 1000 for seconds in again if seconds is not None) if all(again) else None
    yield Figure(f"{name}, whole command", whole * 1000, "ms", *_beside("rsync -a", reference))
    shutil.rmtree(target)


def append(lab: Lab, sizes: Sizes) -> Iterator[Figure]:
    """A sync after one line was appended to a large ledger."""
    bench = lab.records(sizes.records)
    lab.synced(bench)
    name = f"sync of one new line behind {sizes.records:,} records"
    lab.say("syncs of one line")
    yield Figure(f"{name}, in process", _one_line_s(lab, bench, sizes.rounds, seed=1) * 1000, "ms")
    target = lab.empty("rsync")
    _rsync(bench.space, target)
    commands, references = [], []
    for line in islice(corpus.cleared(2), 5):
        _append(bench.ledger, line)
        commands.append(lab.program.memferry(bench.config, "push", "--json").seconds * 1000)
        references.append(_rsync(bench.space, target, "--append"))
    found = [seconds * 1000 for seconds in references if seconds is not None]
    reference = median(found) if found else None
    yield Figure(f"{name}, whole command", median(commands), "ms", *_beside("rsync -a --append", reference))
    shutil.rmtree(target)


def growth(lab: Lab, sizes: Sizes) -> Iterator[Figure]:
    """What the same change costs beside more and more that did not change."""
    first: tuple[float, float] | None = None
    for size in sizes.growth:
        bench = lab.records(size)
        lab.synced(bench)
        lab.say(f"syncs beside {size:,} records")
        inside = lab.program.script("inside.py", bench.config, bench.space, sizes.rounds)
        found = inside["sync_s"] * 1000, _one_line_s(lab, bench, sizes.rounds, seed=3) * 1000
        beside = f"beside {sizes.growth[0]:,}" if first else ""
        quiet, one = first or (None, None)
        yield Figure(f"nothing new beside {size:,} records", found[0], "ms", beside, quiet)
        yield Figure(f"one new line beside {size:,} records", found[1], "ms", beside, one)
        first = first or found


def _one_line_s(lab: Lab, bench: Bench, rounds: int, *, seed: int) -> float:
    """Median of syncs in one process, each after one appended line."""
    lines = bench.folder / "lines.jsonl"
    lines.write_bytes(b"".join(islice(corpus.cleared(seed), rounds)))
    inside = lab.program.script("inside.py", bench.config, bench.space, rounds, bench.ledger, lines)
    if inside["new"] != rounds:
        raise Failed(f"{rounds} lines were appended to {bench.ledger} and {inside['new']} were stored")
    return float(inside["sync_s"])


def _append(path: Path, line: bytes) -> None:
    with open(path, "ab") as file:
        file.write(line)


# -- another machine


def pull(lab: Lab, sizes: Sizes) -> Iterator[Figure]:
    """What another machine wrote, for the first time, and a line at a time behind it."""
    bench = lab.records(sizes.records)
    lab.synced(bench)
    other = lab.another(bench)
    lab.say("first pull")
    first = lab.program.memferry(other.config, "pull", "--json")
    (shard,) = other.space.iterdir()
    name = f"first pull of {sizes.records:,} records"
    yield from _against_rsync(lab, bench, f"{name}, whole command", first)
    yield Figure(f"{name}, in bytes", shard.stat().st_size / first.seconds / MEGA, "MB/s")
    yield Figure(f"{name}, peak memory", first.peak_bytes / MEGA, "MB", at_most=200)
    pairs = []
    for line in islice(corpus.cleared(5), 5):
        nothing = lab.program.memferry(other.config, "pull", "--json").seconds
        _append(bench.ledger, line)
        lab.program.memferry(bench.config, "push", "--json")
        pairs.append((lab.program.memferry(other.config, "pull", "--json").seconds, nothing))
    one, nothing = _medians(pairs)
    name = f"pull of one new line behind {sizes.records:,} records"
    yield Figure(name, one * 1000, "ms", "pull of nothing", nothing * 1000, at_most=2)


# -- the service


def latency(lab: Lab, sizes: Sizes) -> Iterator[Figure]:
    """From the end of an append to the vault's head that names it, with the service running."""
    bench = lab.records(min(10_000, sizes.records))
    lab.synced(bench)
    lab.say(f"{sizes.appends} appends")
    lines = corpus.cleared(4)
    dice = random.Random(4)
    with Service(lab.program, bench.config, bench.folder / "run.log") as service:
        _durable_after_ms(bench, service, next(lines))  # it is at work now
        found = []
        for line in islice(lines, sizes.appends):
            time.sleep(dice.uniform(0.05, 0.5))
            found.append(_durable_after_ms(bench, service, line))
    cuts = quantiles(found, n=100, method="inclusive")
    yield Figure("append to durable in the vault, p50", cuts[49], "ms", at_most=DEBOUNCE_MS + 20)
    yield Figure("append to durable in the vault, p95", cuts[94], "ms")
    yield Figure("append to durable in the vault, p99", cuts[98], "ms")


def _durable_after_ms(bench: Bench, service: Service, line: bytes) -> float:
    before = bench.last_seq()
    head = bench.head()
    _append(bench.ledger, line)
    stamp = head.stat()
    started = time.perf_counter()
    for _ in polled(ANSWER_S):
        now = head.stat()
        if (now.st_ino, now.st_mtime_ns) != (stamp.st_ino, stamp.st_mtime_ns) or bench.last_seq() > before:
            took = time.perf_counter() - started
            if bench.last_seq() > before:
                return took * 1000
            stamp = now
        service.check()
    raise Failed(f"an appended line was not in the vault after {ANSWER_S:g} s")


def idle(lab: Lab, sizes: Sizes) -> Iterator[Figure]:
    """The service while nothing happens: one scan of the quick kind falls into a minute. Linux."""
    if not Path("/proc/self/stat").exists():
        lab.say("idle is measured on Linux only")
        return
    for what, bench in (
        (f"{sizes.files:,} files", lab.notes(sizes.files)),
        (f"{sizes.records:,} records", lab.records(sizes.records)),
    ):
        lab.synced(bench)
        lab.say(f"the service beside {what}")
        with Service(lab.program, bench.config, bench.folder / "run.log") as service:
            calm_after = _calm(service, sizes)
            before = service.cpu_s()
            time.sleep(sizes.idle_s)
            share = (service.cpu_s() - before) / sizes.idle_s * 100
            resident = service.resident_bytes() / MEGA
        yield Figure(f"start until quiet, {what}", calm_after, "s")
        yield Figure(f"idle service, {what}: processor", share, "%", at_most=0.5)
        yield Figure(f"idle service, {what}: memory", resident, "MB", at_most=150)


def _calm(service: Service, sizes: Sizes) -> float:
    """Wait until it has done what a start brings (a full scan, the search index); returns the seconds that took."""
    step = min(3.0, sizes.idle_s)
    used = 0.0
    for passed in polled(sizes.calm_s, step):
        now = service.cpu_s()
        if now - used < 0.02 * step and passed > step:
            return passed
        used = now
    return sizes.calm_s


# -- the command


def start(lab: Lab, sizes: Sizes) -> Iterator[Figure]:
    """How long a user waits for a command that does little."""
    bench = lab.records(min(10_000, sizes.records))
    lab.synced(bench)
    lab.say("status")
    python, environment = lab.program.python, lab.program.environment
    status, nothing = _in_turn(
        [*lab.program.command(bench.config), "status"], [str(python), "-c", "pass"], environment, sizes.rounds
    )
    yield Figure("memferry status", status * 1000, "ms", "python -c pass", nothing * 1000, at_most=4)


def learn(lab: Lab, sizes: Sizes) -> Iterator[Figure]:
    """How long an agent waits until an entry is kept, alone and among a hundred."""
    bench = lab.topics()
    lab.synced(bench)
    lab.say("learning")
    command = [*lab.program.command(bench.config), "learn", "--topic", "bench", "--content", "Ferries leave at noon."]
    one, nothing = _in_turn(command, [str(lab.program.python), "-c", "pass"], lab.program.environment, sizes.rounds)
    yield Figure("memferry learn", one * 1000, "ms", "python -c pass", nothing * 1000, at_most=5)
    writers, each = 100, max(1, min(100, sizes.appends // 2))
    lab.say(f"{writers} writers that learn {each} times each")
    told = lab.program.script("learning.py", lab.empty("learning"), writers, each)
    if told["failed"] or told["entries"] != writers * each:
        raise Failed(f"{told['entries']} of {writers * each} entries were kept, {told['failed']} writers failed")
    yield Figure(f"{writers} writers that learn {each} times each, none lost", told["seconds"], "s")


def _in_turn(
    one: Sequence[str], other: Sequence[str], environment: Mapping[str, str], rounds: int
) -> tuple[float, float]:
    """Medians of both, taken alternately so that what else the machine does meets both."""
    pairs = [(timed(one, environment).seconds, timed(other, environment).seconds) for _ in range(rounds + 1)][1:]
    return _medians(pairs)


def _medians(pairs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    ones, others = zip(*pairs, strict=True)
    return median(ones), median(others)


# -- a server


def remote(lab: Lab, sizes: Sizes) -> Iterator[Figure]:
    """A vault behind SSH. Needs what the tests need, and sshd, ssh and rsync."""
    from bench.remote import figures

    yield from figures(lab, sizes)


def memory(lab: Lab, sizes: Sizes) -> Iterator[Figure]:
    """The life cycle of a `.memory` tree."""
    from bench.life import figures

    yield from figures(lab, sizes)


# -- the policies


def policy(lab: Lab, sizes: Sizes) -> Iterator[Figure]:
    """The full chain in one process, in processor time: ordinary records, and megabytes made to take long."""
    bench = lab.records(min(MOST_JUDGED, sizes.records))
    lab.say("judging records, and hostile ones")
    told = lab.program.script("judging.py", bench.ledger, sizes.hostile_bytes, core=one_core())
    count = told["records"]
    rate, best = count / told["judged"], count / told["decoded"]
    yield Figure(f"{count:,} records judged", rate, "records/s", at_least=50_000)
    yield Figure("  the same", rate, "records/s", "decoded and hashed", best)
    hostile = told["hostile"]
    name = f"{len(hostile)} hostile records of {sizes.hostile_bytes:,} bytes"
    for when, column in (("while nothing is held", 1), ("once something is", 2)):
        seconds = {one: found[column] for one, found in hostile.items()}
        cuts = quantiles(seconds.values(), n=100, method="inclusive")
        yield Figure(f"{name}, {when}, p50", cuts[49] * 1000, "ms")
        yield Figure(f"{name}, {when}, p99", cuts[98] * 1000, "ms", at_most=100)
        for one in sorted(seconds, key=seconds.__getitem__)[: -SHOWN - 1 : -1]:
            yield Figure(f"one of the slowest {when}: {one}", seconds[one] * 1000, "ms")
    held = sum(rule.endswith("too-large") for rule, *_ in hostile.values())
    yield Figure(f"{name}, held because they are too large", held, "records")


MOST_JUDGED = 100_000
SHOWN = 3


_ALL = (cold, nochange, append, growth, pull, latency, idle, start, learn, memory, policy, remote)
MEASURES = {measure.__name__: measure for measure in _ALL}
