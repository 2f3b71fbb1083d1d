"""Comparing a whole vault with its heads, and the heads with those seen before. Never writes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from memferry.backends import names, operations
from memferry.backends.base import Entry, Finding, HeadSeen, Store
from memferry.backends.vault import head as heads
from memferry.backends.vault.head import Segment, StoredHead
from memferry.backends.vault.reading import Reader
from memferry.errors import Damaged, NotFound, PermanentError, TargetRefused
from memferry.model import Identity

_LOOKS = 5
GONE = "nothing lies there, though there was a vault: mount its disk; only if it is lost, let it be repaired"


class _View(NamedTuple):
    """What lies in a vault at one moment: `sizes` of its objects by key, `heads` by machine (Damaged: why there is none
    that can be read), `places`: where each listed segment belongs, by SHA-256."""

    sizes: Mapping[str, int]
    heads: Mapping[str, StoredHead | Damaged]
    places: Mapping[str, str]


class Audit:
    """Finds what is removed, changed, truncated, foreign, reordered, rolled back or without a head."""

    def __init__(self, store: Store, reader: Reader, me: Identity) -> None:
        self._store = store
        self._reader = reader
        self._me = me

    def findings(self, seen: Mapping[str, HeadSeen]) -> Sequence[Finding]:
        """A log that its owner replaces while we look is looked at again: that is no finding."""
        for _ in range(_LOOKS):
            view = self._look(seen)
            if not view.sizes and not seen:
                raise self._reader.nothing_yet()
            found = [*self._format(view), *self._foreign(view), *self._reader.cipher.findings(view.sizes)]
            for machine in sorted(view.heads):
                found += self._log(machine, view, seen.get(machine))
            found += self._witnessed(view, {finding.object for finding in found})
            if not found or not self._moved(view):
                break
        return sorted(found, key=lambda finding: finding.object)

    def _look(self, seen: Mapping[str, HeadSeen]) -> _View:
        sizes = {entry.key: entry.size_bytes for entry in self._store.entries() if _counts(entry)}
        machines = {key.split("/")[1] for key in sizes if key.startswith(names.MACHINES) and key.count("/") > 1}
        found = {machine: self._head(machine) for machine in machines | set(seen) if names.is_machine(machine)}
        places = {
            segment.sha256: names.segments_prefix(machine) + segment.name
            for machine, stored in found.items()
            if isinstance(stored, StoredHead)
            for segment in stored.head.segments
        }
        return _View(sizes, found, places)

    def _head(self, machine: str) -> StoredHead | Damaged:
        try:
            found = self._reader.head(machine)
        except Damaged as error:
            return error
        return found or self._reader.missing_head(machine)

    def _moved(self, view: _View) -> bool:
        """Whether another machine has delivered meanwhile."""
        return any(_mark(self._head(machine)) != _mark(stored) for machine, stored in view.heads.items())

    # -- the vault as a whole

    def _format(self, view: _View) -> Iterator[Finding]:
        """Where nothing else says that this is a vault of this version, it is refused: nothing in it is ours to
        judge."""
        if not view.sizes:
            yield Finding("removed", "", names.FORMAT_KEY, GONE)
            return
        if names.FORMAT_KEY not in view.sizes:
            if not any(key.startswith(names.MACHINES) for key in view.sizes):
                self._reader.found()
            yield Finding("removed", "", names.FORMAT_KEY, "the file that marks a vault is missing")
            return
        data = self._content(names.FORMAT_KEY) or b""
        try:
            heads.check_format(data, "the vault", self._reader.cipher.encryption)
        except TargetRefused as error:
            cut = heads.format_file(self._reader.cipher.encryption).startswith(data)
            if not cut and not any(isinstance(stored, StoredHead) for stored in view.heads.values()):
                raise
            yield Finding("truncated" if cut else "changed", "", names.FORMAT_KEY, str(error))

    def _foreign(self, view: _View) -> Iterator[Finding]:
        for key in view.sizes:
            parts = key.split("/")
            in_log = len(parts) > 2 and parts[0] + "/" == names.MACHINES and names.is_machine(parts[1])
            if not in_log and key != names.FORMAT_KEY and not self._reader.cipher.owns(key):
                yield _foreign(key, "")

    def _witnessed(self, view: _View, named: Collection[str]) -> Iterator[Finding]:
        """Logs of which another machine has seen a newer head, unless something else is wrong with them."""
        found = {machine: stored for machine, stored in view.heads.items() if isinstance(stored, StoredHead)}
        for behind in heads.behind(found, self._reader.cipher.is_expelled):
            key = self._reader.head_key(behind.machine)
            if key not in named:
                yield Finding("rolled-back", behind.machine, key, behind.why)

    # -- one log

    def _log(self, machine: str, view: _View, seen: HeadSeen | None) -> Iterator[Finding]:
        stored = view.heads[machine]
        if isinstance(stored, Damaged):
            if stored.problem != "missing-head" or self._had_a_head(machine, view, seen):
                yield Finding(stored.problem, machine, stored.key, str(stored))
            yield from self._strays(machine, view, frozenset())
            return
        yield from _compared(stored, seen, self._reader.head_key(machine), own=machine == self._me.id)
        listed = stored.head.segments
        for segment in listed:
            yield from self._segment(machine, segment, view)
        yield from self._strays(machine, view, frozenset(segment.name for segment in listed))

    def _had_a_head(self, machine: str, view: _View, seen: HeadSeen | None) -> bool:
        """This machine's own first delivery, interrupted, leaves segments without a head: that is no finding."""
        return seen is not None or machine != self._me.id

    def _segment(self, machine: str, segment: Segment, view: _View) -> Iterator[Finding]:
        try:
            for seq, line in self._reader.lines(machine, segment):
                if why := operations.flaw_of(line):
                    key = names.segments_prefix(machine) + segment.name
                    detail = f"{key} in {self._reader.name} holds operation {seq}, which {why}"
                    yield Finding("changed", machine, key, detail)
                    return
        except Damaged as error:
            problem = error.problem
            if problem in ("changed", "truncated") and self._is_of_another_place(error.key, view):
                problem = "reordered"
            yield Finding(problem, machine, error.key, str(error))

    def _is_of_another_place(self, key: str, view: _View) -> bool:
        place = view.places.get(heads.sha256(self._content(key) or b""))
        return place is not None and place != key

    def _strays(self, machine: str, view: _View, listed: frozenset[str]) -> Iterator[Finding]:
        """Objects in a machine's folder that its head does not list. A segment of an interrupted or running write,
        which its name tells, is none: its owner clears it away."""
        prefix, scheme = names.segments_prefix(machine), self._reader.cipher.scheme
        for key in view.sizes:
            if not key.startswith(f"{names.MACHINES}{machine}/") or key == self._reader.head_key(machine):
                continue
            if key.startswith(prefix) and key.removeprefix(prefix) in listed:
                continue
            named = scheme.parse_segment(key.removeprefix(prefix)) if key.startswith(prefix) else None
            data = self._content(key)
            if data is not None and (named is None or named.label != names.label(data)):
                yield _foreign(key, machine)

    def _content(self, key: str) -> bytes | None:
        """Of an object that may be anything; nothing of what is too large or no file; None: it has gone meanwhile."""
        try:
            return self._reader.content(key)
        except NotFound:
            return None
        except (PermanentError, TargetRefused):
            return b""


