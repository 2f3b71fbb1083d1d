"""B35: a server that changes, swaps, cuts, replays, hides and guesses, over a vault that is encrypted."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable, Iterator, Mapping

from memferry.backends.base import HeadSeen
from memferry.backends.encryption import age
from memferry.backends.encryption.keys import Keys
from memferry.backends.encryption.members import Members
from memferry.backends.encryption.sealing import Age
from memferry.backends.memory import MemoryStore
from memferry.backends.vault.backend import Vault
from memferry.backends.vault.segments import Limits
from memferry.errors import BackendError, TargetRefused
from memferry.model import Identity, Op
from tests.backends.samples import puts, seal
from tests.faults.bar import Trial, bar

MACHINES = (
    Identity("a" * 32, "laptop-of-alice", "epoch-a", "installation-a"),
    Identity("b" * 32, "desktop-of-alice", "epoch-b", "installation-b"),
)
STRANGER = Identity("c" * 32, "phone-of-alice", "epoch-c", "installation-c")
CANARIES = (b"remember number", b"log.jsonl", b"notes", b"of-alice", b"epoch-", b"installation-")
HASHES = ("sha256", "sha1", "md5", "blake2b")
STEP = 6


class Vaults:
    """Two machines' logs in one vault, and each state that it ever had: `history`, with what was in it."""

    def __init__(self, trial: Trial, steps: int) -> None:
        self.store = MemoryStore()
        self.keys = {me.id: Keys(trial.base / me.name) for me in (*MACHINES, STRANGER)}
        self.seen: dict[str, HeadSeen] = {}
        self.history: list[tuple[dict[str, bytes], dict[str, HeadSeen]]] = []
        for step in range(steps):
            for me in MACHINES:
                self.deliver(me, STEP * step + 1)
        self.let_in(STRANGER)
        self.truth = dict(self.store.values)
        self.ops = {me.id: list(self.vault(me).read(me.id)) for me in MACHINES}

    def vault(self, me: Identity) -> Vault:
        cipher = Age(Members(self.store, "vault", self.keys[me.id]))
        limits = Limits(target_bytes=2000, small_bytes=500)
        vault = Vault(self.store, me, name="vault", seen=self.seen.get(me.id), limits=limits, cipher=cipher)
        vault.attest(self.seen)
        return vault

    def deliver(self, me: Identity, first: int) -> None:
        if self.seen:
            self.let_in(me)
        vault = self.vault(me)
        vault.deliver([seal(puts(first, first + STEP - 1))])
        head = vault.head_seen()
        assert head
        self.seen[me.id] = head
        self.history.append((dict(self.store.values), dict(self.seen)))

    def let_in(self, me: Identity) -> None:
        mine = Members(self.store, "vault", self.keys[me.id])
        if not mine.is_member:
            secret = self.keys[MACHINES[0].id].recovery("vault")
            assert secret
            mine.adopt(mine.recover(secret))
            mine.enrol(me)

    def named(self) -> list[str]:
        """What `verify` says of the vault as it lies there now."""
        try:
            return [finding.problem for finding in self.vault(STRANGER).verify(self.seen)]
        except TargetRefused as error:
            return [str(error)]

    def is_harmless(self) -> bool:
        """Whether nothing but files that say who joined differ: where `verify` is content, others say the same."""
        keys = self.truth.keys() | self.store.values.keys()
        changed = [key for key in keys if self.truth.get(key) != self.store.values.get(key)]
        return all(key.startswith("keys/1-") for key in changed)

    def merged(self) -> Mapping[str, list[Op]]:
        """What a machine would take in, log by log; nothing where the vault is refused."""
        vault = self.vault(STRANGER)
        found: dict[str, list[Op]] = {}
        try:
            for log in vault.machines():
                before = self.seen.get(log.id)
                if before and (log.head.sequence < before.sequence or log.head == before._replace(sha256="")):
                    raise TargetRefused("older than seen")
                found[log.id] = []
                for op in vault.read(log.id):
                    found[log.id].append(op)
        except BackendError:
            pass
        return found

    def is_true(self, merged: Mapping[str, list[Op]]) -> bool:
        """Nothing but what was written, in its order."""
        return all(self.ops.get(machine, [])[: len(ops)] == ops for machine, ops in merged.items())


@bar("B35", "a server tampers, rolls back, forks and guesses")
def tampering(trial: Trial) -> None:
    chance = random.Random(trial.seed)
    vaults = Vaults(trial, trial.pick(6, 51))
    _tampered(trial, vaults, chance)
    _rolled_back(trial, vaults)
    _hidden_from_a_newcomer(trial, vaults)
    _searched(trial, vaults)
    _guessed(trial, vaults)
    _never_twice(trial, vaults)
    _wrong_key(trial, vaults)


def _tampered(trial: Trial, vaults: Vaults, chance: random.Random) -> None:
    older = [values for values, _ in vaults.history[:-1]]
    for number in range(trial.pick(300, 10_000)):
        vaults.store.values = dict(vaults.truth)
        what = _tamper(vaults.store.values, older, chance)
        trial.result.n += 1
        trial.result.expect(vaults.named() or vaults.is_harmless(), f"trial {number}: {what} was not named")
        trial.result.torn += not vaults.is_true(vaults.merged())
    vaults.store.values = dict(vaults.truth)
    trial.result.expect(not vaults.named(), "the vault as it was is called damaged")


