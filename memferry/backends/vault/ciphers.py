"""How the objects of a vault are written: what a vault asks of a cipher, and the one that changes nothing.
The other one is in `sealing`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from memferry.backends import names
from memferry.backends.base import Finding, HeadSeen
from memferry.backends.encryption.members import Members
from memferry.backends.vault import head as heads
from memferry.backends.vault.head import Head
from memferry.model import Identity


class Cipher(Protocol):
    """`encryption`: as FORMAT names it. `scheme`: what the objects of a log are called. `members`: who has the keys,
    None where there are none."""

    encryption: str
    scheme: names.Scheme
    members: Members | None

    @property
    def news(self) -> Sequence[str]:
        """Where something lies if `unlock` has anything to do. TargetRefused as there."""
        ...

    def unlock(self) -> None:
        """Be able to read and write what lies in the vault now. TargetRefused if this machine may not."""
        ...

    def settle(self, me: Identity) -> None:
        """Store what a new vault needs before its FORMAT."""
        ...

    def enter(self, me: Identity) -> None:
        """Before this machine writes: see that it is known as a member."""
        ...

    def restore(self) -> None:
        """Store again what is missing of that."""
        ...

    def owns(self, key: str) -> bool:
        """Whether an object outside the logs belongs to a vault of this kind."""
        ...

    def findings(self, keys: Iterable[str]) -> Iterator[Finding]:
        """What is wrong with those. `keys`: of all objects in the vault."""
        ...

    def attest(self, peers: Mapping[str, HeadSeen]) -> None:
        """What this machine has seen of the others, for the heads that it writes."""
        ...

    def trust(self, sha256: str) -> None:
        """This machine wrote the head with this SHA-256."""
        ...

    def encrypt(self, data: bytes) -> bytes:
        """A segment as it is stored."""
        ...

    def decrypt(self, data: bytes) -> bytes:
        """A segment from what is stored. Undecryptable if it is not whole or not ours."""
        ...

    def sealed(self, head: Head) -> tuple[Head, bytes]:
        """A head as it is to be read, and as it is stored."""
        ...

    def head_json(self, data: bytes, machine: str) -> bytes:
        """A head's JSON from what is stored. Damaged if no member wrote it."""
        ...

    def head(self, data: bytes, machine: str) -> Head:
        """The head of `machine` from what is stored. Damaged if a member did not write it so."""
        ...

    def is_outdated(self, head: Head) -> bool:
        """Whether its log is to be written anew with newer keys."""
        ...

    def is_expelled(self, machine: str) -> bool:
        """Whether a machine has lost the keys: nothing that it still writes counts."""
        ...


class Plain:
    """A `Cipher` that changes nothing."""

    encryption = "none"
    scheme = names.PLAIN
    members: Members | None = None
    news: Sequence[str] = ()

    def unlock(self) -> None:
        """See `Cipher`."""

    def settle(self, me: Identity) -> None:
        """See `Cipher`."""

    def enter(self, me: Identity) -> None:
        """See `Cipher`."""

    def restore(self) -> None:
        """See `Cipher`."""

    def owns(self, key: str) -> bool:
        """See `Cipher`."""
        return False

    def findings(self, keys: Iterable[str]) -> Iterator[Finding]:
        """See `Cipher`."""
        return iter(())

    def attest(self, peers: Mapping[str, HeadSeen]) -> None:
        """See `Cipher`."""

    def trust(self, sha256: str) -> None:
        """See `Cipher`."""

    def encrypt(self, data: bytes) -> bytes:
        """See `Cipher`."""
        return data

    def decrypt(self, data: bytes) -> bytes:
        """See `Cipher`."""
        return data

    def sealed(self, head: Head) -> tuple[Head, bytes]:
        """See `Cipher`."""
        return head, heads.encode(head)

    def head_json(self, data: bytes, machine: str) -> bytes:
        """See `Cipher`."""
        return data

    def head(self, data: bytes, machine: str) -> Head:
        """See `Cipher`."""
        return heads.parse(data, machine, self.scheme)

    def is_outdated(self, head: Head) -> bool:
        """See `Cipher`."""
        return False

    def is_expelled(self, machine: str) -> bool:
        """See `Cipher`."""
        return False
