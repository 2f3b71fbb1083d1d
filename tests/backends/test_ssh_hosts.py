"""Who a server must be before anything is said to it."""

from __future__ import annotations

import base64
import hmac
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memferry.backends.ssh import hosts as ssh_hosts
from memferry.backends.ssh.hosts import Host, HostKey
from memferry.backends.ssh.store import SshStore
from memferry.errors import TargetRefused
from tests.backends import sshd
from tests.backends.sshd import Sshd

SOURCE = Path(ssh_hosts.__file__).parents[2]


def hashed(name: str) -> str:
    salt = os.urandom(20)
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


# -- on a server


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server with a key of each common type."""
    with sshd.running(tmp_path_factory.mktemp("three"), host_keys=("rsa", "ecdsa", "ed25519")) as server:
        yield server


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Keys that no server has."""
    sshd.require()
    folder = tmp_path_factory.mktemp("others")
    return {type_: sshd.public(sshd.keygen(folder / type_, type_)) for type_ in ("rsa", "ecdsa", "ed25519")}


class Lines(NamedTuple):
    """What known_hosts is made of: the server's name there, its keys and others by type."""

    name: str
    mine: dict[str, str]
    other: dict[str, str]


UNKNOWN = "is not known"
CHANGED = "is not the one that is known"
REVOKED = "was revoked"
TYPE = "is of another type"
AUTHORITY = "certificate authority"

