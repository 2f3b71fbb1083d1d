"""What every store and every backend must keep. Subclass, and say how to make one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memferry.backends.base import Backend, Readable, Store
from memferry.errors import AlreadyExists, InvalidValue, NotFound, VersionMismatch
from memferry.model import Op
from tests.backends.samples import ME, Journal, put, puts, retract, seal

BAD_KEYS = [
    "", "/", "/etc/passwd", "a//b", "a/", "../a", "a/../b", "a/./b", ".", "C:/x", "c:x", "a\\b", "a\0b", "a\nb", "con",
    "a/NUL.txt", "a.", "a ", "x" * 256, "a/" * 600 + "b", "\ud800", "a?b", ".memferry-0123456789abcdef.tmp",
]  # fmt: skip


class StoreContract:
    """Every sentence of `Store`. `make_store` may be called again for the same `tmp_path`: a second view of the
    store."""

    def make_store(self, tmp_path: Path) -> Store:
        pytest.fail("say how to make a store")

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = self.make_store(tmp_path)
        yield store
        store.close()

    # -- put

    def test_put_then_get(self, store: Store) -> None:
        store.put("a/b/c.json", b"\x00value\xff", if_version=None)
        assert store.get("a/b/c.json") == b"\x00value\xff"

    def test_an_empty_value_is_a_value(self, store: Store) -> None:
        store.put("empty", b"", if_version=None)
        assert store.get("empty") == b""

    def test_put_returns_the_version_that_entries_tell(self, store: Store) -> None:
        version = store.put("k", b"x", if_version=None)
        assert [tuple(entry) for entry in store.entries()] == [("k", version, 1)]

    def test_what_is_put_is_there_for_another_client(self, store: Store, tmp_path: Path) -> None:
        version = store.put("a/k", b"x", if_version=None)
        other = self.make_store(tmp_path)
        assert other.get("a/k") == b"x"
        assert other.put("a/k", b"y", if_version=version) != version
        other.close()
        assert store.get("a/k") == b"y"

    def test_putting_again_what_is_there_succeeds(self, store: Store) -> None:
        version = store.put("k", b"x", if_version=None)
        assert store.put("k", b"x", if_version=None) == version

    def test_putting_over_other_bytes_changes_nothing(self, store: Store) -> None:
        store.put("k", b"x", if_version=None)
        with pytest.raises(AlreadyExists):
            store.put("k", b"y", if_version=None)
        assert store.get("k") == b"x"

    def test_replace(self, store: Store) -> None:
        first = store.put("k", b"x", if_version=None)
        second = store.put("k", b"y", if_version=first)
        assert store.get("k") == b"y"
        assert second != first

    def test_a_lost_reply_to_a_replace_may_be_repeated(self, store: Store) -> None:
        first = store.put("k", b"x", if_version=None)
        second = store.put("k", b"y", if_version=first)
        again = store.put("k", b"y", if_version=first)
        assert again == second
        assert store.get("k") == b"y"

    def test_a_stale_version_changes_nothing(self, store: Store) -> None:
        first = store.put("k", b"x", if_version=None)
        store.put("k", b"y", if_version=first)
        for stale in (first, "stale"):
            with pytest.raises(VersionMismatch):
                store.put("k", b"z", if_version=stale)
        assert store.get("k") == b"y"

    def test_replacing_what_is_missing_makes_nothing(self, store: Store) -> None:
        with pytest.raises(VersionMismatch):
            store.put("k", b"x", if_version="1-1-1")
        assert list(store.entries()) == []

    def test_an_old_version_never_comes_back(self, store: Store) -> None:
        """Same bytes, same size, again and again: who has not looked since must be told."""
        versions = [store.put("k", b"0", if_version=None)]
        for turn in range(1, 60):
            versions.append(store.put("k", b"%d" % (turn % 10), if_version=versions[-1]))
        assert len(set(versions)) == len(versions)

    # -- get

    def test_get_missing(self, store: Store) -> None:
        for key in ("k", "a/k"):
            with pytest.raises(NotFound):
                store.get(key)
        store.put("a/b", b"", if_version=None)
        for key in ("a/k", "a/c/k"):
            with pytest.raises(NotFound):
                store.get(key)

    def test_get_the_beginning(self, store: Store) -> None:
        store.put("k", b"0123456789", if_version=None)
        assert store.get("k", at_most=4) == b"0123"
        assert store.get("k", at_most=0) == b""
        assert store.get("k", at_most=11) == b"0123456789"

    def test_get_the_beginning_of_what_is_missing(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.get("k", at_most=4)

    # -- delete

    def test_delete(self, store: Store) -> None:
        version = store.put("a/k", b"x", if_version=None)
        store.delete("a/k", if_version=version)
        assert list(store.entries()) == []
        with pytest.raises(NotFound):
            store.get("a/k")

    def test_delete_missing(self, store: Store) -> None:
        store.delete("k", if_version="1-1-1")
        store.delete("a/k", if_version="1-1-1")
        version = store.put("k", b"x", if_version=None)
        store.delete("k", if_version=version)
        store.delete("k", if_version=version)

    def test_delete_with_a_stale_version_changes_nothing(self, store: Store) -> None:
        first = store.put("k", b"x", if_version=None)
        store.put("k", b"y", if_version=first)
        with pytest.raises(VersionMismatch):
            store.delete("k", if_version=first)
        assert store.get("k") == b"y"

    def test_what_was_deleted_may_be_put_again(self, store: Store) -> None:
        version = store.put("k", b"x", if_version=None)
        store.delete("k", if_version=version)
        assert store.put("k", b"x", if_version=None) != version

    # -- entries

    def test_entries_missing(self, store: Store) -> None:
        assert list(store.entries()) == []
        assert list(store.entries("nothing/")) == []

    def test_entries_are_sorted_by_whole_keys(self, store: Store) -> None:
        keys = ["a/b", "a.b", "a/b.c", "a0", "B", "a/b/c" + "d", "a-b/c", "z"]
        keys[5] = "a/bb/c"
        for key in keys:
            store.put(key, key.encode(), if_version=None)
        assert [entry.key for entry in store.entries()] == sorted(keys)
        assert [entry.size_bytes for entry in store.entries()] == [len(key) for key in sorted(keys)]

    def test_entries_by_prefix(self, store: Store) -> None:
        for key in ("a/b/1", "a/b/2", "a/bc", "ab", "b"):
            store.put(key, b"", if_version=None)
        found = {prefix: [entry.key for entry in store.entries(prefix)] for prefix in ("a/", "a/b", "a/b/", "a", "c")}
        assert found == {
            "a/": ["a/b/1", "a/b/2", "a/bc"],
            "a/b": ["a/b/1", "a/b/2", "a/bc"],
            "a/b/": ["a/b/1", "a/b/2"],
            "a": ["a/b/1", "a/b/2", "a/bc", "ab"],
            "c": [],
        }

    # -- keys, close

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_bad_keys_are_refused_by_every_method(self, store: Store, key: str) -> None:
        with pytest.raises(InvalidValue):
            store.put(key, b"x", if_version=None)
        with pytest.raises(InvalidValue):
            store.get(key)
        with pytest.raises(InvalidValue):
            store.delete(key, if_version="1-1-1")
        assert list(store.entries()) == []

    def test_calls_after_close_are_errors(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.close()
        with pytest.raises(ValueError, match="closed"):
            store.put("k", b"x", if_version=None)
        with pytest.raises(ValueError, match="closed"):
            store.get("k")
        with pytest.raises(ValueError, match="closed"):
            store.delete("k", if_version="1")
        with pytest.raises(ValueError, match="closed"):
            store.entries()


class BackendContract:
    """Every sentence of `Backend`, observed through `Readable`."""

    def make_backend(self, tmp_path: Path) -> Backend:
        pytest.fail("say how to make a backend")

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[Backend]:
        backend = self.make_backend(tmp_path)
        yield backend
        backend.close()

    def test_it_has_the_name_it_was_given(self, backend: Backend) -> None:
        assert backend.name == "vault"

    def test_what_is_delivered_is_held(self, backend: Backend) -> None:
        receipt = backend.deliver([seal(puts(1, 3)), seal(puts(4, 4))])
        assert receipt == (4, {})
        assert held(backend) == puts(1, 4)

    def test_delivering_again_changes_nothing(self, backend: Backend) -> None:
        batch = [seal(puts(1, 3)), seal(puts(4, 9))]
        first = backend.deliver(batch)
        before = logs(backend)
        assert backend.deliver(batch) == first
        assert backend.deliver(batch[:1]).through == 3
        assert held(backend) == puts(1, 9)
        assert logs(backend) == before

    def test_batches_may_overlap(self, backend: Backend) -> None:
        backend.deliver([seal(puts(1, 5))])
        backend.deliver([seal(puts(3, 8))])
        assert held(backend) == puts(1, 8)

    def test_what_is_missing_in_the_middle_is_taken_later(self, backend: Backend) -> None:
        """An operation that was refused once is delivered alone, when others behind it are long held."""
        whole = puts(1, 9)
        backend.deliver([seal([op for op in whole if op.seq not in (2, 5, 9)])])
        backend.deliver([seal(puts(10, 12))])
        for seq in (5, 2, 9):
            backend.deliver([seal([put(seq)])])
        assert held(backend) == puts(1, 12)

    def test_a_retraction_withdraws(self, backend: Backend) -> None:
        backend.deliver([seal(puts(1, 9))])
        backend.deliver([seal([retract(10, 2, 9)])])
        assert held(backend) == [op for op in puts(1, 8) if op.seq != 2] + [retract(10, 2, 9)]

    def test_a_retraction_in_the_same_batch_withdraws(self, backend: Backend) -> None:
        backend.deliver([seal(puts(1, 3)), seal([*puts(4, 5), retract(6, 1, 5)])])
        assert held(backend) == [*puts(2, 4), retract(6, 1, 5)]

    def test_a_retraction_of_another_machine_withdraws_nothing_here(self, backend: Backend) -> None:
        foreign = retract(4, 1, 2, machine="c" * 32)
        backend.deliver([seal([*puts(1, 3), foreign])])
        assert held(backend) == [*puts(1, 3), foreign]

    def test_everything_may_be_withdrawn(self, backend: Backend) -> None:
        journal = Journal([seal(puts(1, 3))])
        backend.deliver(journal.rows)
        backend.deliver([seal([retract(4, 1, 2, 3)])])
        assert held(backend) == [retract(4, 1, 2, 3)]

    def test_capacity(self, backend: Backend) -> None:
        before = backend.capacity()
        assert before.used_bytes == 0
        backend.deliver([seal(puts(1, 3))])
        used, free, total, _ = backend.capacity()
        assert used is not None
        assert used > 0
        assert free is None or total is None or 0 < free <= total

    def test_close(self, tmp_path: Path) -> None:
        backend = self.make_backend(tmp_path)
        backend.close()
        with pytest.raises(ValueError, match="closed"):
            backend.deliver([seal(puts(1, 1))])
        with pytest.raises(ValueError, match="closed"):
            backend.capacity()


def held(backend: Backend, machine: str = ME.id) -> list[Op]:
    assert isinstance(backend, Readable)
    return list(backend.read(machine))


def logs(backend: Backend) -> list[object]:
    assert isinstance(backend, Readable)
    return list(backend.machines())
