"""What a destination promises. Small protocols, capability by capability; no backend retries by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from memferry.embedder import Embedder
from memferry.errors import TargetRefused
from memferry.model import Op, Put, Sealed


class Entry(NamedTuple):
    """One object of a store."""

    key: str
    version: str
    size_bytes: int


class Store(Protocol):
    """Keeps values under keys. Any call may be repeated after a lost reply.

    Keys are `/`-separated relative names (`backends.names.check_key`). After a method returns, its effect is durable.
    """

    def put(self, key: str, value: bytes, *, if_version: str | None) -> str:
        """Store `value` and return its version. `if_version=None`: the key must not exist yet.

        Putting what is already there succeeds. A wrong `if_version` raises VersionMismatch, an existing key with
        other bytes AlreadyExists, and both change nothing. A failed put leaves the old value or the new one, never a
        part."""
        ...

    def get(self, key: str, *, at_most: int | None = None) -> bytes:
        """The value, or its first `at_most` bytes, without reading more; NotFound if there is none."""
        ...

    def delete(self, key: str, *, if_version: str) -> None:
        """Remove the key. Deleting what is gone succeeds; a wrong `if_version` raises VersionMismatch and changes
        nothing."""
        ...

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """All objects whose key starts with `prefix`, sorted by key."""
        ...

    def close(self) -> None:
        """Release what is open. Further calls are errors (ValueError)."""
        ...


class Room(NamedTuple):
    """Bytes free and bytes in all at a destination; None where it does not tell."""

    free_bytes: int | None
    total_bytes: int | None


@runtime_checkable
class Measured(Protocol):
    """A store that knows how much still fits."""

    def room(self) -> Room:
        """How much fits now."""
        ...


@runtime_checkable
class Rooted(Protocol):
    """A store in a folder whose disk may not be mounted."""

    def make_way(self) -> None:
        """Before the very first use the folders above may be missing; later that means an unmounted disk."""
        ...


@runtime_checkable
class Gathering(Protocol):
    """A store far away, which answers several questions in the time of one."""

    def gather(self, pattern: str, keys: Sequence[str], *, likely: Sequence[str], at_most: int) -> Mapping[str, bytes]:
        """The values of all keys that match, and of these `keys`, by key, each up to its first `at_most` bytes. A
        pattern is a key in which one part is `*`, for any one part. `likely`: keys that match and are probably there,
        which saves the time to find that out."""
        ...


class Probe(NamedTuple):
    """One step of the way to a destination. `good` False: `hint` says what to do."""

    what: str
    good: bool
    finding: str
    hint: str = ""


@runtime_checkable
class Probed(Protocol):
    """A destination that can say what is wrong with the way there."""

    def probe(self) -> Iterator[Probe]:
        """Try one step after the other, up to the first that fails. Changes nothing."""
        ...


class Receipt(NamedTuple):
    """What a backend has taken. `through`: the last seq of this machine it holds durably. `refused`: seqs that it
    cannot take, each with a reason without content; the others are held all the same."""

    through: int
    refused: Mapping[int, str]


class Capacity(NamedTuple):
    """Bytes used by memferry, free, and in all at the destination, and how many points it holds; None where it does not
    tell, or has none."""

    used_bytes: int | None
    free_bytes: int | None
    total_bytes: int | None = None
    points: int | None = None


class Backend(Protocol):
    """Where sealed operations go."""

    name: str

    def deliver(self, batch: Sequence[Sealed]) -> Receipt:
        """Hold the batch durably and withdraw what its retractions name. Delivering again changes nothing."""
        ...

    def capacity(self) -> Capacity:
        """How full the destination is."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


class HeadSeen(NamedTuple):
    """The newest head of a machine's log that this machine has seen: what a rollback is measured against."""

    sequence: int
    sha256: str
    last_seq: int


class MachineLog(NamedTuple):
    """One machine's log, as its head describes it. `generation`: of the keys it is sealed with; None: with none."""

    id: str
    name: str
    epoch: str
    installation: str
    head: HeadSeen
    generation: int | None = None

    def goes_on(self, machine: str | None, written: int) -> bool:
        """Whether it is that of a machine, and holds operations behind those that its state has `written`: another
        state has continued it."""
        return self.id == machine and self.head.last_seq > written


