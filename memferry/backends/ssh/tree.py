"""A folder tree on a server, over one connection. What is known of it is known for as long as the connection.

Everything that does not depend on an answer is sent together: the methods say how many round trips they take.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeGuard

from memferry import durable
from memferry.backends import names
from memferry.backends.ssh import errors, sftp
from memferry.backends.ssh.sftp import Attributes, Handle, Name, Reply, Request, Status
from memferry.backends.ssh.sftp_client import AHEAD, Sftp
from memferry.backends.ssh.sftp_reading import Content, contents
from memferry.errors import PermanentError, QuotaExceeded, TargetRefused, TransientError

MAX_DEPTH = 16
MAX_NAMES = 200_000
"""So many objects may be listed at once; a vault has tens for each machine."""

MAX_VALUE_BYTES = 1 << 30
_MOST_HELD = 32
_MOST_OPEN = 16


class Glance(NamedTuple):
    """`folders`: names of those in a folder. `there`: what lies under the keys that were likely; `contents`: of those
    that were not known."""

    folders: Sequence[str]
    there: Mapping[str, Attributes]
    contents: Mapping[str, Content]


class Tree:
    """`root`: the folder on the server; it may be a link, which is its owner's choice. Below it no link is followed,
    as far as one can look before one acts. `server`: for messages. Owns the handles of folders it has written to,
    which the server closes with the connection."""

    def __init__(self, conversation: Sftp, root: str, server: str) -> None:
        self.sftp = conversation
        self._root = root.rstrip("/") or "/"
        self._server = server
        self._real: set[str] = set()
        self._ready: set[str] = set()
        self._temps: dict[str, list[Name]] = {}
        self._held: dict[str, Handle | None] = {}

    # -- looking

    def look(self, keys: Collection[str]) -> dict[str, Attributes]:
        """What lies there now, without what is missing. One round trip."""
        folders = self._strangers(above for key in keys for above in _folders_of(key))
        return self._found(folders, keys, self.sftp.flight(self._looking(folders, keys)))

    def _looking(self, folders: Sequence[str], keys: Iterable[str]) -> list[Request]:
        return [*map(self._look_at_folder, folders), *(sftp.lstat(self._at(key)) for key in keys)]

    def _found(self, folders: Sequence[str], keys: Iterable[str], replies: Sequence[Reply]) -> dict[str, Attributes]:
        self._recognise(folders, replies)
        found = zip(keys, replies[len(folders) :], strict=True)
        return {key: there for key, reply in found if (there := self._attributes(key, reply)) is not None}

    def read(self, found: Mapping[str, Attributes], at_most: int | None) -> dict[str, Content]:
        """Files, or the first `at_most` bytes of each, without those that are gone. `found`: what they were when one
        looked; they may have been replaced since. Two round trips."""
        for key, there in found.items():
            self._bear(key, there, at_most)
        return self._contents(found, self.sftp.flight(map(self._opening, found)), at_most)

    def _opening(self, key: str) -> Request:
        return sftp.open_file(self._at(key), sftp.READ)

    def _contents(
        self, found: Mapping[str, Attributes], opened: Sequence[Reply], at_most: int | None
    ) -> dict[str, Content]:
        handles = {key: reply for key, reply in zip(found, opened, strict=True) if self._is_open(reply, key)}
        try:
            guesses = {key: there.size for key, there in found.items()}
            most = MAX_VALUE_BYTES + 1 if at_most is None else at_most
            read = contents(self.sftp, handles, guesses, most)
        finally:
            for handle in handles.values():
                self.sftp.post(sftp.close(handle))
        return {key: self._sound(key, content, at_most) for key, content in read.items()}

    def _sound(self, key: str, content: Content | Status, at_most: int | None) -> Content:
        if isinstance(content, Status):
            raise errors.refused(content, self._at(key), self._server)
        self._bear(key, content.there, at_most)
        return content

    def _bear(self, key: str, there: Attributes, at_most: int | None) -> None:
        if not there.is_file:
            raise self._refused(key, "is not a file, or lies behind a link", "remove it by hand")
        if at_most is None and there.size > MAX_VALUE_BYTES:
            raise self._refused(key, f"has {there.size} bytes", "move it away by hand: it is not memferry's")

    def glance(
        self, folder: str, likely: Sequence[str], is_known: Callable[[str, Attributes], bool], at_most: int | None
    ) -> Glance:
        """A folder, and a few keys that probably lie below it or beside. Three round trips; two if all is known that
        lies there."""
        above = self._strangers(above for key in likely for above in _folders_of(key))
        looking = self.sftp.ask(self._looking(above, likely))
        there: dict[str, Attributes] = {}
        fresh: dict[str, Attributes] = {}
        opening: list[int] = []

        def open_what_is_new() -> None:
            there.update(self._found(above, likely, self.sftp.told(looking)))
            fresh.update((key, one) for key, one in there.items() if not is_known(key, one))
            for key, one in fresh.items():
                self._bear(key, one, at_most)
            opening.extend(self.sftp.ask(map(self._opening, fresh)))

        try:
            listed = self._listed([folder], MAX_NAMES, meanwhile=open_what_is_new)
        except BaseException:
            self.sftp.forget(opening)
            raise
        folders = [one.name for _, one in listed if one.attributes.is_folder]
        return Glance(folders, there, self._contents(fresh, self.sftp.told(opening), at_most))

    # -- listing

    def walk(self, prefix: str) -> list[tuple[str, Attributes]]:
        """Every object whose key starts with `prefix`, unsorted, links too. Two round trips a level."""
        found: list[tuple[str, Attributes]] = []
        level = [prefix.rpartition("/")[0]]
        while level:
            below: list[str] = []
            for start in range(0, len(level), _MOST_OPEN):
                for folder, one in self._listed(level[start : start + _MOST_OPEN], MAX_NAMES - len(found) - len(below)):
                    key = f"{folder}/{one.name}" if folder else one.name
                    if one.attributes.is_folder:
                        self._real.add(key)
                        below += [key] if (key + "/").startswith(prefix) or prefix.startswith(key + "/") else []
                    elif key.startswith(prefix) and not durable.is_temp(one.name):
                        found.append((key, one.attributes))
            level = below
            if level and level[0].count("/") > MAX_DEPTH:
                raise self._refused(level[0], "lies too deep to be memferry's", "remove it")
        return found

    def _listed(
        self, folders: Sequence[str], most: int, *, meanwhile: Callable[[], None] = lambda: None
    ) -> list[tuple[str, Name]]:
        """`meanwhile`: called between the two round trips."""
        strangers = self._strangers(above for folder in folders for above in (*_folders_of(folder), folder))
        requests = [*map(self._look_at_folder, strangers), *(sftp.open_folder(self._at(folder)) for folder in folders)]
        replies = self.sftp.flight(requests)
        opened = dict(zip(folders, replies[len(strangers) :], strict=True))
        handles = {folder: reply for folder, reply in opened.items() if isinstance(reply, Handle)}
        try:
            meanwhile()
            if any(not self._is_real(folder, reply) for folder, reply in zip(strangers, replies, strict=False)):
                return []  # nothing lies there, or behind a link, which is not memferry's
            self._real.update(strangers)
            for folder, reply in opened.items():
                self._excuse(folder, reply)
            found = self._names(handles, most)
        finally:
            for handle in handles.values():
                self.sftp.post(sftp.close(handle))
        for folder in handles:
            self._temps[folder] = [one for at, one in found if at == folder and durable.is_temp(one.name)]
        return found

    def _excuse(self, folder: str, reply: Reply) -> None:
        """A folder may vanish while it is listed, and lost+found belongs to the file system."""
        if not isinstance(reply, Status) or reply.code == sftp.NO_SUCH_FILE:
            return
        if folder + "/" == names.LOST and reply.code == sftp.PERMISSION_DENIED:
            return
        raise errors.refused(reply, self._at(folder), self._server)

    def _names(self, handles: Mapping[str, Handle], most: int) -> list[tuple[str, Name]]:
        found: list[tuple[str, Name]] = []
        rest, each = list(handles), 2
        while rest:
            asked = [folder for folder in rest for _ in range(each)]
            ended: set[str] = set()
            for folder, reply in zip(
                asked, self.sftp.answers(sftp.read_folder(handles[folder]) for folder in asked), strict=True
            ):
                if isinstance(reply, list) and reply and len(found) <= most:
                    found += [(folder, one) for one in reply if one.name not in (".", "..")]
                elif not isinstance(reply, list) or not reply:
                    ended.add(folder)
            if len(found) > most:
                raise self._refused(rest[0], "holds too many objects", "memferry writes tens: look what fills it")
            rest = [folder for folder in rest if folder not in ended]
            each = min(each * 4, max(1, AHEAD // max(1, len(rest))))
        for folder, one in found:
            if "/" in one.name or "\0" in one.name:
                raise self._refused(folder, "holds a name that no folder can hold", "do not trust this server")
        return found

    # -- writing

    def prepare(self, folder: str, *, make_way: bool, new_root: bool) -> None:
        """Make a folder ready to be written to: it is there (0700), it is no link, and where this machine writes alone
        what crashes left half-written is gone; after a cut also what the server may still hold of us, so that no late
        rename can undo what follows. No round trip but the first time on a connection. `make_way`: the folders above
        the root are made, too; `new_root`: the root itself may be made."""
        if folder in self._ready:
            return
        if folder not in self._temps:
            self._listed([folder], MAX_NAMES)
        if folder not in self._temps:
            self._make(self._missing([*_folders_of(folder), folder] if folder else [""]), make_way, new_root)
        if folder not in self._temps:
            self._listed([folder], MAX_NAMES)
        if not names.is_shared(folder):  # there `begin` does, when it knows what time it is
            self.sftp.flight(self._removing(folder, self._temps.pop(folder, [])))
        self._ready.add(folder)

    def _missing(self, chain: Sequence[str]) -> list[str]:
        """Those that are not there. TargetRefused if one is no folder."""
        strangers = self._strangers(chain)
        self._recognise(strangers, self.sftp.flight(map(self._look_at_folder, strangers)))
        return self._strangers(chain)

    def _make(self, folders: Sequence[str], make_way: bool, new_root: bool) -> None:
        """Durably, one inside the other. Two round trips."""
        if folders and not folders[0] and not new_root:
            raise TransientError(f"{self._root} is gone, though it was there", hint="mount its disk on the server")
        above_root = _parents(self._root) if make_way and folders and not folders[0] else []
        paths = [*above_root, *map(self._at, folders)]
        above = list(dict.fromkeys(map(_above, paths))) if sftp.FSYNC in self.sftp.extensions else []
        replies = self.sftp.flight(
            [
                *map(sftp.make_folder, paths),
                *map(self._look_at_folder, folders),
                *(sftp.open_file(path, sftp.READ) for path in above),
            ]
        )
        made, looked = replies[len(above_root) : len(paths)], replies[len(paths) : len(paths) + len(folders)]
        handles = [reply for reply in replies[len(paths) + len(folders) :] if isinstance(reply, Handle)]
        self.sftp.flight(request for one in handles for request in (sftp.fsync(one), sftp.close(one)))
        self._recognise(folders, looked)
        for folder, status in zip(folders, made, strict=True):
            assert isinstance(status, Status)
            if folder not in self._real:
                raise self._not_made(folder, status)
            if not status.code:
                self._temps[folder] = []  # it is new

    def _not_made(self, folder: str, status: Status) -> Exception:
        if not folder and status.code == sftp.NO_SUCH_FILE:
            hint = f"mount its disk on the server, or make it: ssh {self._server} mkdir -p {_above(self._root)}"
            return TransientError(f"the folder above {self._root} is not there", hint=hint)
        return errors.refused(status if status.code else Status(sftp.FAILURE), self._at(folder), self._server)

    def begin(self, key: str) -> tuple[Attributes | None, str, Handle]:
        """What lies under a key now, and a new temp file beside it: its path and its handle. One round trip."""
        folder = key.rpartition("/")[0]
        temp = self._at(_join(folder, f".memferry-{secrets.token_hex(8)}.tmp"))
        hold = folder not in self._held and sftp.FSYNC in self.sftp.extensions
        there, opened, new, *held = self.sftp.flight(
            [
                sftp.lstat(self._at(key)),
                sftp.open_file(temp, sftp.CREATE_NEW),
                sftp.lstat(temp),
                *([sftp.open_file(self._at(folder), sftp.READ)] if hold else []),
            ]
        )
        if held:
            self._hold(folder, held[0])
        if not isinstance(opened, Handle):
            assert isinstance(opened, Status)
            raise self._not_stored(opened, self._at(key), 0)
        if isinstance(new, Attributes):
            self._clear_away(folder, new.mtime)
        return self._attributes(key, there), temp, opened

    def _clear_away(self, folder: str, now: int) -> None:
        """What others began to write so long ago, by the server's own clock, that nobody does any more. No round
        trip."""
        left = [one for one in self._temps.pop(folder, ()) if names.is_abandoned(one.attributes.mtime, now)]
        for request in self._removing(folder, left):
            self.sftp.post(request)

    def _removing(self, folder: str, found: Iterable[Name]) -> Iterator[Request]:
        return (sftp.remove(self._at(_join(folder, one.name))) for one in found)

    def fill(self, key: str, handle: Handle, value: bytes, mtime: int) -> Attributes:
        """Write the whole of a temp file, durably where the server offers that, and close it. One round trip."""
        replies = self.sftp.flight(self._filling(handle, value, mtime))
        written = replies[: -(-len(value) // sftp.CHUNK_BYTES)]
        stamped, told, *ended = replies[len(written) :]
        for reply in (*written, *ended):
            if not isinstance(reply, Status) or reply.code:
                raise self._not_stored(reply if isinstance(reply, Status) else Status(sftp.FAILURE), key, len(value))
        if not isinstance(told, Attributes) or told.size != len(value):
            raise TransientError(f"{self._at(key)}: the server did not take all of it", hint="memferry will try again")
        del stamped  # a server that keeps its own times is none the worse: see SshStore
        return told

    def _filling(self, handle: Handle, value: bytes, mtime: int) -> Iterator[Request]:
        for at, size in _chunks(0, len(value)):
            yield sftp.write(handle, at, value[at : at + size])
        yield sftp.stamp(handle, mtime)
        yield sftp.fstat(handle)
        if sftp.FSYNC in self.sftp.extensions:
            yield sftp.fsync(handle)
        yield sftp.close(handle)

    def publish(self, temp: str, key: str, *, replace: bool) -> bool:
        """Give a temp file its name, durably where that is offered; False: something lies there, or the server fails
        without a reason. One round trip."""
        if replace and sftp.POSIX_RENAME not in self.sftp.extensions:
            raise PermanentError(
                f"the SFTP server of {self._server} cannot replace a file in one step",
                hint=f"use one that offers {sftp.POSIX_RENAME}: that of OpenSSH does",
            )
        named, *_ = self.sftp.flight(
            [
                sftp.replace(temp, self._at(key)) if replace else sftp.rename(temp, self._at(key)),
                *self._sync(key.rpartition("/")[0]),
            ]
        )
        assert isinstance(named, Status)
        if named.code == sftp.FAILURE and not replace:
            return False
        if named.code == sftp.NO_SUCH_FILE:
            raise TransientError(f"{temp} was removed while it was written", hint="memferry will try again")
        if named.code:
            raise errors.refused(named, self._at(key), self._server)
        return True

    def try_writing(self, folders: Sequence[str]) -> str | None:
        """Make a temp file in the first of these that is there, and remove it. Returns the folder's path; None: none of
        them is there."""
        for folder in folders:
            if not self._missing([*_folders_of(folder), folder] if folder else [""]):
                _, temp, handle = self.begin(_join(folder, names.FORMAT_KEY))
                self.discard(temp, handle)
                return self._at(folder)
        return None

    def discard(self, temp: str, handle: Handle) -> None:
        """A temp file that is not wanted. No round trip."""
        self.sftp.post(sftp.close(handle))
        self.sftp.post(sftp.remove(temp))

    def remove(self, key: str) -> None:
        """Durably where that is offered; what is gone already is fine. One round trip; the first in a folder two."""
        folder = key.rpartition("/")[0]
        if folder not in self._held and sftp.FSYNC in self.sftp.extensions:
            self._hold(folder, self.sftp.flight([sftp.open_file(self._at(folder), sftp.READ)])[0])
        removed, *_ = self.sftp.flight([sftp.remove(self._at(key)), *self._sync(folder)])
        if isinstance(removed, Status) and removed.code not in (0, sftp.NO_SUCH_FILE):
            raise errors.refused(removed, self._at(key), self._server)

    def sync(self, folder: str) -> None:
        """Make durable what was renamed in a folder, where that is offered. One round trip."""
        self.sftp.flight(self._sync(folder))

    def _sync(self, folder: str) -> list[Request]:
        """OpenSSH opens a folder like a file, and so one can be synced. Others may not: then there is nothing to do."""
        held = self._held.get(folder)
        return [sftp.fsync(held)] if held is not None else []

    def _hold(self, folder: str, reply: Reply) -> None:
        if len(self._held) >= _MOST_HELD:
            oldest = self._held.pop(next(iter(self._held)))
            if oldest is not None:
                self.sftp.post(sftp.close(oldest))
        self._held[folder] = reply if isinstance(reply, Handle) else None

    # -- the rest

    def room(self) -> tuple[int, int] | None:
        """Bytes free and in all, if the server tells. One round trip."""
        if sftp.STATVFS not in self.sftp.extensions:
            return None
        told = self.sftp.flight(map(sftp.statvfs, (self._root, _above(self._root))))
        return next((sftp.room(reply) for reply in told if isinstance(reply, bytes)), None)

    def _not_stored(self, status: Status, key: str, size: int) -> Exception:
        """SFTP has no word for a full disk: it is what a server means that fails to write without a reason."""
        if status.code != sftp.FAILURE:
            return errors.refused(status, key, self._server)
        room = self.room()
        if room is None or room[0] > size + (1 << 20):
            hint = f"is there a quota? look at the server: ssh {self._server} df -h {self._root}"
            return QuotaExceeded(f"the server cannot store {key}, and does not say why", hint=hint)
        return QuotaExceeded(f"the disk of {self._server} is full", hint=f"free some space there, in {self._root}")

    def unexplained(self, key: str) -> Exception:
        """A step failed, nothing is in its way, and the server does not say why."""
        return errors.refused(Status(sftp.FAILURE), self._at(key), self._server)

    def _at(self, key: str) -> str:
        return _join(self._root, key) if key else self._root

    def _look_at_folder(self, folder: str) -> Request:
        return sftp.lstat(self._at(folder)) if folder else sftp.stat_(self._root)

    def _strangers(self, folders: Iterable[str]) -> list[str]:
        return [folder for folder in dict.fromkeys(folders) if folder not in self._real]

    def _recognise(self, folders: Sequence[str], replies: Sequence[Reply]) -> None:
        for folder, reply in zip(folders, replies, strict=False):
            if self._attributes(folder, reply) is None:
                return  # and so are those below
            if not self._is_real(folder, reply):
                raise self._refused(folder, "is not a folder, or a link", "remove it by hand")
            self._real.add(folder)

    def _is_real(self, folder: str, reply: Reply) -> bool:
        found = self._attributes(folder, reply)
        return found is not None and found.is_folder

    def _attributes(self, key: str, reply: Reply) -> Attributes | None:
        if isinstance(reply, Attributes):
            return reply
        assert isinstance(reply, Status)
        if reply.code == sftp.NO_SUCH_FILE:
            return None
        raise errors.refused(reply, self._at(key), self._server)

    def _is_open(self, reply: Reply, key: str) -> TypeGuard[Handle]:
        if isinstance(reply, Status) and reply.code != sftp.NO_SUCH_FILE:
            raise errors.refused(reply, self._at(key), self._server)
        return isinstance(reply, Handle)

    def _refused(self, key: str, why: str, hint: str) -> TargetRefused:
        return TargetRefused(f"{names.shown(self._at(key))} {why}", key=key, hint=hint)


def _chunks(start: int, end: int) -> Iterator[tuple[int, int]]:
    for at in range(start, end, sftp.CHUNK_BYTES):
        yield at, min(sftp.CHUNK_BYTES, end - at)


def _folders_of(key: str) -> list[str]:
    """The folders above a key, from the root (which is empty)."""
    parts = key.split("/")
    return ["/".join(parts[:depth]) for depth in range(len(parts))]


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder else name


def _above(path: str) -> str:
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")


def _parents(path: str) -> list[str]:
    """The folders above a path on the server, outermost first."""
    parts = path.split("/")
    return [above for depth in range(1, len(parts)) if (above := "/".join(parts[:depth]))]
