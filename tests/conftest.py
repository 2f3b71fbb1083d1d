"""What holds for all tests."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.machines import Machine


@pytest.fixture(autouse=True)
def no_log_handler_stays() -> Iterator[None]:
    """A command run in this process logs to a stream that is closed when its test is over."""
    logger = logging.getLogger("memferry")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture
def careless() -> Iterator[None]:
    """A user whose umask keeps nobody away."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def ant(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "ant")


@pytest.fixture
def bee(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "bee")
