"""From a name in the settings to a way there: who logs in where, with which keys, through which hosts.

Read are OpenSSH's own files (ssh_config(5)), so that what works with `ssh NAME` works here, except what would weaken
it: `StrictHostKeyChecking`, `UpdateHostKeys` and passwords mean nothing here.
"""

from __future__ import annotations

import getpass
import glob
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from memferry.backends.ssh import hosts
from memferry.backends.ssh.hosts import Host
from memferry.errors import ConfigError

MAX_HOPS = 8
_MAX_INCLUDES = 16
_JUMP = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:@]+))(?::(?P<port>\d+))?/?")
_PLAIN = re.compile(r"[^-\s*?!,#\"'\\=][^\s*?!,#\"'\\=]*")
_HEADER = re.compile(r"\s*(?:host|match)\b", re.IGNORECASE)
_EXEC = re.compile(r"\s*match\b.*\bexec\b", re.IGNORECASE)
_INCLUDE = re.compile(r"\s*include(?:\s+|\s*=\s*)(.+?)\s*", re.IGNORECASE)
_USUAL_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_USUAL_KNOWN = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
_SYSTEM = "C:/ProgramData/ssh" if hosts.ON_WINDOWS else "/etc/ssh"
_GLOBAL_KNOWN = f"{_SYSTEM}/ssh_known_hosts {_SYSTEM}/ssh_known_hosts2"


class Settings(NamedTuple):
    """What the configuration says about a backend of type `ssh`. `path`: on the server, relative to the login's folder.
    `identity_file`, `ssh_config`, `known_hosts`: files here, instead of those that `ssh` would use."""

    host: str
    path: str
    user: str | None = None
    port: int | None = None
    identity_file: str | None = None
    ssh_config: str | None = None
    known_hosts: str | None = None
    connect_timeout_s: float = 30.0
    request_timeout_s: float = 30.0


class Hop(NamedTuple):
    """One login. `command`: run here, instead of a connection to `address`. `identities`: key files, in the order to
    try; `only_those`: no other key of the agent is shown."""

    host: Host
    address: str
    port: int
    user: str
    identities: tuple[str, ...]
    only_those: bool
    command: str | None = None

    @property
    def shown(self) -> str:
        """For messages and for `ssh`."""
        return f"{self.user}@{self.address}" + (f" port {self.port}" if self.port != 22 else "")


def settings_from(name: str, given: Mapping[str, object]) -> Settings:
    """Checked. ConfigError names the setting and the next step."""
    for setting in given:
        if setting not in Settings._fields:
            raise ConfigError(f"backend {name}: there is no setting {setting!r} of type ssh", hint=_nearest(setting))
    for setting in ("host", "path"):
        if setting not in given:
            raise ConfigError(f"backend {name}: {setting} is missing", hint=_EXAMPLE.format(name))
    return Settings(**{setting: _checked(name, setting, value) for setting, value in given.items()})


_EXAMPLE = "backends: {{{}: {{type: ssh, host: nas, path: memferry}}}}"


