"""Every packet on loopback to or from some ports, where the system permits it (Linux, CAP_NET_RAW)."""

from __future__ import annotations

import socket
import sys
import threading
from collections import defaultdict
from collections.abc import Collection
from types import TracebackType
from typing import Self

_OUTGOING = 4
_TCP = 6
_ALL_PROTOCOLS = 3
_BUFFER_BYTES = 32 << 20


class Capture:
    """While its block runs, `flows` fills with what TCP carried, by (from port, to port); not where not permitted."""

    def __init__(self, ports: Collection[int]) -> None:
        self.flows: defaultdict[tuple[int, int], bytearray] = defaultdict(bytearray)
        self._ports = frozenset(ports)
        self._socket = _opened()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="capture", daemon=True)

    @property
    def permitted(self) -> bool:
        return self._socket is not None

    def __enter__(self) -> Self:
        if self._socket is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._socket is not None:
            self._over.set()
            self._thread.join()
            self._socket.close()

    def _listen(self) -> None:
        assert self._socket is not None
        while True:
            try:
                packet, address = self._socket.recvfrom(1 << 17)
            except TimeoutError:
                if self._over.is_set():
                    return
                continue
            if address[2] != _OUTGOING:  # each is seen twice
                self._take(packet)

    def _take(self, packet: bytes) -> None:
        header = (packet[0] & 15) * 4
        if packet[0] >> 4 != 4 or packet[9] != _TCP:
            return
        ends = (
            int.from_bytes(packet[header : header + 2], "big"),
            int.from_bytes(packet[header + 2 : header + 4], "big"),
        )
        if not self._ports.isdisjoint(ends):
            self.flows[ends] += packet[header + (packet[header + 12] >> 4) * 4 :]


def _opened() -> socket.socket | None:
    if sys.platform != "linux":
        return None
    try:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS))
    except PermissionError:
        return None
    made.bind(("lo", 0))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    made.settimeout(0.1)
    return made
