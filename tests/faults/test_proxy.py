"""The proxy itself: it carries faithfully, and harms exactly as it is told."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import Proxy


class Echo:
    """A server that answers each byte with itself, and counts what it got."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.received = bytearray()
        self.ends: list[type[Exception] | None] = []
        self.ended = threading.Condition()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        why: type[Exception] | None = None
        try:
            with line:
                while data := line.recv(65536):
                    self.received += data
                    line.sendall(data)
        except OSError as error:
            why = type(error)
        with self.ended:
            self.ends.append(why)
            self.ended.notify_all()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def wait_for_end(self) -> type[Exception] | None:
        with self.ended:
            assert self.ended.wait_for(lambda: self.ends, 10)
            return self.ends[-1]


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.stop()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.port) as proxy:
        yield proxy


def connected(proxy: Proxy) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", proxy.port), 10)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def ask(line: socket.socket, data: bytes) -> bytes:
    line.sendall(data)
    return exactly(line, len(data))


def exactly(line: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = line.recv(size - len(found))
        if not more:
            raise EOFError
        found += more
    return found


def test_it_carries_every_byte_in_order(proxy: Proxy) -> None:
    data = os.urandom(300_000)
    with connected(proxy) as line:
        writer = threading.Thread(target=line.sendall, args=(data,))
        writer.start()
        assert exactly(line, len(data)) == data
        writer.join()
    assert proxy.connections == 1


def test_what_it_carries_is_recorded_where_that_is_wanted(echo: Echo) -> None:
    with Proxy(echo.port, recording=True) as proxy, connected(proxy) as line:
        ask(line, b"there")
        assert proxy.recorded == [b"there", b"there"]


def test_delay_is_added_to_each_direction_and_does_not_add_up(proxy: Proxy) -> None:
    proxy.delay_s = 0.1
    with connected(proxy) as line:
        start = time.monotonic()
        for _ in range(20):
            line.sendall(b"x")
        exactly(line, 20)
        assert 0.2 <= time.monotonic() - start < 2  # four seconds, if it did


def test_a_slow_line(proxy: Proxy) -> None:
    with connected(proxy) as line:
        proxy.bytes_per_s = 20.0
        start = time.monotonic()
        assert ask(line, b"12345678") == b"12345678"
        assert time.monotonic() - start >= 0.4


def test_reset_is_a_reset_for_both(proxy: Proxy, echo: Echo) -> None:
    with connected(proxy) as line:
        ask(line, b"x")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            line.recv(1)
    assert echo.wait_for_end() is ConnectionResetError


def test_half_open_is_an_end_for_the_server_only(proxy: Proxy, echo: Echo) -> None:
    with connected(proxy) as line:
        ask(line, b"x")
        proxy.half_open()
        assert echo.wait_for_end() is ConnectionResetError
        line.sendall(b"y")
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.recv(1)
    assert echo.received == b"x"


def test_a_black_hole_takes_nothing_and_heals(proxy: Proxy, echo: Echo) -> None:
    with connected(proxy) as line:
        ask(line, b"x")
        proxy.swallow()
        line.settimeout(0.2)
        line.sendall(b"y")
        with pytest.raises(TimeoutError):
            line.recv(1)
        with connected(proxy) as other:
            other.settimeout(0.2)
            other.sendall(b"z")
            with pytest.raises(TimeoutError):
                other.recv(1)
            assert echo.received == b"x"
            proxy.heal()
            for one in (line, other):
                one.settimeout(10)
                assert len(one.recv(1)) == 1
    assert sorted(echo.received) == sorted(b"xyz")


def test_a_black_hole_behind_a_reply(proxy: Proxy) -> None:
    with connected(proxy) as line:
        proxy.stall_reply(2)
        assert ask(line, b"1") + ask(line, b"2") == b"12"
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            ask(line, b"3")
        proxy.heal()
        line.settimeout(10)
        assert exactly(line, 1) == b"3"


def test_a_black_hole_stops_the_sender_in_the_end(proxy: Proxy) -> None:
    with connected(proxy) as line:
        proxy.swallow()
        line.settimeout(0.3)
        with pytest.raises(TimeoutError):
            line.sendall(bytes(64 << 20))


@pytest.mark.parametrize("number", [1, 3])
def test_a_lost_reply_was_done(proxy: Proxy, echo: Echo, number: int) -> None:
    with connected(proxy) as line:
        ask(line, b"0")
        proxy.cut_reply(number)
        for turn in range(1, number):
            assert ask(line, b"%d" % turn) == b"%d" % turn
        with pytest.raises(ConnectionResetError):
            ask(line, b"!")
    assert echo.received.endswith(b"!")
    assert proxy.cuts == 1
    with connected(proxy) as line:
        assert ask(line, b"again") == b"again"


def test_a_server_that_is_down(echo: Echo) -> None:
    echo.stop()
    with Proxy(echo.port) as proxy, pytest.raises((ConnectionResetError, EOFError)), connected(proxy) as line:
        exactly(line, 1)
