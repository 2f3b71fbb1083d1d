"""The cipher of an encrypted vault: age, and heads that are sealed with a MAC.

Segments need no MAC of their own: their head lists them by size and SHA-256 (docs/adr/0006-encryption.md).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from memferry.backends import names
from memferry.backends.base import Finding, HeadSeen
from memferry.backends.encryption import age
from memferry.backends.encryption import ring as rings
from memferry.backends.encryption.age import Undecryptable
from memferry.backends.encryption.members import Members
from memferry.backends.encryption.ring import Generation
from memferry.backends.vault import head as heads
from memferry.backends.vault.head import Head
from memferry.errors import Damaged
from memferry.model import Identity

_MAC = re.compile(rb'"mac":"[0-9a-f]{64}"')
_NO_MAC = b'"mac":null'


class Age:
    """A `Cipher` with the keys of a ring. `members`: where it comes from."""

    encryption = "age"
    scheme = names.AGE

    def __init__(self, members: Members) -> None:
        self._keys = members
        self.members: Members | None = members
        self._peers: Mapping[str, HeadSeen] = {}
        self._mine: frozenset[str] = frozenset()

    @property
    def news(self) -> Sequence[str]:
        """See `Cipher`. Without keys any vault is news: it has to let this machine in."""
        return (names.keys_key(self._keys.ring.number + 1) if self._keys.is_member else names.FORMAT_KEY,)

    def unlock(self) -> None:
        """See `Cipher`."""
        self._keys.unlock()

    def settle(self, me: Identity) -> None:
        """See `Cipher`."""
        self._keys.found(me)

    def enter(self, me: Identity) -> None:
        """See `Cipher`."""
        self._keys.enrol(me)

    def restore(self) -> None:
        """See `Cipher`."""
        self._keys.restore()

    def owns(self, key: str) -> bool:
        """See `Cipher`."""
        return names.keys_generation(key) is not None or names.is_invite(key)

    def findings(self, keys: Iterable[str]) -> Iterator[Finding]:
        """See `Cipher`."""
        return self._keys.findings(keys)

    def attest(self, peers: Mapping[str, HeadSeen]) -> None:
        """See `Cipher`."""
        self._peers = peers

    def trust(self, sha256: str) -> None:
        """See `Cipher`."""
        self._mine |= {sha256}

    def encrypt(self, data: bytes) -> bytes:
        """See `Cipher`."""
        return age.encrypt(data, (self._keys.ring.newest.recipient,))

    def decrypt(self, data: bytes) -> bytes:
        """See `Cipher`."""
        return age.decrypt(data, [keys.identity for keys in reversed(self._keys.ring.generations)])

    def sealed(self, head: Head) -> tuple[Head, bytes]:
        """See `Cipher`."""
        ring = self._keys.ring
        witness = {machine: (seen.sequence, seen.sha256) for machine, seen in sorted(self._peers.items())}
        witness.pop(head.machine, None)
        bare = msgspec.structs.replace(head, mac=None, generation=ring.number, witness=witness)
        mac = rings.mac(ring.newest, "head", heads.encode(bare))
        whole = msgspec.structs.replace(bare, mac=mac)
        return whole, self.encrypt(heads.encode(whole))

    def head(self, data: bytes, machine: str) -> Head:
        """See `Cipher`. The MAC is compared before anything else is read."""
        key = self.scheme.head_key(machine)
        plain, number = self._proved(data, key)
        head = heads.parse(plain, machine, self.scheme)
        if head.generation != number:
            raise Damaged("changed", f"{key} names other keys than those it is sealed with", key=key)
        if self._is_too_late(head, number, sha256 := heads.sha256(data)) and sha256 not in self._mine:
            why = f"is sealed with keys that were taken back before it was written: `memferry push` on {head.name}"
            raise Damaged("changed", f"{key} {why}", key=key)
        return head

    def head_json(self, data: bytes, machine: str) -> bytes:
        """See `Cipher`."""
        return self._proved(data, self.scheme.head_key(machine))[0]

    def _proved(self, data: bytes, key: str) -> tuple[bytes, int]:
        """A head's JSON, and the number of the generation whose keys sealed it."""
        plain = self._opened(data, key)
        for number, keys in enumerate(self._keys.ring.generations, 1):
            if _fits(plain, keys):
                return plain, number
        raise Damaged("changed", f"{key} is not sealed by a member", key=key)

    def _opened(self, data: bytes, key: str) -> bytes:
        """Decrypted; a generation that began a moment ago is learned of."""
        try:
            return self.decrypt(data)
        except Undecryptable as error:
            if error.another_key:
                self._keys.unlock()
        try:
            return self.decrypt(data)
        except Undecryptable as error:
            raise Damaged("changed", f"{key} {error}", key=key) from error

    def _is_too_late(self, head: Head, number: int, sha256: str) -> bool:
        """Whether it came after the keys of its generation ceased to count."""
        ring = self._keys.ring
        if number == ring.number:
            return False
        sequence, last = ring.generations[number].began.get(head.machine, (0, ""))
        return head.sequence > sequence or (head.sequence == sequence and sha256 != last)

    def is_outdated(self, head: Head) -> bool:
        """See `Cipher`."""
        return head.generation != self._keys.ring.number

    def is_expelled(self, machine: str) -> bool:
        """See `Cipher`."""
        ring = self._keys.ring
        return machine in {one.machine for one in ring.revoked} - {one.machine for one in ring.members}


def _fits(plain: bytes, keys: Generation) -> bool:
    """Whether a head carries the MAC of these keys: over its bytes with `null` in its place."""
    found = _MAC.findall(plain)
    if len(found) != 1:
        return False
    expected = rings.mac(keys, "head", plain.replace(found[0], _NO_MAC))
    return hmac.compare_digest(found[0], b'"mac":"%s"' % expected.encode())
