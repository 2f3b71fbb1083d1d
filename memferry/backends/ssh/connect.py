"""A connection over SSH: through the hosts on the way, to a server that is known, as somebody it knows.

Before the host key was checked nothing is sent but what the key exchange needs.
"""

from __future__ import annotations

import logging
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko

from memferry.backends.ssh import errors, hosts
from memferry.backends.ssh import login as ssh_login
from memferry.backends.ssh.config import Hop, Settings
from memferry.backends.ssh.hosts import HostKey, Known
from memferry.backends.ssh.sftp_client import Sftp
from memferry.backends.ssh.watchdog import Watchdog
from memferry.errors import BackendError, ConfigError

KEEPALIVE_S = 30
ANSWERS = 8
"""So many are to come within the time limit, or the last ones of a call: a line on which each comes just in time holds
8 MiB for hours. 256 KiB in 30 seconds is less than the slowest line gives that is of any use."""
FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""40 % faster here than what paramiko prefers."""

_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)

_silent = logging.getLogger("memferry.backends.ssh.connect.paramiko")
_silent.setLevel(logging.CRITICAL + 1)
"""paramiko logs tracebacks of what it also raises, and names of files."""


class Connection:
    """An SFTP conversation and the logins under it. `keys`: what each server on the way was recognised by. One thread
    at a time; owns a thread that ends it when too little comes in `request_timeout_s`, however the system's own
    calls may hang."""

    def __init__(self, hops: Sequence[Hop], settings: Settings) -> None:
        self._logins: list[paramiko.Transport] = []
        self._watchdog = Watchdog(self.abort)
        self._server = settings.host
        self._limit_s = settings.request_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self.keys: list[HostKey] = []
        try:
            for hop in hops:
                self._step(hop, settings.connect_timeout_s)
            with self._explained(f"{hops[-1].host.shown}: SFTP"), self._watchdog.within(settings.connect_timeout_s):
                self.sftp = self._conversation(settings.connect_timeout_s)
        except BaseException:
            self.abort()
            raise

    @contextmanager
    def asking(self) -> Iterator[Sftp]:
        """The conversation, for a while in which the answers come in time. TransientError if the connection breaks."""
        with self._explained(self._server), self._watchdog.within(self._limit_s, portions=ANSWERS):
            yield self.sftp

    @property
    def alive(self) -> bool:
        """As far as is known without asking."""
        return all(login.is_active() for login in self._logins)

    def close(self) -> None:
        """Hang up."""
        self._watchdog.stop()
        for login in reversed(self._logins):
            login.close()
            login.sock.close()  # which a login that never came about leaves open
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def abort(self) -> None:
        """Hang up at once. What was sent and not received yet must not arrive later, when others have written."""
        if self._logins:
            line = self._logins[0].sock
            with suppress(OSError):  # it may be no TCP, or closed
                if isinstance(line, socket.socket):
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close()

    # -- one hop

    def _step(self, hop: Hop, timeout_s: float) -> None:
        with self._explained(hop.host.shown), self._watchdog.within(timeout_s):
            login = paramiko.Transport(self._line(hop, timeout_s))
            login.set_log_channel(_silent.name)
            self._logins.append(login)
            known = _known(hop)
            _prefer(login, hosts.types_of(hop.host, known))
            # The watchdog comes first: paramiko calls a silent server a refused key, no SSH server, or no session.
            login.banner_timeout = login.handshake_timeout = login.auth_timeout = 2 * timeout_s
            login.start_client(timeout=2 * timeout_s)
            shown = login.get_remote_server_key()
            offered = HostKey(shown.get_name(), shown.asbytes())
            hosts.check(hop.host, offered, known)
            self.keys.append(offered)
            ssh_login.log_in(login, hop)
            login.set_keepalive(KEEPALIVE_S)

    def _line(self, hop: Hop, timeout_s: float) -> Any:
        if self._logins:
            return self._logins[-1].open_channel(
                "direct-tcpip", (hop.address, hop.port), ("127.0.0.1", 0), timeout=timeout_s
            )
        if hop.command:
            return self._command(hop.command)
        line = dialled(hop.address, hop.port, timeout_s)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each request waits 40 ms for an ACK
        return line

    def _command(self, command: str) -> Any:
        """The end of a line whose other end is a command's input and output, as for `ssh`."""
        if sys.platform == "win32":
            raise ConfigError(
                "ProxyCommand cannot be used on Windows, where nobody can wait for a pipe and a time at once",
                hint="write ProxyJump in its place in the ssh configuration",
            )
        mine, its = socket.socketpair()
        with its:
            start = ["/bin/sh", "-c", f"exec {command}"]
            self._process = subprocess.Popen(start, stdin=its.fileno(), stdout=its.fileno(), stderr=subprocess.DEVNULL)
        return mine

    def _conversation(self, timeout_s: float) -> Sftp:
        channel = self._logins[-1].open_session(timeout=timeout_s)
        channel.settimeout(timeout_s)
        channel.invoke_subsystem("sftp")
        conversation = Sftp(channel, self._watchdog.feed)
        channel.settimeout(self._limit_s)
        return conversation

    @contextmanager
    def _explained(self, where: str) -> Iterator[None]:
        """What breaks off in the middle leaves answers that nobody waits for: the connection is of no use then."""
        try:
            yield
        except BackendError:
            raise
        except errors.VENDOR as error:
            self.abort()
            if self._watchdog.bitten:
                raise errors.failure(TimeoutError(), where, self._server) from error
            raise errors.failure(error, where, self._server) from error
        except BaseException:
            self.abort()
            raise


# -- the parts of a hop


def dialled(address: str, port: int, timeout_s: float) -> socket.socket:
    """A line to the first of a host's addresses that answers; all of them together have `timeout_s`. OSError if none
    does."""
    end = time.monotonic() + timeout_s
    places = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, place) in enumerate(places, 1):
        line = socket.socket(family, kind, protocol)
        try:
            line.settimeout(max(0.001, (end - time.monotonic()) / (len(places) - number + 1)))
            line.connect(place)
        except OSError:
            line.close()
            if number == len(places):
                raise
        else:
            return line
    raise OSError(f"{address} has no address")


def _known(hop: Hop) -> list[Known]:
    found: list[Known] = []
    for file in hop.host.files:
        with suppress(FileNotFoundError, NotADirectoryError):
            found += hosts.parse(Path(file).read_text("utf-8", "replace"), file)
    return found


def _prefer(login: paramiko.Transport, known_types: Sequence[str]) -> None:
    """Ask for the key that is known, and for the fast ciphers."""
    options = login.get_security_options()
    wanted = [name for type_ in known_types for name in (_RSA if type_ == "ssh-rsa" else (type_,))]
    first = [name for name in wanted if name in options.key_types]
    options.key_types = tuple(dict.fromkeys([*first, *options.key_types]))
    modern = [name for name in options.ciphers if name.endswith(("-ctr", "-gcm@openssh.com"))]
    options.ciphers = tuple(dict.fromkeys([*FAST_CIPHERS, *modern]))
