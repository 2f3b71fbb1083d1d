"""The store over SSH, on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from memferry.backends.ssh import SshStore
from memferry.backends.vault import Vault
from tests.backends.contract import BackendContract, StoreContract
from tests.backends.samples import ME
from tests.backends.sshd import Sshd


class TestSshStore(StoreContract):
    @pytest.fixture(autouse=True)
    def on(self, server: Sshd) -> None:
        self.server = server

    def make_store(self, tmp_path: Path) -> SshStore:
        return SshStore(self.server.settings(tmp_path / "vault"))


class TestSshVault(BackendContract):
    @pytest.fixture(autouse=True)
    def on(self, server: Sshd) -> None:
        self.server = server

    def make_backend(self, tmp_path: Path) -> Vault:
        return Vault(SshStore(self.server.settings(tmp_path / "vault"), name="vault"), ME, name="vault")
