"""Reading the logs of a vault. Nothing is believed that has not been compared with a head, nor parsed before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from memferry.backends import head as heads
from memferry.backends import names, segments
from memferry.backends.base import Gathering, Store
from memferry.backends.head import Segment, StoredHead
from memferry.backends.segments import Limits, Lines, Piece, Unsound
from memferry.errors import Damaged, NotFound, TargetRefused
from memferry.model import Op

_parse: Callable[[bytes], Op] = msgspec.json.Decoder(Op).decode


class Reader:
    """Reads heads and segments from a store and checks them. `name`: of the backend, for errors."""

    def __init__(self, store: Store, name: str, limits: Limits) -> None:
        self._store = store
        self._name = name
        self._limits = limits

    def found(self) -> bool:
        """Whether there is a vault, rather than nothing yet. TargetRefused if something else lies there."""
        try:
            data = self._store.get(names.FORMAT_KEY, at_most=heads.MAX_HEAD_BYTES)
        except NotFound:
            return self._refuse_what_lies_there()
        heads.check_format(data, self._name)
        return True

    def _refuse_what_lies_there(self) -> bool:
        keys = (entry.key for entry in self._store.entries())
        key = next((key for key in keys if not names.is_litter(key) and not key.startswith(names.LOST)), None)
        if key is None:
            return False
        if key.startswith(names.MACHINES):
            raise self.damaged("removed", names.FORMAT_KEY, "is missing")
        raise TargetRefused(
            f"{self._name} holds other files, {names.shown(key)!r} for one, and no memferry vault",
            backend=self._name,
            hint="give the backend an empty folder",
        )

    def heads(self) -> Iterator[StoredHead]:
        """The heads of all machines, ascending by id; none where there is no vault yet. Damaged as in `head`."""
        if not isinstance(self._store, Gathering):
            found = self.machines() if self.found() else ()
            yield from (head for machine in found if (head := self.head(machine)) is not None)
            return
        values = self._store.gather((names.FORMAT_KEY, names.HEADS), at_most=heads.MAX_HEAD_BYTES + 1)
        if names.FORMAT_KEY not in values:
            self._refuse_what_lies_there()
            return
        heads.check_format(values[names.FORMAT_KEY], self._name)
        for key in sorted(values):
            machine = key.removeprefix(names.MACHINES).partition("/")[0]
            if key != names.FORMAT_KEY and names.is_machine(machine):
                yield self._parsed_head(machine, values[key])

    def machines(self) -> list[str]:
        """The ids of all machines that have a head here, ascending."""
        keys = (entry.key.split("/") for entry in self._store.entries(names.MACHINES))
        return [key[1] for key in keys if len(key) == 3 and key[2] == "head.json" and names.is_machine(key[1])]

    def head(self, machine: str) -> StoredHead | None:
        """The head of a machine's log; None: there is none. Damaged if it is not a head of this machine."""
        try:
            data = self._store.get(names.head_key(machine), at_most=heads.MAX_HEAD_BYTES + 1)
        except NotFound:
            return None
        except TargetRefused as error:
            raise self.damaged("changed", names.head_key(machine), "is no file") from error
        return self._parsed_head(machine, data)

    def _parsed_head(self, machine: str, data: bytes) -> StoredHead:
        try:
            return heads.parse(data, machine)
        except Damaged as error:
            raise self.damaged(error.problem, error.key, str(error).removeprefix(error.key).strip()) from error

    def content(self, key: str) -> bytes:
        """An object that may be anything. TargetRefused if it is larger than any that memferry writes."""
        most = self._limits.stored_bytes
        data = self._store.get(key, at_most=most + 1)
        if len(data) > most:
            raise TargetRefused(
                f"{names.shown(key)} in {self._name} has more than {most} bytes",
                backend=self._name,
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
            raise self.damaged("changed", key, "is no file") from error
        if len(data) < segment.size:
            raise self.damaged("truncated", key, f"has {len(data)} bytes instead of {segment.size}")
        if heads.sha256(data) != segment.sha256:
            raise self.damaged("changed", key, "is not what was written")
        return Piece(segment.first, segment.last, segment.records, segment.raw, data)

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
        """A machine's operations beyond `after`, ascending. A log that its owner replaces meanwhile is read on from
        where it was. NotFound if there is no such log."""
        found = self.head(machine) if names.is_machine(machine) else None
        if found is None:
            raise NotFound(
                f"{self._name} holds no log of machine {names.shown(machine)}",
                backend=self._name,
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

    def _after(self, machine: str, found: StoredHead, after: int) -> Lines:
        for segment in found.head.segments:
            if segment.last > after:
                yield from (one for one in self.lines(machine, segment) if one[0] > after)

    def _parsed(self, machine: str, seq: int, line: bytes) -> Op:
        try:
            return _parse(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self.damaged("changed", names.head_key(machine), f"covers operation {seq}, which is none") from error

    def damaged(self, problem: str, key: str, why: str) -> Damaged:
        """The error about one object of the vault; `why` ends the sentence that its key begins."""
        hint = f"memferry verify --backend {self._name} --repair"
        return Damaged(problem, f"{key} in {self._name} {why}", backend=self._name, key=key, hint=hint)