def _tamper(values: dict[str, bytes], older: list[dict[str, bytes]], chance: random.Random) -> str:
    """Change the objects of a vault in one way; returns it in words."""
    key = chance.choice(list(values))
    data = values[key]
    other = chance.choice([other for other in values if values[other] != data])
    past = [snapshot[key] for snapshot in older if key in snapshot and snapshot[key] != data]
    match chance.choice(["flip", "cut", "swap", "copy", "grow", "remove", "replay"]):
        case "flip":
            at, bit = chance.randrange(len(data)), chance.randrange(8)
            values[key] = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            return f"bit {bit} of byte {at} of {key} flipped"
        case "cut":
            values[key] = data[: chance.randrange(len(data))]
            return f"{key} cut to {len(values[key])} bytes"
        case "swap":
            values[key], values[other] = values[other], data
            return f"{key} and {other} swapped"
        case "copy":
            values[key] = values[other]
            return f"{other} copied over {key}"
        case "grow":
            values[key] += chance.randbytes(chance.randrange(1, 40))
            return f"{key} grown"
        case "replay" if past:
            values[key] = chance.choice(past)
            return f"an older {key} replayed"
        case _:
            del values[key]
            return f"{key} removed"


def _rolled_back(trial: Trial, vaults: Vaults) -> None:
    """The whole vault as it was 1 to n steps ago, to a machine that knows better."""
    for steps, (values, _) in enumerate(reversed(vaults.history[:-1]), 1):
        vaults.store.values = dict(values)
        trial.result.n += 1
        trial.result.expect("rolled-back" in vaults.named() or "missing-head" in vaults.named(), f"{steps} steps back")
        trial.result.torn += any(
            machine in vaults.merged() and len(vaults.merged()[machine]) > len(ops)
            for machine, ops in vaults.ops.items()
        )
    vaults.store.values = dict(vaults.truth)


def _hidden_from_a_newcomer(trial: Trial, vaults: Vaults) -> None:
    """The last k heads of one machine hidden from one that never was here: the other machine's head tells."""
    heads = {me.id: f"machines/{me.id}/head.json.age" for me in MACHINES}
    knows, vaults.seen = vaults.seen, {}
    first = MACHINES[0].id
    for k, (values, _) in enumerate(reversed(vaults.history[:-3]), 1):
        vaults.store.values = vaults.truth | {
            key: values[key] for key in values if key == heads[first] or key.startswith(f"machines/{first}/segments/")
        }
        trial.result.n += 1
        trial.result.expect("rolled-back" in vaults.named(), f"view without the last {k} steps of one machine")
        trial.result.expect(not vaults.merged(), f"something was merged from a view {k} steps old")
    vaults.seen = knows
    vaults.store.values = dict(vaults.truth)


def _searched(trial: Trial, vaults: Vaults) -> None:
    texts = [op.body.encode() for ops in vaults.ops.values() for op in ops if hasattr(op, "body")]
    secrets = [*CANARIES, *_digests(texts)]
    for key, data in vaults.truth.items():
        place = key.encode() + b"\n" + data
        trial.result.leaked += sum(secret in place for secret in secrets if key != "FORMAT" or secret != b"notes")
    trial.result.n += len(secrets)


def _digests(texts: Iterable[bytes]) -> Iterator[bytes]:
    for text in texts:
        for hash_ in HASHES:
            yield hashlib.new(hash_, text).digest()
            yield _hashed(hash_, text).encode()


def _hashed(name: str, data: bytes) -> str:
    """As much as any name in a vault shows of a hash."""
    return hashlib.new(name, data).hexdigest()[:16]


def _guessed(trial: Trial, vaults: Vaults) -> None:
    """Whether any id or name is the plain hash of something that could be guessed, the truth among it."""
    tokens = {token for key in vaults.truth for token in re.findall(r"[0-9a-f]{16,64}", key)}
    tokens |= {token[:16] for token in tokens}
    count = trial.pick(20_000, 1_000_000)
    for number in range(count):
        candidate = b'{"id":"%d","text":"remember number %d"}' % (number, number)
        trial.result.leaked += any(_hashed(hash_, candidate) in tokens for hash_ in HASHES)
    words = ["laptop-of-alice", "desktop-of-alice", "notes", "log.jsonl", "epoch-a", "installation-a"]
    trial.result.leaked += sum(_hashed(hash_, word.encode()) in tokens for word in words for hash_ in HASHES)
    trial.result.n += count


def _never_twice(trial: Trial, vaults: Vaults) -> None:
    """The file keys and nonces of age: the same bytes, encrypted often, share no stanza and no nonce."""
    recipient = vaults.keys[STRANGER.id].recipient()
    count = trial.pick(1_000, 100_000)
    made = {age.encrypt(b"the same", (recipient,))[-40:] for _ in range(count)}  # nonce (16), ciphertext (8), tag (16)
    nonces = {one[:16] for one in made}
    trial.result.n += count
    trial.result.expect(len(nonces) == count, f"{count - len(nonces)} nonces came twice")


def _wrong_key(trial: Trial, vaults: Vaults) -> None:
    before = dict(vaults.store.values)
    thief = Vault(
        vaults.store, STRANGER, name="vault", cipher=Age(Members(vaults.store, "vault", Keys(trial.base / "thief")))
    )
    for use in (lambda: thief.deliver([seal(puts(1, 3))]), thief.machines, lambda: list(thief.read(MACHINES[0].id))):
        trial.result.n += 1
        try:
            use()
            trial.result.failures.append("a machine without keys was let in")
        except TargetRefused as error:
            trial.result.expect(error.exit_code == 4, f"exit code {error.exit_code}")
    trial.result.expect(vaults.store.values == before, "a machine without keys wrote something")
