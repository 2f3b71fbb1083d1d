"""The store over SSH, on a real server."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from memferry.backends.base import HeadSeen
from memferry.backends.ssh import sftp
from memferry.backends.ssh import tree as ssh_tree
from memferry.backends.ssh.store import SshStore
from memferry.backends.vault.backend import Vault
from memferry.errors import (
    AccessDenied,
    AlreadyExists,
    NotFound,
    PermanentError,
    QuotaExceeded,
    TargetRefused,
    TransientError,
)
from memferry.model import Identity
from tests.backends import sshd
from tests.backends.contract import BackendContract, StoreContract
from tests.backends.samples import ME, contents, puts, seal, temps_left
from tests.backends.sshd import Sshd


class TestSshStore(StoreContract):
    @pytest.fixture(autouse=True)
    def on(self, server: Sshd) -> None:
        self.server = server

    def make_store(self, tmp_path: Path) -> SshStore:
        return SshStore(self.server.settings(tmp_path / "vault"))


class TestSshVault(BackendContract):
    @pytest.fixture(autouse=True)
    def on(self, server: Sshd) -> None:
        self.server = server

    def make_backend(self, tmp_path: Path) -> Vault:
        return Vault(SshStore(self.server.settings(tmp_path / "vault"), name="vault"), ME, name="vault")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def store(server: Sshd, root: Path) -> Iterator[SshStore]:
    store = SshStore(server.settings(root), name="nas")
    yield store
    store.close()


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Sshd]:
    """A server that logs each request."""
    with sshd.running(tmp_path / "sshd", logged=True) as server:
        yield server


AS_ROOT = os.geteuid() == 0


# -- what lies there


def test_all_of_it_is_for_the_login_alone(store: SshStore, root: Path) -> None:
    store.put("a/b", b"x", if_version=None)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root, root / "a", root / "a" / "b")}
    assert modes == {"vault": 0o700, "a": 0o700, "b": 0o600}


def test_nothing_is_made_by_looking(store: SshStore, root: Path) -> None:
    assert list(store.entries()) == []
    with pytest.raises(NotFound):
        store.get("k")
    store.delete("k", if_version="1")
    assert store.gather("machines/*/head.json", ["FORMAT"], likely=["machines/a/head.json"], at_most=10) == {}
    assert store.room().free_bytes
    assert not root.exists()


def test_a_path_starts_at_the_logins_folder(server: Sshd, tmp_path: Path) -> None:
    here = os.path.relpath(tmp_path / "vault", Path.home())
    for path in (here, f"~/{here}", f"{here}/"):
        store = SshStore(server.settings()._replace(path=path))
        store.put("k", b"x", if_version=None)
        store.close()
    assert contents(tmp_path / "vault") == {"k": b"x"}


def test_folders_above_are_made_at_the_first_use_only(server: Sshd, tmp_path: Path) -> None:
    settings = server.settings(tmp_path / "disk" / "deep" / "vault")
    store = SshStore(settings, name="nas")
    with pytest.raises(TransientError, match=r"the folder above .* is not there") as caught:
        store.put("k", b"x", if_version=None)
    assert "mkdir -p" in caught.value.hint
    store.make_way()
    store.put("k", b"x", if_version=None)
    assert contents(tmp_path / "disk") == {"deep/vault/k": b"x"}
    store.close()


def test_a_root_that_vanishes_is_not_made_again(store: SshStore, root: Path) -> None:
    store.put("k", b"x", if_version=None)
    root.rename(root.with_name("elsewhere"))
    store._hang_up()
    with pytest.raises(TransientError, match="is gone"):
        store.put("l", b"x", if_version=None)
    assert not root.exists()


def test_a_root_may_be_a_link_and_nothing_below_it(store: SshStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    root.symlink_to(tmp_path / "real")
    store.put("a/k", b"x", if_version=None)
    assert contents(tmp_path / "real") == {"a/k": b"x"}


def test_links_lead_nowhere(store: SshStore, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    root.mkdir()
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    for call in (
        lambda: store.get("folder/secret"),
        lambda: store.get("file"),
        lambda: store.put("folder/new", b"x", if_version=None),
        lambda: store.put("folder/below/new", b"x", if_version=None),
        lambda: store.put("file", b"secret", if_version=None),
        lambda: store.delete("folder/secret", if_version="1"),
    ):
        with pytest.raises((TargetRefused, AlreadyExists)):
            call()
    assert [entry.key for entry in store.entries()] == ["file", "folder"]
    assert list(store.entries("folder/")) == []
    assert contents(outside) == {"secret": b"secret"}


def test_a_link_itself_can_be_deleted(store: SshStore, root: Path, tmp_path: Path) -> None:
    root.mkdir()
    (tmp_path / "target").write_bytes(b"x")
    (root / "k").symlink_to(tmp_path / "target")
    (found,) = store.entries()
    store.delete("k", if_version=found.version)
    assert list(store.entries()) == []
    assert (tmp_path / "target").exists()


def test_a_pipe_does_not_hold_us_up(store: SshStore, root: Path) -> None:
    root.mkdir()
    os.mkfifo(root / "pipe")
    with pytest.raises(TargetRefused, match="not a file"):
        store.get("pipe")
    with pytest.raises(AlreadyExists):
        store.put("pipe", b"", if_version=None)


def test_a_file_where_a_folder_should_be(store: SshStore, root: Path) -> None:
    store.put("a", b"x", if_version=None)
    for call in (lambda: store.put("a/k", b"x", if_version=None), lambda: store.get("a/k")):
        with pytest.raises(TargetRefused, match="is not a folder"):
            call()


def test_names_that_are_no_text(store: SshStore, root: Path) -> None:
    root.mkdir()
    (root / os.fsdecode(b"caf\xe9")).touch()
    (root / "caf\u00e9").touch()
    assert [os.fsencode(entry.key) for entry in store.entries()] == [b"caf\xc3\xa9", b"caf\xe9"]


def test_an_endless_listing_ends(store: SshStore, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_tree, "MAX_NAMES", 250)
    (root / "a").mkdir(parents=True)
    for number in range(1000):
        (root / "a" / str(number)).touch()
    with pytest.raises(TargetRefused, match="too many objects"):
        list(store.entries())
    with pytest.raises(TargetRefused, match="too many objects"):
        store.put("a/k", b"x", if_version=None)
    assert store.get("a/1") == b""


def test_a_long_listing(store: SshStore, root: Path) -> None:
    root.mkdir()
    for number in range(3000):
        (root / f"{number:04}").touch()
    assert [entry.key for entry in store.entries()] == [f"{number:04}" for number in range(3000)]


def test_a_tree_without_an_end(store: SshStore, root: Path) -> None:
    deep = root
    for _ in range(ssh_tree.MAX_DEPTH + 3):
        deep = deep / "a"
    deep.mkdir(parents=True)
    with pytest.raises(TargetRefused, match="too deep"):
        list(store.entries())


def test_more_than_anybody_wrote_is_not_read(store: SshStore, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_tree, "MAX_VALUE_BYTES", 1000)
    root.mkdir()
    with open(root / "endless", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TargetRefused, match="1099511627776 bytes"):
        store.get("endless")
    assert store.get("endless", at_most=3) == b"\0\0\0"


@pytest.mark.parametrize("size", [0, 1, 32_767, 32_768, 32_769, 3_000_000])
def test_values_of_any_size(store: SshStore, root: Path, server: Sshd, size: int) -> None:
    value = os.urandom(size)
    store.put("k", value, if_version=None)
    assert (root / "k").read_bytes() == value
    other = SshStore(server.settings(root))
    assert other.get("k") == value
    assert other.get("k", at_most=size // 2) == value[: size // 2]
    other.close()


# -- versions


def test_versions_are_told_apart_within_a_second_by_everybody(store: SshStore, root: Path, server: Sshd) -> None:
    other = SshStore(server.settings(root))
    seen, version = set(), None
    for turn in range(20):
        version = store.put("head", b"%d" % (turn % 2), if_version=version)
        (entry,) = other.entries()
        seen.add(entry.version)
        assert other.get("head") == b"%d" % (turn % 2)
        assert entry.version == version
    assert len(seen) == 20
    other.close()


def test_a_server_clock_that_is_far_off_does_not_matter(store: SshStore, root: Path) -> None:
    store.put("head", b"0", if_version=None)
    for time_s in (1, 2_000_000_000, 0xFFFFFFFF):
        os.utime(root / "head", (time_s, time_s))
        (entry,) = store.entries()
        version = store.put("head", b"1", if_version=entry.version)
        assert version != entry.version
        os.utime(root / "head", (time_s, time_s))
        (entry,) = store.entries()
        store.put("head", b"0", if_version=entry.version)


@pytest.mark.parametrize("size", [1, 70_000])
def test_what_was_replaced_since_one_looked_is_read_as_a_whole(
    store: SshStore, root: Path, server: Sshd, size: int
) -> None:
    """Found by B20: the size that was seen is not that of the file that is then opened."""
    store.put("head", bytes(40_000), if_version=None)
    assert store._far
    tree = store._far.tree
    found = tree.look(["head"])
    (root / "new").write_bytes(b"x" * size)
    (root / "new").rename(root / "head")
    there, value = tree.read(found, None)["head"]
    assert (there.size, value) == (size, b"x" * size)


# -- temps, and what reaches the disk


def test_temps_that_a_crash_left_are_no_entries_and_go(store: SshStore, root: Path, server: Sshd) -> None:
    store.put("machines/a/k", b"x", if_version=None)
    left = root / "machines" / "a" / ".memferry-0123456789abcdef.tmp"
    left.write_bytes(b"half")
    fresh = SshStore(server.settings(root))
    assert [entry.key for entry in fresh.entries()] == ["machines/a/k"]
    assert left.exists()
    fresh.put("machines/a/l", b"y", if_version=None)
    assert not left.exists()
    fresh.close()


@pytest.mark.parametrize("folder", ["", "keys/", "invites/", "lost+found/machines/a/"])
def test_where_several_machines_write_temps_go_when_nobody_can_be_writing_them_any_more(
    store: SshStore, root: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock of the server, whatever ours says."""
    monkeypatch.setattr("memferry.backends.ssh.store.time.time", lambda: 0.0)
    assert temps_left(store, root, folder) == {"now", "an hour ago"}


