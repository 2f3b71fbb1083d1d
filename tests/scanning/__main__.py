"""The table of what is found: `python -m tests.scanning [--seed N] [--each N] [--sentences FILE] [--own] [--examples]`.

`--sentences`: a JSON file whose strings are real sentences, none of them secret. `--own`: without the engine.
Ends with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.scanning.corpus import Case, made
from tests.scanning.measure import measure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=3)
    parser.add_argument("--sentences", type=Path)
    parser.add_argument("--own", action="store_true")
    parser.add_argument("--examples", action="store_true")
    arguments = parser.parse_args()
    cases = list(made(arguments.seed, each=arguments.each, harmless=200))
    if arguments.sentences:
        cases += _sentences(arguments.sentences)
    started = time.perf_counter()
    figures = measure(cases, engine=not arguments.own)
    seconds = time.perf_counter() - started
    lines = [*figures.table(), f"seed {arguments.seed}, {len(cases)} records, {seconds:.1f} s"]
    if arguments.examples:
        lines += [f"  {key}: {case.value!r:.160}" for key, case in figures.examples.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if figures.passes else 1


def _sentences(path: Path) -> list[Case]:
    """Sentences without an address: what stands in a URL may be a secret indeed."""
    texts = dict.fromkeys(_strings(json.loads(path.read_text("utf-8"))))
    return [Case("harmless", "sentence", text) for text in texts if len(text) > 20 and "://" not in text]


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _strings(child)


if __name__ == "__main__":
    sys.exit(main())
