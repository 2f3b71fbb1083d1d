"""How much of a corpus is found, and how much is held for nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from memferry.formats import jsonl
from memferry.model import Record, Source
from memferry.policies import secrets
from tests.scanning.corpus import Case, line

BARS = {"fixed": 0.99, "disguised": 0.95, "overall": 0.90}
FALSE_ALARMS = 0.005
_BATCH = 500


class Figures(NamedTuple):
    """By group: how many were found, of how many; `missed`: by (group, kind)."""

    found: Counter[str]
    of: Counter[str]
    missed: Counter[tuple[str, str]]
    examples: dict[tuple[str, str], Case]

    def share(self, *groups: str) -> float:
        return sum(self.found[name] for name in groups) / max(1, sum(self.of[name] for name in groups))

    @property
    def passes(self) -> bool:
        groups = [name for name in self.of if name != "harmless"]
        return (
            self.share("fixed") >= BARS["fixed"]
            and self.share("disguised") >= BARS["disguised"]
            and self.share(*groups) >= BARS["overall"]
            and self.share("harmless") <= FALSE_ALARMS
        )

    def table(self) -> Iterator[str]:
        yield f"{'group':<12} {'found':>8} {'of':>8}  share"
        for name in self.of:
            yield f"{name:<12} {self.found[name]:>8} {self.of[name]:>8}  {self.share(name):.4f}"
        groups = [name for name in self.of if name != "harmless"]
        found, of = (sum(counter[name] for name in groups) for counter in (self.found, self.of))
        yield f"{'overall':<12} {found:>8} {of:>8}  {self.share(*groups):.4f}"
        for (group, kind), count in self.missed.most_common(40):
            yield f"  {'held for nothing' if group == 'harmless' else 'missed'}: {group}/{kind} {count}"


def measure(cases: Sequence[Case], *, engine: bool = True) -> Figures:
    figures = Figures(Counter(), Counter(), Counter(), {})
    for start in range(0, len(cases), _BATCH):
        batch = cases[start : start + _BATCH]
        found = secrets.search(records(batch), engine=engine)
        for number, case in enumerate(batch):
            figures.of[case.group] += 1
            figures.found[case.group] += number in found
            if (number in found) == (case.group == "harmless"):
                figures.missed[case.group, case.kind] += 1
                figures.examples.setdefault((case.group, case.kind), case)
    return figures


def records(cases: Iterable[Case]) -> list[Record]:
    kind = jsonl.FORMAT.kind("log.jsonl")
    assert kind is not None
    return list(kind.reader.parse(Source("s", "log.jsonl", kind.format), b"".join(map(line, cases)), 0))  # type: ignore[union-attr]
