"""A line on which two processes of one user tell each other bytes: a socket in a folder, on Windows a named pipe.

`multiprocessing.connection` has both. With it come pickle, temporary files and subprocesses, 3 MB in a process that is
to stay small; so it is used on Windows alone.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from multiprocessing.connection import Client, Connection, PipeConnection
    from multiprocessing.connection import Listener as Pipes

    class Line:
        """One end; whoever has it closes it. A pipe has no limit of time of its own: whoever stops amid a message holds
        up nobody but this user's questions."""

        def __init__(self, pipe: Connection | PipeConnection) -> None:
            self._pipe = pipe

        def close(self) -> None:
            self._pipe.close()

        def say(self, message: bytes) -> None:
            """Plain OSErrors."""
            self._pipe.send_bytes(message)

        def hear(self, longest: int, patience_s: float | None) -> bytes:
            """OSError: it is longer, or does not come in time; None is for ever. EOFError: there is nobody any more."""
            if not self._pipe.poll(patience_s):
                raise TimeoutError
            return self._pipe.recv_bytes(longest)

    class Listener:
        """Hears who wants a line; whoever made it closes it."""

        def __init__(self, address: str, waiting: int, patience_s: float) -> None:
            self._pipes = Pipes(address, "AF_PIPE", waiting)

        def close(self) -> None:
            self._pipes.close()

        def accept(self) -> Line:
            """Plain OSErrors."""
            return Line(self._pipes.accept())

    def connected(address: str, patience_s: float) -> Line:
        """A line to it. Plain OSErrors."""
        return Line(Client(address, "AF_PIPE"))

else:
    import contextlib
    import os
    import socket
    import struct

    _LENGTH = struct.Struct("!i")
    AT_ONCE = 1 << 16

    class Line:
        """One end; whoever has it closes it."""

        def __init__(self, one: socket.socket) -> None:
            self._socket = one

        def close(self) -> None:
            self._socket.close()

        def say(self, message: bytes) -> None:
            """Plain OSErrors, also where nobody hears in time."""
            self._socket.sendall(_LENGTH.pack(len(message)) + message)

        def hear(self, longest: int, patience_s: float | None) -> bytes:
            """OSError: it is longer, or does not come in time; None is for ever. EOFError: there is nobody any more."""
            self._socket.settimeout(patience_s)
            (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
            if not 0 <= length <= longest:
                raise OSError(f"a message of {length} bytes")
            return self._read(length)

        def _read(self, length: int) -> bytes:
            read = bytearray()
            while len(read) < length:
                part = self._socket.recv(min(AT_ONCE, length - len(read)))
                if not part:
                    raise EOFError
                read += part
            return bytes(read)

    class Listener:
        """Hears who wants a line; whoever made it closes it."""

        def __init__(self, address: str, waiting: int, patience_s: float) -> None:
            """`patience_s`: for whoever does not take what is said."""
            self._address = address
            self._patience_s = patience_s
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.bind(address)
                self._socket.listen(waiting)
            except OSError:
                self._socket.close()
                raise

        def close(self) -> None:
            self._socket.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._address)

        def accept(self) -> Line:
            """Plain OSErrors."""
            one, _ = self._socket.accept()
            one.settimeout(self._patience_s)
            return Line(one)

    def connected(address: str, patience_s: float) -> Line:
        """A line to it. Plain OSErrors, also where it does not accept in time."""
        one = socket.socket(socket.AF_UNIX)
        try:
            one.settimeout(patience_s)
            one.connect(address)
        except OSError:
            one.close()
            raise
        return Line(one)