def _counts(entry: Entry) -> bool:
    return not entry.key.startswith(names.LOST) and not names.is_litter(entry.key)


def _mark(stored: StoredHead | Damaged) -> str:
    return stored.sha256 if isinstance(stored, StoredHead) else stored.problem


def _foreign(key: str, machine: str) -> Finding:
    return Finding("foreign", machine, names.shown(key), "memferry did not write this")


def _compared(stored: StoredHead, seen: HeadSeen | None, key: str, *, own: bool) -> Iterator[Finding]:
    """A head against the newest one that was seen of its log. An own delivery cut short is one head further, no
    more."""
    if seen is None or stored.sha256 == seen.sha256:
        return
    head = stored.head
    ahead = head.sequence - seen.sequence
    if ahead < 0 or head.last_seq < seen.last_seq:
        detail = f"it is head {head.sequence}, but head {seen.sequence} was seen before"
        yield Finding("rolled-back", head.machine, key, detail)
    elif ahead == 0:
        yield Finding("changed", head.machine, key, f"it is another head {head.sequence} than the one seen before")
    elif ahead == 1 and head.previous != seen.sha256:
        yield Finding("changed", head.machine, key, f"it does not follow the head {seen.sequence} that was seen before")
    elif own and ahead > 1:
        yield Finding(
            "changed", head.machine, key, f"it is head {head.sequence}, this machine wrote only {seen.sequence}"
        )
