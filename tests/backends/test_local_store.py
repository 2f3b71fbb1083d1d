from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from memferry import durable
from memferry.backends.local import LocalStore, open_backend
from memferry.backends.memory import MemoryStore
from memferry.errors import (
    AccessDenied,
    AlreadyExists,
    BackendError,
    ConfigError,
    InvalidValue,
    NotFound,
    QuotaExceeded,
    TargetRefused,
    TransientError,
)
from tests.backends.contract import StoreContract
from tests.backends.samples import KEYS, ME, contents, entry, puts, seal, temps_left

POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has neither modes nor descriptors of folders")


class TestMemoryStore(StoreContract):
    """The store that other tests stand on. A second view of it is the same one, unless that was closed."""

    stores: ClassVar[dict[Path, MemoryStore]] = {}

    def make_store(self, tmp_path: Path) -> MemoryStore:
        shared = self.stores.setdefault(tmp_path, MemoryStore())
        view = MemoryStore()
        view.__dict__ |= shared.__dict__
        return view


class TestLocalStore(StoreContract):
    def make_store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(tmp_path / "vault")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "vault", name="backup")


# -- the root


@POSIX
def test_the_root_and_all_in_it_are_for_the_user_alone(store: LocalStore, tmp_path: Path, careless: None) -> None:
    store.put("a/b", b"x", if_version=None)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("vault", "vault/a", "vault/a/b")}
    assert modes == {"vault": 0o700, "vault/a": 0o700, "vault/a/b": 0o600}


def test_nothing_is_made_by_looking(store: LocalStore, tmp_path: Path) -> None:
    assert list(store.entries()) == []
    with pytest.raises(NotFound):
        store.get("k")
    store.delete("k", if_version="1")
    assert store.room().free_bytes
    assert not (tmp_path / "vault").exists()


def test_a_missing_folder_above_looks_like_an_unmounted_disk(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "disk" / "vault", name="backup")
    for call in (
        lambda: store.put("k", b"x", if_version=None),
        lambda: store.get("k"),
        lambda: store.delete("k", if_version="1"),
        lambda: list(store.entries()),
        store.room,
    ):
        with pytest.raises(TransientError, match="disk is not there") as caught:
            call()
        assert "mount" in caught.value.hint
    assert not (tmp_path / "disk").exists()


def test_a_root_that_vanishes_is_not_made_again(store: LocalStore, tmp_path: Path) -> None:
    """The empty mount point of a disk that was pulled must not fill up."""
    store.put("k", b"x", if_version=None)
    (tmp_path / "vault").rename(tmp_path / "elsewhere")
    with pytest.raises(TransientError, match="is gone"):
        store.put("l", b"x", if_version=None)
    assert not (tmp_path / "vault").exists()


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "vault").write_bytes(b"")
    with pytest.raises(TargetRefused, match="vault"):
        LocalStore(tmp_path / "vault").put("k", b"x", if_version=None)


# -- links and other things


