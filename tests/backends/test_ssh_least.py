"""A login that can do nothing but keep files in one folder: with the very lines of docs/ssh.md, on a real server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from memferry.backends.base import HeadSeen
from memferry.backends.ssh.store import SshStore
from memferry.backends.vault.backend import Vault
from memferry.errors import AuthFailed, TargetRefused
from tests.backends import sshd
from tests.backends.samples import ME, Journal, puts, retract, seal
from tests.backends.sshd import Sshd

PAGE = (Path(__file__).parents[2] / "docs" / "ssh.md").read_text("utf-8")
LOGIN = f"memferry-test-{os.getpid()}"
JAIL = Path(f"/srv/memferry-test-{os.getpid()}")

pytestmark = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or shutil.which("useradd") is None,
    reason="only root can make a login and shut it in a folder (chroot)",
)


def block(language: str) -> str:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]


def changed(text: str, keys: Path) -> str:
    """The documentation's names replaced by those of this test."""
    for old, new in (("/etc/ssh/authorized_keys", "KEYS"), ("/srv/memferry", "JAIL"), ("memferry", LOGIN)):
        text = text.replace(old, new)
    return text.replace("KEYS", str(keys)).replace("JAIL", str(JAIL))


@pytest.fixture(scope="module")
def jailed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """The documented server, set up by the documented commands."""
    keys = Path("/srv") / f"memferry-keys-{os.getpid()}"
    commands = [line for line in block("sh").splitlines() if line.startswith(("useradd", "usermod", "install"))]
    assert len(commands) == 5
    subprocess.run(["userdel", LOGIN], capture_output=True)
    try:
        for command in commands:
            subprocess.run(["sh", "-c", changed(command, keys)], check=True, capture_output=True)
        server = Sshd(tmp_path_factory.mktemp("jailed"), more="\n")
        authorized = block("authorized_keys").replace("ssh-ed25519 AAAA...", sshd.public(server.user_key))
        (keys / LOGIN).write_text(authorized)
        server.last = changed(block("sshd_config"), keys)
        try:
            yield server.start()
        finally:
            server.stop()
    finally:
        subprocess.run(["userdel", LOGIN], capture_output=True)
        shutil.rmtree(JAIL, ignore_errors=True)
        shutil.rmtree(keys, ignore_errors=True)


def store_at(server: Sshd) -> SshStore:
    return SshStore(server.settings()._replace(user=LOGIN, path="vault"), name="nas")


def test_everything_works_there(jailed: Sshd) -> None:
    vault = Vault(store_at(jailed), ME, name="nas")
    journal = Journal([seal(puts(1, 500))])
    vault.deliver(journal.rows)
    vault.deliver([seal([retract(501, 7)])])
    assert len(list(vault.read(ME.id))) == 500
    assert vault.capacity().free_bytes
    assert [log.id for log in vault.machines()] == [ME.id]
    seen = vault.head_seen()
    assert seen
    assert vault.verify({ME.id: seen}) == []
    assert all(probe.good for probe in vault.probe())
    vault.close()
    found = {path.owner() for path in (JAIL / "data").rglob("*")}
    assert found == {LOGIN}
    assert {oct(path.stat().st_mode & 0o777) for path in (JAIL / "data").rglob("*") if path.is_file()} == {"0o600"}


def test_another_key_does_not_get_in(jailed: Sshd, tmp_path: Path) -> None:
    key = sshd.keygen(tmp_path / "other")
    store = SshStore(jailed.settings(identity_file=str(key))._replace(user=LOGIN, path="vault"), name="nas")
    with pytest.raises(AuthFailed):
        list(store.entries())


# -- what a stolen key can do


@pytest.fixture
def thief(jailed: Sshd) -> Iterator[paramiko.Transport]:
    """Somebody with the key, and any program they like."""
    login = paramiko.Transport(("127.0.0.1", jailed.port))
    login.set_log_channel("memferry.backends.ssh.connect.paramiko")
    login.start_client(timeout=20)
    login.auth_publickey(LOGIN, paramiko.Ed25519Key.from_private_key_file(str(jailed.user_key)))
    yield login
    login.close()


def output(login: paramiko.Transport, ask: Callable[[paramiko.Channel], object]) -> bytes:
    """What a session says, if it says anything."""
    channel = login.open_session(timeout=20)
    channel.settimeout(20)
    try:
        ask(channel)
        channel.shutdown_write()
        return b"".join(iter(lambda: channel.recv(4096), b""))
    except paramiko.SSHException:
        return b""
    finally:
        channel.close()


def refused_channel(login: paramiko.Transport, kind: str, *where: object) -> bool:
    try:
        login.open_channel(kind, *where, timeout=20).close()
    except paramiko.ChannelException:
        return True
    return False


