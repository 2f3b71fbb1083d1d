"""Logging in with a key: those that are named, those of the agent, and the usual files. Nobody is asked anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko
from paramiko.pkey import UnknownKeyType

from memferry.backends.ssh import hosts
from memferry.backends.ssh.config import Hop
from memferry.errors import AuthFailed

_MAX_KEYS = 5
"""sshd hangs up at the sixth that it does not know (MaxAuthTries), and says nothing of use then."""


def log_in(login: paramiko.Transport, hop: Hop) -> None:
    """With one key after the other. AuthFailed says what was tried."""
    problems: list[str] = []
    hint = f"run: {_hand_over(hop)}"
    with _agent_keys() as agents:
        if _tried(login, hop, _keys(hop, agents, problems), problems):
            return
    locked = [problem for problem in problems if "passphrase" in problem]
    if locked:
        hint = "run: ssh-add " + locked[0].split(" ")[0]
    tried = "; ".join(problems) or "there is no key to log in with: ssh-keygen -t ed25519"
    raise AuthFailed(f"{hop.host.shown}: no login as {hop.user}: {tried}", hint=hint)


def _hand_over(hop: Hop) -> str:
    """How this machine's key gets to the server."""
    port = f" -p {hop.port}" if hop.port != 22 else ""
    if sys.platform != "win32":
        return f"ssh-copy-id {hop.user}@{hop.address}{port}"
    key = r"$env:USERPROFILE\.ssh\id_ed25519.pub"
    return f'type {key} | ssh{port} {hop.user}@{hop.address} "cat >> .ssh/authorized_keys"'


def _tried(login: paramiko.Transport, hop: Hop, keys: Iterator[tuple[str, paramiko.PKey]], problems: list[str]) -> bool:
    """Whether one of the keys was accepted; what is wrong with the others goes to `problems`."""
    for number, (name, key) in enumerate(keys, 1):
        try:
            login.auth_publickey(hop.user, key)
        except paramiko.BadAuthenticationType:
            raise
        except paramiko.AuthenticationException as error:
            if not login.is_active():
                raise (EOFError() if number == 1 else error) from error
            problems.append(f"{name} was not accepted")
        if login.is_authenticated():
            return True
        if number == _MAX_KEYS:
            problems.append("more were not tried: name the right one with identity_file")
            break
    return False


def _keys(hop: Hop, agents: Sequence[Any], problems: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
    """In the order of `ssh`: named keys, by the agent where it has them; others of the agent, unless `only_those`."""
    agent = {key.asbytes(): key for key in agents}
    late = []
    for file in hop.identities:
        mine = agent.pop(_public(file), None)
        if mine is not None:
            yield f"{file} (agent)", mine
        else:
            late.append(file)
    if not hop.only_those:
        yield from ((f"{key.comment or key.get_name()} (agent)", key) for key in agent.values())
    for file in late:
        key = _loaded(file, problems)
        if key is not None:
            yield file, key


@contextmanager
def _agent_keys() -> Iterator[Sequence[Any]]:
    try:
        agent = paramiko.Agent()
    except (paramiko.SSHException, OSError):
        yield ()  # no agent to speak of: files will do
        return
    try:
        yield agent.get_keys()
    finally:
        agent.close()


def _public(file: str) -> bytes:
    """The public key that lies beside a private one; nothing if none does."""
    with suppress(OSError, IndexError, ValueError, UnicodeDecodeError):
        words = Path(f"{file}.pub").read_text("ascii", "replace").split()
        key = hosts.parse(f"x {words[0]} {words[1]}", "")
        return key[0].key.blob
    return b""


def _loaded(file: str, problems: list[str]) -> paramiko.PKey | None:
    if not os.path.exists(file):
        return None
    try:
        return paramiko.PKey.from_path(file)
    except (paramiko.PasswordRequiredException, TypeError):
        problems.append(f"{file} needs a passphrase, which only the agent is asked for")
    except (paramiko.SSHException, UnknownKeyType, ValueError, OSError) as error:
        problems.append(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is not a private key'}")
    return None
