"""Which host keys are known: the known_hosts files of OpenSSH (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). Pure.

Nothing is ever added to these files, and a key that is not in them is refused: there is no option that accepts one.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import hmac
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from memferry.errors import TargetRefused

_REVOKED, _AUTHORITY = "@revoked", "@cert-authority"
_MARKERS = (_REVOKED, _AUTHORITY)
ON_WINDOWS = sys.platform == "win32"
_LOOK = "ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub"


class HostKey(NamedTuple):
    """A public key as it goes over the wire: `type`, such as `ssh-ed25519`, and its bytes."""

    type: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As `ssh` and `ssh-keygen -l` print it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def text(self) -> str:
        """As it stands in a known_hosts file."""
        return f"{self.type} {base64.b64encode(self.blob).decode()}"

    @property
    def short_type(self) -> str:
        """As it stands in the name of a server's key file."""
        return next(kind for kind in ("ed25519", "ecdsa", "rsa", "host") if kind in self.type or kind == "host")


class Known(NamedTuple):
    """One line. `marker` is empty, or @revoked, or @cert-authority; `file` and `line` are where it stands."""

    marker: str
    hosts: str
    key: HostKey
    file: str
    line: int


class Host(NamedTuple):
    """A server to be recognised. `shown`: as the user knows it. `name`: under which known_hosts has it, such as
    `[nas.lan]:2222` or an alias. `files`: where it is looked for; the first is the one to add it to."""

    shown: str
    name: str
    files: tuple[str, ...]


def known_name(host: str, port: int, alias: str | None) -> str:
    """What known_hosts calls a server."""
    if alias:
        return alias.lower()
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def parse(text: str, file: str) -> list[Known]:
    """The lines that can be read; others say nothing, as for `ssh`."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or (marker and marker not in _MARKERS):
            continue
        key = _key(words[1], words[2])
        if key is not None:
            found.append(Known(marker, words[0], key, file, number))
    return found


def types_of(host: Host, known: Iterable[Known]) -> list[str]:
    """Of which types keys of this host are known: to be asked for first, since a server shows but one."""
    mine = (one.key.type for one in known if not one.marker and _matches(one.hosts, host.name))
    return list(dict.fromkeys(mine))


def check(host: Host, offered: HostKey, known: Iterable[Known]) -> None:
    """TargetRefused unless `offered` is known as a key of `host`, and not revoked."""
    mine = [one for one in known if _matches(one.hosts, host.name)]
    plain = [one for one in mine if not one.marker]
    if revoked := [one for one in mine if one.marker == _REVOKED and one.key.blob == offered.blob]:
        raise _refused(host, offered, f"was revoked ({_where(revoked[0])})", _do_not(host))
    if any(one.key == offered for one in plain):
        return
    if same := [one for one in plain if one.key.type == offered.type]:
        raise _refused(
            host, offered, f"is not the one that is known ({_where(same[0])})", _changed(host, offered, same)
        )
    if plain:
        types = ", ".join(dict.fromkeys(one.key.type for one in plain))
        raise _refused(host, offered, f"is of another type than those known ({types})", _look_and_add(host, offered))
    if any(one.marker == _AUTHORITY for one in mine):
        why = "is known by its certificate authority only, which memferry cannot check"
        raise _refused(host, offered, why, _look_and_add(host, offered))
    raise _refused(host, offered, "is not known", _look_and_add(host, offered))


# -- matching


def _key(type_: str, text: str) -> HostKey | None:
    try:
        blob = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    inner = blob[4 : 4 + int.from_bytes(blob[:4], "big")]
    return HostKey(type_, blob) if inner == type_.encode("ascii", "replace") else None


def _matches(hosts: str, name: str) -> bool:
    if hosts.startswith("|"):
        return _matches_hash(hosts, name)
    patterns = hosts.lower().split(",")
    if any(pattern.startswith("!") and _like(pattern[1:], name) for pattern in patterns):
        return False
    return any(_like(pattern, name) for pattern in patterns if not pattern.startswith("!"))


def _like(pattern: str, name: str) -> bool:
    """`*` and `?` mean something, brackets (of `[host]:port`) do not."""
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), name) is not None


def _matches_hash(hosts: str, name: str) -> bool:
    try:
        _, version, salt, wanted = hosts.split("|")
        found = hmac.digest(base64.b64decode(salt), name.encode(), "sha1")
        return version == "1" and hmac.compare_digest(found, base64.b64decode(wanted))
    except ValueError:
        return False


# -- what to say


def _refused(host: Host, offered: HostKey, why: str, hint: str) -> TargetRefused:
    return TargetRefused(f"{host.shown}: its host key {offered.fingerprint} ({offered.type}) {why}", hint=hint)


def _where(known: Known) -> str:
    return f"{known.file}, line {known.line}"


def _do_not(host: Host) -> str:
    return f"do not connect: somebody may have stolen that key. Have whoever runs {host.shown} give it a new one"


def _look_and_add(host: Host, offered: HostKey) -> str:
    look = _LOOK.format(offered.short_type)
    return f"look at the server, with `{look}`, whether this is its fingerprint; if so, run: {_add(host, offered)}"


def _changed(host: Host, offered: HostKey, same: Sequence[Known]) -> str:
    files = dict.fromkeys(known.file for known in same)
    steps = [*(f"ssh-keygen -R {_quoted(host.name)} -f {_quoted(file)}" for file in files), _add(host, offered)]
    look = _LOOK.format(offered.short_type)
    return (
        "somebody may be listening in, or the server was set up anew. Only if it was, and"
        f" `{look}` there shows this fingerprint, run: {('; ' if ON_WINDOWS else ' && ').join(steps)}"
    )


def _add(host: Host, offered: HostKey) -> str:
    """This very key, not whatever a later `ssh-keyscan` would find; it also fits aliases and hosts behind a jump."""
    line, file = _quoted(f"{host.name} {offered.text}"), _quoted(host.files[0])
    return f"Add-Content -Encoding ascii {file} {line}" if ON_WINDOWS else f"echo {line} >> {file}"


def _quoted(text: str) -> str:
    """For the shell that people have: PowerShell, whose `>>` would write UTF-16, or sh."""
    return "'" + text.replace("'", "''") + "'" if ON_WINDOWS else shlex.quote(text)
