"""Every bar at its small size. The full size: `python -m tests.faults`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.faults.bar import BARS, cleaned, usable
from tests.faults.bars import NAMES

SEED = int(os.environ.get("MEMFERRY_SEED", "20260"))

pytestmark = [
    pytest.mark.skipif(not usable(), reason="made of signals, strace and inotify: needs Linux"),
    pytest.mark.timeout(480),
]


@pytest.mark.parametrize("name", NAMES)
def test_bar(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bar = BARS[name]
    if reason := bar.forbidden():
        pytest.skip(f"{bar.title}: {reason}")
    if missing := bar.missing():
        reason = f"{bar.title}: needs {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with cleaned(tmp_path / name) as base:
        result = bar.run(base, "small", SEED)
    with capsys.disabled():
        sys.stdout.write(f"\n{result}\n")
    assert result.passed, str(result)
