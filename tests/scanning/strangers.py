"""Kinds that no rule was made for: `python -m tests.scanning.strangers [--half 1|...|9] [--seed N] [--each N]
[--examples]`.

They were written down, in `strange/`, before anybody tried them. How much of them was found at first sight, and of a
half when rules had been made from the other alone, is what to expect of kinds that nobody has thought of.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.scanning.corpus import Case
from tests.scanning.filling import filled
from tests.scanning.measure import Figures, measure

HALVES = (1, 2)
LATER = 3
"""No half: what was written when rules had been made from both."""
FRESH = (4, 5)
"""Halves of what was written when rules had been made from all of these."""
LAST = 6
"""No half: what was written when rules had been made from these, too."""
NEWEST = (7, 8)
"""Halves of what was written after that, by somebody who had seen neither the rules nor these files."""
PLAIN = 9
"""No half: what stands in ordinary notes, written after that by somebody who had seen none of it either."""
EVERY = (*HALVES, LATER, *FRESH, LAST, *NEWEST, PLAIN)
SPLIT = 20261
"""The seed by which kinds are put into halves."""
_HERE = Path(__file__).parent / "strange"


def halves(name: str) -> Mapping[int, Mapping[str, str]]:
    """Of `secrets` or `harmless`: by half, the texts by their kinds."""
    files = {LATER: "later", LAST: "last", NEWEST[0]: "newer", NEWEST[1]: "newest", PLAIN: "plain"}
    whole = {number: _kinds(f"{file}-{name}") for number, file in files.items()}
    return _halved(name, HALVES) | _halved(f"fresh-{name}", FRESH) | whole


def _halved(name: str, numbers: tuple[int, int]) -> dict[int, dict[str, str]]:
    kinds = _kinds(name)
    names = sorted(kinds)
    random.Random(f"{SPLIT}/{name}").shuffle(names)
    return {number: {kind: kinds[kind] for kind in names[at::2]} for at, number in enumerate(numbers)}


def _kinds(name: str) -> dict[str, str]:
    lines = (_HERE / f"{name}.txt").read_text("utf-8").splitlines()
    found = [line.partition(" | ") for line in lines if line and not line.startswith("#")]
    assert len({kind for kind, _, _ in found}) == len(found)
    return {kind: text.replace("\\n", "\n") for kind, _, text in found}


def made(half: int, seed: int, *, each: int = 4, harmless: int = 10) -> Iterator[Case]:
    """`each`: of a kind of secrets; `harmless`: of a kind of others."""
    dice = random.Random(f"{seed}/{half}")
    for group, name, count in (("unseen", "secrets", each), ("harmless", "harmless", harmless)):
        for kind, text in halves(name)[half].items():
            yield from (Case(group, kind, filled(text, dice)) for _ in range(count))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--half", type=int, choices=EVERY, action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--examples", action="store_true")
    arguments = parser.parse_args()
    passed = True
    for half in arguments.half or EVERY:
        figures = measure(list(made(half, arguments.seed, each=arguments.each, harmless=2 * arguments.each)))
        sys.stdout.write(
            f"half {half}, seed {arguments.seed}\n" + "\n".join(_table(figures, arguments.examples)) + "\n"
        )
        passed = passed and figures.passes
    return 0 if passed else 1


def _table(figures: Figures, examples: bool) -> Iterator[str]:
    yield from figures.table()
    if examples:
        yield from (f"  {key}: {case.value!r:.160}" for key, case in figures.examples.items())


if __name__ == "__main__":
    sys.exit(main())
