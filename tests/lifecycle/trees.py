"""Trees of tests, and how they are spoken to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import memferry
from memferry.cli.memory import perform

SAMPLE = Path(__file__).parents[1] / "data" / "diasync-sample"
PACKAGE = str(Path(memferry.__file__).parent.parent)
START = "import sys; from memferry.cli.memory import main; sys.exit(main())"


class Tree:
    """A `.memory` tree below `path`, which need not be there yet. `ahead_s`: how far its clock is ahead."""

    def __init__(self, path: Path, *, ahead_s: float = 0.0) -> None:
        self.path = path
        self.ahead_s = ahead_s

    def ask(self, *argv: str) -> dict[str, Any]:
        """What a verb answers, also where it refuses."""
        return perform([*argv, "--root", str(self.path)], "memoryctl", now=lambda: time.time() + self.ahead_s)

    def do(self, *argv: str) -> dict[str, Any]:
        """What a verb answers that must work."""
        answer = self.ask(*argv)
        assert answer["ok"], answer
        return answer

    def lines(self, pattern: str) -> list[dict[str, Any]]:
        """Every record of the ledgers that match."""
        files = sorted(self.path.glob(pattern))
        return [json.loads(line) for file in files for line in file.read_text("utf-8").split("\n") if line]

    def content(self) -> dict[str, bytes]:
        """Every file without the index, which is nobody's memory."""
        files = (path for path in self.path.rglob("*") if path.is_file())
        named = {path.relative_to(self.path).as_posix(): path.read_bytes() for path in files}
        return {name: content for name, content in named.items() if not name.startswith("index/")}

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """A process of its own."""
        return subprocess.Popen(
            [sys.executable, "-c", START, *argv, "--root", str(self.path)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": PACKAGE},
        )  # fmt: skip


def answers(processes: Sequence[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """What each of them said, when all have ended."""
    found = []
    for process in processes:
        out, err = process.communicate(timeout=100)
        assert not err, err
        found.append(json.loads(out))
    return found
