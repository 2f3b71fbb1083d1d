"""The rings that lie in an encrypted vault, whoever put them there: found, opened, stored. What to believe of them,
`members` decides.

A ring is never replaced. `keys/<n>.age` begins a generation, `keys/<n>-<label>.age` adds a member to it; what counts is
all of them together. So two machines that join at once cannot undo each other on any store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from memferry.backends import names
from memferry.backends.base import Store
from memferry.backends.encryption import age
from memferry.backends.encryption import ring as rings
from memferry.backends.encryption.age import Undecryptable
from memferry.backends.encryption.ring import Member, Ring, Unacceptable
from memferry.errors import NotFound

MAX_RING_BYTES = 4 << 20


class StoredRings:
    """Over the store of one vault."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def opened(self, key: str, identity: str) -> Ring:
        """One of them. NotFound; Undecryptable, Unacceptable: it is something else, or for others, or elsewhere."""
        found = rings.decode(age.decrypt(self._store.get(key, at_most=MAX_RING_BYTES), (identity,)))
        if found.place != key or not rings.is_sound(found):
            raise Unacceptable("is not what was put there")
        return rings.placed(found, "")

    def put(self, key: str, ring: Ring, *, if_version: str | None = None) -> None:
        """Store a ring for all who may open it. Errors as `Store.put`."""
        self._store.put(key, age.encrypt(rings.encode(rings.placed(ring, key)), ring.recipients), if_version=if_version)

    def of(self, generation: int, identity: str) -> Iterator[tuple[str, Ring]]:
        """Those of a generation that a key opens, with where they lie."""
        for key in self._keys_of(generation):
            with suppress(NotFound, Undecryptable, Unacceptable):
                yield key, self.opened(key, identity)

    def opened_by(self, identity: str) -> Iterator[Ring]:
        """All that a key opens, newest generation first."""
        generations = {names.keys_generation(entry.key) or 0 for entry in self._store.entries(names.KEYS)}
        for generation in sorted(generations, reverse=True):
            yield from (ring for _, ring in self.of(generation, identity))

    def restore(self, ring: Ring) -> None:
        """Put a generation back where it is missing or damaged."""
        versions = {entry.key: entry.version for entry in self._store.entries(names.KEYS)}
        for key in self.problems(ring):
            self.put(key, ring, if_version=versions.get(key))

    def problems(self, ring: Ring) -> dict[str, str]:
        """What is wrong with the objects of a generation, by key: changed, or removed. Also if none of them names a
        member that is known."""
        found = dict(self.of(ring.number, ring.newest.identity))
        good = [key for key, one in found.items() if _is_acceptable(ring, one)]
        there = self._keys_of(ring.number)
        problems = {key: "changed" for key in there if key not in good}
        first = names.keys_key(ring.number)
        if first not in there:
            problems[first] = "removed"
        named = {member for key in good for member in found[key].members}
        lost = [member for member in ring.members if member not in named]
        if lost and not problems:
            problems[addition(ring, lost)] = "removed"
        return problems

    def _keys_of(self, generation: int) -> list[str]:
        keys = [entry.key for entry in self._store.entries(names.KEYS)]
        return [key for key in keys if names.keys_generation(key) == generation]


def addition(ring: Ring, members: Iterable[Member]) -> str:
    """Where these members are added: the same place for the same ones, and nothing that tells who they are."""
    label = rings.mac(ring.newest, "addition", "".join(one.recipient for one in members).encode())[:16]
    return names.keys_key(ring.number, label)


def _is_acceptable(known: Ring, offered: Ring) -> bool:
    try:
        rings.accepted(known, offered)
    except Unacceptable:
        return False
    return True
