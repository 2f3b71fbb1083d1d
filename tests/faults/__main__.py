"""`python -m tests.faults [BAR...] [--size small|full] [--seed N]`: run bars and print what each came to.

`--teeth`: sow one bug after the other; the small size of its bar must notice.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.bar import BARS, Bar, Size, cleaned, usable
from tests.faults.bars import NAMES
from tests.faults.mutants import MUTANTS, sown

TRIES = 3
GAVE_UP = "gave up"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("bars", nargs="*", metavar="BAR", help=f"which (default: all of {' '.join(NAMES)})")
    parser.add_argument("--size", choices=["small", "full"], default="full")
    parser.add_argument("--seed", type=int, default=None, help="default: by the clock, and printed")
    parser.add_argument("--teeth", action="store_true", help="sow bugs, which the bars must notice (all, or of these)")
    parser.add_argument("--mutant", choices=MUTANTS, default=None, help="run the bars with this bug sown")
    arguments = parser.parse_args()
    spelled = {name.upper(): name for name in NAMES}
    wanted = [spelled.get(name.upper(), name) for name in arguments.bars] or list(NAMES)
    if unknown := [name for name in wanted if name not in BARS]:
        parser.error(f"there is no bar {', '.join(unknown)}; there are {' '.join(NAMES)}")
    if not usable():
        parser.error("these faults are made of signals, strace and inotify: they need Linux")
    logging.getLogger("memferry").addHandler(logging.NullHandler())  # some bars open an agent in this process
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    if arguments.teeth:
        return _teeth(set(wanted), seed)
    if arguments.mutant:
        sown(arguments.mutant)
    passed = [_run(BARS[name], arguments.size, seed) for name in wanted]
    return 0 if all(passed) else 1


def _run(bar: Bar, size: Size, seed: int) -> bool:
    if reason := bar.forbidden():
        _say(f"{bar.name:6} FAIL {reason}")
        return False
    if missing := bar.missing():
        _say(f"{bar.name:6} FAIL needs {', '.join(missing)}: install it and try again")
        return False
    with tempfile.TemporaryDirectory(prefix="memferry-faults-") as folder, cleaned(Path(folder) / bar.name) as base:
        result = bar.run(base, size, seed)
    _say(str(result))
    return result.passed


def _teeth(bars: set[str], seed: int) -> int:
    """Each bug in a process of its own. 1 where one of them passed unnoticed, or where a bar fails without any: what
    it notices then means nothing."""
    unnoticed = 0
    honest: dict[str, str] = {}
    for name, mutant in MUTANTS.items():
        if mutant.bar not in bars:
            continue
        if mutant.bar not in honest:
            honest[mutant.bar] = _failure(mutant.bar, seed)
            _say(
                f"{mutant.bar:4} {f'FAILS     {honest[mutant.bar]}' if honest[mutant.bar] else 'passes   '} without any"
            )
        why = _failure(mutant.bar, seed, "--mutant", name)
        noticed = bool(why) and not honest[mutant.bar]
        _say(f"{mutant.bar:4} {'noticed  ' if noticed else 'UNNOTICED'} {name}: {why}")
        unnoticed += not noticed
    return 1 if unnoticed else 0


def _failure(bar: str, seed: int, *more: str) -> str:
    """Why the small size of a bar fails, in a few words; empty where it passes. A run that gave up has judged nothing:
    it is tried again, and counts as nothing."""
    command = [sys.executable, "-m", "tests.faults", bar, "--size", "small", "--seed", str(seed), *more]
    for _ in range(TRIES):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0 or f"{bar:6} FAIL" not in done.stdout:
            return ""
        why = [line.strip() for line in done.stdout.splitlines()[1:] if "note:" not in line]
        if why and GAVE_UP not in why[0]:
            return why[0][:120]
    return ""


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
