"""SFTP version 3 (draft-ietf-secsh-filexfer-02) with many requests to a flight, and OpenSSH's extensions (its PROTOCOL
file). Only what a store needs.

paramiko's own client is not used: it has no public way to ask for an fsync, to send requests that do not depend on each
other together, or to see what the server offers; and at 50 ms a round trip it is the round trips that cost.
"""

from __future__ import annotations

import stat
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeAlias

CHUNK_BYTES = 32_768
"""Of one read or write: what every server must take. Larger ones are not faster, and on a slow line each must be
through before the time limit of a reply."""

AHEAD = 64
"""Requests on their way that were not answered yet: 2 MiB of chunks, the window of paramiko's channels."""

MAX_REPLY_BYTES = 1 << 18  # OpenSSH sends no larger packet
EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE = 1, 2, 3, 4
READ, CREATE_NEW = 0x01, 0x02 | 0x08 | 0x20
"""How to open a file; CREATE_NEW: for writing, and it must not exist."""

FSYNC, POSIX_RENAME, STATVFS = "fsync@openssh.com", "posix-rename@openssh.com", "statvfs@openssh.com"
_INIT, _VERSION, _EXTENDED = 1, 2, 200
_STATUS, _HANDLE, _DATA, _NAMES, _ATTRIBUTES, _EXTENDED_REPLY = 101, 102, 103, 104, 105, 201
_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 0x1, 0x2, 0x4, 0x8, 0x80000000


class Channel(Protocol):
    """What the client speaks through."""

    def sendall(self, data: bytes) -> None:
        """Send all of it, or raise."""
        ...

    def recv(self, most: int) -> bytes:
        """What has come, at least one byte; none: the other side has closed."""
        ...


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


class Sftp:
    """A conversation. One thread at a time. Errors of the channel rise as they are; `Garbled` means that nothing more
    can be understood. `round_trips`: how often an answer was waited for, in all. `tick`: called whenever the other side
    has made some progress."""

    def __init__(self, channel: Channel, tick: Callable[[], None] = lambda: None) -> None:
        self._channel = channel
        self._tick = tick
        self._buffer = bytearray()
        self._last_id = 0
        self._posted: set[int] = set()
        self.round_trips = 0
        self._channel.sendall(struct.pack(">IBI", 5, _INIT, 3))
        self.round_trips += 1
        self.extensions = self._welcome()

    def flight(self, requests: Iterable[Request]) -> list[Reply]:
        """The answers, in the order of the requests, which are all sent before the first answer is waited for, up to
        AHEAD of them."""
        return list(self.answers(requests))

    def answers(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """As `flight`, one by one. To be exhausted."""
        waiting: deque[int] = deque()
        arrived: dict[int, Reply] = {}
        for request in requests:
            waiting.append(self._send(request))
            if len(waiting) >= AHEAD:
                yield self._await(waiting.popleft(), arrived)
        self.round_trips += bool(waiting)
        while waiting:
            yield self._await(waiting.popleft(), arrived)

    def post(self, request: Request) -> None:
        """Send it, and never mind the answer."""
        self._posted.add(self._send(request))

    # -- packets

    def _send(self, request: Request) -> int:
        self._last_id = (self._last_id + 1) & 0xFFFFFFFF
        head = struct.pack(">IBI", len(request.fields) + 5, request.type, self._last_id)
        self._channel.sendall(head + request.fields)
        return self._last_id

    def _await(self, number: int, arrived: dict[int, Reply]) -> Reply:
        while number not in arrived:
            found, reply = self._answer()
            if found in self._posted:
                self._posted.remove(found)
            else:
                arrived[found] = reply
            if len(arrived) > AHEAD:
                raise Garbled("answers that nobody asked for")
        return arrived.pop(number)

    def _answer(self) -> tuple[int, Reply]:
        type_, packet = self._packet()
        try:
            return packet.number(), _PARSERS[type_](packet)
        except (struct.error, KeyError) as error:
            raise Garbled(f"an answer of type {type_}") from error

    def _welcome(self) -> frozenset[str]:
        type_, packet = self._packet()
        if type_ != _VERSION or packet.number() < 3:
            raise Garbled("it does not speak SFTP version 3")
        names = []
        while packet.left:
            names.append(packet.string().decode("utf-8", "replace"))
            packet.string()
        return frozenset(names)

    def _packet(self) -> tuple[int, _Packet]:
        (length,) = struct.unpack(">I", self._received(4))
        if not 1 <= length <= MAX_REPLY_BYTES:
            raise Garbled("it does not speak SFTP")
        data = self._received(length)
        self._tick()
        return data[0], _Packet(data, 1)

    def _received(self, size: int) -> bytes:
        while len(self._buffer) < size:
            more = self._channel.recv(1 << 17)
            if not more:
                raise EOFError("the server has closed the connection")
            self._buffer += more
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


class _Packet:
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


def _status(packet: _Packet) -> Status:
    code = packet.number()
    return Status(code, packet.string().decode("utf-8", "replace") if packet.left else "")


_PARSERS: dict[int, Callable[[_Packet], Reply]] = {
    _STATUS: _status,
    _HANDLE: lambda packet: Handle(packet.string()),
    _DATA: _Packet.string,
    _NAMES: lambda packet: [packet.name() for _ in range(packet.number())],
    _ATTRIBUTES: _Packet.attributes,
    _EXTENDED_REPLY: lambda packet: packet.rest(),
}


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