def test_a_temp_that_somebody_took_away_is_written_again(store: SshStore, root: Path) -> None:
    store.put("keys/k", b"x", if_version=None)
    writer = store._connected().writer
    _, temp, handle = writer.begin("keys/l")
    writer.fill("keys/l", handle, b"y", 1)
    Path(temp).unlink()
    with pytest.raises(TransientError, match="was removed while it was written"):
        writer.publish(temp, "keys/l", replace=False)
    store.put("keys/l", b"y", if_version=None)
    assert store.get("keys/l") == b"y"


def test_what_is_put_is_synced_before_it_has_its_name(logged: Sshd, tmp_path: Path) -> None:
    store = SshStore(logged.settings(tmp_path / "vault"))
    steps: list[list[str]] = []
    version = store.put("k", b"x", if_version=None)
    for act in (
        lambda: store.put("l", b"x", if_version=None),
        lambda: store.put("l", b"x", if_version=None),
        lambda: store.put("k", b"y", if_version=version),
        lambda: store.delete("l", if_version=next(one.version for one in store.entries("l"))),
    ):
        before = len(logged.sftp_log.read_text())
        act()
        text = logged.sftp_log.read_text()[before:]
        steps.append(
            re.findall(
                r'^(?:\S+ )*?(fsync|rename|posix-rename|remove(?= name))(?: "| name| old).*$', text, re.MULTILINE
            )
        )
    assert steps == [
        ["fsync", "rename", "fsync"],
        [
            "remove",
            "fsync",
        ],  # of a temp file that is not wanted; and a cut ago the file may have got its name and no more
        ["fsync", "posix-rename", "fsync"],
        ["remove", "fsync"],
    ]
    store.close()


