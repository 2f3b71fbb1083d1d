"""`python -m tests.faults [BAR...] [--size small|full] [--seed N]`: run bars and print what each came to."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.bar import BARS, Bar, Size, cleaned, usable
from tests.faults.bars import NAMES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("bars", nargs="*", metavar="BAR", help=f"which (default: all of {' '.join(NAMES)})")
    parser.add_argument("--size", choices=["small", "full"], default="full")
    parser.add_argument("--seed", type=int, default=None, help="default: by the clock, and printed")
    arguments = parser.parse_args()
    spelled = {name.upper(): name for name in NAMES}
    wanted = [spelled.get(name.upper(), name) for name in arguments.bars] or list(NAMES)
    if unknown := [name for name in wanted if name not in BARS]:
        parser.error(f"there is no bar {', '.join(unknown)}; there are {' '.join(NAMES)}")
    if not usable():
        parser.error("these faults are made of signals, strace and inotify: they need Linux")
    logging.getLogger("memferry").addHandler(logging.NullHandler())  # some bars open an agent in this process
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    passed = [_run(BARS[name], arguments.size, seed) for name in wanted]
    return 0 if all(passed) else 1


def _run(bar: Bar, size: Size, seed: int) -> bool:
    if missing := bar.missing():
        _say(f"{bar.name:6} FAIL needs {', '.join(missing)}: install it and try again")
        return False
    with tempfile.TemporaryDirectory(prefix="memferry-faults-") as folder, cleaned(Path(folder) / bar.name) as base:
        result = bar.run(base, size, seed)
    _say(str(result))
    return result.passed


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
