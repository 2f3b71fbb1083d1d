"""What the settings and the files of `ssh` come to."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memferry import config
from memferry.backends.encryption.keys import Keys
from memferry.backends.registry import open_backend
from memferry.backends.ssh.config import Hop, Settings, route, settings_from
from memferry.errors import ConfigError
from tests.backends.samples import ME

KEYS = Keys(Path("nowhere"))

ME_HERE = getpass.getuser()
ROOT = Path(config.__file__).parents[1]
Router = Callable[..., tuple[Hop, ...]]


@pytest.fixture
def routed(tmp_path: Path) -> Router:
    """The way to `nas`, after what a configuration file says."""

    def routed(text: str, host: str = "nas", **settings: object) -> tuple[Hop, ...]:
        file = tmp_path / "config"
        file.write_text(text)
        return route(settings_from("vault", {"host": host, "path": "vault", "ssh_config": str(file), **settings}))

    return routed


# -- settings


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ({}, "host is missing", "type: ssh, host: nas, path: memferry"),
        ({"host": "nas"}, "path is missing", "type: ssh, host: nas, path: memferry"),
        ({"host": "nas", "path": "x", "usr": "me"}, "there is no setting 'usr'", "did you mean 'user'?"),
        ({"host": "nas", "path": "x", "timeout": 3}, "no setting 'timeout'", "did you mean"),
        ({"host": "nas", "path": "x", "zzz": 3}, "no setting 'zzz'", "known here: type, encryption, host, path, user"),
        ({"host": "nas", "path": "x", "password": "s3cret"}, "no setting 'password'", "log in with a key"),
        ({"host": "nas", "path": "x", "passphrase": "s3cret"}, "no setting 'passphrase'", "ssh-add"),
        ({"host": "nas", "path": "x", "port": 0}, "port must be a number from 1 to 65535", "remove the line"),
        ({"host": "nas", "path": "x", "port": "22"}, "port must be a number", ""),
        ({"host": "nas", "path": "x", "port": True}, "port must be a number", ""),
        ({"host": "nas", "path": "x", "request_timeout_s": 0}, "request_timeout_s must be more than 0", "30"),
        ({"host": "nas", "path": "x", "connect_timeout_s": float("nan")}, "connect_timeout_s must be more", "30"),
        ({"host": "-oProxyCommand=id", "path": "x"}, "host cannot be", ""),
        ({"host": "nas", "path": ""}, "path must be text", ""),
        ({"host": "nas", "path": "a\nb"}, "path must be text", ""),
        ({"host": 3, "path": "x"}, "host must be text", ""),
        ({"host": "nas", "path": "x", "identity_file": "/no/key"}, "identity_file: there is no file /no/key", ""),
    ],
)
def test_a_mistake_is_named(given: dict[str, object], message: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="backend vault") as caught:
        open_backend("vault", {"type": "ssh", **given}, ME, KEYS)
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert "s3cret" not in str(caught.value) + caught.value.hint


def test_nothing_is_connected_to_by_opening() -> None:
    open_backend("vault", {"type": "ssh", "host": "nowhere.invalid", "path": "x"}, ME, KEYS).close()


def test_what_only_a_connection_needs_is_not_imported_before() -> None:
    script = (
        "import sys; from pathlib import Path; from memferry.backends.ssh.store import open_backend;"
        "from memferry.backends.encryption.keys import Keys; from memferry.model import Identity;"
        "me = Identity('a' * 32, 'n', 'e', 'i');"
        "open_backend('v', {'host': 'h', 'path': 'p'}, me, Keys(Path('nowhere'))).close();"
        "sys.exit(bool({'paramiko', 'pyrage'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


@pytest.mark.parametrize("first", ["", "import invoke; "])
def test_a_connection_loads_nothing_that_only_a_command_of_ssh_needs(first: str) -> None:
    """It takes as long as all the rest of paramiko. Who has loaded it before keeps it."""
    script = first + (
        "import sys; from memferry.backends.ssh.config import Settings;"
        "from memferry.backends.ssh.store import SshStore; from memferry.errors import TransientError\n"
        "store = SshStore(Settings(host='127.0.0.1', path='v', port=1, ssh_config='/dev/null'))\n"
        "try: list(store.entries())\n"
        "except TransientError: print(sorted({'paramiko', 'invoke', 'asyncio', 'unittest'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert told == f"{['asyncio', 'invoke', 'paramiko', 'unittest'] if first else ['paramiko']}\n"


def test_a_missing_extra_is_named() -> None:
    script = (
        "import sys; sys.modules['paramiko'] = None; from memferry.backends.registry import open_backend;"
        "from pathlib import Path; from memferry.backends.encryption.keys import Keys;"
        "from memferry.errors import ConfigError; from memferry.model import Identity\n"
        "me = Identity('a' * 32, 'n', 'e', 'i')\n"
        "try: open_backend('v', {'type': 'ssh', 'host': 'h', 'path': 'p'}, me, Keys(Path('nowhere')))\n"
        "except ConfigError as error: print(error.hint)"
    )
    told = subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert told == 'pip install "memferry[ssh]"\n'


def test_files_are_found_from_the_configuration(tmp_path: Path) -> None:
    text = (
        "backends: {nas: {type: ssh, host: nas, path: here, identity_file: key, known_hosts: ~/known, ssh_config: /c}}"
    )
    (tmp_path / "memferry.yaml").write_text(text)
    read = config.load({}, file=str(tmp_path / "memferry.yaml")).backends["nas"]
    assert read["path"] == "here"
    assert read["identity_file"] == str(tmp_path / "key")
    assert read["known_hosts"] == str(Path.home() / "known")
    assert Path(read["ssh_config"]) == tmp_path / "/c"


# -- the way


def test_without_a_word_in_the_files(routed: Router) -> None:
    (hop,) = routed("")
    assert (hop.address, hop.port, hop.user, hop.only_those) == ("nas", 22, ME_HERE, False)
    assert hop.host.name == "nas"
    assert Path(hop.host.files[0]) == Path.home() / ".ssh/known_hosts"
    assert [Path(file).name for file in hop.identities] == ["id_ed25519", "id_ecdsa", "id_rsa"]


def test_an_alias_says_the_rest(routed: Router) -> None:
    (hop,) = routed(
        "Host nas\n  HostName NAS.lan\n  User alice\n  Port 2222\n  IdentityFile ~/.ssh/nas\n  IdentitiesOnly yes\n"
        "  UserKnownHostsFile ~/.ssh/known_nas /k2\n  GlobalKnownHostsFile none\n"
        "Host *\n  User bob\n  IdentityFile /b\n"
    )
    assert (hop.address, hop.port, hop.user, hop.only_those) == ("NAS.lan", 2222, "alice", True)
    assert [*map(Path, hop.identities)] == [Path.home() / ".ssh/nas", Path("/b")]
    assert hop.host[:2] == ("nas", "[nas.lan]:2222")
    assert [*map(Path, hop.host.files)] == [Path.home() / ".ssh/known_nas", Path("/k2")]


def test_on_windows_a_backslash_separates_folders(routed: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memferry.backends.ssh.hosts.ON_WINDOWS", True)
    (hop,) = routed(
        'Host nas\n  UserKnownHostsFile C:\\keys\\known "D:\\my keys\\known"\n  GlobalKnownHostsFile none\n'
    )
    assert hop.host.files == ("C:/keys/known", "D:/my keys/known")


def test_settings_go_before_the_files(routed: Router, tmp_path: Path) -> None:
    key, known = tmp_path / "key", tmp_path / "known"
    key.touch(), known.touch()
    text = "Host nas\n  User alice\n  Port 2222\n  IdentityFile /other\n  UserKnownHostsFile /other\n"
    (hop,) = routed(text, user="carol", port=23, identity_file=str(key), known_hosts=str(known))
    assert (hop.user, hop.port, hop.identities, hop.only_those) == ("carol", 23, (str(key),), True)
    assert hop.host.files == (str(known),)


def test_jumps(routed: Router) -> None:
    text = (
        "Host nas\n  ProxyJump one,bob@two:2200\nHost one\n  HostName 10.0.0.1\n  User alice\n  ProxyJump zero\n"
        "Host two\n  HostKeyAlias second\n  ProxyJump ignored\n"
    )
    hops = routed(text)
    assert [(hop.user, hop.address, hop.port) for hop in hops] == [
        (ME_HERE, "zero", 22),
        ("alice", "10.0.0.1", 22),
        ("bob", "two", 2200),
        (ME_HERE, "nas", 22),
    ]
    assert [hop.host.name for hop in hops] == ["zero", "10.0.0.1", "second", "nas"]


@pytest.mark.parametrize(
    ("jump", "user", "host", "port"),
    [
        ("host", ME_HERE, "host", 22),
        ("me@host:99", "me", "host", 99),
        ("ssh://me@host:99/", "me", "host", 99),
        ("me@[fe80::1]:99", "me", "fe80::1", 99),
        ("[fe80::1]", ME_HERE, "fe80::1", 22),
    ],
)
def test_how_a_jump_is_written(routed: Router, jump: str, user: str, host: str, port: int) -> None:
    hop, _ = routed(f"Host nas\n  ProxyJump {jump}\n")
    assert (hop.user, hop.address, hop.port) == (user, host, port)


def test_a_command_instead_of_a_connection(routed: Router) -> None:
    (hop,) = routed("Host nas\n  HostName nas.lan\n  Port 23\n  ProxyCommand nc %h %p\n")
    assert hop.command == "nc nas.lan 23"
    assert routed("Host nas\n  ProxyCommand none\n")[0].command is None
    assert routed("Host nas\n  ProxyJump none\n")[0].command is None
    assert [hop.command for hop in routed("Host nas\n  ProxyJump one\n  ProxyCommand nc\n")] == [None, None]


def test_include(routed: Router, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a").write_text("Host nas\n  Port 2201\n")
    (tmp_path / "more" / "b").write_text("User bob\nHost other\n  Port 3\n")
    (hop,) = routed("Include more/*\nHost nas\n  User alice\n  Port 5\nHost *\n  IdentitiesOnly yes\n")
    assert (hop.port, hop.user, hop.only_those) == (2201, "bob", True)
    (hop,) = routed("Host nas\n  Include more/b\n  Port 7\n")
    assert (hop.port, hop.user) == (7, "bob")
    (hop,) = routed("Include none/*\nPort 8\n")
    assert hop.port == 8


def test_match(routed: Router) -> None:
    (hop,) = routed(f"Match host nas\n  Port 9\nMatch localuser {ME_HERE}\n  User alice\nMatch user nobody\n  Port 1\n")
    assert (hop.port, hop.user) == (9, "alice")


@pytest.mark.parametrize(
    "text",
    [
        "Host nas\n  ProxyJump nas\n",
        "Host nas\n  ProxyJump one\nHost one\n  ProxyJump nas\n",
        "".join(f"Host {'nas' if n == 0 else f'h{n}'}\n  ProxyJump h{n + 1}\n" for n in range(20)),
        "Host nas\n  Port many\n",
        "Host nas\n  ProxyJump a@b@c:d\n",
        "Match exec true\n  Port 3\n",
        "Host 'nas\n",
        "Match\n",
        "Include config\n",
        "what is this\n\0",
    ],
)
def test_what_cannot_be_followed_is_an_error_with_a_next_step(routed: Router, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        routed(text)
    assert caught.value.hint


@given(st.text())
def test_any_file_is_a_way_or_an_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_text(text, "utf-8", "surrogatepass")
    with contextlib.suppress(ConfigError):
        route(Settings("nas", "vault", ssh_config=str(file)))


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs OpenSSH")
def test_it_is_read_as_ssh_reads_it(routed: Router, tmp_path: Path) -> None:
    """`ssh -G` is the reference."""
    texts = [
        "Host n*\n  HostName %h.lan\n  Port 2222\nHost *\n  User bob\n  Port 1\n",
        "Host !nas *\n  Port 5\nHost nas other\n  User=alice\n",
        "user first\nHost nas\nUser second\nPort = 77\n",
        "Host nas\n  HostName 10.0.0.1\nMatch originalhost nas\n  Port 99\n",
        'Host "nas"\n  IdentityFile "/a b/key"\n  IdentitiesOnly yes\n',
    ]
    for text in texts:
        (hop,) = routed(text)
        told = subprocess.run(
            ["ssh", "-G", "-F", tmp_path / "config", "nas"], capture_output=True, text=True, check=True
        ).stdout
        said = dict(line.split(" ", 1) for line in told.splitlines() if " " in line)
        assert (hop.address, str(hop.port), hop.user) == (said["hostname"], said["port"], said["user"]), text
        assert hop.only_those == (said["identitiesonly"] == "yes"), text
        if hop.only_those:
            assert hop.identities == (said["identityfile"],)