def _nearest(setting: str) -> str:
    if re.search("pass|secret|token", setting):
        return "log in with a key; one with a passphrase goes into the agent: ssh-add"
    near = get_close_matches(setting, ("encryption", *Settings._fields), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known here: type, encryption, {', '.join(Settings._fields)}"


def _checked(name: str, setting: str, value: object) -> Any:
    where = f"backend {name}: {setting}"
    if setting == "port":
        if type(value) is not int or not 0 < value < 65536:
            raise ConfigError(f"{where} must be a number from 1 to 65535", hint="usually 22: remove the line")
    elif setting.endswith("_s"):
        if type(value) not in (int, float) or not 0 < float(str(value)) <= 600:
            raise ConfigError(f"{where} must be more than 0 and at most 600 seconds", hint="remove the line for 30")
    elif not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ConfigError(f"{where} must be text", hint=_EXAMPLE.format(name))
    elif setting in ("host", "user") and not _PLAIN.fullmatch(value):
        raise ConfigError(f"{where} cannot be {value!r}", hint=_EXAMPLE.format(name))
    elif setting in ("identity_file", "ssh_config", "known_hosts") and not Path(value).expanduser().is_file():
        raise ConfigError(f"{where}: there is no file {value}", hint="correct it, or remove the line")
    return value


# -- the way


def route(settings: Settings) -> tuple[Hop, ...]:
    """The logins in order; the last one is where the store lies. ConfigError if the files of `ssh` say something that
    cannot be followed."""
    book = _Book(settings)
    last = book.hop(settings.host, identity=settings.identity_file)
    return (*book.way_to(settings.host, ()), last)


class _Book:
    """The configuration files of `ssh`, asked about one host after the other."""

    def __init__(self, settings: Settings) -> None:
        from memferry.backends.ssh import lean  # noqa: F401 - first
        from paramiko import SSHConfig  # isort: skip

        self._known_hosts = settings.known_hosts
        self._text = "\n".join([*_said_first(settings), *_texts(settings.ssh_config)])
        self._config = self._parsed(SSHConfig)

    def _parsed(self, reader: Any) -> Any:
        from paramiko.ssh_exception import ConfigParseError

        try:
            return reader.from_text(self._text)
        except (ConfigParseError, ValueError) as error:
            raise ConfigError(f"the configuration of ssh cannot be read: {error}", hint="try: ssh -G HOST") from error

    def _asked(self, name: str) -> Mapping[str, Any]:
        from paramiko.ssh_exception import ConfigParseError, CouldNotCanonicalize

        try:
            found: Mapping[str, Any] = self._config.lookup(name)
        except (ConfigParseError, CouldNotCanonicalize, ImportError, KeyError, OSError) as error:
            hint = f"give the backend host, user and port itself; compare: ssh -G {shlex.quote(name)}"
            raise ConfigError(f"what ssh is told about {name} cannot be followed: {error}", hint=hint) from error
        return found

    def hop(self, name: str, *, user: str | None = None, port: int | None = None, identity: str | None = None) -> Hop:
        """The login at one host. What is given goes before what the files say."""
        said = self._asked(name)
        address, at = str(said.get("hostname", name)), port or _port(name, said.get("port", "22"))
        keys = tuple(key for key in said.get("identityfile", ()) if key.lower() != "none") or _USUAL_KEYS
        known = hosts.known_name(address, at, said.get("hostkeyalias"))
        return Hop(
            host=Host(name, known, self._known_files(said)),
            address=address,
            port=at,
            user=user or str(said.get("user") or getpass.getuser()),
            identities=tuple(map(os.path.expanduser, (identity,) if identity else keys)),
            only_those=identity is not None or str(said.get("identitiesonly", "no")).lower() == "yes",
            command=None if _jumps(said) else said.get("proxycommand"),
        )

    def way_to(self, name: str, seen: tuple[str, ...]) -> tuple[Hop, ...]:
        """The logins before the one at `name`."""
        if name in seen or len(seen) >= MAX_HOPS:
            raise ConfigError(f"the jump hosts before {seen[0]} lead in a circle", hint="correct ProxyJump")
        hops: list[Hop] = []
        for jump in _jumps(self._asked(name)):
            user, host, port = _parts(name, jump)
            before = () if hops else self.way_to(host, (*seen, name))
            hops += [*before, self.hop(host, user=user, port=port)]
        return tuple(hops)

    def _known_files(self, said: Mapping[str, Any]) -> tuple[str, ...]:
        if self._known_hosts:
            return (os.path.expanduser(self._known_hosts),)
        users = _files(said.get("userknownhostsfile") or _USUAL_KNOWN)
        others = _files(said.get("globalknownhostsfile") or _GLOBAL_KNOWN)
        return tuple(os.path.expanduser(file) for file in (*users, *others) if file.lower() != "none")


def _files(text: str) -> list[str]:
    """Names with spaces are quoted; and on Windows what separates folders is not there to escape anything."""
    return shlex.split(text.replace("\\", "/") if hosts.ON_WINDOWS else text)


def _port(name: str, text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise ConfigError(f"ssh is told to reach {name} at port {text!r}", hint="correct Port in ~/.ssh/config")
    return int(text)


def _jumps(said: Mapping[str, Any]) -> list[str]:
    jumps = str(said.get("proxyjump") or "none")
    return [] if jumps.lower() == "none" else [jump.strip() for jump in jumps.split(",")]


def _parts(name: str, jump: str) -> tuple[str | None, str, int | None]:
    found = _JUMP.fullmatch(jump)
    if found is None:
        raise ConfigError(f"ssh is told to reach {name} through {jump!r}", hint="correct ProxyJump: [user@]host[:port]")
    return found["user"], found["six"] or found["host"], _port(jump, found["port"]) if found["port"] else None


# -- the files


def _said_first(settings: Settings) -> list[str]:
    """Our own settings as the files would say them: the first word counts, and a ProxyCommand may want to know."""
    said = {"User": settings.user, "Port": settings.port}
    lines = [f"{key} {value}" for key, value in said.items() if value is not None]
    return [f"Host {settings.host}", *lines, "Host *"]


def _texts(chosen: str | None) -> Iterator[str]:
    for file in (chosen,) if chosen else ("~/.ssh/config", f"{_SYSTEM}/ssh_config"):
        lines: list[str] = []
        _read(os.path.expanduser(file), lines, os.path.dirname(os.path.expanduser(file)), 0)
        yield "\n".join([*lines, "Host *"])  # what one file says about a host ends with it


def _read(file: str, lines: list[str], folder: str, depth: int) -> None:
    """Append the lines of a file, and in place of `Include` those of the files it names (paramiko knows no Include)."""
    header = "Host *"
    for line in _lines(file):
        if _EXEC.match(line):
            hint = "give the backend a file of its own with `ssh_config`"
            raise ConfigError(f"{file} has a `Match exec`, and memferry runs no command to learn the way", hint=hint)
        included = _INCLUDE.fullmatch(line)
        if included is None:
            header = line if _HEADER.match(line) else header
            lines.append(line)
            continue
        if depth == _MAX_INCLUDES:
            raise ConfigError(f"{file} includes itself", hint="correct Include")
        for other in _named(included[1], folder):
            _read(other, lines, folder, depth + 1)
        lines.append(header)


def _lines(file: str) -> Sequence[str]:
    try:
        return Path(file).read_text("utf-8", "surrogateescape").split("\n")
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}", hint="let this user read it") from error


def _named(patterns: str, folder: str) -> Iterator[str]:
    for pattern in _files(patterns):
        yield from sorted(glob.glob(os.path.join(folder, os.path.expanduser(pattern))))
