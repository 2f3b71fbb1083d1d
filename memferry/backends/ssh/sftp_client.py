"""A conversation in SFTP, with many requests to a flight.

paramiko's own client is not used: it has no public way to ask for an fsync, to send requests that do not depend on each
other together, or to see what the server offers; and at 50 ms a round trip it is the round trips that cost.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from memferry.backends.ssh.sftp import Garbled, Packet, Reply, Request, answer

AHEAD = 64
"""Requests on their way that were not answered yet: 2 MiB of chunks, the window of paramiko's channels."""

MAX_REPLY_BYTES = 1 << 18  # OpenSSH sends no larger packet
_INIT, _VERSION = 1, 2


class Channel(Protocol):
    """What the client speaks through."""

    def sendall(self, data: bytes) -> None:
        """Send all of it, or raise."""
        ...

    def recv(self, most: int) -> bytes:
        """What has come, at least one byte; none: the other side has closed."""
        ...


class Sftp:
    """A conversation. One thread at a time. Errors of the channel rise as they are; `Garbled` means that nothing more
    can be understood. `round_trips`: how often an answer was waited for since the greeting. `tick`: called whenever the
    other side has made some progress."""

    def __init__(self, channel: Channel, tick: Callable[[], None] = lambda: None) -> None:
        self._channel = channel
        self._tick = tick
        self._buffer = bytearray()
        self._last_id = 0
        self._posted: set[int] = set()
        self._arrived: dict[int, Reply] = {}
        self.round_trips = 0
        self._channel.sendall(struct.pack(">IBI", 5, _INIT, 3))
        self.extensions = self._welcome()

    def flight(self, requests: Iterable[Request]) -> list[Reply]:
        """The answers, in the order of the requests, which are all sent before the first answer is waited for, up to
        AHEAD of them."""
        return list(self.answers(requests))

    def answers(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """As `flight`, one by one. To be exhausted."""
        waiting: deque[int] = deque()
        for request in requests:
            waiting.append(self._send(request))
            if len(waiting) >= AHEAD:
                yield self._await(waiting.popleft())
        self.round_trips += bool(waiting)
        while waiting:
            yield self._await(waiting.popleft())

    def ask(self, requests: Iterable[Request]) -> list[int]:
        """Send some, at most AHEAD, to hear the answers later with `told`: they come with those to whatever is asked
        next."""
        return [self._send(request) for request in requests]

    def told(self, asked: Sequence[int]) -> list[Reply]:
        """The answers to what `ask` has sent. No round trip if something was waited for since then."""
        self.round_trips += not self._arrived.keys() >= set(asked)
        return [self._await(number) for number in asked]

    def forget(self, asked: Iterable[int]) -> None:
        """Never mind the answers to what `ask` has sent."""
        self._posted |= {number for number in asked if self._arrived.pop(number, None) is None}

    def post(self, request: Request) -> None:
        """Send it, and never mind the answer."""
        self._posted.add(self._send(request))

    # -- packets

    def _send(self, request: Request) -> int:
        self._last_id = (self._last_id + 1) & 0xFFFFFFFF
        head = struct.pack(">IBI", len(request.fields) + 5, request.type, self._last_id)
        self._channel.sendall(head + request.fields)
        return self._last_id

    def _await(self, number: int) -> Reply:
        while number not in self._arrived:
            found, reply = self._answer()
            if found in self._posted:
                self._posted.remove(found)
            else:
                self._arrived[found] = reply
            if len(self._arrived) > 2 * AHEAD:
                raise Garbled("it answers what nobody asked")
        return self._arrived.pop(number)

    def _answer(self) -> tuple[int, Reply]:
        return answer(*self._packet())

    def _welcome(self) -> frozenset[str]:
        type_, packet = self._packet()
        if type_ != _VERSION or packet.number() < 3:
            raise Garbled("it does not speak SFTP version 3")
        names = []
        while packet.left:
            names.append(packet.string().decode("utf-8", "replace"))
            packet.string()
        return frozenset(names)

    def _packet(self) -> tuple[int, Packet]:
        (length,) = struct.unpack(">I", self._received(4))
        if not 1 <= length <= MAX_REPLY_BYTES:
            raise Garbled("it does not speak SFTP")
        data = self._received(length)
        self._tick()
        return data[0], Packet(data, 1)

    def _received(self, size: int) -> bytes:
        while len(self._buffer) < size:
            more = self._channel.recv(1 << 17)
            if not more:
                raise EOFError("the server has closed the connection")
            self._buffer += more
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken
