"""A disk in a file, from which the power can be cut: what was not synced is gone. Linux, and only root may."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHUTDOWN = 0x8004587D
"""`FS_IOC_SHUTDOWN` of Linux (fs/ext4/ioctl.c): from here on nothing is written any more, whatever it was to be."""
_WITHOUT_JOURNAL = 2
"""`EXT4_GOING_FLAGS_NOLOGFLUSH`: not even what waits in the journal."""
_BYTES = 256 << 20
_BLOCK = "4096"
"""As on any large disk; on one as small as this they would be smaller."""


class Disk:
    """ext4 in a file beside the folder `at`, where it is mounted."""

    def __init__(self, at: Path) -> None:
        self.at = at
        self._image = at.with_name(f"{at.name}.image")
        with open(self._image, "wb") as file:
            file.truncate(_BYTES)
        at.mkdir(exist_ok=True)
        _run("mkfs.ext4", "-qF", "-b", _BLOCK, str(self._image))

    def mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.at))

    def settle(self) -> None:
        """Everything that was written lies there, synced or not, as after half a minute."""
        _run("sync", "--file-system", str(self.at))

    def cut(self) -> None:
        """The power."""
        root = os.open(self.at, os.O_RDONLY)
        try:
            fcntl.ioctl(root, _SHUTDOWN, struct.pack("I", _WITHOUT_JOURNAL))
        finally:
            os.close(root)

    def come_back(self) -> None:
        """With what was synced."""
        _run("umount", str(self.at))
        self.mount()


@contextmanager
def mounted(at: Path) -> Iterator[Disk]:
    """A new one, empty, unmounted at the end. Raises RuntimeError where that is not allowed."""
    disk = Disk(at)
    disk.mount()
    try:
        (at / "lost+found").rmdir()
        os.sync()
        yield disk
    finally:
        _run("umount", "--lazy", str(at))


def forbidden() -> str:
    """Why there can be no such disk here, whatever is installed; empty where there can."""
    if os.geteuid():
        return "only root may mount a disk"
    try:
        with tempfile.TemporaryDirectory() as folder, mounted(Path(folder, "disk")) as disk:
            disk.cut()
    except FileNotFoundError:
        return ""  # a tool is missing, which can be mended
    except (RuntimeError, OSError) as error:
        return f"no disk can be mounted here: {error}"
    return ""


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")