@POSIX
def test_links_lead_nowhere(store: LocalStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    store.put("k", b"x", if_version=None)
    root = tmp_path / "vault"
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    for call in (
        lambda: store.get("folder/secret"),
        lambda: store.get("file"),
        lambda: store.put("folder/new", b"x", if_version=None),
        lambda: store.put("file", b"secret", if_version=None),
        lambda: store.delete("folder/secret", if_version="1"),
    ):
        with pytest.raises((TargetRefused, AlreadyExists)):
            call()
    assert [one.key for one in store.entries()] == ["file", "folder", "k"]
    assert contents(outside) == {"secret": b"secret"}


@POSIX
def test_a_link_itself_can_be_deleted(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "vault" / "k").symlink_to(tmp_path / "target")
    found = entry(store, "k")
    assert found
    store.delete("k", if_version=found.version)
    assert list(store.entries()) == []
    assert (tmp_path / "target").exists()


@POSIX
def test_a_pipe_does_not_hold_us_up(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    os.mkfifo(tmp_path / "vault" / "pipe")
    with pytest.raises(TargetRefused):
        store.get("pipe")


@POSIX
def test_a_folder_swapped_for_a_link_while_we_write(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is held open by then: the file lands in it, wherever the name leads now."""
    outside = tmp_path / "outside"
    outside.mkdir()
    store.put("a/k", b"x", if_version=None)
    real = os.fsync

    def swap(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", real)
        (tmp_path / "vault" / "a").rename(tmp_path / "moved")
        (tmp_path / "vault" / "a").symlink_to(outside)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", swap)
    store.put("a/l", b"y", if_version=None)
    assert contents(outside) == {}
    assert contents(tmp_path / "moved") == {"k": b"x", "l": b"y"}


@POSIX
def test_the_file_systems_own_lost_and_found_is_passed_over(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("k", b"x", if_version=None)
    (tmp_path / "vault" / "lost+found").mkdir()
    real = os.open

    def deny(path: str, flags: int, *more: int, **where: int) -> int:
        if path == "lost+found":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, flags, *more, **where)

    monkeypatch.setattr(os, "open", deny)
    assert [one.key for one in store.entries()] == ["k"]


# -- temps


def test_temps_that_a_crash_left_are_no_entries_and_go(store: LocalStore, tmp_path: Path) -> None:
    store.put("machines/a/k", b"x", if_version=None)
    left = tmp_path / "vault" / "machines" / "a" / ".memferry-0123456789abcdef.tmp"
    left.write_bytes(b"half")
    fresh = LocalStore(tmp_path / "vault")
    assert [one.key for one in fresh.entries()] == ["machines/a/k"]
    assert left.exists()
    fresh.put("machines/a/l", b"y", if_version=None)
    assert not left.exists()


@pytest.mark.parametrize("folder", ["", "keys/", "invites/", "lost+found/machines/a/"])
def test_where_several_machines_write_temps_go_when_nobody_can_be_writing_them_any_more(
    tmp_path: Path, folder: str
) -> None:
    assert temps_left(LocalStore(tmp_path / "vault"), tmp_path / "vault", folder) == {"now", "an hour ago"}


# -- failures of the disk


class Disk:
    """Fails one call of an `os` function, and counts the calls that each descriptor's fsync got."""

    def __init__(self, patch: pytest.MonkeyPatch, function: str, at: int, code: int) -> None:
        self.calls = 0
        self.synced: list[int] = []
        self.failed_descriptor: int | None = None
        real: Callable[..., object] = getattr(os, function)

        def call(*args: object, **where: object) -> object:
            self.calls += 1
            if function == "fsync":
                assert args[0] != self.failed_descriptor, "synced again after a failure"
            if self.calls == at:
                if function == "fsync" and isinstance(args[0], int):
                    self.failed_descriptor = args[0]
                raise OSError(code, os.strerror(code))
            if function == "open" and self.failed_descriptor is not None:
                self.failed_descriptor = None
            return real(*args, **where)

        patch.setattr(os, function, call)


@POSIX
@pytest.mark.parametrize("function", ["open", "fsync", "link", "unlink", "replace", "mkdir", "utime"])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, QuotaExceeded),
        (errno.EDQUOT, QuotaExceeded),
        (errno.EROFS, AccessDenied),
        (errno.EIO, TransientError),
        (errno.ENAMETOOLONG, InvalidValue),
    ],
)
def test_a_failing_disk_leaves_the_old_value_or_the_new_one(
    tmp_path: Path, function: str, code: int, kind: type[BackendError]
) -> None:
    at = 0
    failures: list[BackendError] = []
    while True:
        at += 1
        root = tmp_path / str(at)
        store = LocalStore(root)
        old = store.put("old", b"old", if_version=None)
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, function, at, code)
            try:
                store.put("new/k", b"new", if_version=None)
                store.put("old", b"replaced", if_version=old)
            except BackendError as error:
                failures.append(error)
            if disk.calls < at:
                break
        assert contents(root).get("new/k", b"new") == b"new"
        assert store.get("old") in (b"old", b"replaced")
        fresh = LocalStore(root)  # space has returned: a plain repetition does it
        fresh.put("new/k", b"new", if_version=None)
        found = entry(fresh, "old")
        assert found
        fresh.put("old", b"replaced", if_version=found.version)
        assert contents(root) == {"new/k": b"new", "old": b"replaced"}
    assert {type(error) for error in failures} == {kind}
    assert all(str(tmp_path) in error.hint for error in failures)


