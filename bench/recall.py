"""`python -m bench.recall`: how well and how fast recall finds, through memferry's own files, index and ranking.

Quality: LoCoMo (snap-research/LoCoMo, `locomo10.json`, CC BY-NC: not part of this project) as the ledgers of an agent,
each session a file, each conversation a space; relevant are the turns that a question's `evidence` names. And Chinese
sentences of our own. Speed: records of words that are as frequent as in a language.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from bench import asking, vectors
from bench.figures import Figure, as_objects, table
from bench.lab import as_yaml
from memferry.agent.commands import verbs
from memferry.agent.service import opened
from memferry.config import Config, load
from memferry.recall.local import HELD, INDEX, searcher
from memferry.recall.lookup import Filters
from memferry.recall.search import Searcher, Wanted

CHINESE = Path(__file__).parent / "data" / "chinese.tsv"
ANSWERABLE = (1, 2, 3, 4)
"""Categories of LoCoMo; the questions of the fifth have no answer."""
TUNED_ON = 5
"""Conversations on which weights were chosen; the others are reported apart."""
DEPTH = 100
IDLE_S = 3.0
"""After which a process without questions ends, so that its end can be waited for."""
BARS = {
    "core": {"R@10": 0.68},
    "semantic": {"R@10": 0.73, "MRR": 0.55},
    "model": {"R@5": 0.69, "R@10": 0.775, "MRR": 0.60},
}
CHINESE_BARS = {"core": 0.90, "semantic": 0.90, "model": 0.94}


class Question(NamedTuple):
    """`relevant`: keys of the records that answer it."""

    text: str
    space: str
    relevant: frozenset[str]


class Found(NamedTuple):
    """Of one question."""

    recall_5: float
    recall_10: float
    reciprocal_rank: float


# -- material


def write_locomo(data: Path, root: Path) -> list[list[Question]]:
    """Ten spaces of ledgers below `root`; returns the answerable questions of each."""
    return [list(_conversation(one, root / one["sample_id"])) for one in json.loads(data.read_text("utf-8"))]


def _conversation(sample: Mapping[str, Any], space: Path) -> Iterator[Question]:
    space.mkdir(parents=True)
    talk = sample["conversation"]
    known = set()
    for number in range(1, 1 + sum(name.endswith("_date_time") for name in talk)):
        turns = talk.get(f"session_{number}", [])
        known |= {turn["dia_id"] for turn in turns}
        lines = [json.dumps(_line(turn, talk[f"session_{number}_date_time"])) for turn in turns]
        (space / f"session-{number:02d}.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    for asked in sample["qa"]:
        named = re.findall(r"D:?(\d+):(\d+)", " ".join(asked.get("evidence", [])))  # some are malformed: `D8:6; D9:17`
        evidence = frozenset(f"D{int(session)}:{int(turn)}" for session, turn in named) & known
        if evidence and asked["category"] in ANSWERABLE:
            yield Question(str(asked["question"]), space.name, evidence)


def _line(turn: Mapping[str, Any], session: str) -> dict[str, str]:
    at = datetime.datetime.strptime(session.upper(), "%I:%M %p ON %d %B, %Y")  # noqa: DTZ007  # it has no zone
    shown = f" [shares a picture: {turn['blip_caption']}]" if turn.get("blip_caption") else ""
    return {
        "id": turn["dia_id"],
        "ts": at.isoformat(),
        "speaker": turn["speaker"],
        "text": turn["text"].strip() + shown,
    }


def write_chinese(root: Path, data: Path) -> list[Question]:
    """One space with a ledger of sentences in a shuffled order. `data`: a question, a tab and its answer a line."""
    pairs = [line.split("\t") for line in data.read_text("utf-8").rstrip("\n").split("\n")]
    questions = [Question(asked, "chinese", frozenset([f"zh-{n}"])) for n, (asked, _) in enumerate(pairs)]
    lines = [json.dumps({"id": f"zh-{n}", "text": told}, ensure_ascii=False) for n, (_, told) in enumerate(pairs)]
    random.Random(1).shuffle(lines)
    (root / "chinese").mkdir(parents=True)
    (root / "chinese" / "memory.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return questions


def _made_up(dice: random.Random) -> list[str]:
    words = ["".join(dice.choices("bcdfghklmnprstvw", k=1) + dice.choices("aeiou", k=1)) for _ in range(60)]
    vocabulary = sorted({"".join(dice.choices(words, k=dice.randint(1, 4))) for _ in range(40_000)})
    dice.shuffle(vocabulary)
    return vocabulary


def write_records(root: Path, count: int, words: Sequence[str] = ()) -> list[str]:
    """One space with `count` records of 20 to 60 words by Zipf's law, of those or of made up ones; returns questions of
    3 to 7 such words."""
    dice = random.Random(1)
    vocabulary = words or _made_up(dice)
    weights = list(accumulate(1 / (rank + 2.7) for rank in range(len(vocabulary))))
    (root / "many").mkdir(parents=True)
    with open(root / "many" / "memory.jsonl", "w", encoding="utf-8") as file:
        for number in range(count):
            said = " ".join(dice.choices(vocabulary, cum_weights=weights, k=dice.randint(20, 60)))
            file.write(
                json.dumps({"id": f"r{number}", "ts": "2026-11-01T00:00:00Z", "speaker": "ada", "text": said}) + "\n"
            )
    everyday = weights[: len(vocabulary) // 2]
    return [
        " ".join(dice.choices(vocabulary[: len(everyday)], cum_weights=everyday, k=dice.randint(3, 7)))
        for _ in range(300)
    ]


# -- through memferry


def carried(folder: Path, spaces: Path, model: str = "minilm", tier: str = "best") -> Config:
    """Every folder below `spaces` as a space, read and delivered; nothing is indexed yet."""
    settings = {
        "machine": "bench",
        "state": str(folder / "state"),
        "spaces": [{"name": one.name, "path": str(one)} for one in sorted(spaces.iterdir())],
        "backends": {"vault": {"type": "local", "path": str(folder / "vault")}},
        "agent": {"settle_ms": 0},
        "recall": {"model": model, "tier": tier, "idle_s": IDLE_S},
    }
    file = folder / "memferry.yaml"
    file.write_text(as_yaml(settings))
    config = load({}, file=str(file))
    with opened(config, "push") as agent:
        verbs.perform(agent, "push", {})
    return config


def embedded(config: Config, tier: str) -> tuple[int, float]:
    """Records that got vectors, which the model tier alone needs, and seconds."""
    if tier != "model":
        return 0, 0.0
    with opened(config, "index") as agent:
        started = time.perf_counter()
        count = int(verbs.perform(agent, "index", {"embed": None})["embedded"])
        return count, time.perf_counter() - started


def indexed(config: Config) -> tuple[int, float, float]:
    """Operations taken in, seconds, and seconds of processor time."""
    with opened(config, "index") as agent:
        started, worked = time.perf_counter(), time.process_time()
        count = int(verbs.perform(agent, "index", {})["indexed"])
        return count, time.perf_counter() - started, time.process_time() - worked


def merged(config: Config) -> float:
    """What a service does once nothing else is to do; returns seconds of processor time."""
    with opened(config, "index") as agent:
        worked = time.process_time()
        while agent.indexing.keep_up():
            pass
        return time.process_time() - worked


def ask(asked: Searcher, question: Question) -> Found:
    hits = asked.search(Wanted(question.text, DEPTH, Filters(space=question.space))).hits
    keys = [hit.key for hit in hits]
    first = next((1 / rank for rank, key in enumerate(keys, 1) if key in question.relevant), 0.0)
    shares = [len(question.relevant & set(keys[:k])) / len(question.relevant) for k in (5, 10)]
    return Found(shares[0], shares[1], first)


# -- figures


def locomo(data: Path, tier: str, folder: Path, model: str) -> Iterator[Figure]:
    groups = write_locomo(data, folder / "spaces")
    config = carried(folder, folder / "spaces", model)
    indexed(config)
    count, seconds = embedded(config, tier)
    if count:
        yield Figure(f"vectors of {count:,} records", count / seconds, "records/s")
    with contextlib.closing(searcher(config, shareable=False, tier=tier)) as asked:
        found = [[ask(asked, question) for question in group] for group in groups]
    parts = {"": found, ", the five tuned on": found[:TUNED_ON], ", the other five": found[TUNED_ON:]}
    for name, some in parts.items():
        bars = BARS[tier] if not name else {}
        yield from _quality(f"LoCoMo, {tier}{name}", [one for group in some for one in group], bars)


def chinese(tier: str, folder: Path, model: str, data: Path = CHINESE) -> Iterator[Figure]:
    questions = write_chinese(folder / "spaces", data)
    config = carried(folder, folder / "spaces", model)
    indexed(config)
    embedded(config, tier)
    with contextlib.closing(searcher(config, shareable=False, tier=tier)) as asked:
        found = [ask(asked, question) for question in questions]
    yield from _quality(f"Chinese, {tier}", found, {"R@10": CHINESE_BARS[tier]})


def _quality(name: str, found: Sequence[Found], bars: Mapping[str, float]) -> Iterator[Figure]:
    for field, label in zip(Found._fields, ("R@5", "R@10", "MRR"), strict=True):
        value = mean(getattr(one, field) for one in found)
        yield Figure(f"{name}, {label} of {len(found):,} questions", value, "", at_least=bars.get(label))


class Many(NamedTuple):
    """Many records in one ledger, read and delivered, and what to ask about them."""

    config: Config
    questions: list[str]
    ledger: Path


def many(count: int, tiers: Sequence[str], folder: Path) -> Many:
    """Where the model tier is not measured, a service has no vectors to make."""
    model = "model" in tiers
    questions = write_records(folder / "spaces", count, vectors.known_words() if model else ())
    config = carried(folder, folder / "spaces", tier="model" if model else "semantic")
    return Many(config, questions, folder / "spaces" / "many" / "memory.jsonl")


def speed(some: Many, tiers: Sequence[str]) -> Iterator[Figure]:
    """Of one process: taking in, and answering, by processor time."""
    taken, seconds, worked = indexed(some.config)
    yield Figure("index of all records", taken / seconds, "records/s", at_least=20_000)
    yield Figure("  the same by processor time", taken / worked, "records/s")
    yield Figure("  its words merged, when there is time", merged(some.config), "s of processor time")
    size = sum((some.config.state / name).stat().st_size for name in (INDEX, HELD))
    yield Figure("  its size", size / 1e6, "MB")
    for tier in tiers:
        if tier == "model":
            yield from vectors.made(some.config, min(vectors.READ, taken // 2))
        with contextlib.closing(searcher(some.config, shareable=False, tier=tier)) as asked:
            asked.search(Wanted("warm up"))
            taken_ms = [1000 * _worked(lambda text=text: asked.search(Wanted(text))) for text in some.questions[:100]]  # type: ignore[misc]
        yield Figure(f"recall in one process, {tier}, processor time, p50", median(taken_ms), "ms")
    yield Figure("a fixed piece of Python, which tells how busy the machine is", asking.reference_ms(), "ms")


def served(some: Many, tiers: Sequence[str], folder: Path, together_s: float) -> Iterator[Figure]:
    """As users have it: commands, a service, and both at once. Linux."""
    for tier in tiers:
        yield from asking.as_commands(some.config, tier, some.questions[:10])
        yield from asking.through_service(some.config, tier, some.questions, folder)
    yield from asking.beside_a_sync(some.config, tiers[0], some.questions, some.ledger, folder)
    if together_s:
        yield from asking.together(some.config, together_s, some.ledger, folder, some.questions[0])


def _worked(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main(argv: Sequence[str] | None = None) -> int:
    """0: every bar was reached; 1: one was missed."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in whatever answers questions
    arguments = _parser().parse_args(argv)
    tiers = arguments.tier or ["core", "semantic"]
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="memferry-bench-") as name:
        for tier in tiers:
            folder = Path(name) / tier
            if arguments.locomo:
                figures += locomo(arguments.locomo, tier, _made(folder / "locomo"), arguments.model)
            figures += chinese(tier, _made(folder / "chinese"), arguments.model, arguments.chinese)
        if arguments.records:
            folder = _made(Path(name) / "speed")
            some = many(arguments.records, tiers, folder)
            figures += [*speed(some, tiers), *served(some, tiers, folder, arguments.together)]
    shown = json.dumps(as_objects(figures), indent=2) if arguments.json else table(figures)
    sys.stdout.write(f"{shown}\n")
    return int(any(figure.reached is False for figure in figures))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bench.recall", description="How well and how fast recall finds. See docs/recall.md.",
        epilog="example: python -m bench.recall --locomo locomo10.json --tier core --tier semantic",
    )  # fmt: skip
    parser.add_argument("--locomo", type=Path, metavar="FILE", help="locomo10.json of snap-research/LoCoMo")
    parser.add_argument(
        "--chinese", type=Path, default=CHINESE, metavar="FILE", help="other pairs than those of the bars, such as"
        " bench/data/chinese_tuning.tsv, on which weights may be tried",
    )  # fmt: skip
    parser.add_argument("--tier", action="append", choices=list(BARS), help="repeatable (default: core and semantic)")
    parser.add_argument("--model", default="minilm", help="of the model tier, as recall.model (%(default)s)")
    parser.add_argument("--records", type=int, default=100_000, help="for the speed; 0: none (%(default)s)")
    parser.add_argument(
        "--together", type=float, default=10, metavar="S", help="seconds of a service that writes beside commands that"
        " read; 600 for the whole claim; 0: none (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
