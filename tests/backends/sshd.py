"""A real OpenSSH server on this computer, for tests: starts in 10 ms, on a free port, for the user who runs the test.

It is run by its absolute path, because it starts itself again for each connection; and it is up when it says so
with its version line, since an open port alone may be anybody's. Its sessions have an empty home: sshd starts the
SFTP server through the login's shell, and what a developer's `.bashrc` does takes longer than the whole handshake.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from memferry.backends.ssh.config import Settings

PROGRAM = shutil.which("sshd") or next(filter(os.path.exists, ("/usr/sbin/sshd", "/usr/local/sbin/sshd")), None)
SFTP_SERVER = next(
    filter(os.path.exists, ("/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server", "/usr/lib/ssh/sftp-server")),
    "internal-sftp",
)
IN_TIME_S = 20.0
USER = getpass.getuser()


def require() -> None:
    """In CI a missing server is a failure: there these tests may not be passed over."""
    if PROGRAM is None or shutil.which("ssh-keygen") is None:
        what = "there is no OpenSSH server here (apt-get install openssh-server)"
        pytest.fail(what) if os.environ.get("CI") else pytest.skip(what)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


def keygen(path: Path, type_: str = "ed25519", passphrase: str = "") -> Path:
    """A new pair of keys, `path` and `path.pub`."""
    subprocess.run(["ssh-keygen", "-q", "-t", type_, "-N", passphrase, "-C", path.name, "-f", path], check=True)
    return path


def public(key: Path) -> str:
    """Type and key, without the comment."""
    return " ".join(key.with_name(f"{key.name}.pub").read_text().split()[:2])


class Sshd:
    """`folder`: for its keys, its configuration and its log. `host_keys`: their types. `more`: lines of sshd_config,
    before those that are always there, so that they decide. `logged`: each SFTP request is logged to `sftp_log`.
    `last`: what stands at the end of sshd_config, such as Match blocks."""

    def __init__(
        self, folder: Path, *, host_keys: Iterable[str] = ("ed25519",), more: str = "", logged: bool = False
    ) -> None:
        require()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        self.log = folder / "sshd.log"
        self.sftp_log = folder / "sftp.log"
        self.known_hosts = folder / "known_hosts"
        self.user_key = folder / "user_key"
        self.authorized = folder / "authorized_keys"
        self.port = 0
        self.last = ""
        self._more = more
        self._logged = logged
        self._process: subprocess.Popen[bytes] | None = None
        self.host_keys = {type_: folder / f"host_{type_}" for type_ in host_keys}
        for type_, path in self.host_keys.items():
            path.exists() or keygen(path, type_)
        self.user_key.exists() or keygen(self.user_key)
        self.authorized.write_text(public(self.user_key) + "\n")
        self.authorized.chmod(0o644)

    # -- as a client sees it

    @property
    def name(self) -> str:
        """In known_hosts."""
        return f"[127.0.0.1]:{self.port}"

    def trust(self, *types: str) -> None:
        """Make its keys (or those of these types) all that is known."""
        keys = [public(self.host_keys[type_]) for type_ in types or self.host_keys]
        self.known_hosts.write_text("".join(f"{self.name} {key}\n" for key in keys))

    def settings(self, path: str | Path = "vault", **more: object) -> Settings:
        """For a store in a folder of this server; a relative one lies in `home`."""
        said: dict[str, object] = {
            "host": "127.0.0.1", "path": str(self.home / path), "user": USER, "port": self.port,
            "identity_file": str(self.user_key), "known_hosts": str(self.known_hosts), "ssh_config": os.devnull,
            "connect_timeout_s": 20.0, "request_timeout_s": 20.0,
        }  # fmt: skip
        return Settings(**(said | more))  # type: ignore[arg-type]

    def yaml(self, path: str | Path = "vault", *, encryption: str | None = "none", **more: object) -> str:
        """The same for a configuration file, on one line. `encryption` None: as it is by default."""
        said = {key: value for key, value in self.settings(path, **more)._asdict().items() if key != "ssh_config"}
        said["encryption"] = encryption
        return "{type: ssh, " + ", ".join(f"{key}: {value}" for key, value in said.items() if value is not None) + "}"

    def logged(self, text: str) -> int:
        """How often its log says this."""
        return self.log.read_text("utf-8", "replace").count(text)

    @property
    def connections(self) -> int:
        """How many there were, without those of the readiness check."""
        return self.logged("Connection from ") - self._checks

    @property
    def attempts(self) -> int:
        """How often somebody tried to log in."""
        text = self.log.read_text("utf-8", "replace")
        return text.count("userauth-request") + text.count("Accepted ") + text.count("Failed ")

    # -- its life

    def start(self) -> Sshd:
        """Until it answers. On the port that it had, if it ran before."""
        for _ in range(20):
            self._checks = self.logged("Connection from ") if self.log.exists() else 0
            port = self.port or _free_port()
            if self._answers(port):
                self.port = port
                self.trust()
                return self
        pytest.fail(f"sshd does not start: {self.log.read_text('utf-8', 'replace')[-2000:]}")

    def _answers(self, port: int) -> bool:
        config = self.folder / "sshd_config"
        config.write_text(self._config(port))
        assert PROGRAM is not None
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen([PROGRAM, "-D", "-e", "-f", config.absolute()], stderr=log, cwd="/")
        until = time.monotonic() + IN_TIME_S
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as line:
                self._checks += 1
                if line.makefile("rb").readline().startswith(b"SSH-2.0"):
                    return True
            time.sleep(0.005)  # between two looks; not what decides
        self.stop()
        return False

    def _config(self, port: int) -> str:
        log = f" -e -l DEBUG3 2>>{self.sftp_log}" if self._logged else ""
        keys = "".join(f"HostKey {path}\n" for path in self.host_keys.values())
        return (
            f"{self._more}\nPort {port}\nListenAddress 127.0.0.1\n{keys}PidFile none\nLogLevel DEBUG1\n"
            f"AuthorizedKeysFile {self.authorized}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nUseDNS no\n"
            f"MaxStartups 100:30:200\nMaxSessions 64\nSetEnv HOME={self.home}\n"
            f"Subsystem sftp {SFTP_SERVER}{log}\n{self.last}\n"
        )

    def sessions(self) -> list[int]:
        """The processes that serve connections now."""
        return _descendants(self._process.pid) if self._process else []

    def signal(self, number: signal.Signals) -> None:
        """To all sessions, not to the server."""
        for process in self.sessions():
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def stop(self) -> None:
        """The server and its sessions, at once."""
        if self._process is None:
            return
        left = self.sessions()
        self._process.kill()
        self._process.wait()
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process = None


@contextmanager
def running(folder: Path, **more: object) -> Iterator[Sshd]:
    """A server, stopped at the end."""
    server = Sshd(folder, **more)  # type: ignore[arg-type]
    try:
        yield server.start()
    finally:
        server.stop()


def _free_port() -> int:
    """Free a moment ago: who takes it meanwhile makes `start` try another one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _descendants(process: int) -> list[int]:
    table = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for pid, parent in (map(int, line.split()) for line in table.splitlines()):
        children.setdefault(parent, []).append(pid)
    found, rest = [], [process]
    while rest:
        below = children.get(rest.pop(), [])
        found += below
        rest += below
    return found
