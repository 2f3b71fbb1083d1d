"""age (https://age-encryption.org/v1) by way of pyrage, the extra `age`, which is imported when it is first used.

Keys are text as `age-keygen` writes them: identities `AGE-SECRET-KEY-1...`, recipients `age1...`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING, Protocol, cast

from memferry.errors import ConfigError

if TYPE_CHECKING:
    from types import ModuleType

_NO_MATCH = "No matching keys found"
_TOO_MUCH_WORK = "Excessive work parameter"
_MEASURINGS = 20
_SCRYPT = re.compile(rb"age-encryption\.org/v1\n-> scrypt \S+ ([0-9]{1,2})\n")
_BYTES_A_STEP = 1024
"""What scrypt holds for each of its steps, as age uses it (128 r, with r = 8)."""


class Undecryptable(Exception):
    """These bytes were not made for these keys, or are not whole; the message ends the sentence that their name
    begins. `another_key`: they look whole, but are for others."""

    def __init__(self, why: str, *, another_key: bool = False) -> None:
        super().__init__(why)
        self.another_key = another_key


class TooMuchWork(Exception):
    """This computer would take too long over a passphrase, by age's own measure, or has no memory for it."""


class _Passphrase(Protocol):
    def encrypt(self, data: bytes, passphrase: str) -> bytes: ...
    def decrypt(self, data: bytes, passphrase: str) -> bytes: ...


def new_identity() -> str:
    """A new secret key."""
    return str(_pyrage().x25519.Identity.generate())


def recipient_of(identity: str) -> str:
    """The public half of a secret key. Undecryptable if it is none; the error does not quote it."""
    try:
        return str(_pyrage().x25519.Identity.from_str(identity).to_public())
    except _pyrage().IdentityError:
        raise Undecryptable("is not an age identity") from None


def encrypt(data: bytes, recipients: Collection[str]) -> bytes:
    """Encrypt to all of `recipients`, in an order that does not tell whose turn is whose."""
    pyrage = _pyrage()
    made = pyrage.encrypt(data, [pyrage.x25519.Recipient.from_str(recipient) for recipient in sorted(recipients)])
    return cast(bytes, made)


def decrypt(data: bytes, identities: Collection[str]) -> bytes:
    """Decrypt with whichever of `identities` fits. Undecryptable if none does, or a bit of `data` is not as it was."""
    pyrage = _pyrage()
    try:
        return cast(bytes, pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(one) for one in identities]))
    except pyrage.DecryptError as error:
        another_key = str(error) == _NO_MATCH
        why = "is not for the keys known here" if another_key else "cannot be decrypted: it was changed or cut off"
        raise Undecryptable(why, another_key=another_key) from None


def encrypt_with_passphrase(data: bytes, passphrase: str) -> bytes:
    """Encrypt with a passphrase (scrypt, about a second)."""
    return _by_passphrase().encrypt(data, passphrase)


def decrypt_with_passphrase(data: bytes, passphrase: str) -> bytes:
    """The other way round. Undecryptable if it is another passphrase, or `data` was changed.

    age first measures, in a few milliseconds, how fast this computer is, and refuses what took another one more than
    16 times the work of a second here. One that is busy may measure wrongly, so it is asked again: TooMuchWork where
    it stays with that.
    """
    if not _has_memory_for(data):
        raise TooMuchWork
    for _ in range(_MEASURINGS):
        try:
            return _by_passphrase().decrypt(data, passphrase)
        except _pyrage().DecryptError as error:
            if not str(error).startswith(_TOO_MUCH_WORK):
                raise Undecryptable("does not fit") from None
    raise TooMuchWork


def _has_memory_for(data: bytes) -> bool:
    """Whether what scrypt takes for a file can be had: half a gigabyte for one that was made on a fast computer. age
    ends the process where it cannot."""
    found = _SCRYPT.match(data)
    try:
        bytearray(_BYTES_A_STEP << int(found[1]) if found else 0)
    except (MemoryError, OverflowError):
        return False
    return True


def _by_passphrase() -> _Passphrase:
    return cast(_Passphrase, _pyrage().passphrase)


@cache
def _pyrage() -> ModuleType:
    try:
        import pyrage
    except ImportError as error:
        raise ConfigError("encryption needs the package pyrage", hint='pip install "memferry[age]"') from error
    return cast("ModuleType", pyrage)