def test_a_server_that_cannot_sync(tmp_path: Path, store: SshStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("k", b"x", if_version=None)
    assert store._far
    tree = store._far.tree
    tree.sftp.extensions -= {sftp.FSYNC}
    version = store.put("a/l", b"x", if_version=None)
    store.put("a/l", b"y", if_version=version)
    store.delete("k", if_version=next(one.version for one in store.entries("k")))
    assert [entry.key for entry in store.entries()] == ["a/l"]


def test_a_server_that_cannot_replace(store: SshStore) -> None:
    version = store.put("k", b"x", if_version=None)
    assert store._far
    tree = store._far.tree
    tree.sftp.extensions -= {sftp.POSIX_RENAME}
    with pytest.raises(PermanentError, match="cannot replace a file in one step") as caught:
        store.put("k", b"y", if_version=version)
    assert caught.value.hint
    assert store.get("k") == b"x"


# -- what the server refuses


@pytest.mark.skipif(AS_ROOT, reason="root may do everything")
def test_a_folder_that_is_not_ours(store: SshStore, root: Path) -> None:
    root.mkdir(mode=0o500)
    with pytest.raises(AccessDenied) as caught:
        store.put("k", b"x", if_version=None)
    assert caught.value.hint


@pytest.mark.skipif(not AS_ROOT, reason="only root can mount a small disk")
def test_a_full_disk(server: Sshd, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode()}")
    store = SshStore(server.settings(disk / "vault"), name="nas")
    try:
        store.put("small", b"x", if_version=None)
        with pytest.raises(QuotaExceeded, match="is full") as caught:
            store.put("large", bytes(5 << 20), if_version=None)
        assert "free some space" in caught.value.hint
        assert [entry.key for entry in store.entries()] == ["small"]
        assert contents(disk) == {"vault/small": b"x"}
        store.put("large", bytes(1 << 19), if_version=None)
    finally:
        store.close()
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.skipif(not AS_ROOT, reason="only root can set a file's limits for a login")
def test_a_limit_that_is_no_full_disk(tmp_path: Path) -> None:
    """A quota looks like this: there is room, and writing fails."""
    more = f"Match all\n    ForceCommand ulimit -f 64; trap '' XFSZ; exec {sshd.SFTP_SERVER}\n#"
    if sshd.SFTP_SERVER == "internal-sftp":
        pytest.skip("there is no sftp-server program to limit")
    with sshd.running(tmp_path / "sshd", more=more) as server:
        store = SshStore(server.settings(tmp_path / "vault"), name="nas")
        with pytest.raises(QuotaExceeded, match="cannot store") as caught:
            store.put("large", bytes(1 << 20), if_version=None)
        assert "quota" in caught.value.hint
        assert list(store.entries()) == []
        store.put("small", b"x", if_version=None)
        store.close()


# -- what it costs


def test_a_put_takes_three_round_trips(store: SshStore) -> None:
    version = store.put("a/k", b"x", if_version=None)
    for act in (
        lambda: store.put("a/l", bytes(1000), if_version=None),
        lambda: store.put("a/m", bytes(1_500_000), if_version=None),
        lambda: store.put("a/k", b"y", if_version=version),
    ):
        before = store.round_trips
        act()
        assert store.round_trips - before == 3


def test_a_record_is_durable_after_six_round_trips(server: Sshd, root: Path) -> None:
    store = SshStore(server.settings(root))
    vault = Vault(store, ME, name="nas")
    vault.deliver([seal(puts(1, 1))])
    before = store.round_trips
    vault.expect(vault.head_seen())
    vault.deliver([seal(puts(2, 2))])
    assert store.round_trips - before == 6
    vault.close()


def test_a_look_at_other_machines_takes_three_round_trips_however_many_there_are(server: Sshd, root: Path) -> None:
    """Of those that were met before; two more for what lies there beside."""
    machines = [f"{number:032x}" for number in range(12)]
    for number, id_ in enumerate(machines):
        writer = Vault(
            SshStore(server.settings(root)), Identity(id_, f"m{number}", "epoch", "installation"), name="nas"
        )
        writer.deliver([seal(puts(1, 3))])
        writer.close()
    met = {id_: HeadSeen(1, "0" * 64, 3) for id_ in machines}
    for known, trips in ((met, (3, 2)), ({}, (6, 3))):
        store = SshStore(server.settings(root))
        vault = Vault(store, ME, name="nas")
        vault.attest(known)
        for expected in trips:
            before = store.round_trips
            assert len(vault.machines()) == 12
            assert store.round_trips - before <= expected
        vault.close()


@pytest.mark.parametrize("likely", [(), ("b",), ("a", "b", "c", "nobody")])
def test_gather_finds_what_is_new(store: SshStore, root: Path, likely: tuple[str, ...]) -> None:
    def gathered() -> Mapping[str, bytes]:
        guesses = [f"machines/{name}/head.json" for name in likely]
        return store.gather("machines/*/head.json", ["FORMAT"], likely=guesses, at_most=10)

    store.put("FORMAT", b"f", if_version=None)
    store.put("machines/b/head.json", b"b", if_version=None)
    store.put("machines/b/other", b"", if_version=None)
    store.put("machines/c/other", b"", if_version=None)
    store.put("machines/head.json", b"", if_version=None)
    assert gathered() == {"FORMAT": b"f", "machines/b/head.json": b"b"}
    (root / "machines" / "a").mkdir()
    (root / "machines" / "a" / "head.json").write_bytes(b"0123456789abc")
    (root / "machines" / "b" / "head.json").write_bytes(b"changed")
    everything = {"FORMAT": b"f", "machines/a/head.json": b"0123456789", "machines/b/head.json": b"changed"}
    assert gathered() == everything
    (root / "machines" / "a" / "head.json").unlink()
    (root / "FORMAT").unlink()
    assert gathered() == {"machines/b/head.json": b"changed"}


@pytest.mark.parametrize("likely", [(), ("b",)])
def test_gather_takes_no_link_for_a_head(store: SshStore, root: Path, likely: tuple[str, ...]) -> None:
    store.put("machines/b/head.json", b"b", if_version=None)
    (root / "machines" / "b" / "head.json").unlink()
    (root / "machines" / "b" / "head.json").symlink_to("/etc/hostname")
    guesses = [f"machines/{name}/head.json" for name in likely]
    with pytest.raises(TargetRefused, match="is not a file"):
        store.gather("machines/*/head.json", [], likely=guesses, at_most=10)
    assert [entry.key for entry in store.entries()] == ["machines/b/head.json"], "the conversation goes on"


# -- what a doctor asks


def test_probe_tells_the_way(store: SshStore, server: Sshd) -> None:
    told = {probe.what: probe for probe in store.probe()}
    assert list(told) == ["way", "login", "SFTP", "answer", "folder"]
    assert all(probe.good for probe in told.values())
    assert told["folder"].finding == "the first push makes it"
    assert f"port {server.port}" in told["way"].finding
    assert "SHA256:" in told["login"].finding


def test_probe_tells_whether_something_can_be_written(store: SshStore, server: Sshd, root: Path) -> None:
    store.put("machines/a/head.json", b"a", if_version=None)
    *_, last = store.probe()
    assert (last.good, last.finding) == (True, f"{root}/machines can be written to")
    list(store.entries())  # what was posted before has been done by then
    assert list(root.rglob(".memferry-*")) == []
    sealed = SshStore(server.settings("/sys/kernel"), name="nas")
    *_, last = sealed.probe()
    assert not last.good
    assert "/sys/kernel" in last.finding + last.hint
    sealed.close()


def test_probe_tells_what_is_wrong(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "known").write_text("")
    store = SshStore(server.settings(known_hosts=str(tmp_path / "known")), name="nas")
    *_, last = store.probe()
    assert not last.good
    assert "is not known" in last.finding
    assert "ssh-keygen -lf" in last.hint
    store.close()