def denied(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError:
        return True
    return False


def sftp_of(login: paramiko.Transport) -> paramiko.SFTPClient:
    client = paramiko.SFTPClient.from_transport(login)
    assert client
    return client


def no_agent_is_forwarded(login: paramiko.Transport) -> bool:
    """This request has no answer; the next one shows that the server has dealt with it, and its log how."""
    channel = login.open_session(timeout=20)
    channel.request_forward_agent(lambda _: None)
    channel.invoke_subsystem("sftp")
    channel.close()
    return True


def reads_nothing_outside(login: paramiko.Transport) -> bool:
    client = sftp_of(login)
    names = ("/etc/passwd", "../../etc/passwd", "/data/../../etc/passwd", "/proc/1/environ", "/root/.ssh/id_ed25519")
    return all(denied(lambda name=name: client.open(name).read()) for name in names)  # type: ignore[misc]


def writes_nothing_outside(login: paramiko.Transport) -> bool:
    client = sftp_of(login)
    names = ("/pwned", "../pwned", "/etc/pwned", "/data/../../pwned")
    return all(denied(lambda name=name: client.open(name, "w").close()) for name in names)  # type: ignore[misc]


def links_lead_nowhere(login: paramiko.Transport) -> bool:
    client = sftp_of(login)
    for number, target in enumerate(("/etc/passwd", "/../../../etc/passwd", str(JAIL.parent / "x"))):
        client.symlink(target, f"/data/link{number}")
    broken = all(denied(lambda n=number: client.open(f"/data/link{n}").read()) for number in range(3))  # type: ignore[misc]
    for number in range(3):
        client.remove(f"/data/link{number}")
    return broken


def gains_no_rights(login: paramiko.Transport) -> bool:
    client = sftp_of(login)
    client.open("/data/program", "w").close()
    chowned = denied(lambda: client.chown("/data/program", 0, 0))
    client.remove("/data/program")
    return chowned and denied(lambda: client.chmod("/", 0o777)) and denied(lambda: client.rename("/data", "/other"))


ATTACKS: dict[str, Callable[[paramiko.Transport], bool]] = {
    "a shell": lambda login: b"$" not in output(login, lambda channel: channel.invoke_shell()),
    "a terminal": lambda login: b"$" not in output(login, lambda channel: channel.get_pty()),
    "a command": lambda login: b"uid=" not in output(login, lambda channel: channel.exec_command("id")),
    "a command that writes": lambda login: (
        output(login, lambda channel: channel.exec_command("touch /data/pwned")) is not None
        and not (JAIL / "data" / "pwned").exists()
    ),
    "another subsystem": lambda login: output(login, lambda channel: channel.invoke_subsystem("netconf")) == b"",
    "a local port": lambda login: refused_channel(login, "direct-tcpip", ("127.0.0.1", 22), ("127.0.0.1", 0)),
    "a remote port": lambda login: denied_forward(login),
    "a remote socket": lambda login: (
        login.global_request("streamlocal-forward@openssh.com", ("/data/socket",), wait=True) is None
    ),
    "the agent": no_agent_is_forwarded,
    "a display": lambda login: output(login, lambda channel: channel.request_x11()) == b"",
    "reading outside": reads_nothing_outside,
    "writing outside": writes_nothing_outside,
    "a link out": links_lead_nowhere,
    "more rights": gains_no_rights,
}


def denied_forward(login: paramiko.Transport) -> bool:
    try:
        login.request_port_forward("127.0.0.1", 0)
    except paramiko.SSHException:
        return True
    return False


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_stolen_key_gives_nothing_but_the_folder(jailed: Sshd, thief: paramiko.Transport, attack: str) -> None:
    before, refused = sorted(JAIL.rglob("*")), jailed.logged("agent forwarding disabled")
    assert ATTACKS[attack](thief)
    assert sorted(JAIL.rglob("*")) == before
    assert jailed.logged("agent forwarding disabled") - refused == (attack == "the agent")


@pytest.mark.parametrize("harm", ["changed", "removed", "truncated", "foreign", "rolled back"])
def test_what_a_thief_changes_is_found(jailed: Sshd, thief: paramiko.Transport, harm: str) -> None:
    vault = Vault(store_at(jailed), ME, name="nas")
    shutil.rmtree(JAIL / "data" / "vault", ignore_errors=True)
    vault.deliver([seal(puts(1, 50))])
    old = (JAIL / "data" / "vault" / "machines" / ME.id / "head.json").read_bytes()
    vault.deliver([seal(puts(51, 99))])
    seen = vault.head_seen()
    assert seen
    vault.close()
    hurt(sftp_of(thief), harm, old)
    vault = Vault(store_at(jailed), ME, name="nas")
    assert found(vault, seen)
    vault.close()


def hurt(client: paramiko.SFTPClient, harm: str, old: bytes) -> None:
    folder = f"/data/vault/machines/{ME.id}"
    segment = f"{folder}/segments/{min(client.listdir(f'{folder}/segments'))}"
    if harm == "removed":
        client.remove(segment)
    elif harm == "truncated":
        client.truncate(segment, 10)
    elif harm == "changed":
        with client.open(segment, "r+") as file:
            file.seek(20)
            file.write(b"\0\1\2")
    elif harm == "foreign":
        with client.open(f"{folder}/more", "w") as file:
            file.write(b"x")
    else:
        with client.open(f"{folder}/head.json", "w") as file:
            file.write(old)


def found(vault: Vault, seen: HeadSeen) -> bool:
    try:
        return bool(vault.verify({ME.id: seen}))
    except TargetRefused:
        return True
