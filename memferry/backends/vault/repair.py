"""Putting a vault right from this machine's journal. Nothing that others wrote is deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain

import msgspec

from memferry.backends import names
from memferry.backends.base import Finding, HeadSeen, Refill, Repaired, Store
from memferry.backends.vault import head as heads
from memferry.backends.vault import segments
from memferry.backends.vault.head import Segment, StoredHead
from memferry.backends.vault.reading import Reader
from memferry.backends.vault.segments import Limits, Lines, Piece
from memferry.backends.vault.writing import Log, Writer
from memferry.errors import BackendError, Damaged, InvalidValue, NotFound, PermanentError, TargetRefused
from memferry.model import Identity

_LAST = 1 << 53

ELSEWHERE = (
    "another state of this machine wrote this log, for this one was copied, or restored from a backup: run `memferry"
    " pull`. It, or else the next delivery, goes on under a new name, and nothing is lost"
)


class Repair:
    """Repairs what `verify` found, for one call of `run`. `log`: this machine's log afterwards, None: it was left
    alone."""

    def __init__(
        self, store: Store, reader: Reader, writer: Writer, me: Identity, limits: Limits, refill: Refill
    ) -> None:
        self._store = store
        self._reader = reader
        self._writer = writer
        self._me = me
        self._limits = limits
        self._refill = refill
        self.log: Log | None = None

    def run(self, findings: Sequence[Finding], seen: HeadSeen | None) -> Sequence[Repaired]:
        """One answer for each finding, in their order. `seen`: the newest head known of this machine's log."""
        if self._is_newer():
            why = "a newer memferry writes this vault: pip install --upgrade memferry"
            return [Repaired(finding, False, why) for finding in findings]
        broken = {
            finding.object for finding in findings if finding.machine == self._me.id and finding.problem != "foreign"
        }
        answers = self._log(broken, seen) if broken else {}
        return [Repaired(finding, *(answers.get(finding.object) or self._rest(finding))) for finding in findings]

    # -- this machine's log: for each object whether it was repaired, and how

    def _log(self, broken: set[str], seen: HeadSeen | None) -> Mapping[str, tuple[bool, str]]:
        if next(iter(self._refill.sealed(1, _LAST)), None) is None:
            return dict.fromkeys(broken, (False, "this machine's journal is empty: nothing to repair it from"))
        self._restore_format()
        if self._reader.head_key(self._me.id) in broken:
            return dict.fromkeys(broken, self._rebuild(seen))
        return self._replace(broken)

    def _rebuild(self, seen: HeadSeen | None) -> tuple[bool, str]:
        """Write the whole log anew, under a head newer than every one known."""
        found, version = self._found()
        if found and self._is_ahead(found, seen) and not self._is_ours(found):
            return False, ELSEWHERE
        pieces = segments.pack(segments.squeeze(self._refilled(1, _LAST), self._limits), self._limits)
        listed = tuple(map(self._writer.store, pieces))
        known = [head for head in (seen, found.seen if found else None) if head]
        last_seq = max([segment.last for segment in listed] + [head.last_seq for head in known])
        newest = max(known, key=lambda head: head.sequence, default=None)
        sequence, previous = (newest.sequence, (seen or newest).sha256) if newest else (0, None)
        self._finish(self._writer.replace_head(version, listed, last_seq, sequence, previous))
        return True, "written anew from this machine's journal"

    def _found(self) -> tuple[StoredHead | None, str | None]:
        version = self._version(self._reader.head_key(self._me.id))
        try:
            return self._reader.head(self._me.id), version
        except Damaged:
            return None, version

    def _is_ahead(self, found: StoredHead, seen: HeadSeen | None) -> bool:
        return seen is None or found.head.sequence > seen.sequence

    def _is_ours(self, found: StoredHead) -> bool:
        """Whether the log holds no operation that the journal has otherwise, or has not come to yet."""
        for segment in found.head.segments:
            try:
                stored = dict(self._reader.lines(self._me.id, segment))
            except Damaged:
                continue
            ours = dict(chain.from_iterable(map(segments.opened, self._refilled(segment.first, segment.last))))
            if any(ours.get(seq, line) != line for seq, line in stored.items()):
                return False
        return any(True for _ in self._refill.sealed(found.head.last_seq, _LAST))

    def _replace(self, broken: set[str]) -> Mapping[str, tuple[bool, str]]:
        """Write the broken segments anew; the head lists the new ones in their place."""
        log = self._writer.look()
        prefix = names.segments_prefix(self._me.id)
        answers: dict[str, tuple[bool, str]] = {}
        listed: list[Segment] = []
        for segment in log.segments:
            if prefix + segment.name in broken:
                pieces = list(self._refilled(segment.first, segment.last))
                answers[prefix + segment.name] = self._account(prefix + segment.name, segment.records, pieces)
                listed += map(self._writer.store, segments.pack(segments.squeeze(pieces, self._limits), self._limits))
            else:
                listed.append(segment)
        if log.stored and tuple(listed) != log.segments:
            head, sha256 = log.stored
            log = self._writer.replace_head(log.version, tuple(listed), head.last_seq, head.sequence, sha256)
        self._finish(log)
        return answers

    def _account(self, key: str, records: int, pieces: Sequence[Piece]) -> tuple[bool, str]:
        """What the journal does not give again may have been withdrawn; the broken object is kept in case it was
        not."""
        found = sum(piece.records for piece in pieces)
        detail = f"{found} of {records} operations written anew from this machine's journal"
        if found < records and self._version(key) is not None:
            detail += f"; the broken file is kept as {self._writer.keep_aside(key, self._reader.content(key))}"
        return True, detail

    def _finish(self, log: Log) -> None:
        self._writer.tidy(log, ())
        self.log = log

    def _refilled(self, first: int, last: int) -> Iterator[Piece]:
        for sealed in self._refill.sealed(first, last):
            for piece in segments.accept(sealed, self._limits)[0]:
                if first <= piece.first and piece.last <= last:
                    yield piece
                else:
                    yield from segments.frames(_within(piece, first, last), self._limits)

    # -- everything else

    def _rest(self, finding: Finding) -> tuple[bool, str]:
        if finding.object == names.FORMAT_KEY:
            self._restore_format()
            return True, "written anew"
        if (generation := names.keys_generation(finding.object)) is not None:
            return self._restore_keys(generation)
        if finding.machine not in ("", self._me.id):
            return False, f"run `memferry verify --repair` on machine {self._name_of(finding.machine)}"
        try:
            return self._move_away(finding.object)
        except (PermanentError, TargetRefused) as error:
            return False, f"move it away by hand: {error}"

    def _is_newer(self) -> bool:
        """Whether FORMAT and a head agree on a version that this program does not know; one alone is damaged."""
        return _claimed(self._reader.content, names.FORMAT_KEY) > heads.VERSION and any(
            _claimed(self._reader.head_json, machine) > heads.VERSION for machine in self._reader.machines()
        )

    def _restore_format(self) -> None:
        self._reader.cipher.restore()
        version, format_ = self._version(names.FORMAT_KEY), heads.format_file(self._reader.cipher.encryption)
        if version is None or self._reader.content(names.FORMAT_KEY) != format_:
            self._store.put(names.FORMAT_KEY, format_, if_version=version)

    def _restore_keys(self, generation: int) -> tuple[bool, str]:
        """Keys that are newer than those known here may be the work of another member: they are left alone."""
        members = self._reader.cipher.members
        if members is None or generation > members.ring.number:
            return (
                False,
                "compare what `memferry machines` shows on each machine; move it away if it is of none",
            )
        members.restore()
        return True, "written anew"

    def _move_away(self, key: str) -> tuple[bool, str]:
        version = self._version(key)
        if version is None:
            raise InvalidValue(f"no store can handle the name {key}", key=key)
        aside = self._writer.keep_aside(names.check_key(key), self._reader.content(key))
        self._store.delete(key, if_version=version)
        return True, f"moved to {aside}"

    def _name_of(self, machine: str) -> str:
        try:
            found = self._reader.head(machine)
        except BackendError:
            found = None
        return found.head.name if found else machine

    def _version(self, key: str) -> str | None:
        return next((entry.version for entry in self._store.entries(key) if entry.key == key), None)


class _Claim(msgspec.Struct):
    version: int = 0


def _claimed(read: Callable[[str], bytes], what: str) -> int:
    """The version that an object says it has; 0: none."""
    try:
        return msgspec.json.decode(read(what), type=_Claim).version
    except (msgspec.DecodeError, UnicodeDecodeError, NotFound, Damaged):
        return 0


def _within(piece: Piece, first: int, last: int) -> Lines:
    return (one for one in segments.opened(piece) if first <= one[0] <= last)
