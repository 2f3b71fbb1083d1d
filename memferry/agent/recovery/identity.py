"""Who this installation is, and how it finds its own log again after its state was lost."""

from __future__ import annotations

import contextlib
import hashlib
import platform
import secrets
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from memferry import durable
from memferry.agent.state.database import State
from memferry.backends.base import Backend, MachineLog
from memferry.backends.encryption.keys import Keys
from memferry.backends.registry import open_backend
from memferry.config import Config
from memferry.errors import StateError
from memferry.keys import Fingerprinter
from memferry.model import Identity
from memferry.places import SECRET_FILE as SECRET_FILE

_SECRET_BYTES = 32
_NAMELESS = "machine"
SECRET_MARK = "secret"
"""In the state."""
_REBUILD = "`memferry doctor --rebuild`: the state is made again with a new one, and `held` asks again what you decided"


def secret(directory: Path) -> bytes:
    """The key of this machine's fingerprints: 32 bytes in a file of its own (0600), made when missing. StateError: that
    file holds something else."""
    path = directory / SECRET_FILE
    with durable.explained(path), durable.Folder.open(directory) as folder:
        if not path.exists():
            with contextlib.suppress(FileExistsError), folder.writing(SECRET_FILE, replace=False) as file:
                file.write(secrets.token_bytes(_SECRET_BYTES))
        with folder.reading(SECRET_FILE) as file:
            found = file.read()
    if len(found) != _SECRET_BYTES:
        hint = f"put it back from a backup, or move it away and run {_REBUILD}"
        raise StateError(f"{path} holds no secret", hint=hint)
    return found


def secret_of(state: State) -> bytes:
    """The secret by which everything in this state is known. Raises StateError if it is gone, or another: nothing would
    be known again, and all of it would be sent twice."""
    known = state.meta(SECRET_MARK)
    found = matching_secret(state.path.parent, known)
    if known is None:
        with state.transaction():
            state.set_meta(SECRET_MARK, _mark(found))
    return found


def matching_secret(directory: Path, known: str | None) -> bytes:
    """The one that goes with what a state says of it; any, if it says nothing. Raises StateError."""
    path = directory / SECRET_FILE
    if known is not None and not path.exists():
        raise StateError(f"{path} is gone", hint=f"put it back from a backup, or run {_REBUILD}")
    found = secret(directory)
    if known not in (None, _mark(found)):
        hint = f"put that one back from a backup, or run {_REBUILD}"
        raise StateError(f"{path} is not the secret that this state was made with", hint=hint)
    return found


def known_secret(database: sqlite3.Connection) -> str | None:
    """What a state says of its secret."""
    row = database.execute("select value from meta where name = ?", (SECRET_MARK,)).fetchone()
    return row[0] if row else None


def _mark(secret: bytes) -> str:
    """By which a secret is known again. A fingerprint like all others: it tells nothing about it."""
    return f"{Fingerprinter(secret)(b'this machine'):x}"


def installation(directory: Path) -> str:
    """The same for this computer and state directory as long as both exist; tells nothing about either. Where the
    system has no id of its own, the directory's secret stands for it: then a lost directory finds no log again."""
    seed = f"{computer() or _of_directory(directory)}\0{directory.resolve()}"
    return hashlib.blake2b(seed.encode(), digest_size=16, person=b"memferry").hexdigest()


def _of_directory(directory: Path) -> str:
    return (secret(directory) if directory.is_dir() else secrets.token_bytes(_SECRET_BYTES)).hex()


if sys.platform == "win32":

    def computer() -> str | None:
        """An id that no other computer has; None if the system has none."""
        import winreg

        access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography", 0, access) as key:
                return str(winreg.QueryValueEx(key, "MachineGuid")[0])
        except OSError:
            return None

elif sys.platform == "darwin":

    def computer() -> str | None:
        """An id that no other computer has; None if the system has none. Of the hardware: network addresses are the
        same on many Macs, or change from one process to the next."""
        import ctypes

        found, patience = (ctypes.c_ubyte * 16)(), (ctypes.c_long * 2)(1, 0)  # uuid_t, struct timespec
        failed = ctypes.CDLL(None).gethostuuid(found, patience)
        return None if failed or not any(found) else bytes(found).hex()

else:

    def computer() -> str | None:
        """An id that no other computer has; None if the system has none. See machine-id(5): it may be empty, or say
        that it is still to be made."""
        for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
            with contextlib.suppress(OSError):
                found = Path(path).read_text("ascii", "replace").strip()
                if len(found) == 32:
                    return found
        return None


def wrote(log: MachineLog, installation: str, wanted: str | None) -> bool:
    """Whether that installation wrote a log. `wanted`: the name in its configuration. Names are asked for as well,
    because containers made from one image, and clones of one disk, may have a computer's id and the folder in common.
    """
    name = wanted or platform.node() or _NAMELESS
    return log.installation == installation and log.name in (name, _unique(name, log.id))


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
    wanted = name or platform.node() or _NAMELESS
    unique = _unique(wanted, id_) if wanted in set(taken) else wanted
    return Identity(id_, unique, secrets.token_hex(8), installation(directory))


def _unique(name: str, id_: str) -> str:
    return f"{name}-{id_[:4]}"


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
