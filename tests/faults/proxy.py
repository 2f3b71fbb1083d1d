"""A TCP relay on this computer that harms what it carries, as networks do. Needs no rights and no kernel module.

It knows nothing of what is said: a "reply" is what the server sends after the client has sent something.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_SLICES_PER_S = 20


class Proxy:
    """Relays connections to `127.0.0.1:port` to a server on `target_port`. Owns a thread; use it in a `with`.

    What may be changed at any time, and holds for all connections from then on: `delay_s`, added to each direction, so
    half of a round trip; `bytes_per_s`, the most that passes in each direction; None: all. `recording`: keep what came
    in at either end of every connection in `recorded`.
    """

    def __init__(
        self, target_port: int, *, delay_s: float = 0.0, bytes_per_s: float | None = None, recording: bool = False
    ) -> None:
        self.target_port = target_port
        self.recording = recording
        self.recorded: list[bytearray] = []
        self.delay_s = delay_s
        self.bytes_per_s = bytes_per_s
        self.port = 0
        self.connections = 0
        self.replies = 0
        self.cuts = 0
        self.stuck = False
        self.cut_at: int | None = None
        self.stall_at: int | None = None
        self.pairs: set[Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    # -- faults

    def reset(self) -> None:
        """Cut every connection at once, for both ends (RST)."""
        self._do(lambda: self._each(Pair.reset))

    def half_open(self) -> None:
        """The server loses every connection, and the clients are not told: nothing answers them any more."""
        self._do(lambda: self._each(Pair.abandon))

    def swallow(self) -> None:
        """A black hole: from now on nothing passes and nothing is taken, on new connections as well, until `heal`."""
        self._do(lambda: self._set_stuck(True))

    def stall_reply(self, number: int) -> None:
        """Behind the reply with this number from now on, from 1, nothing passes any more, as after `swallow`."""
        self.stall_at = self.replies + number

    def stall(self) -> None:
        """As `swallow`, from within."""
        self._set_stuck(True)

    def heal(self) -> None:
        """What was stuck goes on, and no cut is due any more."""
        self.cut_at = None
        self._do(lambda: self._set_stuck(False))

    def cut_reply(self, number: int) -> None:
        """The reply with this number from now on, from 1, is lost, and its connection is cut: the server has done what
        it was asked, and the client cannot know."""
        self.cut_at = self.replies + number

    # -- its life

    def __enter__(self) -> Self:
        self._thread.start()
        self._wait(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._wait(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(lambda: Pair(self).client, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        self._server.close()
        pairs = list(self.pairs)
        self._each(Pair.reset)
        await asyncio.gather(*(pair.connecting for pair in pairs if pair.connecting), return_exceptions=True)
        while self.pairs:
            await asyncio.sleep(0)  # they are told in the loop's next turns

    def _set_stuck(self, stuck: bool) -> None:
        self.stuck = stuck
        self._each(Pair.obey)

    def _each(self, act: Callable[[Pair], None]) -> None:
        for pair in list(self.pairs):
            act(pair)

    def _do(self, act: Callable[[], object]) -> None:
        async def done() -> None:
            act()

        self._wait(done())

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


class Pair:
    """One connection: the end towards the client and the one towards the server."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.client = End(self)
        self.server = End(self)
        self.connecting: asyncio.Task[None] | None = None
        self._asked = False
        self._abandoned = False
        self._cut = False
        if proxy.recording:
            proxy.recorded += [self.client.heard, self.server.heard]

    def opened(self, end: End) -> None:
        """An end is there: the client's comes first, and asks for the other."""
        if end is self.client:
            self.proxy.pairs.add(self)
            self.proxy.connections += 1
            self.connecting = asyncio.ensure_future(self._connect())
        elif self._cut:  # meanwhile
            end.reset()
        # Not at once: before 3.11.4 asyncio starts to read behind this call, whatever was said in it.
        asyncio.get_running_loop().call_soon(self.obey)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.server, "127.0.0.1", self.proxy.target_port)
        except OSError:
            self.reset()

    def obey(self) -> None:
        """Take data only where they can pass."""
        for end in (self.client, self.server):
            end.listen(not self.proxy.stuck and not self._abandoned and self.server.transport is not None)

    def carry(self, end: End, data: bytes) -> None:
        """What came in at one end goes out at the other, unless it is a reply to be cut."""
        if self.proxy.recording:
            end.heard += data
        if end is self.client:
            self._asked = True
        elif self._asked:
            self._asked = False
            self.proxy.replies += 1
            if self.proxy.replies == self.proxy.stall_at:
                self.proxy.stall()
            if self.proxy.replies == self.proxy.cut_at:
                self.proxy.cuts += 1
                self.reset()
                return
        self.other(end).later(data)

    def other(self, end: End) -> End:
        """The opposite end."""
        return self.server if end is self.client else self.client

    def closed(self, end: End) -> None:
        """One end was closed: so is the other, behind what is still on its way."""
        if not (self._abandoned and end is self.server):
            self.other(end).later(b"")
        if not (self.client.open or self.server.open):
            self.proxy.pairs.discard(self)

    def reset(self) -> None:
        """Cut it for both."""
        self._cut = True
        for end in (self.client, self.server):
            end.reset()

    def abandon(self) -> None:
        """Cut it for the server only."""
        self._abandoned = True
        self.server.reset()
        self.client.listen(False)


class End(asyncio.Protocol):
    """One socket. What is sent through it waits for its time, in order."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._waiting: deque[bytes] = deque()
        self._free_at = 0.0
        self.transport: asyncio.Transport | None = None
        self.open = False
        self.heard = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.open = True
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pair.opened(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._pair.carry(self, data)

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.open = False
        self._pair.closed(self)

    def listen(self, wanted: bool) -> None:
        """Whether to take what comes in; what is not taken stops the sender in the end."""
        if self.transport is None or self.transport.is_closing():
            return
        if wanted:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def later(self, data: bytes) -> None:
        """Send it when its time has come; nothing: close."""
        rate = self._pair.proxy.bytes_per_s
        size = max(1, int(rate / _SLICES_PER_S)) if rate else max(1, len(data))
        loop = asyncio.get_running_loop()
        for at in range(0, max(1, len(data)), size):
            piece = data[at : at + size]
            due = loop.time() + self._pair.proxy.delay_s
            self._free_at = max(self._free_at, due) + (len(piece) / rate if rate else 0.0)
            self._waiting.append(piece)
            loop.call_at(self._free_at, self._send_next)

    def _send_next(self) -> None:
        data = self._waiting.popleft()
        if self.transport is None or self.transport.is_closing():
            return
        if data:
            self.transport.write(data)
        else:
            self.transport.close()

    def reset(self) -> None:
        """Close it without a goodbye, and without what is still on its way."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.transport.abort()
