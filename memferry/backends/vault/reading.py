"""Reading the logs of a vault. Nothing is believed that has not been compared with a head, nor parsed before."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping

from memferry.backends import names, operations
from memferry.backends.base import Gathering, Store
from memferry.backends.encryption.age import Undecryptable
from memferry.backends.vault import head as heads
from memferry.backends.vault import segments
from memferry.backends.vault.ciphers import Cipher
from memferry.backends.vault.head import Segment, StoredHead
from memferry.backends.vault.segments import Limits, Lines, Piece, Unsound
from memferry.errors import Damaged, ForkedLog, NotFound, TargetRefused
from memferry.model import Identity, Op

_LOOKS = 3
_log = logging.getLogger(__name__)


class Reader:
    """Reads heads and segments from a store and checks them. `name`: of the backend, for errors. `likely`: ids of the
    machines that probably have a log here."""

    def __init__(self, store: Store, name: str, limits: Limits, cipher: Cipher) -> None:
        self._store = store
        self.name = name
        self._limits = limits
        self.cipher = cipher
        self.likely: Collection[str] = ()
        self._surveyed: dict[str, StoredHead] = {}

    def found(self) -> bool:
        """Whether there is a vault, rather than nothing yet. TargetRefused if something else lies there."""
        try:
            data = self._store.get(names.FORMAT_KEY, at_most=heads.MAX_HEAD_BYTES)
        except NotFound:
            return self._refuse_what_lies_there()
        heads.check_format(data, self.name, self.cipher.encryption)
        return True

    def _refuse_what_lies_there(self) -> bool:
        keys = (entry.key for entry in self._store.entries())
        mine = (key for key in keys if not names.is_litter(key) and not key.startswith(names.LOST))
        key = next((key for key in mine if not self.cipher.owns(key)), None)
        if key is None:
            return False
        if key.startswith(names.MACHINES):
            raise self.damaged("removed", names.FORMAT_KEY, "is missing")
        raise TargetRefused(
            f"{self.name} holds other files, {names.shown(key)!r} for one, and no memferry vault",
            backend=self.name,
            hint="give the backend an empty folder",
        )

    def machines(self) -> list[str]:
        """The ids of all machines that have a head here, ascending."""
        is_head = self.cipher.scheme.is_head
        return [entry.key.split("/")[1] for entry in self._store.entries(names.MACHINES) if is_head(entry.key)]

    def head_key(self, machine: str) -> str:
        """Where the head of a machine's log lies in this vault."""
        return self.cipher.scheme.head_key(machine)

    def head(self, machine: str) -> StoredHead | None:
        """The head of a machine's log; None: there is none. Damaged if it is not a head of this machine."""
        try:
            data = self._store.get(self.head_key(machine), at_most=heads.MAX_HEAD_BYTES + 1)
        except NotFound:
            return None
        except TargetRefused as error:
            raise self.damaged("changed", self.head_key(machine), "is not a file") from error
        return self._parsed_head(machine, data)

    def _parsed_head(self, machine: str, data: bytes) -> StoredHead:
        try:
            return StoredHead(self.cipher.head(data, machine), heads.sha256(data))
        except Damaged as error:
            raise self.damaged(error.problem, error.key, str(error).removeprefix(error.key).strip()) from error

    def head_json(self, machine: str) -> bytes:
        """A head as a member wrote it, of whatever version. NotFound, Damaged."""
        return self.cipher.head_json(self.content(self.head_key(machine)), machine)

    def survey(self) -> tuple[Mapping[str, StoredHead], Mapping[str, Damaged]]:
        """The heads that can be believed, and why others cannot: one is no head, or older than another machine has seen
        it. Both by machine id. Those of machines that have lost the keys may be anything: what is no head of them is
        passed over."""
        found: dict[str, StoredHead] = {}
        refused: dict[str, Damaged] = {}
        looked_at = dict(self._lie_there())
        for _ in range(_LOOKS):  # what seems behind may have been written meanwhile
            for machine, data in looked_at.items():
                self._sort_in(machine, data, found, refused)
            behind = [one for one in heads.behind(found, self.cipher.is_expelled) if one.machine not in refused]
            if not behind:
                self._surveyed = dict(found)
                return found, refused
            looked_at = {one.machine: None for one in behind}
        for one in behind:
            found.pop(one.machine, None)
            refused[one.machine] = self.damaged("rolled-back", self.head_key(one.machine), one.why)
        return found, refused

    def entered(self) -> bool:
        """As `found`; and what lies there can be read and written from now on."""
        values = self._gathered()
        return self._enters(values) if values is not None else self._enters_near()

    def _lie_there(self) -> Iterator[tuple[str, bytes | None]]:
        """The machines that have a head here, with what lies in its place where the store gives all at once."""
        values = self._gathered()
        if values is None:
            if self._enters_near():
                yield from ((machine, None) for machine in self.machines())
        elif self._enters(values):
            is_head = self.cipher.scheme.is_head
            yield from ((key.split("/")[1], values[key]) for key in sorted(values) if is_head(key))

    def _enters_near(self) -> bool:
        if not self.found():
            return False
        self.cipher.unlock()
        return True

    def _enters(self, values: Mapping[str, bytes]) -> bool:
        """The same by what was gathered."""
        if names.FORMAT_KEY not in values:
            return self._refuse_what_lies_there()
        heads.check_format(values[names.FORMAT_KEY], self.name, self.cipher.encryption)
        if not values.keys().isdisjoint(self.cipher.news):
            self.cipher.unlock()
        return True

    def _gathered(self) -> Mapping[str, bytes] | None:
        """None: the store is near, or something lies there that is no file."""
        if not isinstance(self._store, Gathering):
            return None
        keys, likely = (names.FORMAT_KEY, *self.cipher.news), [self.head_key(machine) for machine in self.likely]
        try:
            return self._store.gather(self.cipher.scheme.heads, keys, likely=likely, at_most=heads.MAX_HEAD_BYTES + 1)
        except TargetRefused as error:
            if not error.key:
                raise
            return None

    def _sort_in(
        self, machine: str, data: bytes | None, found: dict[str, StoredHead], refused: dict[str, Damaged]
    ) -> None:
        found.pop(machine, None)
        try:
            if head := self.head(machine) if data is None else self._parsed_head(machine, data):
                found[machine] = head
        except Damaged as error:
            if self.cipher.is_expelled(machine):
                _log.warning("passed over the log of a revoked machine: %s", error)
            else:
                refused[machine] = error

    def sound_heads(self) -> Mapping[str, StoredHead]:
        """The heads that can be believed for themselves, by machine id; what is none is passed over."""
        found: dict[str, StoredHead] = {}
        for machine, data in self._lie_there():
            self._sort_in(machine, data, found, {})
        return found

    def content(self, key: str) -> bytes:
        """An object that may be anything. TargetRefused if it is larger than any that memferry writes."""
        most = self._limits.stored_bytes
        data = self._store.get(key, at_most=most + 1)
        if len(data) > most:
            raise TargetRefused(
                f"{names.shown(key)} in {self.name} has more than {most} bytes",
                backend=self.name,
                key=key,
                hint="move it away by hand",
            )
        return data

    def fetch(self, machine: str, segment: Segment) -> Piece:
        """A segment as the head lists it, compared by size and SHA-256. Damaged if it is something else, or gone."""
        key = names.segments_prefix(machine) + segment.name
        if segment.size > self._limits.stored_bytes or segment.raw > self._limits.raw_bytes:
            raise self.damaged("changed", key, "is listed as larger than any segment may be")
        try:
            data = self._store.get(key, at_most=segment.size + 1)
        except NotFound as error:
            raise self.damaged("removed", key, "is missing") from error
        except TargetRefused as error:
            raise self.damaged("changed", key, "is not a file") from error
        if len(data) < segment.size:
            raise self.damaged("truncated", key, f"has {len(data)} bytes instead of {segment.size}")
        if heads.sha256(data) != segment.sha256:
            raise self.damaged("changed", key, "is not what was written")
        try:
            return Piece(segment.first, segment.last, segment.records, segment.raw, self.cipher.decrypt(data))
        except Undecryptable as error:
            raise self.damaged("changed", key, str(error)) from error

    def lines(self, machine: str, segment: Segment) -> Lines:
        """The operations of a segment, as JSON lines. Damaged as in `fetch`, or if it does not hold what the head
        says."""
        return self._sound(machine, segment, self.fetch(machine, segment))

    def _sound(self, machine: str, segment: Segment, piece: Piece) -> Lines:
        count = 0
        try:
            for seq, line in segments.opened(piece, self._limits.line_bytes):
                count += 1
                yield seq, line
            if count != segment.records:
                raise Unsound(f"holds {count} operations instead of {segment.records}")
        except Unsound as error:
            raise self.damaged("changed", names.segments_prefix(machine) + segment.name, str(error)) from error

    def operations(self, machine: str, after: int) -> Iterator[Op]:
        """A machine's operations beyond `after`, ascending; as far as the last survey saw, where this comes next. A log
        that its owner replaces meanwhile is read on from where it was. NotFound if there is no such log."""
        found = self._surveyed.pop(machine, None) or self._found_head(machine)
        if found is None:
            raise NotFound(
                f"{self.name} holds no log of machine {names.shown(machine)}",
                backend=self.name,
                hint="`memferry machines` lists those it holds",
            )
        while True:
            try:
                for seq, line in self._after(machine, found, after):
                    after = seq
                    yield self._parsed(machine, seq, line)
                return
            except Damaged:
                newer = self.head(machine)
                if newer is None or newer.sha256 == found.sha256:
                    raise
                found = newer

    def _found_head(self, machine: str) -> StoredHead | None:
        return self.head(machine) if names.is_machine(machine) and self.found() else None

    def _after(self, machine: str, found: StoredHead, after: int) -> Lines:
        for segment in found.head.segments:
            if segment.last > after:
                yield from (one for one in self.lines(machine, segment) if one[0] > after)

    def _parsed(self, machine: str, seq: int, line: bytes) -> Op:
        try:
            return operations.decoded(line)
        except operations.UNDECODABLE as error:
            why = f"covers operation {seq}, which is none: {names.shown(str(error))[:200]}"
            raise self.damaged("changed", self.head_key(machine), why) from error

    def nothing_yet(self) -> NotFound:
        """The error that there is no vault to speak of."""
        hint = "correct its path; if it is right: the first `memferry push` makes a vault"
        return NotFound(f"there is no vault in {self.name}", backend=self.name, hint=hint)

    def missing_head(self, machine: str) -> Damaged:
        """The error that a log has none, though there should be one."""
        return self.damaged("missing-head", self.head_key(machine), "is missing")

    def damaged(self, problem: str, key: str, why: str) -> Damaged:
        """The error about one object of the vault; `why` ends the sentence that its key begins."""
        hint = f"memferry verify --backend {self.name} --repair"
        return Damaged(problem, f"{key} in {self.name} {why}", backend=self.name, key=key, hint=hint)

    def forked(self, me: Identity, why: str) -> ForkedLog:
        """The error about the log of `me`, this machine, to which another state has written; `why` ends the sentence
        that its name begins."""
        return ForkedLog(
            f"the log of machine {me.name} in {self.name} {why}; nothing was overwritten",
            backend=self.name,
            key=self.head_key(me.id),
            hint="its state directory was copied, or restored from a backup; `memferry push` goes on under a new name",
        )
