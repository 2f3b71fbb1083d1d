"""The key folder of this machine: `<state>/keys` (0700), and in it its own identity and the rings that it believes.

    machine.txt             this machine's age identity, as `age -i` takes it
    <backend>.json          the ring of a backend's vault as it was last accepted
    <backend>.recovery.txt  the recovery key of a vault that was made here, until it is written down

All files are 0600 and written durably. Whoever can read them can read the vaults, so no error quotes them.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from memferry import durable
from memferry.backends.encryption import age
from memferry.backends.encryption.ring import Ring
from memferry.durable import Folder
from memferry.errors import StateError

FOLDER = "keys"
_MACHINE = "machine.txt"


class Pin(msgspec.Struct, frozen=True):
    """A ring that is believed. `published` False: it was made here, and is not known to have reached the vault."""

    ring: Ring
    published: bool = True


class Keys:
    """`state`: the state directory. Nothing is read or made before it is needed."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._folder = state / FOLDER

    def __repr__(self) -> str:
        return f"Keys({self._folder})"

    # -- this machine

    def identity(self) -> str:
        """This machine's own, made at the first call."""
        if not (self._folder / _MACHINE).exists():
            self._write(_MACHINE, _key_file(age.new_identity(), "this machine, for memferry"), replace=False)
        return self._secret(_MACHINE)

    def recipient(self) -> str:
        """The public half of it."""
        return age.recipient_of(self.identity())

    # -- rings

    def place(self, backend: str) -> Path:
        """Where the ring of a backend is kept."""
        return self._folder / f"{backend}.json"

    def pinned(self, backend: str) -> Pin | None:
        """The ring believed of a backend's vault; None: this machine has no keys of it. StateError if it is damaged."""
        data = self._read(f"{backend}.json")
        if data is None:
            return None
        try:
            return msgspec.json.decode(data, type=Pin)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._damaged(f"{backend}.json", "move it away, then `memferry machines join`") from None

    def pin(self, backend: str, pin: Pin) -> None:
        """Believe this ring from now on."""
        self._write(f"{backend}.json", msgspec.json.encode(pin), replace=True)

    def unpin(self, backend: str) -> None:
        """Forget a ring that was made here in vain, and its recovery key."""
        self._remove(f"{backend}.json")
        self.forget_recovery(backend)

    # -- the recovery key

    def recovery(self, backend: str) -> str | None:
        """The recovery key of a vault made here, until it is forgotten."""
        return self._secret(_recovery(backend)) if self.has_recovery(backend) else None

    def has_recovery(self, backend: str) -> bool:
        """Whether it is still to be written down."""
        return (self._folder / _recovery(backend)).exists()

    def keep_recovery(self, backend: str, identity: str) -> None:
        """Keep it until somebody has written it down."""
        self._write(_recovery(backend), _key_file(identity, f"recovery key of {backend}"), replace=True)

    def forget_recovery(self, backend: str) -> None:
        """It was written down."""
        self._remove(_recovery(backend))

    # -- files

    def _secret(self, name: str) -> str:
        lines = (self._read(name) or b"").decode(errors="replace").split("\n")
        found = next((line.strip() for line in lines if line.startswith("AGE-SECRET-KEY-")), None)
        if found is None:
            raise self._damaged(name, "put it back from a backup, or move it away and `memferry machines join` again")
        return found

    def _damaged(self, name: str, hint: str) -> StateError:
        return StateError(f"{self._folder / name} cannot be read: it holds no keys", hint=hint)

    def _read(self, name: str) -> bytes | None:
        with durable.explained(self._folder / name):
            try:
                with Folder.open(self._folder) as folder, folder.reading(name) as file:
                    return file.read()
            except FileNotFoundError:
                return None

    def _write(self, name: str, content: bytes, *, replace: bool) -> None:
        """`replace=False`: what is there already stays."""
        with durable.explained(self._folder / name):
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (
                suppress(FileExistsError),
                Folder.open(self._state) as state,
                state.sub(FOLDER, create=True) as folder,
                folder.writing(name, replace=replace) as file,
            ):
                file.write(content)

    def _remove(self, name: str) -> None:
        with durable.explained(self._folder / name), suppress(FileNotFoundError), Folder.open(self._folder) as folder:
            folder.remove(name)


def _recovery(backend: str) -> str:
    return f"{backend}.recovery.txt"


def _key_file(identity: str, what: str) -> bytes:
    return f"# {what}\n# public key: {age.recipient_of(identity)}\n{identity}\n".encode()