REFUSED: dict[str, tuple[str, Callable[[Lines], str]]] = {
    "empty": (UNKNOWN, lambda at: ""),
    "another host": (UNKNOWN, lambda at: f"elsewhere {at.mine['ed25519']}"),
    "another port": (UNKNOWN, lambda at: f"[127.0.0.1]:1 {at.mine['ed25519']}"),
    "without its port": (UNKNOWN, lambda at: f"127.0.0.1 {at.mine['ed25519']}"),
    "another host, hashed": (UNKNOWN, lambda at: f"{hashed('[127.0.0.1]:1')} {at.mine['ed25519']}"),
    "excepted": (UNKNOWN, lambda at: f"*,!{at.name} {at.mine['ed25519']}"),
    "excepted by a pattern": (UNKNOWN, lambda at: f"{at.name},!*0.0.1* {at.mine['ed25519']}"),
    "a comment": (UNKNOWN, lambda at: f"# {at.name} {at.mine['ed25519']}"),
    "cut off": (CHANGED, lambda at: f"{at.name} {at.mine['ed25519'][:-20]}"),
    "no base64": (UNKNOWN, lambda at: f"{at.name} ssh-ed25519 !!!!"),
    "the name of another type": (UNKNOWN, lambda at: f"{at.name} ssh-rsa {at.mine['ed25519'].split()[1]}"),
    "an unknown marker": (UNKNOWN, lambda at: f"@trusted {at.name} {at.mine['ed25519']}"),
    "an authority": (AUTHORITY, lambda at: f"@cert-authority {at.name} {at.mine['ed25519']}"),
    "an authority of all": (AUTHORITY, lambda at: f"@cert-authority * {at.mine['ed25519']}"),
    "changed": (CHANGED, lambda at: f"{at.name} {at.other['ed25519']}"),
    "changed rsa": (CHANGED, lambda at: f"{at.name} {at.other['rsa']}"),
    "changed ecdsa": (CHANGED, lambda at: f"{at.name} {at.other['ecdsa']}"),
    "changed, hashed": (CHANGED, lambda at: f"{hashed(at.name)} {at.other['ed25519']}"),
    "changed, by pattern": (CHANGED, lambda at: f"[127.0.0.?]:* {at.other['ed25519']}"),
    "changed, all types": (CHANGED, lambda at: "".join(f"{at.name} {key}\n" for key in at.other.values())),
    "revoked": (REVOKED, lambda at: f"{at.name} {at.mine['rsa']}\n@revoked {at.name} {at.mine['rsa']}"),
    "revoked everywhere": (REVOKED, lambda at: f"@revoked * {at.mine['rsa']}\n{at.name} {at.mine['rsa']}"),
    "revoked, hashed": (
        REVOKED,
        lambda at: f"{at.name} {at.mine['ecdsa']}\n@revoked {hashed(at.name)} {at.mine['ecdsa']}",
    ),
    "revoked and not known": (REVOKED, lambda at: "".join(f"@revoked {at.name} {key}\n" for key in at.mine.values())),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_host_that_is_not_proved_is_told_nothing(
    three: Sshd, others: dict[str, str], tmp_path: Path, case: str
) -> None:
    expected, lines = REFUSED[case]
    refuses(three, lines(Lines(three.name, public(three), others)), tmp_path, expected)


@pytest.mark.parametrize("known", ["rsa", "ecdsa"])
def test_a_key_of_a_type_that_the_server_lacks(
    server: Sshd, others: dict[str, str], tmp_path: Path, known: str
) -> None:
    refuses(server, f"{server.name} {others[known]}", tmp_path, TYPE)


def test_a_file_that_is_not_there(three: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"UserKnownHostsFile {tmp_path / 'none'}\nGlobalKnownHostsFile none\n")
    refuses_settings(three, tmp_path, UNKNOWN, known_hosts=None, ssh_config=str(config))


@pytest.mark.parametrize("said", ["no", "off", "accept-new", "ask"])
def test_what_ssh_is_told_about_strictness_means_nothing(three: Sshd, tmp_path: Path, said: str) -> None:
    config, known = tmp_path / "config", tmp_path / "known"
    known.write_text("")
    config.write_text(f"StrictHostKeyChecking {said}\nUserKnownHostsFile {known}\nUpdateHostKeys yes\n")
    refuses_settings(three, tmp_path, UNKNOWN, known_hosts=None, ssh_config=str(config))
    assert known.read_text() == ""


def test_an_alias_is_what_counts(three: Sshd, tmp_path: Path) -> None:
    config, known = tmp_path / "config", tmp_path / "known"
    known.write_text(f"{three.name} {public(three)['ed25519']}\n")
    config.write_text("HostKeyAlias nas\n")
    refuses_settings(three, tmp_path, UNKNOWN, known_hosts=str(known), ssh_config=str(config))
    known.write_text(f"nas {public(three)['ed25519']}\n")
    accepts(three, known_hosts=str(known), ssh_config=str(config))


def refuses(server: Sshd, lines: str, tmp_path: Path, expected: str) -> None:
    known = tmp_path / "known"
    known.write_text(lines)
    refuses_settings(server, tmp_path, expected, known_hosts=str(known))


def refuses_settings(server: Sshd, tmp_path: Path, expected: str, **settings: object) -> None:
    """Refused, before anybody was logged in or anything was stored, with a fingerprint that is the server's."""
    before = server.attempts
    store = SshStore(server.settings(tmp_path / "vault", **settings), name="nas")
    for call in (lambda: store.put("k", b"x", if_version=None), lambda: store.get("k"), lambda: list(store.entries())):
        with pytest.raises(TargetRefused, match=expected) as caught:
            call()
        assert caught.value.exit_code == 4
        assert re.search(r"SHA256:[\w+/]{43}", str(caught.value))[0] in fingerprints(server)  # type: ignore[index]
        assert caught.value.hint
    assert server.attempts == before
    assert not (tmp_path / "vault").exists()
    store.close()


def accepts(server: Sshd, **settings: object) -> None:
    store = SshStore(server.settings("accepted", **settings))
    store.put("k", b"x", if_version=None)
    store.close()


def public(server: Sshd) -> dict[str, str]:
    return {type_: sshd.public(path) for type_, path in server.host_keys.items()}


def fingerprints(server: Sshd) -> str:
    told = (subprocess.run(["ssh-keygen", "-lf", path], capture_output=True) for path in server.host_keys.values())
    return b"".join(one.stdout for one in told).decode()


@pytest.mark.parametrize("type_", ["rsa", "ecdsa", "ed25519"])
def test_a_host_that_is_known_by_one_type_is_asked_for_that(three: Sshd, tmp_path: Path, type_: str) -> None:
    known = tmp_path / "known"
    for name in (three.name, hashed(three.name), "*", "[127.0.0.1]:*", f"nas,{three.name}"):
        known.write_text(f"{name} {public(three)[type_]}\n")
        accepts(three, known_hosts=str(known))


def test_one_right_key_among_others_is_enough(three: Sshd, others: dict[str, str], tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(f"{three.name} {others['ed25519']}\n{three.name} {public(three)['ed25519']} comment\n")
    accepts(three, known_hosts=str(known))


@pytest.mark.parametrize("alias", [None, "nas"])
@pytest.mark.parametrize("changed", [False, True])
def test_the_command_of_the_hint_does_it(
    server: Sshd, others: dict[str, str], tmp_path: Path, alias: str | None, changed: bool
) -> None:
    known, config = tmp_path / "known hosts", tmp_path / "config"
    known.write_text(f"{alias or server.name} {others['ed25519']}\n" if changed else "")
    config.write_text(f"HostKeyAlias {alias}\n" if alias else "")
    settings = {"known_hosts": str(known), "ssh_config": str(config)}
    store = SshStore(server.settings(tmp_path / "vault", **settings))
    with pytest.raises(TargetRefused) as caught:
        list(store.entries())
    command = caught.value.hint.rpartition("run: ")[2]
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    store.put("k", b"x", if_version=None)
    store.close()


def test_on_windows_the_hint_is_for_powershell(others: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its `>>` would write UTF-16, and an older one knows no `&&`."""
    monkeypatch.setattr(ssh_hosts, "ON_WINDOWS", True)
    mine, other = (ssh_hosts.parse(f"nas {line}", "C:\\O'Neil\\known_hosts") for line in tuple(others.values())[1:])
    host = Host("nas", "nas", ("C:\\O'Neil\\known_hosts",))
    same = [mine[0]._replace(key=other[0].key._replace(type=mine[0].key.type))]
    add = f"Add-Content -Encoding ascii 'C:\\O''Neil\\known_hosts' 'nas {mine[0].key.text}'"
    for known, steps in (([], add), (same, f"ssh-keygen -R 'nas' -f 'C:\\O''Neil\\known_hosts'; {add}")):
        with pytest.raises(TargetRefused) as caught:
            ssh_hosts.check(host, mine[0].key, known)
        assert caught.value.hint.rpartition("run: ")[2] == steps


# -- the files


def test_what_known_hosts_calls_a_server() -> None:
    assert ssh_hosts.known_name("NAS.lan", 22, None) == "nas.lan"
    assert ssh_hosts.known_name("NAS.lan", 2222, None) == "[nas.lan]:2222"
    assert ssh_hosts.known_name("10.0.0.1", 2222, "Nas") == "nas"
    assert ssh_hosts.known_name("fe80::1", 2222, None) == "[fe80::1]:2222"


@given(st.text())
def test_any_file_is_a_known_hosts_file(text: str) -> None:
    key = HostKey("ssh-ed25519", b"\0\0\0\x0bssh-ed25519x")
    host = Host("nas", "nas", ("known_hosts",))
    with pytest.raises(TargetRefused):
        ssh_hosts.check(host, key, ssh_hosts.parse(text, "known_hosts"))


def test_what_ssh_keygen_finds_is_found_here(tmp_path: Path, others: dict[str, str]) -> None:
    """Its own search is the reference for names that are hashed or hold a port."""
    known = tmp_path / "known"
    names = ["nas", "nas.lan,10.0.0.1", "[nas.lan]:2222", "*.lan,!no.lan", "n?s"]
    known.write_text("".join(f"{name} {others['ed25519']}\n" for name in names))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    lines = ssh_hosts.parse(known.read_text(), str(known))
    for name in ("nas", "nas.lan", "10.0.0.1", "[nas.lan]:2222", "no.lan", "nas.org", "[nas.lan]:22"):
        told = subprocess.run(["ssh-keygen", "-F", name, "-f", known], capture_output=True, text=True).stdout
        found = ssh_hosts.types_of(Host(name, name, (str(known),)), lines)
        assert bool(found) == bool(told), name


# -- the source


def test_nothing_in_the_source_accepts_a_host_unseen() -> None:
    forbidden = re.compile(
        r"AutoAddPolicy|WarningPolicy|MissingHostKeyPolicy|set_missing_host_key_policy|known_hosts\s*=\s*None\b"
        r"|StrictHostKeyChecking\s*[= ]\s*(no|off|accept)",
        re.IGNORECASE,
    )
    found = {
        f"{path.name}:{number}: {line.strip()}"
        for path in SOURCE.rglob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if forbidden.search(line)
    }
    assert not found


def test_the_key_is_checked_between_the_key_exchange_and_the_login() -> None:
    text = (SOURCE / "backends" / "ssh" / "connect.py").read_text("utf-8")
    assert text.count("hosts.check(") == 1
    assert text.index("start_client(") < text.index("hosts.check(") < text.index("log_in(")
