"""Writing into a folder tree on a server, over one connection, durably where the server offers that.

Everything that does not depend on an answer is sent together: the methods say how many round trips they take.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence

from memferry.backends import names
from memferry.backends.ssh import sftp
from memferry.backends.ssh.folders import folders_of, join
from memferry.backends.ssh.sftp import Attributes, Handle, Name, Reply, Request, Status
from memferry.backends.ssh.tree import Tree
from memferry.errors import PermanentError, QuotaExceeded, TransientError

_MOST_HELD = 32


class Writer:
    """Owns the handles of folders that it has written to, which the server closes with the connection."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._sftp = tree.sftp
        self._folders = tree.folders
        self._ready: set[str] = set()
        self._held: dict[str, Handle | None] = {}

    def prepare(self, folder: str, *, make_way: bool, new_root: bool) -> None:
        """Make a folder ready to be written to: it is there (0700), it is no link, and where this machine writes alone
        what crashes left half-written is gone; after a cut also what the server may still hold of us, so that no late
        rename can undo what follows. No round trip but the first time on a connection. `make_way`: the folders above
        the root are made, too; `new_root`: the root itself may be made."""
        if folder in self._ready:
            return
        if folder not in self._tree.temps:
            self._tree.find_temps(folder)
        if folder not in self._tree.temps:
            self._make(self._missing([*folders_of(folder), folder] if folder else [""]), make_way, new_root)
        if folder not in self._tree.temps:
            self._tree.find_temps(folder)
        if not names.is_shared(folder):  # there `begin` does, when it knows what time it is
            self._sftp.flight(self._removing(folder, self._tree.temps.pop(folder, [])))
        self._ready.add(folder)

    def _missing(self, chain: Sequence[str]) -> list[str]:
        """Those that are not there. TargetRefused if one is no folder."""
        strangers = self._folders.strangers(chain)
        self._folders.recognise(strangers, self._sftp.flight(map(self._folders.look_at, strangers)))
        return self._folders.strangers(chain)

    def _make(self, folders: Sequence[str], make_way: bool, new_root: bool) -> None:
        """Durably, one inside the other. Two round trips."""
        if folders and not folders[0] and not new_root:
            gone = f"{self._folders.root} is gone, though it was there"
            raise TransientError(gone, hint="mount its disk on the server")
        above_root = _parents(self._folders.root) if make_way and folders and not folders[0] else []
        paths = [*above_root, *map(self._folders.at, folders)]
        above = list(dict.fromkeys(map(_above, paths))) if sftp.FSYNC in self._sftp.extensions else []
        replies = self._sftp.flight(
            [
                *map(sftp.make_folder, paths),
                *map(self._folders.look_at, folders),
                *(sftp.open_file(path, sftp.READ) for path in above),
            ]
        )
        made, looked = replies[len(above_root) : len(paths)], replies[len(paths) : len(paths) + len(folders)]
        handles = [reply for reply in replies[len(paths) + len(folders) :] if isinstance(reply, Handle)]
        self._sftp.flight(request for one in handles for request in (sftp.fsync(one), sftp.close(one)))
        self._folders.recognise(folders, looked)
        for folder, status in zip(folders, made, strict=True):
            assert isinstance(status, Status)
            if not self._folders.knows(folder):
                raise self._not_made(folder, status)
            if not status.code:
                self._tree.temps[folder] = []  # it is new

    def _not_made(self, folder: str, status: Status) -> Exception:
        if not folder and status.code == sftp.NO_SUCH_FILE:
            root, server = self._folders.root, self._folders.server
            hint = f"mount its disk on the server, or make it: ssh {server} mkdir -p {_above(root)}"
            return TransientError(f"the folder above {root} is not there", hint=hint)
        return self._folders.failure(folder, status if status.code else Status(sftp.FAILURE))

    def begin(self, key: str) -> tuple[Attributes | None, str, Handle]:
        """What lies under a key now, and a new temp file beside it: its path and its handle. One round trip."""
        folder = key.rpartition("/")[0]
        temp = self._folders.at(join(folder, f".memferry-{secrets.token_hex(8)}.tmp"))
        hold = folder not in self._held and sftp.FSYNC in self._sftp.extensions
        there, opened, new, *held = self._sftp.flight(
            [
                sftp.lstat(self._folders.at(key)),
                sftp.open_file(temp, sftp.CREATE_NEW),
                sftp.lstat(temp),
                *([sftp.open_file(self._folders.at(folder), sftp.READ)] if hold else []),
            ]
        )
        if held:
            self._hold(folder, held[0])
        if not isinstance(opened, Handle):
            assert isinstance(opened, Status)
            raise self._not_stored(key, opened, 0)
        if isinstance(new, Attributes):
            self._clear_away(folder, new.mtime)
        return self._folders.attributes(key, there), temp, opened

    def _clear_away(self, folder: str, now: int) -> None:
        """What others began to write so long ago, by the server's own clock, that nobody does any more. No round
        trip."""
        left = [one for one in self._tree.temps.pop(folder, ()) if names.is_abandoned(one.attributes.mtime, now)]
        for request in self._removing(folder, left):
            self._sftp.post(request)

    def _removing(self, folder: str, found: Iterable[Name]) -> Iterator[Request]:
        return (sftp.remove(self._folders.at(join(folder, one.name))) for one in found)

    def fill(self, key: str, handle: Handle, value: bytes, mtime: int) -> Attributes:
        """Write the whole of a temp file, durably where the server offers that, and close it. One round trip."""
        replies = self._sftp.flight(self._filling(handle, value, mtime))
        written = replies[: -(-len(value) // sftp.CHUNK_BYTES)]
        stamped, told, *ended = replies[len(written) :]
        for reply in (*written, *ended):
            if not isinstance(reply, Status) or reply.code:
                raise self._not_stored(key, reply if isinstance(reply, Status) else Status(sftp.FAILURE), len(value))
        if not isinstance(told, Attributes) or told.size != len(value):
            short = f"{self._folders.at(key)}: the server did not take all of it"
            raise TransientError(short, hint="memferry will try again")
        del stamped  # a server that keeps its own times is none the worse: see SshStore
        return told

    def _filling(self, handle: Handle, value: bytes, mtime: int) -> Iterator[Request]:
        for at, size in _chunks(len(value)):
            yield sftp.write(handle, at, value[at : at + size])
        yield sftp.stamp(handle, mtime)
        yield sftp.fstat(handle)
        if sftp.FSYNC in self._sftp.extensions:
            yield sftp.fsync(handle)
        yield sftp.close(handle)

    def publish(self, temp: str, key: str, *, replace: bool) -> bool:
        """Give a temp file its name, durably where that is offered; False: something lies there, or the server fails
        without a reason. One round trip."""
        if replace and sftp.POSIX_RENAME not in self._sftp.extensions:
            raise PermanentError(
                f"the SFTP server of {self._folders.server} cannot replace a file in one step",
                hint=f"use one that offers {sftp.POSIX_RENAME}: that of OpenSSH does",
            )
        named, *_ = self._sftp.flight(
            [
                sftp.replace(temp, self._folders.at(key)) if replace else sftp.rename(temp, self._folders.at(key)),
                *self._sync(key.rpartition("/")[0]),
            ]
        )
        assert isinstance(named, Status)
        if named.code == sftp.FAILURE and not replace:
            return False
        if named.code == sftp.NO_SUCH_FILE:
            raise TransientError(f"{temp} was removed while it was written", hint="memferry will try again")
        if named.code:
            raise self._folders.failure(key, named)
        return True

    def try_writing(self, folders: Sequence[str]) -> str | None:
        """Make a temp file in the first of these that is there, and remove it. Returns the folder's path; None: none of
        them is there."""
        for folder in folders:
            if not self._missing([*folders_of(folder), folder] if folder else [""]):
                _, temp, handle = self.begin(join(folder, names.FORMAT_KEY))
                self.discard(temp, handle)
                return self._folders.at(folder)
        return None

    def discard(self, temp: str, handle: Handle) -> None:
        """A temp file that is not wanted. No round trip."""
        self._sftp.post(sftp.close(handle))
        self._sftp.post(sftp.remove(temp))

    def remove(self, key: str) -> None:
        """Durably where that is offered; what is gone already is fine. One round trip; the first in a folder two."""
        folder = key.rpartition("/")[0]
        if folder not in self._held and sftp.FSYNC in self._sftp.extensions:
            self._hold(folder, self._sftp.flight([sftp.open_file(self._folders.at(folder), sftp.READ)])[0])
        removed, *_ = self._sftp.flight([sftp.remove(self._folders.at(key)), *self._sync(folder)])
        if isinstance(removed, Status) and removed.code not in (0, sftp.NO_SUCH_FILE):
            raise self._folders.failure(key, removed)

    def sync(self, folder: str) -> None:
        """Make durable what was renamed in a folder, where that is offered. One round trip."""
        self._sftp.flight(self._sync(folder))

    def _sync(self, folder: str) -> list[Request]:
        """OpenSSH opens a folder like a file, and so one can be synced. Others may not: then there is nothing to do."""
        held = self._held.get(folder)
        return [sftp.fsync(held)] if held is not None else []

    def _hold(self, folder: str, reply: Reply) -> None:
        if len(self._held) >= _MOST_HELD:
            oldest = self._held.pop(next(iter(self._held)))
            if oldest is not None:
                self._sftp.post(sftp.close(oldest))
        self._held[folder] = reply if isinstance(reply, Handle) else None

    def room(self) -> tuple[int, int] | None:
        """Bytes free and in all, if the server tells. One round trip."""
        if sftp.STATVFS not in self._sftp.extensions:
            return None
        told = self._sftp.flight(map(sftp.statvfs, (self._folders.root, _above(self._folders.root))))
        return next((sftp.room(reply) for reply in told if isinstance(reply, bytes)), None)

    def _not_stored(self, key: str, status: Status, size: int) -> Exception:
        """SFTP has no word for a full disk: it is what a server means that fails to write without a reason."""
        if status.code != sftp.FAILURE:
            return self._folders.failure(key, status)
        room, root, server = self.room(), self._folders.root, self._folders.server
        if room is None or room[0] > size + (1 << 20):
            hint = f"is there a quota? look at the server: ssh {server} df -h {root}"
            return QuotaExceeded(f"the server cannot store {self._folders.at(key)}, and does not say why", hint=hint)
        return QuotaExceeded(f"the disk of {server} is full", hint=f"free some space there, in {root}")


def _chunks(size: int) -> Iterator[tuple[int, int]]:
    for at in range(0, size, sftp.CHUNK_BYTES):
        yield at, min(sftp.CHUNK_BYTES, size - at)


def _above(path: str) -> str:
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")


def _parents(path: str) -> list[str]:
    """The folders above a path on the server, outermost first."""
    parts = path.split("/")
    return [above for depth in range(1, len(parts)) if (above := "/".join(parts[:depth]))]
