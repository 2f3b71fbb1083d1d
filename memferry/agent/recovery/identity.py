"""Who this installation is, and how it finds its own log again after its state was lost."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import secrets
import sys
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from memferry.agent.state.database import State
from memferry.backends.base import Backend, MachineLog
from memferry.backends.encryption.keys import Keys
from memferry.backends.registry import open_backend
from memferry.config import Config
from memferry.model import Identity

SECRET_FILE = "secret.key"


def secret(directory: Path) -> bytes:
    """The key of this machine's fingerprints: 32 bytes in a file of its own (0600), made when missing."""
    path = directory / SECRET_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(32))
        file.flush()
        os.fsync(file.fileno())
    return path.read_bytes()


def installation(directory: Path) -> str:
    """The same for this computer and state directory as long as both exist; tells nothing about either."""
    seed = f"{_computer()}\0{directory.resolve()}"
    return hashlib.blake2b(seed.encode(), digest_size=16, person=b"memferry").hexdigest()


def _computer() -> str:
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            return Path(path).read_text().strip() or platform.node()
        except OSError:
            continue
    if sys.platform == "win32":
        import winreg

        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography") as key:
            return str(winreg.QueryValueEx(key, "MachineGuid")[0])
    return f"{uuid.getnode():x}"


def known(state: State, name: str | None) -> Identity | None:
    """The identity in this state, under the `name` that the configuration gives it by now; None when it is new or was
    lost."""
    id_ = state.meta("machine")
    if id_ is None:
        return None
    if name not in (None, state.meta("machine wanted")):  # else it may have been taken when this identity was made
        with state.transaction():
            state.set_meta("machine name", name)
            state.set_meta("machine wanted", name)
    return Identity(id_, state.meta("machine name") or id_, state.meta("epoch") or "", installation(state.path.parent))


def new(directory: Path, name: str | None, taken: Iterable[str]) -> Identity:
    """A fresh identity. A name that another machine has already is made unique."""
    id_ = secrets.token_hex(16)
    wanted = name or platform.node() or "machine"
    unique = f"{wanted}-{id_[:4]}" if wanted in set(taken) else wanted
    return Identity(id_, unique, secrets.token_hex(8), installation(directory))


def lost(directory: Path, logs: Iterable[MachineLog]) -> Identity | None:
    """The log that this very installation wrote before its state was lost."""
    mine = installation(directory)
    found = max((log for log in logs if log.installation == mine), key=lambda log: log.head.last_seq, default=None)
    return None if found is None else Identity(found.id, found.name, found.epoch, mine)


def keep(state: State, me: Identity, *, wanted: str | None) -> None:
    """`wanted`: the name in the configuration, which may be taken by another machine."""
    with state.transaction():
        state.set_meta("machine", me.id)
        state.set_meta("machine name", me.name)
        state.set_meta("epoch", me.epoch)
        if wanted is not None:
            state.set_meta("machine wanted", wanted)


@contextlib.contextmanager
def visiting(config: Config, name: str) -> Iterator[Backend]:
    """A backend, opened by nobody whom it has met: for who only looks, or has no state yet."""
    visitor = new(config.state, config.machine, ())
    with contextlib.closing(open_backend(name, config.backends[name], visitor, Keys(config.state))) as backend:
        yield backend
