"""A store on a server that is reached by SSH. It needs SFTP there and nothing else: no shell, no program of ours."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from memferry.backends import names
from memferry.backends.base import Entry, Probe, Room
from memferry.backends.encryption.keys import Keys
from memferry.backends.ssh import sftp
from memferry.backends.ssh.config import Settings, route, settings_from
from memferry.backends.ssh.sftp import Attributes
from memferry.backends.vault import backend
from memferry.backends.vault.backend import Vault
from memferry.errors import AlreadyExists, BackendError, MemferryError, NotFound, VersionMismatch
from memferry.model import Identity

if TYPE_CHECKING:
    from memferry.backends.ssh.connect import Connection
    from memferry.backends.ssh.sftp_reading import Content
    from memferry.backends.ssh.tree import Tree
    from memferry.backends.ssh.writing import Writer

if find_spec("paramiko") is None:  # it is imported with the first connection, and missed now
    raise ModuleNotFoundError("paramiko is not installed")

_REMEMBERED_BYTES = 1 << 18
_REMEMBERED = 64
_LATEST = 0xFFFFFFFF
_NOTHING: Mapping[str, Any] = {}
MOST_LIKELY = 20
"""So many keys are asked for at once on the mere chance that they are there."""


class _Far(NamedTuple):
    """What lasts as long as a connection."""

    connection: Connection
    tree: Tree
    writer: Writer


class SshStore:
    """A `Store`, `Measured`, `Rooted`, `Gathering` and `Probed`. Connects with the first call; the call after one in
    which the connection broke makes a new one. Below the root no link is followed, as far as one can look before one
    acts.

    A version is size and mtime. SFTP tells times in whole seconds, and a head is replaced several times in one; so
    every put sets the time itself, at least a second later than that of what it replaces. Two values that lay under a
    key one after the other never have the same version, and equal versions mean equal bytes. During a burst times may
    so run ahead of the clock. (On a server that keeps its own times two heads of equal size in the same second would
    look alike to other machines, who would take in the second one with the next.)

    Put-if-absent is the plain rename of SFTP, which fails where the target exists: OpenSSH makes it of link and unlink,
    as one would with `hardlink@openssh.com`, and also does where a file system has no links. What lies there is
    looked at in the same round trip that makes the temp file, so that a server whose rename overwrites does no harm
    either: each key has one writer.
    """

    def __init__(self, settings: Settings, *, name: str = "") -> None:
        self._settings = settings
        self._name = name
        self._far: _Far | None = None
        self._closed = self._was_there = self._makes_way = False
        self._values: dict[str, tuple[str, bytes]] = {}
        self._deleted: dict[str, int] = {}

    @property
    def round_trips(self) -> int:
        """How often an answer was waited for on the present connection, not counting those that it took to connect."""
        return self._far.tree.sftp.round_trips if self._far else 0

    def make_way(self) -> None:
        """See `Rooted`."""
        self._makes_way = True

    # -- Store

    def put(self, key: str, value: bytes, *, if_version: str | None) -> str:
        """See `Store`. Three round trips; the first time in a folder some more."""
        self._check(key)
        folder = key.rpartition("/")[0]
        with self._asking(key) as (_, tree, writer):
            writer.prepare(folder, make_way=self._makes_way, new_root=not self._was_there)
            self._was_there = True
            there, temp, handle = writer.begin(key)
            try:
                if not self._is_new(tree, key, value, there, if_version):
                    assert there is not None
                    writer.discard(temp, handle)
                    writer.sync(folder)  # it may be there since a cut ago
                    return _version(there)
                written = writer.fill(key, handle, value, self._later(key, there))
                if not writer.publish(temp, key, replace=if_version is not None):
                    writer.discard(temp, handle)
                    return self._overtaken(tree, key, value)
            except BackendError:
                writer.discard(temp, handle)
                raise
            return self._remember(key, _version(written), value)

    def get(self, key: str, *, at_most: int | None = None) -> bytes:
        """See `Store`. Three round trips; one if it is what was put or got last."""
        self._check(key)
        with self._asking(key) as (_, tree, _):
            there = tree.look([key]).get(key)
            value = self._values_of(tree, {key: there} if there else {}, at_most).get(key)
        if value is None:
            raise NotFound(f"there is no {self._shown(key)}", backend=self._name, key=key)
        return value

    def delete(self, key: str, *, if_version: str) -> None:
        """See `Store`. Two round trips."""
        self._check(key)
        with self._asking(key) as (_, tree, writer):
            there = tree.look([key]).get(key)
            if there is None:
                return
            if _version(there) != if_version:
                raise VersionMismatch(f"{key} changed meanwhile", backend=self._name, key=key)
            writer.remove(key)
            self._deleted[key] = there.mtime
            self._values.pop(key, None)

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """See `Store`. Links and pipes are listed, but cannot be got. Two round trips a level."""
        self._refuse_closed()
        return self._entries(prefix)

    def _entries(self, prefix: str) -> Iterator[Entry]:
        with self._asking() as (_, tree, _):
            found = tree.walk(prefix)
        self._was_there = self._was_there or bool(found)
        for key, there in sorted(found):
            yield Entry(key, _version(there), there.size)

    def close(self) -> None:
        """See `Store`."""
        self._closed = True
        self._hang_up()

    # -- what else it can do

    def room(self) -> Room:
        """See `Measured`."""
        self._refuse_closed()
        with self._asking() as (_, _, writer):
            return Room(*(writer.room() or (None, None)))

    def gather(self, pattern: str, keys: Sequence[str], *, likely: Sequence[str], at_most: int) -> Mapping[str, bytes]:
        """See `Gathering`. Three round trips where nothing lies there but what was likely, two if that is what was got
        last, else up to six."""
        self._refuse_closed()
        before, after = pattern.split("*")
        expected = list(dict.fromkeys([*keys, *likely]))[:MOST_LIKELY]
        with self._asking() as (_, tree, _):
            seen = tree.glance(before.rstrip("/"), expected, self._is_known, at_most)
            others = {*keys, *(before + name + after for name in seen.folders)} - set(expected)
            found = {**seen.there, **(tree.look(sorted(others)) if others else {})}
            return self._values_of(tree, found, at_most, seen.contents)

    def probe(self) -> Iterator[Probe]:
        """See `Probed`."""
        self._refuse_closed()
        try:
            *jumps, last = route(self._settings)
            through = "".join(f", through {hop.shown}" for hop in jumps)
            yield Probe("way", True, f"{last.shown}{through}")
            with self._asking() as (connection, tree, writer):
                yield _recognised(connection)
                yield _offered(tree.sftp.extensions)
                yield _measured(tree)
                yield _tried(writer)
        except MemferryError as error:
            yield Probe("connection", False, str(error), error.hint)

    # -- values and versions

    def _is_new(self, tree: Tree, key: str, value: bytes, there: Attributes | None, if_version: str | None) -> bool:
        """Whether `value` is to be written; False: it is there. Raises where the precondition does not hold."""
        if there is None and if_version is not None:
            raise VersionMismatch(f"{key} is gone", backend=self._name, key=key)
        if there is None or _version(there) == if_version:
            return True
        if there.is_file and there.size == len(value) and self._values_of(tree, {key: there}, None).get(key) == value:
            return False
        if if_version is None:
            raise AlreadyExists(f"{self._shown(key)} exists with other content", backend=self._name, key=key)
        raise VersionMismatch(f"{key} changed meanwhile", backend=self._name, key=key)

    def _overtaken(self, tree: Tree, key: str, value: bytes) -> str:
        """A rename failed: the same value may have come there meanwhile, by a call that was thought lost."""
        there = tree.look([key]).get(key)
        if there is None or self._is_new(tree, key, value, there, None):
            raise tree.folders.failure(key, sftp.Status(sftp.FAILURE))  # nothing is in its way
        return _version(there)

    def _is_known(self, key: str, there: Attributes) -> bool:
        """Whether this is what was put or got last."""
        return key in self._values and self._values[key][0] == _version(there)

    def _values_of(
        self, tree: Tree, found: Mapping[str, Attributes], at_most: int | None, read: Mapping[str, Content] = _NOTHING
    ) -> dict[str, bytes]:
        """What lies there, by key; what was not `read` just now, nor put or got last, is read."""
        values = {key: self._values[key][1] for key, there in found.items() if self._is_known(key, there)}
        rest = {key: there for key, there in found.items() if key not in values and key not in read}
        for key, (there, value) in {**read, **(tree.read(rest, at_most) if rest else {})}.items():
            values[key] = value
            if len(value) == there.size:
                self._remember(key, _version(there), value)
        return {key: value[:at_most] for key, value in values.items()}

    def _remember(self, key: str, version: str, value: bytes) -> str:
        self._values.pop(key, None)
        if len(value) <= _REMEMBERED_BYTES:
            self._values[key] = (version, value)
            if len(self._values) > _REMEMBERED:
                del self._values[next(iter(self._values))]
        return version

    def _later(self, key: str, there: Attributes | None) -> int:
        """The time to give a new value: now, or just after the one that it follows."""
        before = there.mtime if there else self._deleted.pop(key, -1)
        now = min(max(int(time.time()), 0), _LATEST)
        return now if now > before or before == _LATEST else before + 1

    # -- the connection

    @contextmanager
    def _asking(self, key: str = "") -> Iterator[_Far]:
        try:
            far = self._connected()
            with far.connection.asking():
                yield far
        except BackendError as error:
            error.backend, error.key = error.backend or self._name, error.key or key
            raise

    def _connected(self) -> _Far:
        from memferry.backends.ssh import lean  # noqa: F401 - first
        from memferry.backends.ssh.connect import Connection
        from memferry.backends.ssh.folders import Folders
        from memferry.backends.ssh.tree import Tree
        from memferry.backends.ssh.writing import Writer

        if self._far is None or not self._far.connection.alive:
            self._hang_up()
            connection = Connection(route(self._settings), self._settings)
            tree = Tree(connection.sftp, Folders(_path(self._settings.path), self._settings.host))
            self._far = _Far(connection, tree, Writer(tree))
        return self._far

    def _hang_up(self) -> None:
        if self._far is not None:
            self._far.connection.close()
        self._far = None

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ValueError(f"the store {self._shown('')} is closed")

    def _check(self, key: str) -> None:
        self._refuse_closed()
        names.check_key(key)

    def _shown(self, key: str) -> str:
        return f"{self._settings.host}:{_path(self._settings.path)}/{key}".rstrip("/")


def open_backend(name: str, settings: Mapping[str, object], me: Identity, keys: Keys) -> Vault:
    """The backend of type `ssh`. Settings: see `ssh_config.Settings`, and `encryption`, by default age. ConfigError if
    they say something else."""
    way = {setting: value for setting, value in settings.items() if setting != "encryption"}
    store = SshStore(settings_from(name, way), name=name)
    return backend.opened(store, settings, me, keys, name=name, encryption="age")


def _version(found: Attributes) -> str:
    return f"{found.size:x}-{found.mtime:x}"


def _path(path: str) -> str:
    """SFTP starts at the login's folder and knows no `~`."""
    return path.removeprefix("~/") if path != "~" else "."


