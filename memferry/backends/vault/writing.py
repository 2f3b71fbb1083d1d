"""Changing this machine's log: new segments first, then the head, then what the head no longer lists goes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeAlias

from memferry.backends import names
from memferry.backends.base import Store
from memferry.backends.vault import head as heads
from memferry.backends.vault import merging, segments
from memferry.backends.vault.head import Head, Segment, StoredHead
from memferry.backends.vault.reading import Reader
from memferry.backends.vault.segments import Limits, Piece
from memferry.errors import AlreadyExists
from memferry.model import Identity

Part: TypeAlias = Segment | Piece
"""A stretch of the log: as it is stored, or to be stored."""


class Log(NamedTuple):
    """This machine's log as the store holds it. `version`: the store's, of the head; both None before the first
    delivery."""

    stored: StoredHead | None = None
    version: str | None = None

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Those that the head lists."""
        return self.stored.head.segments if self.stored else ()

    @property
    def last_seq(self) -> int:
        """Everything up to it was delivered."""
        return self.stored.head.last_seq if self.stored else 0


class Writer:
    """Writes the log of one machine; no other may write it. A failure at any step leaves the old head or the new one,
    each with all its segments; what a failure leaves beside them is cleared away by `tidy`."""

    def __init__(self, store: Store, reader: Reader, me: Identity, limits: Limits) -> None:
        self._store = store
        self._reader = reader
        self._cipher = reader.cipher
        self._me = me
        self._limits = limits
        self._mine: dict[str, str] | None = None

    def look(self) -> Log:
        """The log as it is now. The version is asked for first, so that a head written meanwhile is never
        overwritten; and with it what else lies there, which `tidy` needs to know."""
        self.forget()
        version = self._objects().get(self._reader.head_key(self._me.id))
        return Log(self._reader.head(self._me.id), version) if version is not None else Log()

    def publish(self, log: Log, parts: Sequence[Part], last_seq: int) -> Log:
        """Make `parts` the log, merging those that are due. Only segments that changed and the head are written."""
        weights = [segments.weight(part.size, part.raw) for part in parts]
        merged = merging.groups(weights, self._limits.target_bytes)
        listed = tuple(segment for group in merged for segment in self._written(parts[group]))
        if log.stored and (listed, last_seq) == (log.segments, log.last_seq):
            return log
        sequence, previous = (log.stored.head.sequence, log.stored.sha256) if log.stored else (0, None)
        return self.replace_head(log.version, listed, last_seq, sequence, previous)

    def renewed(self, log: Log) -> Log:
        """The log sealed with the newest keys: rewritten as a whole where it is not."""
        if log.stored is None or not self._cipher.is_outdated(log.stored.head):
            return log
        listed = tuple(self.store(self._reader.fetch(self._me.id, segment)) for segment in log.segments)
        head, sha256 = log.stored
        return self.replace_head(log.version, listed, head.last_seq, head.sequence, sha256)

    def replace_head(
        self, version: str | None, listed: tuple[Segment, ...], last_seq: int, sequence: int, previous: str | None
    ) -> Log:
        """Put a head behind the one numbered `sequence` whose SHA-256 is `previous`, where the store holds
        `version`."""
        me = self._me
        head = Head(heads.VERSION, me.id, me.name, me.epoch, me.installation, sequence + 1, last_seq, listed, previous)
        head, data = self._cipher.sealed(head)
        version = self._store.put(self._reader.head_key(me.id), data, if_version=version)
        return Log(StoredHead(head, heads.sha256(data)), version)

    def _written(self, group: Sequence[Part]) -> Iterator[Segment]:
        only = group[0]
        if len(group) == 1 and isinstance(only, Segment):
            yield only
            return
        loaded = (part if isinstance(part, Piece) else self._reader.fetch(self._me.id, part) for part in group)
        yield from map(self.store, segments.pack(segments.squeeze(loaded, self._limits), self._limits))

    def store(self, piece: Piece) -> Segment:
        """Store one segment. It belongs to the log only when a head lists it."""
        data = self._cipher.encrypt(piece.data)
        name = self._cipher.scheme.segment(names.SegmentName(piece.first, piece.last, names.label(data)))
        key = names.segments_prefix(self._me.id) + name
        try:
            version = self._store.put(key, data, if_version=None)
        except AlreadyExists:  # a damaged copy of the very same segment
            self._mine = None
            version = self._store.put(key, data, if_version=self._objects().get(key))
        if self._mine is not None:
            self._mine[key] = version
        return Segment(name, piece.first, piece.last, piece.records, len(data), piece.raw, heads.sha256(data))

    def without(self, segment: Segment, seqs: Collection[int]) -> Iterable[Segment]:
        """A segment rewritten less some operations, and stored; itself, if it has none of them."""
        if not any(segment.first <= seq <= segment.last for seq in seqs):
            return (segment,)
        piece = self._reader.fetch(self._me.id, segment)
        kept = tuple(segments.without(piece, seqs, self._limits))
        if sum(part.records for part in kept) == piece.records:
            return (segment,)
        return tuple(map(self.store, segments.pack(kept, self._limits)))

    def erase(self, seqs: Collection[int]) -> None:
        """The log less some operations."""
        log = self.renewed(self.look())
        parts = [part for segment in log.segments for part in self.without(segment, seqs)]
        self.tidy(self.publish(log, parts, log.last_seq), seqs)

    def tidy(self, log: Log, withdrawn: Collection[int]) -> None:
        """Delete own segments that the head does not list: merged and rewritten ones, and those of interrupted writes.
        A copy that a sync tool or `repair` made of a segment goes too, if a withdrawn operation may lie in it."""
        listed = {names.segments_prefix(self._me.id) + segment.name for segment in log.segments}
        for key, version in sorted(self._objects().items()):
            name = key.rpartition("/")[2]
            orphan = key.startswith(names.segments_prefix(self._me.id)) and self._is_segment(name)
            if key not in listed and (orphan or _covers_any(name, withdrawn)):
                self._store.delete(key, if_version=version)
                del self._objects()[key]

    def _is_segment(self, name: str) -> bool:
        return self._cipher.scheme.parse_segment(name) is not None

    def forget(self) -> None:
        """After a failure: look again at what is there."""
        self._mine = None

    def keep_aside(self, key: str, data: bytes) -> str:
        """Store a copy of a foreign or damaged object where `verify` does not mind it; returns its key."""
        for attempt in range(1, 1000):
            aside = f"{names.LOST}{key}" if attempt == 1 else f"{names.LOST}{key}.{attempt}"
            with suppress(AlreadyExists):
                self._store.put(aside, data, if_version=None)
                return aside
        raise AlreadyExists(f"{names.LOST} holds too many copies of {key}", key=key, hint=f"empty {names.LOST}")

    def _objects(self) -> dict[str, str]:
        """Version of every object of this machine, by key."""
        if self._mine is None:
            own = names.MACHINES + self._me.id + "/"
            found = (entry for prefix in (own, names.LOST + own) for entry in self._store.entries(prefix))
            self._mine = {entry.key: entry.version for entry in found}
        return self._mine


def _covers_any(name: str, seqs: Collection[int]) -> bool:
    found = names.covered_range(name)
    return found is not None and any(found[0] <= seq <= found[1] for seq in seqs)
