"""What each system needs before it can be said that something is written."""

from __future__ import annotations

import errno
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from memferry import filelock

fcntl = pytest.importorskip("fcntl", reason="another system's")


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as it is on macOS."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    spec = importlib.util.spec_from_file_location("filelock_on_a_mac", filelock.__file__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("number", "synced"),
    [(errno.ENOTTY, True), (errno.ENOTSUP, True), (errno.EINVAL, True), (errno.EIO, False), (errno.ENOSPC, False)],
)
def test_a_disk_that_cannot_empty_its_cache_is_synced_as_well_as_it_can(
    mac: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, synced: bool
) -> None:
    def answer(descriptor: int, command: int) -> int:
        assert command == 51
        raise OSError(number, os.strerror(number))

    calls: list[int] = []
    monkeypatch.setattr(fcntl, "fcntl", answer)
    monkeypatch.setattr(os, "fsync", calls.append)
    if synced:
        mac.sync_file(7)
    else:
        with pytest.raises(OSError, match=os.strerror(number)):
            mac.sync_file(7)
    assert calls == ([7] if synced else [])