@POSIX
def test_a_full_write_is_reported(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`/dev/full` as the temp file: the error comes with the flush, not with the write."""
    store.put("k", b"x", if_version=None)
    real = os.open

    def full(path: str, flags: int, *more: int, **where: int) -> int:
        return (
            real("/dev/full", os.O_WRONLY) if str(path).startswith(".memferry-") else real(path, flags, *more, **where)
        )

    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    monkeypatch.setattr(os, "open", full)
    with pytest.raises(QuotaExceeded, match="No space left"):
        store.put("l", b"x" * 100_000, if_version=None)
    assert [one.key for one in store.entries()] == ["k"]


@POSIX
def test_a_disk_without_hard_links(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **where: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    store.put("k", b"x", if_version=None)
    with pytest.raises(AlreadyExists):
        store.put("k", b"y", if_version=None)
    assert store.put("k", b"x", if_version=None)
    assert [one.key for one in store.entries()] == ["k"]


@POSIX
def test_what_is_put_is_synced_before_it_has_its_name(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def watch(function: str) -> None:
        real: Callable[..., object] = getattr(os, function)

        def call(*args: object, **where: object) -> object:
            of = ""
            if function == "fsync" and isinstance(args[0], int):
                of = " folder" if stat.S_ISDIR(os.fstat(args[0]).st_mode) else " file"
            steps.append(function + of)
            return real(*args, **where)

        monkeypatch.setattr(os, function, call)

    for function in ("fsync", "link", "replace", "unlink"):
        watch(function)
    version = store.put("k", b"x", if_version=None)
    assert steps == ["fsync folder", "fsync file", "link", "unlink", "fsync folder"]
    steps.clear()
    store.put("k", b"x", if_version=None)  # a crash ago it may have got its name and no more
    assert steps == ["fsync folder"]
    steps.clear()
    version = store.put("k", b"y", if_version=version)
    assert steps == ["fsync file", "replace", "fsync folder"]
    steps.clear()
    store.delete("k", if_version=version)
    assert steps == ["unlink", "fsync folder"]


@POSIX
def test_what_a_crash_left_unsynced_is_synced_by_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It made the folders, and came no further."""
    vault = tmp_path / "disk/vault"
    (vault / "a/b").mkdir(parents=True)
    synced: list[Path] = []
    real = durable.Folder.sync
    monkeypatch.setattr(durable.Folder, "sync", lambda folder: synced.append(folder.path) or real(folder))
    store = LocalStore(vault)
    for key in ("a/b/k", "a/b/l"):
        store.put(key, b"x", if_version=None)
    assert synced == [vault.parent, vault, vault / "a", vault / "a/b", vault / "a/b"]
    synced.clear()
    LocalStore(tmp_path / "usb/deep/vault").make_way()
    assert synced == [tmp_path, tmp_path / "usb"]


def test_write_durably(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    durable.write_durably(path, b"one")
    durable.write_durably(path, b"two")
    assert contents(tmp_path) == {"settings": b"two"}
    with pytest.raises(TransientError, match="missing"):
        durable.write_durably(tmp_path / "missing" / "settings", b"x")


def held(path: Path) -> PermissionError:
    error = PermissionError(errno.EACCES, "Access is denied", str(path))
    error.winerror = 5  # type: ignore[attr-defined,unused-ignore]
    return error


def test_on_windows_a_file_that_somebody_has_open_is_replaced_when_he_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings"
    path.write_bytes(b"one")
    real, refusals = os.replace, 2

    def replace(*names: Any, **how: Any) -> None:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise held(path)
        real(*names, **how)

    monkeypatch.setattr(os, "replace", replace)
    durable.write_durably(path, b"two")
    assert path.read_bytes() == b"two"


@pytest.mark.parametrize(("mode", "kind"), [(0o600, TransientError), (0o400, AccessDenied)])
def test_one_that_stays_open_is_tried_later_but_a_file_that_may_only_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, kind: type[Exception]
) -> None:
    def replace(*names: Any, **how: Any) -> None:
        raise held(path)

    path = tmp_path / "settings"
    path.write_bytes(b"one")
    path.chmod(mode)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(durable, "PATIENCE_S", 0.01)
    with pytest.raises(kind):
        durable.write_durably(path, b"two")
    assert path.read_bytes() == b"one"


def test_what_was_written_while_it_was_held_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was to be written was made of what is not there any more."""

    def replace(*names: Any, **how: Any) -> None:
        path.write_bytes(path.read_bytes() + b"+")
        raise held(path)

    path = tmp_path / "settings"
    path.write_bytes(b"one")
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(TransientError, match="settings"):
        durable.write_durably(path, b"two")
    assert path.read_bytes() == b"one++"


# -- settings


def test_open_backend(tmp_path: Path) -> None:
    vault = open_backend("backup", {"path": str(tmp_path / "vault")}, ME, KEYS)
    assert vault.name == "backup"
    assert vault.deliver([seal(puts(1, 2))]).through == 2
    assert (tmp_path / "vault" / "FORMAT").exists()


@pytest.mark.parametrize(
    "settings", [{}, {"path": 3}, {"path": ""}, {"path": "relative"}, {"path": "/x", "paht": "/y"}]
)
def test_settings_that_are_wrong(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="backup") as caught:
        open_backend("backup", settings, ME, KEYS)
    assert caught.value.hint


@pytest.fixture(autouse=True)
def no_temps_remain(tmp_path: Path) -> Iterator[None]:
    yield
    assert [path for path in tmp_path.rglob(".memferry-*") if durable.is_temp(path.name)] == []
