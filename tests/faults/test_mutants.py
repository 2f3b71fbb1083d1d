"""The bugs that `python -m tests.faults --teeth` sows are still where they would hurt."""

from __future__ import annotations

import pytest

from tests.faults.bar import BARS
from tests.faults.bars import NAMES
from tests.faults.mutants import MUTANTS, found


@pytest.mark.parametrize("name", MUTANTS)
def test_what_a_mutant_changes_is_there(name: str) -> None:
    owner, last = found(name)
    honest = getattr(owner, last)
    assert callable(honest)
    assert MUTANTS[name].make(honest) is not honest
    assert MUTANTS[name].bar in BARS


def test_each_bar_about_privacy_or_power_has_some() -> None:
    bars = {mutant.bar for mutant in MUTANTS.values()}
    assert {"B3", "B29", "B30", "B31"} <= bars <= set(NAMES)
