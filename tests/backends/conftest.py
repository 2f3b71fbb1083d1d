"""One real SSH server for all tests of a session that do not need one of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends import sshd
from tests.backends.sshd import Sshd


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd.running(tmp_path_factory.mktemp("sshd")) as running:
        yield running
