"""The vault: one log per machine, over any store. The format is described in docs/vault-format.md."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from memferry.backends import names
from memferry.backends.base import (
    Capacity,
    Finding,
    Gathering,
    HeadSeen,
    Known,
    MachineLog,
    Measured,
    Probe,
    Probed,
    Receipt,
    Refill,
    Repaired,
    Room,
    Rooted,
    Store,
    Survey,
)
from memferry.backends.encryption.keys import Keys
from memferry.backends.encryption.members import Members
from memferry.backends.encryption.sealing import Age
from memferry.backends.vault import head as heads
from memferry.backends.vault.audit import Audit
from memferry.backends.vault.batches import Batches
from memferry.backends.vault.ciphers import Cipher, Plain
from memferry.backends.vault.reading import Reader
from memferry.backends.vault.repair import Repair
from memferry.backends.vault.segments import Limits
from memferry.backends.vault.writing import Log, Writer
from memferry.errors import ConfigError, Damaged, PreconditionFailed, TargetRefused, TransientError
from memferry.model import Identity, Op, Sealed


class Vault:
    """A `Backend` and all that a log can be beyond that, over a byte store: `Readable`, `Verifiable`, `Headed`,
    `Rekeyed`, `Inheritable`, `Informed`. One thread at a time.

    `name`: of the backend, for errors. `create`: make a vault where there is none yet, at the first delivery.
    `seen`: the head of this machine's log as it was last acknowledged, from which a fork or a rollback is told.
    `cipher`: how its objects are written, plain by default.
    """

    def __init__(
        self,
        store: Store,
        me: Identity,
        *,
        name: str,
        create: bool = True,
        seen: HeadSeen | None = None,
        limits: Limits | None = None,
        cipher: Cipher | None = None,
    ) -> None:
        self.name = name
        self._store = store
        self._me = me
        self._create = create
        self._seen: HeadSeen | None = None
        self._limits = limits or Limits()
        self._cipher: Cipher = cipher or Plain()
        self._reader = Reader(store, name, self._limits, self._cipher)
        self._writer = Writer(store, self._reader, me, self._limits)
        self._batches = Batches(self._reader, self._writer, me, self._limits)
        self._log: Log | None = None
        self._written: int | None = None
        self._peers: Mapping[str, HeadSeen] = {}
        self.expect(seen)

    @property
    def members(self) -> Members | None:
        """Who has the keys of this vault; None: it is not encrypted."""
        return self._cipher.members

    # -- Backend

    def deliver(self, batch: Sequence[Sealed]) -> Receipt:
        """See `Backend`. ForkedLog if the log holds other operations of this machine under the same seqs."""
        if self._written is not None and batch:
            self._written = max(self._written, batch[-1].last)
        log, self._log = self._log, None  # looked at again unless this ends well
        log = log or self._meet()
        arrivals = self._batches.sorted_out(log, batch)
        parts = [*self._batches.amended(log, arrivals), *arrivals.fresh]
        try:
            log = self._writer.publish(log, parts, arrivals.last_seq)
        except PreconditionFailed:
            self._meet()  # says so if another writer was here
            raise
        if arrivals.withdrawn:
            self._writer.forget()  # a sync tool may have made copies since
        self._writer.tidy(log, arrivals.withdrawn)
        self._remember(log)
        return Receipt(batch[-1].last if batch else 0, arrivals.refused)

    def capacity(self) -> Capacity:
        """See `Backend`."""
        return Capacity(self._used(), *(self._store.room() if isinstance(self._store, Measured) else Room(None, None)))

    def _used(self) -> int:
        """Far away, what the heads list: asking for every file there takes as long as the delivery itself."""
        if isinstance(self._store, Gathering):
            return sum(segment.size for stored in self._reader.survey()[0].values() for segment in stored.head.segments)
        return sum(entry.size_bytes for entry in self._store.entries())

    def close(self) -> None:
        """See `Backend`; closes the store."""
        self._store.close()

    # -- whose log it is

    def inform(self, known: Known) -> None:
        """See `Informed`."""
        if not known.attempted:
            self.make_way()
        self.expect(known.head, written=known.written)
        self.attest(known.peers)

    def make_way(self) -> None:
        """Nothing was ever delivered from here: make what the store needs, where that can be made."""
        if isinstance(self._store, Rooted):
            self._store.make_way()

    def expect(self, seen: HeadSeen | None, *, written: int | None = None) -> None:
        """Take `seen` as the newest head of this machine's log, whoever wrote it; None: there should be none.
        `written`: the last seq that this state has given out, where that is known: a log beyond it is a fork."""
        self._written = written
        if seen != self._seen:
            self._trust(seen)

    def _trust(self, seen: HeadSeen | None) -> None:
        self._seen, self._log = seen, None
        if seen is not None:
            self._cipher.trust(seen.sha256)

    def attest(self, peers: Mapping[str, HeadSeen]) -> None:
        """What this machine has seen of the others' logs here; an encrypted vault tells it to the others."""
        self._cipher.attest(peers)
        self._reader.likely = (self._me.id, *peers)
        self._peers = peers

    def sound_logs(self) -> Sequence[MachineLog]:
        """See `Rekeyed`."""
        return [stored.log for stored in self._reader.sound_heads().values()]

    def renew(self) -> HeadSeen | None:
        """See `Rekeyed`."""
        if self._reader.found():
            log = self._meet()
            self._writer.tidy(log, ())
            self._remember(log)
        return self._seen

    def erase(self, machine: str, seqs: Collection[int], *, seen: HeadSeen | None) -> None:
        """See `Inheritable`. Its last seq stays: should that machine still be there, it goes on behind."""
        self._reader.found()
        self._cipher.unlock()
        head = self._reader.head(machine)
        if head is None:
            return
        if seen and head.seen != seen and head.head.sequence <= seen.sequence:
            raise self._reader.damaged("rolled-back", self._reader.head_key(machine), "is older than it was")
        gone = Identity(machine, head.head.name, head.head.epoch, head.head.installation)
        Writer(self._store, self._reader, gone, self._limits).erase(seqs)

    def head_seen(self) -> HeadSeen | None:
        """See `Headed`."""
        return self._seen

    def _remember(self, log: Log) -> None:
        self._trust(log.stored.seen if log.stored else None)
        self._log = log

    def _meet(self) -> Log:
        """The log as it lies there, if it is ours to continue, sealed with the newest keys."""
        if not self._reader.entered():
            self._settle()
            self._cipher.unlock()
        self._cipher.enter(self._me)
        log = self._writer.look()
        self._recognise(log)
        return self._writer.renewed(log)

    def _settle(self) -> None:
        if self._seen is not None:
            raise self._lost()
        if not self._create:
            raise TargetRefused(f"there is no vault in {self.name}", backend=self.name, hint="check its path")
        self._cipher.settle(self._me)
        self._store.put(names.FORMAT_KEY, heads.format_file(self._cipher.encryption), if_version=None)

    def _lost(self) -> TransientError:
        hint = f"mount its disk; if the vault is lost: memferry verify --backend {self.name} --repair"
        return TransientError(f"{self.name} is empty, though there was a vault", backend=self.name, hint=hint)

    def _recognise(self, log: Log) -> None:
        """After a crash the head may be newer than the one acknowledged: then `deliver` compares every operation.

        The same state directory on another computer has another installation; a state restored from a backup has
        the same, but gives the same seqs to other operations.
        """
        seen, key = self._seen, self._reader.head_key(self._me.id)
        if log.stored is None:
            if seen is not None:
                raise self._reader.missing_head(self._me.id)
            return
        head, sha256 = log.stored
        if seen and sha256 == seen.sha256:
            return
        if self._written is not None and head.last_seq > self._written:
            raise self._reader.forked(self._me, "holds operations that this state has not written yet")
        if seen and (head.sequence < seen.sequence or head.last_seq < seen.last_seq):
            raise self._reader.damaged("rolled-back", key, "is older than the one this machine wrote")
        if (head.epoch, head.installation) != (self._me.epoch, self._me.installation):
            raise self._reader.forked(self._me, "was written by another installation or state of it")
        if seen and head.sequence == seen.sequence:
            raise self._reader.damaged("changed", key, "is not the one this machine wrote")

    # -- Readable

    def survey(self) -> Survey:
        """See `Readable`. TransientError where nothing lies any more, though this machine has met a log there."""
        found, refused = self._reader.survey()
        if not found and not refused and (self._seen or self._peers) and not self._reader.found():
            raise self._lost()
        return Survey([stored.log for stored in found.values()], dict(self._vanished(found)) | dict(refused))

    def _vanished(self, found: Collection[str]) -> Iterator[tuple[str, Damaged]]:
        """Logs that this machine has seen here, and of which there is no head any more."""
        for machine, seen in self._peers.items():
            if seen.sequence and machine not in found and not self._cipher.is_expelled(machine):
                yield machine, self._reader.missing_head(machine)

    def machines(self) -> Sequence[MachineLog]:
        """See `Readable`."""
        logs, refused = self.survey()
        for error in refused.values():
            raise error
        return logs

    def read(self, machine: str, *, after: int = 0) -> Iterator[Op]:
        """See `Readable`. NotFound if the machine has no log here."""
        return self._reader.operations(machine, after)

    def probe(self) -> Iterator[Probe]:
        """See `Probed`; nothing where the store has nothing to say."""
        if isinstance(self._store, Probed):
            yield from self._store.probe()

    # -- Verifiable

    def verify(self, seen: Mapping[str, HeadSeen]) -> Sequence[Finding]:
        """See `Verifiable`. NotFound where nothing lies yet; TargetRefused only where something else than a vault of
        this version lies, or its keys are not known here."""
        if self._me.id in seen:
            self.expect(seen[self._me.id])
        return Audit(self._store, self._reader, self._me).findings(seen)

    def repair(self, findings: Sequence[Finding], refill: Refill) -> Sequence[Repaired]:
        """See `Verifiable`. Foreign objects go to `lost+found/`; `head_seen` is new afterwards."""
        self._log = None
        self._writer.forget()
        repair = Repair(self._store, self._reader, self._writer, self._me, self._limits, refill)
        done = repair.run(findings, self._seen)
        if repair.log is not None:
            self._remember(repair.log)
        return done


def opened(
    store: Store, settings: Mapping[str, object], me: Identity, keys: Keys, *, name: str, encryption: str
) -> Vault:
    """The vault in a store, by its `encryption` setting: `age` or `none`; `encryption`: what it is by default.
    ConfigError if the setting says something else."""
    match settings.get("encryption", encryption):
        case "none":
            return Vault(store, me, name=name)
        case "age":
            return Vault(store, me, name=name, cipher=Age(Members(store, name, keys)))
        case other:
            raise ConfigError(f"backend {name}: unknown encryption {other}", hint="write `age` or `none`")
