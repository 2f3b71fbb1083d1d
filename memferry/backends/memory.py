"""A store in memory, for tests that need many."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from memferry.backends import names
from memferry.backends.base import Entry
from memferry.errors import AlreadyExists, NotFound, VersionMismatch


class MemoryStore:
    """A `Store`. `values`: what it holds; it may be changed behind the store's back, as a disk may."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self._known: dict[str, tuple[bytes, str]] = {}
        self._next = count(1)
        self._closed = False

    def put(self, key: str, value: bytes, *, if_version: str | None) -> str:
        """See `Store`."""
        self._check(key)
        there = self._version(key)
        if there is not None and if_version != there and self.values[key] == value:
            return there
        if if_version is None and there is not None:
            raise AlreadyExists(f"{key} exists with other content", key=key)
        if if_version != there:
            raise VersionMismatch(f"{key} changed meanwhile", key=key)
        self.values[key] = value
        self._known.pop(key, None)
        return self._version(key) or ""

    def get(self, key: str, *, at_most: int | None = None) -> bytes:
        """See `Store`."""
        self._check(key)
        if key not in self.values:
            raise NotFound(f"there is no {key}", key=key)
        return self.values[key][:at_most]

    def delete(self, key: str, *, if_version: str) -> None:
        """See `Store`."""
        self._check(key)
        if self._version(key) not in (None, if_version):
            raise VersionMismatch(f"{key} changed meanwhile", key=key)
        self.values.pop(key, None)

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """See `Store`."""
        self._refuse_closed()
        found = sorted(key for key in self.values if key.startswith(prefix))
        return iter([Entry(key, self._version(key) or "", len(self.values[key])) for key in found])

    def close(self) -> None:
        """See `Store`."""
        self._closed = True

    def _version(self, key: str) -> str | None:
        """None: there is no such key."""
        value = self.values.get(key)
        if value is None:
            self._known.pop(key, None)
            return None
        if key not in self._known or self._known[key][0] is not value:
            self._known[key] = (value, str(next(self._next)))
        return self._known[key][1]

    def _check(self, key: str) -> None:
        self._refuse_closed()
        names.check_key(key)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ValueError("the store is closed")
