"""Who has the keys of an encrypted vault: its ring, as this machine believes it, compared with what the vault holds."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from memferry.backends import names
from memferry.backends.base import Finding, Store
from memferry.backends.encryption import age
from memferry.backends.encryption import ring as rings
from memferry.backends.encryption.age import Undecryptable
from memferry.backends.encryption.keys import Keys, Pin
from memferry.backends.encryption.ring import Generation, Member, Ring, Unacceptable
from memferry.backends.encryption.stored_rings import StoredRings, addition
from memferry.errors import AlreadyExists, ConfigError, Damaged, NotFound, TargetRefused
from memferry.model import Identity

_log = logging.getLogger(__name__)


class Members:
    """Over the store of one vault. `name`: of its backend. `keys`: of this machine."""

    def __init__(self, store: Store, name: str, keys: Keys) -> None:
        self.store = store
        self._stored = StoredRings(store)
        self.name = name
        self.keys = keys
        self._ring: Ring | None = None

    def __repr__(self) -> str:
        return f"Members({self.name})"

    @property
    def ring(self) -> Ring:
        """The ring that is believed, without a look at the vault. TargetRefused while this machine has none."""
        if self._ring is None:
            pin = self.keys.pinned(self.name)
            self._ring = pin.ring if pin and pin.published else self.unlock()
        return self._ring

    @property
    def is_member(self) -> bool:
        """Whether this machine has the keys, as far as it knows without a look at the vault."""
        pin = self.keys.pinned(self.name)
        return pin is not None and pin.published

    # -- learning

    def unlock(self) -> Ring:
        """Take in the generations that began since the last look. TargetRefused if this machine has no keys of this
        vault, or none of its newest generation; Damaged if what lies there cannot be believed."""
        pin = self.keys.pinned(self.name)
        if pin is None:
            raise self._locked()
        ring = pin.ring if pin.published else self._confirmed(pin.ring)
        while (offered := self._next(ring)) is not None:
            ring = self._accepted(ring, offered, names.keys_key(ring.number + 1))
        if (updated := Pin(ring)) != pin:
            self.keys.pin(self.name, updated)
        self._ring = ring
        return ring

    def refresh(self) -> Ring:
        """The same, and whoever joined meanwhile."""
        ring = self.unlock()
        for key, offered in self._stored.of(ring.number, ring.newest.identity):
            ring = self._accepted(ring, offered, key)
        self._believe(ring)
        return ring

    def _believe(self, ring: Ring) -> None:
        self.keys.pin(self.name, Pin(ring))
        self._ring = ring

    def _next(self, ring: Ring) -> Ring | None:
        """The ring of the next generation; None: there is none."""
        key = names.keys_key(ring.number + 1)
        try:
            return self._stored.opened(key, self.keys.identity())
        except NotFound:
            return None
        except Undecryptable as error:
            if not error.another_key:
                raise self._damaged(key, str(error)) from error
        except Unacceptable as error:
            raise self._damaged(key, str(error)) from error
        return self._let_back_in(ring.number + 1)

    def _let_back_in(self, generation: int) -> Ring:
        """Not meant when the generation began: perhaps added since."""
        if ring := next(self._stored.of(generation, self.keys.identity()), None):
            return ring[1]
        raise TargetRefused(
            f"{self.name} has new keys, and this machine is not among those that have them: it was revoked",
            backend=self.name,
            key=names.keys_key(generation),
            hint="if that is not meant: `memferry machines invite` on another machine, `memferry machines join` here",
        )

    def _accepted(self, known: Ring, offered: Ring, key: str) -> Ring:
        try:
            return rings.accepted(known, offered)
        except Unacceptable as error:
            raise self._damaged(key, str(error)) from error

    # -- a new vault

    def found(self, me: Identity) -> None:
        """Make the keys of a new vault and store them: first here, then there. After a crash in between the next call
        goes on with the same keys. TargetRefused if another machine was faster."""
        pin = self.keys.pinned(self.name) or self._made(me)
        key = names.keys_key(pin.ring.number)
        try:
            self._stored.put(key, pin.ring)
        except AlreadyExists:
            self._confirmed(pin.ring)
        self._believe(pin.ring)

    def _made(self, me: Identity) -> Pin:
        recovery = age.new_identity()
        founder = Member(me.id, me.name, self.keys.recipient())
        vault, keys = secrets.token_hex(16), new_keys({})
        proof = rings.proof(recovery, vault, keys)
        ring = rings.first(vault, keys, founder, age.recipient_of(recovery), proof)
        self.keys.keep_recovery(self.name, recovery)
        pin = Pin(ring, published=False)
        self.keys.pin(self.name, pin)
        _log.warning("%s is encrypted: write its recovery key down, `memferry machines recovery` shows it", self.name)
        return pin

    def _confirmed(self, ring: Ring) -> Ring:
        """A ring that was made here, if it is the one that lies in the vault. Otherwise it was made in vain: nothing
        was ever sealed with it."""
        key = names.keys_key(ring.number)
        try:
            there = self._stored.opened(key, ring.newest.identity)
        except (NotFound, Undecryptable, Unacceptable):
            there = None
        if there is not None and there.vault == ring.vault:
            return ring
        if (pin := self.keys.pinned(self.name)) and not pin.published:
            self.keys.unpin(self.name)
            raise self._locked()
        raise self._damaged(key, "holds other keys than those known here")

    # -- who else has them

    def enrol(self, me: Identity) -> None:
        """Be a member, so that this machine gets the keys of generations to come. Changes nothing if it is one."""
        recipient = self.keys.recipient()
        if recipient not in self.ring.recipients:
            self.refresh()
            self._add((Member(me.id, me.name, recipient),))

    def _add(self, members: tuple[Member, ...]) -> None:
        ring = rings.with_members(self.ring, members)
        key = addition(ring, members)
        try:
            self._stored.put(key, ring)
        except AlreadyExists:  # a crash or a lost reply ago
            found = self._stored.opened(key, ring.newest.identity)
            self._accepted(ring, found, key)
        self._believe(ring)

    def revoke(self, doomed: Iterable[Member], began: Mapping[str, tuple[int, str]]) -> Ring:
        """Begin a new generation without some members. `began`: the newest head of every machine (`Generation`).
        AlreadyExists if somebody else began one just now."""
        ring = rings.without(self.refresh(), frozenset(doomed), new_keys(began))
        self._stored.put(names.keys_key(ring.number), ring)
        self._believe(ring)
        return self._admit_late(ring)

    def _admit_late(self, ring: Ring) -> Ring:
        """Let those in who joined the generation before while this one began. Only then: whoever was revoked still has
        its keys, and could add anybody later."""
        before = msgspec.structs.replace(ring, generations=ring.generations[:-1])
        joined = {one for _, other in self._stored.of(before.number, before.newest.identity) for one in other.members}
        if late := joined - set(ring.members) - set(ring.revoked):
            self._add(tuple(sorted(late, key=lambda member: member.recipient)))
        return self.ring

    def adopt(self, ring: Ring) -> None:
        """Believe a ring that a person vouches for: by an invitation's code, or the recovery key. TargetRefused if it
        is not of the vault that this machine knows under this name."""
        pin = self.keys.pinned(self.name)
        if pin and pin.published and not _continues(pin.ring, ring):
            raise TargetRefused(
                f"these keys are not of the vault that this machine knows as {self.name}",
                backend=self.name,
                hint=f"if that vault is given up: move {self.keys.place(self.name)} away, or rename the backend",
            )
        if pin and not pin.published:
            self.keys.unpin(self.name)
        self._believe(ring)

    def recover(self, identity: str) -> Ring:
        """The newest ring in the vault, opened with the recovery key. ConfigError if it does not open it."""
        try:
            age.recipient_of(identity)
        except Undecryptable as error:
            raise self._no_recovery_key() from error
        for ring in self._stored.opened_by(identity):
            if rings.is_sound(ring) and rings.is_vouched_for(ring, identity):
                return ring
        raise self._no_recovery_key()

    def _no_recovery_key(self) -> ConfigError:
        hint = "it begins with AGE-SECRET-KEY-1, and was shown once where the vault was made; check the path too"
        return ConfigError(f"this is not the recovery key of {self.name}", hint=hint)

    # -- what lies there

    def restore(self) -> None:
        """Put the newest keys back where they are missing or damaged."""
        self._stored.restore(self.ring)

    def findings(self, keys: Iterable[str]) -> Iterator[Finding]:
        """What is wrong with the keys in the vault. `keys`: of all its objects."""
        if not any(key.startswith(names.MACHINES) for key in keys):
            return
        try:
            problems = self._stored.problems(self.unlock())
        except Damaged as error:
            yield Finding(error.problem, "", error.key, str(error))
            return
        for key, problem in problems.items():
            yield Finding(problem, "", key, f"keys of generation {self.ring.number} were {problem}")

    # -- errors

    def _locked(self) -> TargetRefused:
        return TargetRefused(
            f"{self.name} is encrypted, and this machine has no keys of it",
            backend=self.name,
            hint=f"run `memferry machines invite --backend {self.name}` on a machine that has them, and"
            f" `memferry machines join --backend {self.name}` here; or join with the recovery key",
        )

    def _damaged(self, key: str, why: str) -> Damaged:
        return Damaged(
            "changed",
            f"{key} in {self.name} {why}",
            backend=self.name,
            key=key,
            hint="compare the fingerprints that `memferry machines` shows on each machine before you trust this vault",
        )


def new_keys(began: Mapping[str, tuple[int, str]]) -> Generation:
    """Fresh ones."""
    identity = age.new_identity()
    return Generation(identity, age.recipient_of(identity), secrets.token_hex(32), began)


def _continues(known: Ring, offered: Ring) -> bool:
    return offered.vault == known.vault and offered.generations[: known.number] == known.generations
