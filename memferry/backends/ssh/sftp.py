"""What is said in SFTP version 3 (draft-ietf-secsh-filexfer-02), with OpenSSH's extensions (its PROTOCOL file). Pure;
only what a store needs."""

from __future__ import annotations

import stat
import struct
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

CHUNK_BYTES = 32_768
"""Of one read or write: what every server must take. Larger ones are not faster, and on a slow line each must be
through before the time limit of a reply."""

EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE = 1, 2, 3, 4
READ, CREATE_NEW = 0x01, 0x02 | 0x08 | 0x20
"""How to open a file; CREATE_NEW: for writing, and it must not exist."""

FSYNC, POSIX_RENAME, STATVFS = "fsync@openssh.com", "posix-rename@openssh.com", "statvfs@openssh.com"
_EXTENDED = 200
_STATUS, _HANDLE, _DATA, _NAMES, _ATTRIBUTES, _EXTENDED_REPLY = 101, 102, 103, 104, 105, 201
_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 0x1, 0x2, 0x4, 0x8, 0x80000000


class Status(NamedTuple):
    """The answer that carries nothing but a code; 0: done."""

    code: int
    message: str = ""


class Attributes(NamedTuple):
    """What the server tells of a file. `mtime`: whole seconds since 1970; `mode`: as in `os.stat_result.st_mode`, 0 if
    it does not tell."""

    size: int = 0
    mode: int = 0
    mtime: int = 0

    @property
    def is_file(self) -> bool:
        """Neither a link nor anything else."""
        return stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        """Neither a link nor anything else."""
        return stat.S_ISDIR(self.mode)


class Name(NamedTuple):
    """One name of a folder's listing. Bytes that are no UTF-8 are kept as surrogates."""

    name: str
    attributes: Attributes


class Handle(NamedTuple):
    """An open file or folder."""

    id: bytes


Reply: TypeAlias = Status | Attributes | Handle | bytes | list[Name]


class Request(NamedTuple):
    """A packet's type and its fields behind the request id."""

    type: int
    fields: bytes


class Garbled(Exception):
    """The other side does not speak SFTP, or not properly."""


class Packet:
    """Reads one field after the other; struct.error where there is too little."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def number(self) -> int:
        (found,) = struct.unpack_from(">I", self._data, self._at)
        self._at += 4
        return int(found)

    def long(self) -> int:
        return self.number() << 32 | self.number()

    def string(self) -> bytes:
        size = self.number()
        if size > self.left:
            raise struct.error("a string that is longer than its packet")
        self._at += size
        return self._data[self._at - size : self._at]

    def rest(self) -> bytes:
        return self._data[self._at :]

    def attributes(self) -> Attributes:
        flags = self.number()
        size = self.long() if flags & _HAS_SIZE else 0
        if flags & _HAS_OWNER:
            self.long()
        mode = self.number() if flags & _HAS_MODE else 0
        mtime = self.long() & 0xFFFFFFFF if flags & _HAS_TIMES else 0
        for _ in range(2 * self.number() if flags & _HAS_MORE else 0):
            self.string()
        return Attributes(size, mode, mtime)

    def name(self) -> Name:
        name = self.string().decode("utf-8", "surrogateescape")
        self.string()  # as `ls -l` shows it
        return Name(name, self.attributes())


def _status(packet: Packet) -> Status:
    code = packet.number()
    return Status(code, packet.string().decode("utf-8", "replace") if packet.left else "")


_PARSERS: dict[int, Callable[[Packet], Reply]] = {
    _STATUS: _status,
    _HANDLE: lambda packet: Handle(packet.string()),
    _DATA: Packet.string,
    _NAMES: lambda packet: [packet.name() for _ in range(packet.number())],
    _ATTRIBUTES: Packet.attributes,
    _EXTENDED_REPLY: lambda packet: packet.rest(),
}


def answer(type_: int, packet: Packet) -> tuple[int, Reply]:
    """The id of a request, and what it is answered. Garbled if this is no answer."""
    try:
        return packet.number(), _PARSERS[type_](packet)
    except (struct.error, KeyError) as error:
        raise Garbled(f"an answer of type {type_}") from error


# -- requests


def _string(text: str | bytes) -> bytes:
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return struct.pack(">I", len(data)) + data


def open_file(path: str, how: int) -> Request:
    """Answered by a Handle. A new file is for its owner alone."""
    attributes = struct.pack(">II", _HAS_MODE, 0o600) if how == CREATE_NEW else struct.pack(">I", 0)
    return Request(3, _string(path) + struct.pack(">I", how) + attributes)


def close(handle: Handle) -> Request:
    """Of a file or a folder."""
    return Request(4, _string(handle.id))


def read(handle: Handle, offset: int, size: int) -> Request:
    """Answered by bytes, maybe fewer, or by EOF."""
    return Request(5, _string(handle.id) + struct.pack(">QI", offset, size))


def write(handle: Handle, offset: int, data: bytes) -> Request:
    """At most CHUNK_BYTES."""
    return Request(6, _string(handle.id) + struct.pack(">Q", offset) + _string(data))


def lstat(path: str) -> Request:
    """Answered by the Attributes of the thing itself, be it a link."""
    return Request(7, _string(path))


def stat_(path: str) -> Request:
    """Answered by the Attributes of what a link leads to."""
    return Request(17, _string(path))


def fstat(handle: Handle) -> Request:
    """Answered by Attributes."""
    return Request(8, _string(handle.id))


def stamp(handle: Handle, mtime: int) -> Request:
    """Set a file's times."""
    return Request(10, _string(handle.id) + struct.pack(">III", _HAS_TIMES, mtime, mtime))


def open_folder(path: str) -> Request:
    """Answered by a Handle."""
    return Request(11, _string(path))


def read_folder(handle: Handle) -> Request:
    """Answered by some more Names, or by EOF."""
    return Request(12, _string(handle.id))


def remove(path: str) -> Request:
    """A file or a link."""
    return Request(13, _string(path))


def make_folder(path: str) -> Request:
    """For its owner alone."""
    return Request(14, _string(path) + struct.pack(">II", _HAS_MODE, 0o700))


def rename(old: str, new: str) -> Request:
    """Fails where `new` exists."""
    return Request(18, _string(old) + _string(new))


def replace(old: str, new: str) -> Request:
    """Replaces `new` in one step."""
    return Request(_EXTENDED, _string(POSIX_RENAME) + _string(old) + _string(new))


def fsync(handle: Handle) -> Request:
    """Answered when what was written lies on the disk."""
    return Request(_EXTENDED, _string(FSYNC) + _string(handle.id))


def statvfs(path: str) -> Request:
    """Answered by bytes: see `room`."""
    return Request(_EXTENDED, _string(STATVFS) + _string(path))


def room(reply: bytes) -> tuple[int, int]:
    """Bytes free for this user, and bytes in all, from the answer to `statvfs`."""
    _, unit, blocks, _, free = struct.unpack_from(">5Q", reply)
    return unit * free, unit * blocks
