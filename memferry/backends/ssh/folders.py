"""The folders of a tree on a server: where they are, which of them are known to be real, and what answers about them
mean. What is known is known for as long as the connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memferry.backends import names
from memferry.backends.ssh import errors, sftp
from memferry.backends.ssh.sftp import Attributes, Reply, Request, Status
from memferry.errors import TargetRefused


class Folders:
    """`root`: the folder on the server; it may be a link, which is its owner's choice. Below it no link is followed,
    as far as one can look before one acts. `server`: for messages."""

    def __init__(self, root: str, server: str) -> None:
        self.root = root.rstrip("/") or "/"
        self.server = server
        self._real: set[str] = set()

    def at(self, key: str) -> str:
        """Where a key lies on the server."""
        return join(self.root, key) if key else self.root

    def look_at(self, folder: str) -> Request:
        """What asks for its attributes; of the root for those of what it may be a link to."""
        return sftp.lstat(self.at(folder)) if folder else sftp.stat_(self.root)

    def strangers(self, folders: Iterable[str]) -> list[str]:
        """Those of which nobody has seen yet that they are real, each once."""
        return [folder for folder in dict.fromkeys(folders) if folder not in self._real]

    def recognise(self, folders: Sequence[str], replies: Sequence[Reply]) -> None:
        """Believe answers about folders, each inside the one before, up to the first that is not there. TargetRefused
        if one is no folder."""
        for folder, reply in zip(folders, replies, strict=False):
            if self.attributes(folder, reply) is None:
                return  # and so are those below
            if not self.is_real(folder, reply):
                raise self.refused(folder, "is not a folder, or a link", "remove it by hand")
            self._real.add(folder)

    def is_real(self, folder: str, reply: Reply) -> bool:
        """Whether an answer says so."""
        found = self.attributes(folder, reply)
        return found is not None and found.is_folder

    def attributes(self, key: str, reply: Reply) -> Attributes | None:
        """What an answer says of a key; None: nothing is there."""
        if isinstance(reply, Attributes):
            return reply
        assert isinstance(reply, Status)
        if reply.code == sftp.NO_SUCH_FILE:
            return None
        raise self.failure(key, reply)

    def knows(self, folder: str) -> bool:
        """Whether it is known to be real."""
        return folder in self._real

    def believe(self, *folders: str) -> None:
        """They are real: somebody has looked."""
        self._real.update(folders)

    def failure(self, key: str, status: Status) -> Exception:
        """The error that an answer about a key means."""
        return errors.refused(status, self.at(key), self.server)

    def refused(self, key: str, why: str, hint: str) -> TargetRefused:
        """The error that what lies under a key is not memferry's; `why` ends the sentence that its path begins."""
        return TargetRefused(f"{names.shown(self.at(key))} {why}", key=key, hint=hint)


def folders_of(key: str) -> list[str]:
    """The folders above a key, from the root (which is empty)."""
    parts = key.split("/")
    return ["/".join(parts[:depth]) for depth in range(len(parts))]


def join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder else name
