"""Getting there: logins, jumps, the agent, and every way in which it can fail."""

from __future__ import annotations

import builtins
import inspect
import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import paramiko
import pytest
from paramiko import ssh_exception

from memferry.backends.ssh import errors as ssh_errors
from memferry.backends.ssh import sftp
from memferry.backends.ssh.connect import Connection, dialled
from memferry.backends.ssh.store import SshStore
from memferry.backends.ssh.watchdog import Watchdog
from memferry.errors import AuthFailed, BackendError, NotFound, PermanentError, TargetRefused, TransientError
from tests.backends import sshd
from tests.backends.sshd import IN_TIME_S, USER, Sshd
from tests.faults.proxy import Proxy


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Sshd]:
    """A server to be maltreated."""
    with sshd.running(tmp_path / "sshd") as server:
        yield server


def failing(store: SshStore, kind: type[BackendError], *words: str) -> BackendError:
    """The error of a call, which names the backend and a next step."""
    with pytest.raises(kind) as caught:
        store.get("k")
    error = caught.value
    assert error.hint
    assert error.backend == "nas"
    assert all(word in f"{error} {error.hint}" for word in words), f"{error} {error.hint}"
    return error


def store_at(server: Sshd, path: str | Path = "vault", **settings: object) -> SshStore:
    return SshStore(server.settings(path, **settings), name="nas")


# -- keys


def test_a_wrong_key(server: Sshd, tmp_path: Path) -> None:
    key = sshd.keygen(tmp_path / "wrong")
    failing(store_at(server, identity_file=str(key)), AuthFailed, f"{key} was not accepted", "ssh-copy-id")


