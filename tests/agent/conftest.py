"""What several tests of the agent need."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest


@pytest.fixture
def unprivileged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of a user to whom permissions apply: root gives up what lets it pass them, during the test."""
    if sys.platform == "win32":
        pytest.skip("permissions are ACLs on Windows")
    folder = tmp_path_factory.mktemp("unprivileged")
    with without_override() if os.geteuid() == 0 else nullcontext():
        yield folder
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)


@contextmanager
def without_override() -> Iterator[None]:
    """This thread, which is root's, may read and write only what its owner may: capset(2), Linux.

    To become somebody else instead would close the folder of the program itself, where it lies in one of root's:
    whatever is imported late would be missing.
    """
    if sys.platform != "linux":
        pytest.skip("root may do everything")
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    before = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: the low halves, then the high ones
    if libc.capget(header, before):
        raise OSError(ctypes.get_errno(), "capget")
    fewer = type(before)(*before)
    fewer[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if libc.capset(header, fewer):
        raise OSError(ctypes.get_errno(), "capset")
    try:
        yield
    finally:
        libc.capset(header, before)
