"""What packs well is taken in portions all the same: their size is that of what is held in memory."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from memferry.agent.commands.doctor import doctor
from memferry.agent.pulling.planning import Planning
from memferry.agent.state.journal import Journal
from memferry.model import Op, Put
from tests.agent.machines import Machine

LARGE = 3 << 20
ROOM = 8 << 20


@pytest.fixture
def ant(ant: Machine) -> Machine:
    for number in range(8):
        ant.write(f"{number}.md", f"# page {number}\n" + "all the same " * (LARGE // 13))
    ant.do("push")
    return ant


def test_files_are_written_in_portions(ant: Machine, bee: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    portions: list[int] = []
    honest = Planning.planned

    def planned(self: Planning, ids: Sequence[int]) -> object:
        portions.append(len(ids))
        return honest(self, ids)

    monkeypatch.setattr(Planning, "planned", planned)
    bee.do("pull")
    assert len(portions) >= 4
    assert max(portions) * LARGE <= ROOM + LARGE
    assert len(list(bee.tree.iterdir())) == 8


def test_a_log_is_taken_back_in_portions(ant: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    portions: list[int] = []
    honest = Journal.append_ops

    def append(self: Journal, ops: Sequence[Op], file: int = 0) -> None:
        portions.append(sum(len(op.body) for op in ops if isinstance(op, Put)))
        honest(self, ops, file)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append_ops", append)
        doctor(ant.config, rebuild=True)
    assert sum(portions) > 8 * LARGE - 8 * 13
    assert max(portions) <= ROOM + LARGE + 13
    assert ant.do("push")["new"] == 0
