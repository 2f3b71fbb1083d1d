"""Encrypted vaults, and who has their keys."""

from __future__ import annotations

from pathlib import Path

from memferry.backends.base import HeadSeen, Store
from memferry.backends.encryption.keys import Keys
from memferry.backends.encryption.members import Members
from memferry.backends.encryption.sealing import Age
from memferry.backends.vault import backend as vault
from memferry.backends.vault.backend import Vault
from memferry.backends.vault.segments import Limits
from memferry.model import Identity


def encrypted_vault(
    store: Store, me: Identity, keys: Keys, *, seen: HeadSeen | None = None, limits: Limits | None = None
) -> Vault:
    cipher = Age(Members(store, "vault", keys))
    return Vault(store, me, name="vault", seen=seen, limits=limits, cipher=cipher)


def members(store: Store, keys: Keys) -> Members:
    return Members(store, "vault", keys)


def let_in(store: Store, me: Identity, keys: Keys, by: Keys) -> None:
    """With the recovery key that `by` keeps, as quick as an invitation is slow."""
    secret = by.recovery("vault")
    assert secret
    mine = members(store, keys)
    mine.adopt(mine.recover(secret))
    mine.enrol(me)


def revoke(store: Store, me: Identity, keys: Keys, machine: Identity) -> None:
    mine = encrypted_vault(store, me, keys)
    assert mine.members
    doomed = [one for one in mine.members.refresh().members if one.machine == machine.id]
    mine.members.revoke(doomed, {log.id: log.head[:2] for log in mine.sound_logs()})


def local(store: Store, me: Identity, state: Path) -> Vault:
    """As the factories make it."""
    return vault.opened(store, {"encryption": "age"}, me, Keys(state), name="vault", encryption="none")