def _recognised(connection: Connection) -> Probe:
    keys = ", ".join(f"{key.fingerprint} ({key.type})" for key in connection.keys)
    return Probe("login", True, f"let in; known by {keys}")


def _measured(tree: Tree) -> Probe:
    started = time.perf_counter()
    tree.look([names.FORMAT_KEY])
    took_ms = (time.perf_counter() - started) * 1000
    return Probe("answer", True, f"in {took_ms:.0f} ms")


def _tried(writer: Writer) -> Probe:
    try:
        folder = writer.try_writing((names.MACHINES.rstrip("/"), ""))
    except BackendError as error:
        return Probe("folder", False, f"nothing can be written there: {error}", error.hint)
    return Probe("folder", True, f"{folder} can be written to" if folder else "the first push makes it")


def _offered(extensions: frozenset[str]) -> Probe:
    wanted = {sftp.POSIX_RENAME: True, sftp.FSYNC: False, sftp.STATVFS: False}
    missing = [name for name in wanted if name not in extensions]
    if any(wanted[name] for name in missing):
        return Probe("SFTP", False, f"the server offers no {sftp.POSIX_RENAME}", "use the SFTP server of OpenSSH")
    if sftp.FSYNC in missing:
        return Probe("SFTP", True, "works, but the server cannot say when a file has reached its disk (no fsync)")
    return Probe("SFTP", True, "offers all that is wanted")
