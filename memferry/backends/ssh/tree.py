"""What lies in a folder tree on a server: looked at, read and listed over one connection.

Everything that does not depend on an answer is sent together: the methods say how many round trips they take.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeGuard

from memferry import durable
from memferry.backends import names
from memferry.backends.ssh import sftp
from memferry.backends.ssh.folders import Folders, folders_of
from memferry.backends.ssh.sftp import Attributes, Handle, Name, Reply, Request, Status
from memferry.backends.ssh.sftp_client import AHEAD, Sftp
from memferry.backends.ssh.sftp_reading import Content, contents

MAX_DEPTH = 16
MAX_NAMES = 200_000
"""So many objects may be listed at once; a vault has tens for each machine."""

MAX_VALUE_BYTES = 1 << 30
_MOST_OPEN = 16


class Glance(NamedTuple):
    """`folders`: names of those in a folder. `there`: what lies under the keys that were likely; `contents`: of those
    that were not known."""

    folders: Sequence[str]
    there: Mapping[str, Attributes]
    contents: Mapping[str, Content]


class Tree:
    """Follows no link below the root. `temps`: what is half-written in the folders that were listed."""

    def __init__(self, conversation: Sftp, folders: Folders) -> None:
        self.sftp = conversation
        self.folders = folders
        self.temps: dict[str, list[Name]] = {}

    # -- looking

    def look(self, keys: Collection[str]) -> dict[str, Attributes]:
        """What lies there now, without what is missing. One round trip."""
        folders = self.folders.strangers(above for key in keys for above in folders_of(key))
        return self._found(folders, keys, self.sftp.flight(self._looking(folders, keys)))

    def _looking(self, folders: Sequence[str], keys: Iterable[str]) -> list[Request]:
        return [*map(self.folders.look_at, folders), *(sftp.lstat(self.folders.at(key)) for key in keys)]

    def _found(self, folders: Sequence[str], keys: Iterable[str], replies: Sequence[Reply]) -> dict[str, Attributes]:
        self.folders.recognise(folders, replies)
        found = zip(keys, replies[len(folders) :], strict=True)
        return {key: there for key, reply in found if (there := self.folders.attributes(key, reply)) is not None}

    def read(self, found: Mapping[str, Attributes], at_most: int | None) -> dict[str, Content]:
        """Files, or the first `at_most` bytes of each, without those that are gone. `found`: what they were when one
        looked; they may have been replaced since. Two round trips."""
        for key, there in found.items():
            self._bear(key, there, at_most)
        return self._contents(found, self.sftp.flight(map(self._opening, found)), at_most)

    def _opening(self, key: str) -> Request:
        return sftp.open_file(self.folders.at(key), sftp.READ)

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
            raise self.folders.failure(key, content)
        self._bear(key, content.there, at_most)
        return content

    def _bear(self, key: str, there: Attributes, at_most: int | None) -> None:
        if not there.is_file:
            raise self.folders.refused(key, "is not a file, or lies behind a link", "remove it by hand")
        if at_most is None and there.size > MAX_VALUE_BYTES:
            raise self.folders.refused(key, f"has {there.size} bytes", "move it away by hand: it is not memferry's")

    def glance(
        self, folder: str, likely: Sequence[str], is_known: Callable[[str, Attributes], bool], at_most: int | None
    ) -> Glance:
        """A folder, and a few keys that probably lie below it or beside. Three round trips; two if all is known that
        lies there."""
        above = self.folders.strangers(above for key in likely for above in folders_of(key))
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

    def find_temps(self, folder: str) -> None:
        """List a folder, so that its `temps` are known, where it is there. Two round trips."""
        self._listed([folder], MAX_NAMES)

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
                        self.folders.believe(key)
                        below += [key] if (key + "/").startswith(prefix) or prefix.startswith(key + "/") else []
                    elif key.startswith(prefix) and not durable.is_temp(one.name):
                        found.append((key, one.attributes))
            level = below
            if level and level[0].count("/") > MAX_DEPTH:
                raise self.folders.refused(level[0], "lies too deep to be memferry's", "remove it")
        return found

    def _listed(
        self, folders: Sequence[str], most: int, *, meanwhile: Callable[[], None] = lambda: None
    ) -> list[tuple[str, Name]]:
        """What lies in some folders, each name with its folder; nothing where one of them is missing or behind a link.
        TargetRefused for more than `most`. Two round trips; `meanwhile`: called between them."""
        strangers = self.folders.strangers(above for folder in folders for above in (*folders_of(folder), folder))
        opening = (sftp.open_folder(self.folders.at(folder)) for folder in folders)
        replies = self.sftp.flight([*map(self.folders.look_at, strangers), *opening])
        opened = dict(zip(folders, replies[len(strangers) :], strict=True))
        handles = {folder: reply for folder, reply in opened.items() if isinstance(reply, Handle)}
        try:
            meanwhile()
            if any(not self.folders.is_real(folder, reply) for folder, reply in zip(strangers, replies, strict=False)):
                return []  # nothing lies there, or behind a link, which is not memferry's
            self.folders.believe(*strangers)
            for folder, reply in opened.items():
                self._excuse(folder, reply)
            found = self._names(handles, most)
        finally:
            for handle in handles.values():
                self.sftp.post(sftp.close(handle))
        for folder in handles:
            self.temps[folder] = [one for at, one in found if at == folder and durable.is_temp(one.name)]
        return found

    def _excuse(self, folder: str, reply: Reply) -> None:
        """A folder may vanish while it is listed, and lost+found belongs to the file system."""
        if not isinstance(reply, Status) or reply.code == sftp.NO_SUCH_FILE:
            return
        if folder + "/" == names.LOST and reply.code == sftp.PERMISSION_DENIED:
            return
        raise self.folders.failure(folder, reply)

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
                hint = "memferry writes tens: look what fills it"
                raise self.folders.refused(rest[0], "holds too many objects", hint)
            rest = [folder for folder in rest if folder not in ended]
            each = min(each * 4, max(1, AHEAD // max(1, len(rest))))
        for folder, one in found:
            if "/" in one.name or "\0" in one.name:
                raise self.folders.refused(folder, "holds a name that no folder can hold", "do not trust this server")
        return found

    def _is_open(self, reply: Reply, key: str) -> TypeGuard[Handle]:
        if isinstance(reply, Status) and reply.code != sftp.NO_SUCH_FILE:
            raise self.folders.failure(key, reply)
        return isinstance(reply, Handle)
