"""`python -m bench`: measure, and print one table."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Figure, as_objects, line, table
from bench.lab import Lab
from bench.measures import MEASURES
from bench.program import Failed, given, installed
from bench.sizes import Sizes

STOPPED = 143


def main(argv: Sequence[str] | None = None) -> int:
    """0: every bar was reached; 1: one was missed; 2: something could not be measured."""
    arguments = _parser().parse_args(argv)
    sizes = Sizes(**{name: getattr(arguments, name) for name in Sizes._fields})
    wanted = list(MEASURES) if "all" in arguments.what else arguments.what
    with tempfile.TemporaryDirectory(prefix="memferry-bench-", dir=arguments.folder) as name:
        folder = Path(name)
        _say(f"in {folder}, removed at the end")
        try:
            program = given(arguments.python) if arguments.python else installed(folder / "venv")
            lab = Lab(folder, program, _say, {sizes.records: arguments.corpus} if arguments.corpus else {})
            figures = []
            for figure in (figure for what in wanted for figure in MEASURES[what](lab, sizes)):
                _say(line(figure))
                figures.append(figure)
        except Failed as error:
            _say(str(error))
            return 2
    _show(figures, in_json=arguments.json)
    return int(any(figure.reached is False for figure in figures))


def _show(figures: Sequence[Figure], *, in_json: bool) -> None:
    sys.stdout.write((json.dumps(as_objects(figures), indent=2) if in_json else table(figures)) + "\n")


_STARTED = time.monotonic()


def _say(text: str) -> None:
    sys.stderr.write(f"bench {time.monotonic() - _STARTED:6.1f} s: {text}\n")


def _parser() -> argparse.ArgumentParser:
    usual = Sizes()
    parser = argparse.ArgumentParser(
        "python -m bench", description="Measure memferry beside what this machine can do. See docs/benchmarks.md.",
        epilog="example: python -m bench cold nochange --records 100000",
    )  # fmt: skip
    parser.add_argument("what", nargs="*", default=["all"], choices=["all", *MEASURES], metavar="WHAT",
                        help=f"all (default), {', '.join(MEASURES)}")  # fmt: skip
    parser.add_argument("--records", type=int, default=usual.records, help="of the largest ledger (%(default)s)")
    parser.add_argument("--files", type=int, default=usual.files, help="of the tree of notes (%(default)s)")
    parser.add_argument("--rounds", type=int, default=usual.rounds, help="repetitions of what is short (%(default)s)")
    parser.add_argument("--appends", type=int, default=usual.appends, help="for the latency (%(default)s)")
    parser.add_argument("--idle-s", type=float, default=usual.idle_s, help="to watch a quiet service (%(default)g)")
    parser.add_argument("--calm-s", type=float, default=usual.calm_s, help="to wait for quiet at most (%(default)g)")
    parser.add_argument("--hostile-bytes", type=int, default=usual.hostile_bytes,
                        help="of each record that is made to take long (%(default)s)")  # fmt: skip
    parser.add_argument("--corpus", type=Path, help="use this ledger of --records lines instead of a made one")
    parser.add_argument("--python", type=Path, help="run this source tree with it, not an installed copy")
    parser.add_argument("--folder", type=Path, help="work below this folder instead of the system's temporary one")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))  # so that services stop and folders go
    sys.exit(main())
