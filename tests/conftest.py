"""What holds for all tests."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from memferry.agent.recovery import identity
from tests.agent.machines import Machine
from tests.support import NAMELESS

if TYPE_CHECKING:
    from tests.backends.qdrant_double import Double


os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
"""Hundreds of commands are started here: with it each of them would compile memferry anew."""

for _variable in ("MEMFERRY_CONFIG", "MEMFERRY_STATE"):
    os.environ.pop(_variable, None)  # of whoever runs the tests and uses memferry, too


if NAMELESS:
    identity.computer = lambda: "a computer"

hypothesis.settings.register_profile("busy", deadline=None)
hypothesis.settings.load_profile("busy")
"""That a computer is busy is no fault of an example; what hangs is ended by pytest's own limit."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: more than there are cores, since many tests wait for time limits of a line that is cut."""
    return 2 * (os.cpu_count() or 1)


@pytest.fixture(autouse=True)
def no_log_handler_stays() -> Iterator[None]:
    """A command run in this process logs to a stream that is closed when its test is over."""
    logger = logging.getLogger("memferry")
    before = logger.handlers[:], logger.propagate, logger.level
    yield
    logger.handlers[:], logger.propagate, level = before
    logger.setLevel(level)


@pytest.fixture
def careless() -> Iterator[None]:
    """A user whose umask keeps nobody away."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def double() -> Iterator[Double]:
    """A Qdrant server that fails when told to, and is asked for nothing that it does not know."""
    from tests.backends.qdrant_double import Double

    double = Double()
    yield double
    assert double.strange == []


@pytest.fixture
def url(double: Double) -> Iterator[str]:
    """Where it is reached."""
    from tests.backends.qdrant_double import serving

    with serving(double) as url:
        yield url


@pytest.fixture
def ant(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "ant")


@pytest.fixture
def bee(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "bee")