class Finding(NamedTuple):
    """One thing that `verify` found. `problem`: removed, changed, truncated, foreign, reordered, rolled-back,
    missing-head."""

    problem: str
    machine: str
    object: str
    detail: str


class Repaired(NamedTuple):
    """What `repair` did about a finding; `done` False: it says why in `detail`."""

    finding: Finding
    done: bool
    detail: str


class Survey(NamedTuple):
    """The logs of a backend. `refused`: by machine id, why a head cannot be trusted."""

    logs: Sequence[MachineLog]
    refused: Mapping[str, TargetRefused]


@runtime_checkable
class Readable(Protocol):
    """A backend whose logs can be read back: by other machines, and by this one after a loss."""

    def survey(self) -> Survey:
        """Every machine that has a log here; one whose head cannot be trusted hides none of the others."""
        ...

    def machines(self) -> Sequence[MachineLog]:
        """Every machine that has a log here. TargetRefused where a head cannot be trusted."""
        ...

    def read(self, machine: str, *, after: int = 0) -> Iterator[Op]:
        """Operations of `machine` (its id) with seq > `after`, ascending, each segment checked before it is parsed."""
        ...


@runtime_checkable
class Headed(Protocol):
    """A backend where this machine's log has a head."""

    def head_seen(self) -> HeadSeen | None:
        """The newest head that was written or met there, to be persisted after `deliver`; None: there is none."""
        ...


@runtime_checkable
class Rekeyed(Protocol):
    """A backend whose keys can be renewed, so that a machine loses them."""

    def sound_logs(self) -> Sequence[MachineLog]:
        """As `machines`, but without what cannot be believed: a machine must be revocable although it, or the server,
        has damaged something."""
        ...

    def renew(self) -> HeadSeen | None:
        """Seal this machine's log with the newest keys, where it is not; `head_seen` afterwards."""
        ...


@runtime_checkable
class Inheritable(Protocol):
    """A backend where one machine can look after the log of another one that is gone."""

    def erase(self, machine: str, seqs: Collection[int], *, seen: HeadSeen | None) -> None:
        """Rewrite the log of `machine` (its id), which nobody else writes, less these operations. Erasing what is gone
        changes nothing. `seen`: the newest head of it that was seen; TargetRefused if the log is older than that."""
        ...


class Refill(Protocol):
    """Gives this machine's sealed operations again, from its own journal."""

    def sealed(self, first: int, last: int) -> Iterator[Sealed]:
        """Those that overlap `first`..`last`, ascending."""
        ...


class Known(NamedTuple):
    """What this machine knows when it turns to a backend.

    `head`: the newest head of its own log there that was acknowledged. `through`: the last seq that was; `refused`:
    those up to it that the backend would not take. `attempted`: whether anything may have arrived ever. `written`: the
    last seq that this state has given out. `peers`: the newest heads that were seen there of the other machines' logs.
    `journal`: its own operations. `prose`: what a person would read of a record. `embedder`: turns it into vectors;
    loaded when it is first asked for (EmbedderBroken).
    """

    head: HeadSeen | None
    through: int
    refused: Collection[int]
    attempted: bool
    written: int
    peers: Mapping[str, HeadSeen]
    journal: Refill
    prose: Callable[[Put], str]
    embedder: Callable[[], Embedder]


@runtime_checkable
class Informed(Protocol):
    """A backend that needs to know more than the operations that it is to take."""

    def inform(self, known: Known) -> None:
        """Before every use by a machine with a state. Reaches for nothing at the destination."""
        ...


@runtime_checkable
class Tended(Protocol):
    """A backend with work that can wait."""

    def tend(self) -> bool:
        """Do a little of it, in about a second; True: there is more. Whatever interrupts it, nothing is lost."""
        ...


@runtime_checkable
class Verifiable(Protocol):
    """A backend that can be checked."""

    def verify(self, seen: Mapping[str, HeadSeen]) -> Sequence[Finding]:
        """Compare everything with the heads and with `seen` (by machine id). Never writes."""
        ...

    def repair(self, findings: Sequence[Finding], refill: Refill) -> Sequence[Repaired]:
        """Put right what can be put right from this machine's journal."""
        ...
