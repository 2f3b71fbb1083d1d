"""Letting a new machine into an encrypted vault: an invitation lies there, and a code that a person carries opens it.

`invites/<id>.age` holds the ring, encrypted with the code's 16 letters (80 bits) as passphrase. Who uses it leaves
`invites/<id>.taken` first, which only one can make; its content tells that machine after a crash that it was itself.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress

import msgspec

from memferry.backends import names
from memferry.backends.encryption import age
from memferry.backends.encryption import ring as rings
from memferry.backends.encryption.age import TooMuchWork, Undecryptable
from memferry.backends.encryption.members import Members
from memferry.backends.encryption.ring import Ring, Unacceptable
from memferry.backends.encryption.stored_rings import MAX_RING_BYTES
from memferry.errors import AlreadyExists, ConfigError, NotFound, TransientError

LIFETIME_S = 24 * 3600
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CODE = re.compile(r"([0-9a-f]{8})-([A-Z2-7]{4}-[A-Z2-7]{4}-[A-Z2-7]{4}-[A-Z2-7]{4})")
_NEXT = "make a new one: `memferry machines invite` on a machine that has the keys"


class _Invite(msgspec.Struct):
    """`expires`: seconds since 1970."""

    expires: float
    ring: Ring


def invite(members: Members, now: float) -> str:
    """Put an invitation into the vault and return its code. `now`: seconds since 1970."""
    ring = members.refresh()
    id_ = secrets.token_hex(4)
    letters = "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))
    content = msgspec.json.encode(_Invite(now + LIFETIME_S, ring))
    members.store.put(_key(id_), age.encrypt_with_passphrase(content, letters), if_version=None)
    return f"{id_}-{letters}"


def take(members: Members, code: str, now: float) -> Ring:
    """The ring that an invitation holds, for this machine alone from now on. ConfigError if there is no such
    invitation, or it was used, or has expired, or the code does not fit; TransientError where opening it takes more
    than this computer can do."""
    id_, letters = _parts(code)
    found = _opened(members, id_, letters)
    if now >= found.expires:
        raise ConfigError(f"the invitation {id_} has expired", hint=_NEXT)
    if any(names.keys_generation(entry.key) == found.ring.number + 1 for entry in members.store.entries(names.KEYS)):
        raise ConfigError(f"the keys of {members.name} changed since the invitation {id_}", hint=_NEXT)
    mark = rings.mac(found.ring.newest, "invitation", members.keys.recipient().encode())
    try:
        members.store.put(_taken(id_), mark.encode(), if_version=None)
    except AlreadyExists as error:
        raise ConfigError(f"the invitation {id_} was used by another machine", hint=_NEXT) from error
    return found.ring


def spend(members: Members, code: str) -> None:
    """Remove an invitation that was taken. That it was used stays known."""
    key = _key(_parts(code)[0])
    for entry in [entry for entry in members.store.entries(key) if entry.key == key]:
        members.store.delete(key, if_version=entry.version)


def withdraw_all(members: Members) -> None:
    """Remove the invitations that lie open: they hold keys that are about to be replaced."""
    for entry in list(members.store.entries(names.INVITES)):
        if names.is_invite(entry.key):
            with suppress(NotFound):
                members.store.delete(entry.key, if_version=entry.version)


def _opened(members: Members, id_: str, letters: str) -> _Invite:
    try:
        data = members.store.get(_key(id_), at_most=MAX_RING_BYTES)
        return _checked(msgspec.json.decode(age.decrypt_with_passphrase(data, letters), type=_Invite))
    except NotFound as error:
        gone = f"there is no invitation {id_} in {members.name}: it was used, or withdrawn"
        raise ConfigError(gone, hint=_NEXT) from error
    except TooMuchWork:
        slow = f"this computer is too busy, or too small, to open the invitation {id_}"
        hint = "try again when it has less to do, or use the recovery key: memferry machines join --recovery"
        raise TransientError(slow, backend=members.name, hint=hint) from None
    except (Undecryptable, Unacceptable, msgspec.DecodeError):
        wrong = f"this code does not open the invitation {id_}"
        raise ConfigError(wrong, hint="type it again as it was shown") from None


def _checked(found: _Invite) -> _Invite:
    if not rings.is_sound(found.ring):
        raise Unacceptable("is not sealed")
    return found


def _parts(code: str) -> tuple[str, str]:
    id_, _, letters = code.strip().partition("-")
    found = _CODE.fullmatch(f"{id_.lower()}-{letters.upper()}")
    if found is None:
        raise ConfigError("this is not an invitation code", hint="it looks like 1a2b3c4d-ABCD-EFGH-IJKL-MNOP")
    return found[1], found[2]


def _key(id_: str) -> str:
    return f"{names.INVITES}{id_}.age"


def _taken(id_: str) -> str:
    return f"{names.INVITES}{id_}.taken"
