"""The life cycle of a `.memory` tree: what an agent waits for, and what a verb costs behind a long history."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from bench.figures import Figure
from bench.lab import Lab
from bench.program import Ran, timed
from bench.sizes import Sizes
from memferry.memory.lifecycle import founding, tree
from memferry.memory.lifecycle.records import Who, event, line
from memferry.memory.lifecycle.words import compact
from memferry.values import iso

MOST_EVENTS = 100_000
_SCOPES = ("global", "project:atlas", "project:borealis")
_INSTANCES = ("ins-main", "ins-night")
_FIRST_S = 1_767_225_600  # 2026-01-01
_APART_S = 60
_PROGRAM = "import sys; from memferry.cli.memory import main; sys.exit(main())"
_NEWS = {
    "distill": ("capture", "--scope", "global", "--summary", "One more note"),
    "reduce": ("publish", "--scope", "global", "--summary", "One more fact"),
    "diagnose": ("publish", "--scope", "global", "--summary", "One more fact"),
}


def figures(lab: Lab, sizes: Sizes) -> Iterator[Figure]:
    """A capture; the verbs over the whole history once, then after each new event, beside an empty tree."""
    empty, full = lab.empty("memory-empty"), lab.empty("memory-full")
    count = min(MOST_EVENTS, sizes.records)
    founding.found(str(empty))
    write_tree(full, count)
    lab.say("capture")
    pairs = [_capture_and_nothing(lab, empty) for _ in range(sizes.rounds + 1)][1:]
    capture, nothing = (median(column) * 1000 for column in zip(*pairs, strict=True))
    yield Figure("memoryctl capture", capture, "ms", "python -c pass", nothing, at_most=5)
    for verb in _NEWS:
        lab.say(f"{verb} of {count:,} events")
        argv = [verb] if verb == "diagnose" else [verb, "--limit", str(count)]
        ran = _ask(lab, full, *argv)
        yield Figure(f"{verb}, {count:,} events for the first time", ran.seconds, "s")
        yield Figure(f"{verb}, {count:,} events for the first time, processor time", ran.cpu_s, "s")
    for verb, news in _NEWS.items():
        lab.say(f"{verb} of one new event")
        pairs = [(_after(lab, full, news, verb), _after(lab, empty, news, verb)) for _ in range(sizes.rounds)]
        one, other = (median(column) * 1000 for column in zip(*pairs, strict=True))
        yield Figure(f"{verb}, one new event behind {count:,}", one, "ms", "behind none", other, at_most=2)


def _capture_and_nothing(lab: Lab, root: Path) -> tuple[float, float]:
    capture = _ask(lab, root, *_NEWS["distill"])
    return capture.seconds, timed([str(lab.program.python), "-c", "pass"], lab.program.environment).seconds


def _after(lab: Lab, root: Path, news: Sequence[str], verb: str) -> float:
    _ask(lab, root, *news)
    return _ask(lab, root, verb).seconds


def _ask(lab: Lab, root: Path, *argv: str) -> Ran:
    """A verb, with the start of its process."""
    command = [str(lab.program.python), "-c", _PROGRAM, *argv, "--root", str(root)]
    return timed(command, lab.program.environment)


def write_tree(root: Path, count: int) -> None:
    """A tree of `count` events that nobody worked on, half captured and half published, one a minute, a tenth of them
    private; deterministic."""
    founding.found(str(root))
    chance = random.Random(count)
    ledgers: dict[str, list[bytes]] = {}
    for number in range(count):
        file, written = _event(number, chance)
        ledgers.setdefault(file, []).append(written)
    for file, lines in ledgers.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"".join(lines))


def _event(number: int, chance: random.Random) -> tuple[str, bytes]:
    ts = iso(_FIRST_S + number * _APART_S)
    scope, instance, is_shared = _SCOPES[number % 3], _INSTANCES[number % 2], bool(number % 2)
    kind = chance.choice(("fact", "decision", "commitment"))
    payload = {
        "summary": f"The importer drops row {number} of the nightly dump",
        "object_type" if is_shared else "proposed_type": kind,
        "horizon": "day", "salience": "medium", "confidence": 0.7, "tags": ["importer", "data"],
    }  # fmt: skip
    if kind == "decision":
        payload["decision_key"] = f"key-{number}"
    visibility = "private" if number % 10 == 0 else "project"
    who = Who(scope, scope.partition(":")[2], instance, f"run-{compact(ts)}-00000000", visibility, instance)
    type_ = "memory.published" if is_shared else "memory.captured"
    fields = event(type_, who, payload, event_id=f"evt-{compact(ts)}-{number:08x}", ts=ts, lc=number)
    return tree.bus(scope, ts) if is_shared else tree.stream(scope, instance, ts), line(fields)