def test_no_key_at_all(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    config = tmp_path / "config"
    config.write_text(f"IdentityFile {tmp_path / 'none'}\n")
    store = store_at(server, identity_file=None, ssh_config=str(config))
    failing(store, AuthFailed, "there is no key to log in with", "ssh-keygen -t ed25519")


@pytest.mark.parametrize("type_", ["ed25519", "ecdsa", "rsa"])
def test_a_key_with_a_passphrase_is_for_the_agent(
    own: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = sshd.keygen(tmp_path / "locked", type_, passphrase="s3cret")
    own.authorized.write_text(sshd.public(key) + "\n")
    store = store_at(own, identity_file=str(key))
    error = failing(store, AuthFailed, f"{key} needs a passphrase", f"ssh-add {key}")
    assert "s3cret" not in str(error)
    with agent(tmp_path, monkeypatch):
        add_to_agent(key, tmp_path, "s3cret")
        assert list(store.entries()) == []
    store.close()


def test_the_agents_keys_are_tried_without_a_word(own: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text(f"IdentityFile {tmp_path / 'none'}\n")
    with agent(tmp_path, monkeypatch):
        add_to_agent(sshd.keygen(tmp_path / "other"), tmp_path)
        add_to_agent(own.user_key, tmp_path)
        store = store_at(own, identity_file=None, ssh_config=str(config))
        assert list(store.entries()) == []
        store.close()


def test_with_identities_only_no_other_key_is_shown(own: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text(f"IdentitiesOnly yes\nIdentityFile {sshd.keygen(tmp_path / 'named')}\n")
    with agent(tmp_path, monkeypatch):
        add_to_agent(own.user_key, tmp_path)
        store = store_at(own, identity_file=None, ssh_config=str(config))
        failing(store, AuthFailed, "named was not accepted")
    assert own.logged("userauth-request for user") <= 3


def test_an_agent_with_many_keys_does_not_get_us_thrown_out(
    own: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text(f"IdentityFile {own.user_key}\n")
    with agent(tmp_path, monkeypatch):
        for number in range(8):
            add_to_agent(sshd.keygen(tmp_path / f"key{number}"), tmp_path)
        store = store_at(own, identity_file=None, ssh_config=str(config))
        failing(store, AuthFailed, "more were not tried", "identity_file")
        add_to_agent(own.user_key, tmp_path)
        assert list(store.entries()) == []
        store.close()


def test_a_file_that_is_no_key(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    failing(
        store_at(server, identity_file=str(tmp_path / "key")), AuthFailed, "cannot be read: it is not a private key"
    )


@contextmanager
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An SSH agent of this test alone. Its socket's path must be short."""
    path = Path("/tmp") / f"memferry-agent-{os.getpid()}"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + IN_TIME_S
        while not listens(path) and time.monotonic() < until:
            time.sleep(0.005)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield
    finally:
        process.terminate()
        process.wait()


def listens(path: Path) -> bool:
    """A socket is there a moment before anybody listens at it."""
    with socket.socket(socket.AF_UNIX) as line:
        return line.connect_ex(os.fspath(path)) == 0


def add_to_agent(key: Path, tmp_path: Path, passphrase: str = "") -> None:
    """ssh-add asks a program, where it has no terminal."""
    asked = tmp_path / "askpass"
    asked.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
    asked.chmod(0o700)
    environ = os.environ | {"SSH_ASKPASS": str(asked), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-q", key], check=True, env=environ, stdin=subprocess.DEVNULL)


# -- the way


def config_with_jump(server: Sshd, jump: Sshd, tmp_path: Path) -> Path:
    known = tmp_path / "known"
    known.write_text(jump.known_hosts.read_text() + server.known_hosts.read_text())
    config = tmp_path / "config"
    config.write_text(
        f"Host jump\n  HostName 127.0.0.1\n  Port {jump.port}\n  User {USER}\n  IdentityFile {jump.user_key}\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n"
        f"Host nas\n  HostName 127.0.0.1\n  Port {server.port}\n  User {USER}\n  IdentityFile {server.user_key}\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n  ProxyJump jump\n"
    )
    return config


def through(config: Path, path: Path) -> SshStore:
    from memferry.backends.ssh.config import Settings

    return SshStore(Settings("nas", str(path), ssh_config=str(config), connect_timeout_s=20), name="nas")


def test_through_a_jump_host(server: Sshd, own: Sshd, tmp_path: Path) -> None:
    before = server.connections
    store = through(config_with_jump(server, own, tmp_path), tmp_path / "vault")
    store.put("k", b"x" * 100_000, if_version=None)
    assert store.get("k") == b"x" * 100_000
    store.close()
    assert own.connections == 1
    assert own.logged("direct-tcpip") >= 1
    assert server.connections == before + 1


def test_a_jump_host_must_be_known_too(server: Sshd, own: Sshd, tmp_path: Path) -> None:
    config = config_with_jump(server, own, tmp_path)
    known = tmp_path / "known"
    known.write_text(server.known_hosts.read_text())
    before = own.attempts, server.connections
    error = failing(through(config, tmp_path / "vault"), TargetRefused, "jump: its host key", "is not known", own.name)
    assert error.exit_code == 4
    assert (own.attempts, server.connections) == before
    known.write_text(own.known_hosts.read_text())
    attempts = server.attempts
    failing(through(config, tmp_path / "vault"), TargetRefused, "nas: its host key", "is not known", server.name)
    assert server.attempts == attempts


def test_a_jump_host_that_forwards_nothing(server: Sshd, tmp_path: Path) -> None:
    with sshd.running(tmp_path / "closed", more="AllowTcpForwarding no") as closed:
        failing(through(config_with_jump(server, closed, tmp_path), tmp_path / "v"), TransientError, "opens no channel")


def test_a_command_instead_of_a_connection(server: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    command = f"python3 -c {RELAY!r} %h %p"
    config.write_text(f"ProxyCommand {command}\n")
    store = store_at(server, tmp_path / "vault", ssh_config=str(config))
    store.put("k", b"x", if_version=None)
    assert store.get("k") == b"x"
    store.close()
    config.write_text("ProxyCommand false\n")
    failing(store_at(server, ssh_config=str(config)), TransientError)


RELAY = (
    "import socket,sys,os,threading as t;s=socket.create_connection((sys.argv[1],int(sys.argv[2])));"
    "t.Thread(target=lambda:[s.sendall(d) for d in iter(lambda:os.read(0,9999),bytes())],daemon=True).start();"
    "[os.write(1,d) for d in iter(lambda:s.recv(9999),bytes())]"
)


# -- what is not there, or something else


def test_nothing_listens(server: Sshd) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        failing(store_at(server, port=taken.getsockname()[1]), TransientError, "no SSH server listens there")


def test_a_name_that_nobody_has(server: Sshd) -> None:
    failing(store_at(server, host="nowhere.invalid"), TransientError, "its name is not known")


def test_something_that_is_no_ssh_server(server: Sshd) -> None:
    def answer(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with serving(answer) as port:
        failing(store_at(server, port=port), TransientError, "127.0.0.1")


def test_a_server_that_falls_silent_while_we_log_in(own: Sshd) -> None:
    """Which is no reason to believe that it does not want the key."""
    with Proxy(own.port) as proxy:
        own.known_hosts.write_text(f"[127.0.0.1]:{proxy.port} {sshd.public(own.host_keys['ed25519'])}\n")
        for reply in range(2, 12):
            proxy.stall_reply(reply)
            store = store_at(own, port=proxy.port, connect_timeout_s=0.7, request_timeout_s=0.7)
            with pytest.raises((TransientError, NotFound)):
                store.get("k")
            proxy.heal()
            store.close()


def test_something_that_says_nothing(server: Sshd) -> None:
    with serving(lambda line: line.recv(1 << 20)) as port:
        started = time.monotonic()
        failing(store_at(server, port=port, connect_timeout_s=0.5), TransientError, "does not answer")
        assert time.monotonic() - started < 10


def test_what_is_silent_is_called_so_by_whoever_notices_first(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """paramiko has time limits too, and words of its own for them; on a busy machine the watchdog comes late."""
    within = Watchdog.within
    monkeypatch.setattr(Watchdog, "within", lambda dog, limit_s, **how: within(dog, limit_s + 0.3, **how))
    with serving(lambda line: line.recv(1 << 20)) as port:
        failing(store_at(server, port=port, connect_timeout_s=0.5), TransientError, "does not answer")


@contextmanager
def serving(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """A server of one's own, for one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        lines: list[socket.socket] = []

        def serve() -> None:
            line, _ = listener.accept()
            lines.append(line)
            answer(line)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(IN_TIME_S)
            for line in lines:
                line.close()


def test_a_server_without_sftp(tmp_path: Path) -> None:
    with sshd.running(tmp_path / "sshd", more="Subsystem other /bin/true\nMatch all\nForceCommand true\n#") as server:
        failing(store_at(server), BackendError, "SFTP")


def test_a_server_whose_sftp_talks_first(tmp_path: Path) -> None:
    """As a `.bashrc` does that prints something."""
    more = "Match all\n    ForceCommand echo Welcome to this server; cat\n#"
    with sshd.running(tmp_path / "sshd", more=more) as server:
        failing(store_at(server), PermanentError, "it is not an SFTP server", "Subsystem sftp")


# -- what breaks


def test_a_server_that_was_killed_is_connected_to_again(own: Sshd) -> None:
    store = store_at(own)
    store.put("a", b"x", if_version=None)
    own.stop()
    failing(store, TransientError)
    own.start()
    store.put("b", b"y", if_version=None)
    assert [entry.key for entry in store.entries()] == ["a", "b"]
    store.close()


def test_a_dead_session_is_noticed_before_it_is_used(own: Sshd) -> None:
    store = store_at(own)
    store.put("a", b"x", if_version=None)
    own.signal(signal.SIGKILL)
    assert store._far
    connection = store._far.connection
    until = time.monotonic() + IN_TIME_S
    while connection.alive and time.monotonic() < until:
        time.sleep(0.005)
    assert store.get("a") == b"x"
    assert own.connections == 2
    store.close()


def test_a_peer_that_stops_answering_ends_the_call_in_time(own: Sshd) -> None:
    store = store_at(own, request_timeout_s=0.5)
    store.put("a", b"x", if_version=None)
    own.signal(signal.SIGSTOP)
    for call in (lambda: store.get("a"), lambda: store.put("b", bytes(32 << 20), if_version=None)):
        started = time.monotonic()
        with pytest.raises(TransientError, match="does not answer") as caught:
            call()
        assert time.monotonic() - started < 10
        assert caught.value.hint
        own.signal(signal.SIGSTOP)
        if call is not None:
            own.stop()
            own.start()
            store.get("a")
            own.signal(signal.SIGSTOP)
    own.signal(signal.SIGCONT)
    store.close()


def test_a_byte_a_second_is_no_answer(own: Sshd) -> None:
    with Proxy(own.port) as proxy:
        own.known_hosts.write_text(f"[127.0.0.1]:{proxy.port} {sshd.public(own.host_keys['ed25519'])}\n")
        store = store_at(own, port=proxy.port, request_timeout_s=1.0, connect_timeout_s=1.0)
        store.put("a", b"x", if_version=None)
        proxy.bytes_per_s = 1.0
        for _ in range(2):  # a request first, and then a connection
            started = time.monotonic()
            failing(store, TransientError, "does not answer")
            assert time.monotonic() - started < 10
        store.close()


def test_a_line_that_crawls_is_given_up_although_each_answer_comes_in_time(own: Sshd) -> None:
    """Half a second for 32 KiB, and two seconds for an answer: eight of them take too long."""
    with Proxy(own.port) as proxy:
        own.known_hosts.write_text(f"[127.0.0.1]:{proxy.port} {sshd.public(own.host_keys['ed25519'])}\n")
        store = store_at(own, port=proxy.port, request_timeout_s=2.0)
        store.put("a", b"x", if_version=None)
        proxy.bytes_per_s = 65_536.0
        store.put("small", bytes(16_384), if_version=None)
        started = time.monotonic()
        with pytest.raises(TransientError, match="does not answer"):
            store.put("large", bytes(2 << 20), if_version=None)
        assert time.monotonic() - started < 20, "all of it takes half a minute"
        store.close()


def test_dead_addresses_share_the_time_to_connect(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may have several. A full queue of calls is as silent as a dead host."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as calls:
        for _ in range(3):
            call = calls.enter_context(socket.socket())
            call.setblocking(False)
            call.connect_ex(listener.getsockname())
        silent = (socket.AF_INET, socket.SOCK_STREAM, 0, "", listener.getsockname())
        good = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", server.port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [silent, silent, good])
        started = time.monotonic()
        dialled("nas", 22, 1.5).close()
        assert time.monotonic() - started < 2.5  # three seconds, if each had all of it
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [silent, silent])
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            dialled("nas", 22, 2.0)
        assert 1.9 < time.monotonic() - started < 3.5


def test_a_line_that_is_given_up_delivers_nothing_later(own: Sshd) -> None:
    """What was on its way when the line was cut must not overwrite what is put through the next one."""
    with Proxy(own.port) as proxy:
        own.known_hosts.write_text(f"[127.0.0.1]:{proxy.port} {sshd.public(own.host_keys['ed25519'])}\n")
        store = store_at(own, port=proxy.port, request_timeout_s=1.0)
        version = store.put("head", b"one", if_version=None)
        proxy.swallow()
        with pytest.raises(TransientError):
            store.put("head", b"lost", if_version=version)
        direct = store_at(own, known_hosts=str(own.folder / "direct"))
        (own.folder / "direct").write_text(f"{own.name} {sshd.public(own.host_keys['ed25519'])}\n")
        direct.put("head", b"two", if_version=version)
        proxy.heal()
        store._settings = own.settings(port=proxy.port)
        assert store.get("head") == b"two"
        store.close()
        direct.close()


def test_a_server_that_has_forgotten_the_connection(own: Sshd) -> None:
    with Proxy(own.port) as proxy:
        own.known_hosts.write_text(f"[127.0.0.1]:{proxy.port} {sshd.public(own.host_keys['ed25519'])}\n")
        store = store_at(own, port=proxy.port)
        store.put("before", b"x", if_version=None)
        proxy.half_open()
        store._far.connection._limit_s = 0.5  # type: ignore[union-attr]
        failing(store, TransientError, "does not answer")
        assert [entry.key for entry in store.entries()] == ["before"]
        store.close()


@pytest.mark.parametrize("reply", range(1, 10))
def test_a_lost_reply_to_a_put_may_be_repeated(own: Sshd, reply: int) -> None:
    with Proxy(own.port) as proxy:
        own.known_hosts.write_text(f"[127.0.0.1]:{proxy.port} {sshd.public(own.host_keys['ed25519'])}\n")
        store = store_at(own, port=proxy.port)
        version = store.put("machines/a/head", b"one", if_version=None)
        proxy.cut_reply(reply)
        after = again(lambda: store.put("machines/a/head", b"two", if_version=version))
        assert again(lambda: store.get("machines/a/head")) == b"two"
        assert again(lambda: [tuple(entry) for entry in store.entries()]) == [("machines/a/head", after, 3)]
        again(lambda: store.put("machines/a/tail", b"", if_version=None))
        assert proxy.cuts == 1
        assert [path.name for path in (own.home / "vault").rglob("*") if path.name.startswith(".")] == []
        store.close()


T = TypeVar("T")


def again(call: Callable[[], T]) -> T:
    """Once more after a failure, as the callers of a store do."""
    try:
        return call()
    except TransientError:
        return call()


# -- what everything is called


def vendors() -> list[type[BaseException]]:
    found = [kind for _, kind in inspect.getmembers(ssh_exception, inspect.isclass) if issubclass(kind, Exception)]
    found += [kind for _, kind in inspect.getmembers(builtins, inspect.isclass) if issubclass(kind, OSError)]
    return [*found, socket.gaierror, socket.herror, socket.timeout, EOFError, sftp.Garbled]


@pytest.mark.parametrize("kind", vendors(), ids=lambda kind: kind.__name__)
def test_every_exception_has_a_meaning(kind: type[BaseException]) -> None:
    error = kind.__new__(kind)
    meant = ssh_errors.failure(error, "nas", "nas")
    assert isinstance(meant, BackendError)
    assert meant.hint
    assert "{" not in meant.hint


def test_every_code_of_the_protocol_has_a_meaning() -> None:
    for code in range(2, 32):
        meant = ssh_errors.refused(sftp.Status(code, "untrusted text"), "/x", "nas")
        assert "untrusted" not in str(meant)


def test_what_only_means_patience_is_transient() -> None:
    for kind in (EOFError, ConnectionResetError, BrokenPipeError, TimeoutError, paramiko.SSHException, OSError):
        assert ssh_errors.failure(kind(), "nas", "nas").__class__ is TransientError


def test_paramiko_does_not_speak_up(server: Sshd, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    root, handler = logging.getLogger(), Keep()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        store = store_at(server, tmp_path / "vault")
        store.put("k", b"x", if_version=None)
        store.close()
        failing(store_at(server, identity_file=str(sshd.keygen(tmp_path / "wrong"))), AuthFailed)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert [record for record in records if "paramiko" in record.name] == []
    assert capfd.readouterr() == ("", "")


def test_nothing_is_left_running(server: Sshd, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = store_at(server, tmp_path / "vault")
    store.put("k", b"x", if_version=None)
    store.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(IN_TIME_S)
        assert not thread.is_alive()


def test_the_line_is_quick_and_its_cipher_fast(server: Sshd) -> None:
    from memferry.backends.ssh.config import route

    settings = server.settings()
    connection = Connection(route(settings), settings)
    login = connection._logins[0]
    line = login.sock
    assert isinstance(line, socket.socket)
    assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert login.local_cipher == "aes128-gcm@openssh.com"
    connection.close()
