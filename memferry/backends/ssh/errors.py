"""What to do about each way in which a connection can fail: one table for the exceptions of paramiko and of the system,
one for the answers of an SFTP server."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import NamedTuple

from paramiko import ssh_exception as ssh
from paramiko.pkey import UnknownKeyType

from memferry.backends.ssh import sftp
from memferry.errors import AccessDenied, AuthFailed, BackendError, NotFound, PermanentError, TransientError

_AGAIN = "memferry will try again; if it stays, try: ssh {server}"
_LOG_IN = "try: ssh {server}; the public key must stand in ~/.ssh/authorized_keys there"
_AGENT = "put the key into the agent: ssh-add; memferry asks for no passphrase"
_SETTINGS = "compare: ssh -G {server}"
_ALGORITHMS = "update the SSH server, or this one: pip install --upgrade paramiko"


class Meaning(NamedTuple):
    """What an exception comes to. `text`: what went wrong, as the end of a sentence. `hint` may name `{server}`."""

    kind: type[BackendError]
    text: str
    hint: str


MEANINGS: Sequence[tuple[type[BaseException], Meaning]] = (
    (ssh.PasswordRequiredException, Meaning(AuthFailed, "the key needs a passphrase", _AGENT)),
    (ssh.PartialAuthentication, Meaning(AuthFailed, "the server wants more than a key", _LOG_IN)),
    (ssh.BadAuthenticationType, Meaning(AuthFailed, "the server takes no keys", _LOG_IN)),
    (ssh.UnableToAuthenticate, Meaning(AuthFailed, "the server takes none of the keys", _LOG_IN)),
    (ssh.AuthenticationException, Meaning(AuthFailed, "the server takes none of the keys", _LOG_IN)),
    (UnknownKeyType, Meaning(AuthFailed, "the key is of a type that is not known", _LOG_IN)),
    (ssh.BadHostKeyException, Meaning(AuthFailed, "the host key changed meanwhile", "do not connect; ask who runs it")),
    (ssh.IncompatiblePeer, Meaning(PermanentError, "there is no algorithm that both sides know", _ALGORITHMS)),
    (ssh.ConfigParseError, Meaning(PermanentError, "the configuration of ssh cannot be read", _SETTINGS)),
    (ssh.CouldNotCanonicalize, Meaning(PermanentError, "the name cannot be made canonical", _SETTINGS)),
    (ssh.ProxyCommandFailure, Meaning(TransientError, "its ProxyCommand failed", _SETTINGS)),
    (ssh.ChannelException, Meaning(TransientError, "the server opens no channel", _AGAIN)),
    (ssh.MessageOrderError, Meaning(TransientError, "the connection is disturbed", _AGAIN)),
    (ssh.NoValidConnectionsError, Meaning(TransientError, "nothing answers there", _AGAIN)),
    (ssh.SSHException, Meaning(TransientError, "the connection failed", _AGAIN)),
    (sftp.Garbled, Meaning(PermanentError, "it is not an SFTP server", "have it say: Subsystem sftp internal-sftp")),
    (socket.gaierror, Meaning(TransientError, "its name is not known", "correct `host`, or look at the network")),
    (TimeoutError, Meaning(TransientError, "it does not answer", _AGAIN)),
    (ConnectionRefusedError, Meaning(TransientError, "no SSH server listens there", "start it, or correct `port`")),
    (ConnectionError, Meaning(TransientError, "the connection was cut", _AGAIN)),
    (EOFError, Meaning(TransientError, "the connection was cut", _AGAIN)),
    (OSError, Meaning(TransientError, "it cannot be reached", _AGAIN)),
)  # fmt: skip
"""The first that fits decides."""

VENDOR = tuple(kind for kind, _ in MEANINGS)
"""What may rise out of a connection."""

STATUSES = {
    sftp.NO_SUCH_FILE: Meaning(NotFound, "is not there", ""),
    sftp.PERMISSION_DENIED: Meaning(
        AccessDenied,
        "may not be used by this login",
        "see whose it is, and let this login: ssh {server} ls -ld {folder}",
    ),
    sftp.FAILURE: Meaning(
        TransientError, "failed, and the server does not say why", "a full disk? a quota? see its log"
    ),
    5: Meaning(PermanentError, "was not understood by the server", "use the SFTP server of OpenSSH"),
    6: Meaning(TransientError, "found no connection", _AGAIN),
    7: Meaning(TransientError, "lost its connection", _AGAIN),
    8: Meaning(PermanentError, "is not offered by the server", "use the SFTP server of OpenSSH"),
}
"""By the codes of SFTP version 3, which has none for a full disk or a file that exists: both are FAILURE."""


def failure(error: BaseException, where: str, server: str) -> BackendError:
    """The error that says what to do about `error`, which the connection to `server` met at `where`."""
    meaning = next(meaning for kind, meaning in MEANINGS if isinstance(error, kind))
    detail = str(error) if isinstance(error, (OSError, ssh.IncompatiblePeer, sftp.Garbled)) else ""
    text = f"{where}: {meaning.text}" + (f" ({detail})" if detail else "")
    return meaning.kind(text, hint=meaning.hint.format(server=server))


def refused(status: sftp.Status, path: str, server: str) -> BackendError:
    """The error for an answer that is not "done"."""
    meaning = STATUSES.get(status.code, STATUSES[sftp.FAILURE])
    folder = path.rpartition("/")[0] or "."
    return meaning.kind(f"{path} {meaning.text}", hint=meaning.hint.format(server=server, folder=folder))
