"""After a state was lost: what was withdrawn, and still stands in a file here, stays at home.

No log keeps a mark of what was withdrawn. But a log is in the order of reading: what stood in a file before the last
withdrawal, and is in no log, was withdrawn, or held, or never carried. Why it is so: docs/adr/0016-bygone.md.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from memferry.agent.files import gzipped, opening, scan, tail
from memferry.agent.files.tree import Tree
from memferry.agent.intake.judging import kind_of
from memferry.agent.pulling import apply
from memferry.agent.state import clock
from memferry.agent.state.catalog import Catalog
from memferry.agent.state.database import State
from memferry.agent.state.known import FORGOTTEN
from memferry.agent.state.received import Received
from memferry.errors import MemferryError
from memferry.formats.base import Kind, Whole
from memferry.keys import Fingerprinter
from memferry.model import Record, Source
from memferry.values import seconds

FURTHEST_ZONE_H = 14
"""A time that names no zone was that much earlier at most."""
_LAST = 1 << 62


def lost_notice(space: str) -> str:
    """For `status`, where `keep_home` found something."""
    return (
        f"the state was lost, and made again from the logs: what stood in {space} before the last withdrawal, and is in"
        " no log, counts as forgotten; `memferry explain KEY` tells, and `memferry forget --undo KEY` carries it again"
    )


class _File(NamedTuple):
    """One that is carried, and how it is read."""

    found: scan.Found
    kind: Kind


class Bygone:
    """What of one space's files may have been withdrawn. Call inside a transaction of the state."""

    def __init__(
        self, state: State, catalog: Catalog, received: Received, fingerprint: Fingerprinter, tree: Tree
    ) -> None:
        self._state = state
        self._catalog = catalog
        self._received = received
        self._fingerprint = fingerprint
        self._tree = tree

    def keep_home(self) -> int:
        """When every log was taken in, and before a file is read: what may be what was withdrawn counts as forgotten;
        returns how many records. Those that a policy holds are among them, and are held."""
        until = self._received.withdrawn_until(self._tree.name)
        if until is None:
            return 0
        doomed = {one for file in self._files() for one in self._doomed(file, clock.seconds(until))}
        rows = ((id_, int(until, 16), FORGOTTEN) for id_ in sorted(doomed))
        self._state.execute_many("insert into record values(?, ?, ?, 0)", rows)
        return len(doomed)

    def ids_in(self, path: str) -> set[int]:
        """The records that stand in a file now, known or not."""
        return {id_ for file in self._files() if file.found.file == path for one in self._read(file) for id_ in one}

    def _files(self) -> Iterator[_File]:
        pulled = self._catalog.files.pulled(self._tree.name)
        for one in scan.walk(self._tree.root, descend=self._tree.rules.descends):
            if not isinstance(one, scan.Found) or one.file in pulled or self._tree.rules.verdict(one.file) is not None:
                continue
            if kind := kind_of(self._tree, one.file):
                yield _File(one, kind)

    def _doomed(self, file: _File, until_s: float) -> Iterator[int]:
        if isinstance(file.kind.reader, Whole):
            unknown = self._unknown(file)
        else:
            unknown = yield from self._passed(file)
        yield from (id_ for id_, one in unknown.items() if not _is_newer(one, file, until_s))

    def _unknown(self, file: _File) -> Mapping[int, Record]:
        found = {id_: one for records in self._read(file) for id_, one in records.items()}
        return {id_: found[id_] for id_ in found.keys() - self._catalog.seen(found).keys()}

    def _passed(self, file: _File) -> Generator[int, None, Mapping[int, Record]]:
        """Lines before one that is known stood there when that was read. Returns the others of which nobody can say
        that."""
        if not self._received.lacks(0, _LAST):
            return {}
        unknown: dict[int, Record] = {}
        newest = 0
        for records in self._read(file):
            seen = self._catalog.seen(records)
            for id_, record in records.items():
                if id_ not in seen:
                    unknown[id_] = record
                    continue
                newest = max(newest, seen[id_].seq)
                yield from unknown
                unknown.clear()
        return unknown if self._received.lacks(newest, self._told(file)) else {}

    def _told(self, file: _File) -> int:
        """Seq of what was last noted about a file, which is done whenever something of it was stored."""
        sql = "select max(seq) from note join file on file.id = note.file where space = ? and path = ?"
        row = self._state.one(sql, self._tree.name, file.found.file)
        return (row[0] if row else None) or _LAST

    def _read(self, file: _File) -> Iterator[Mapping[int, Record]]:
        """Records by id, some at a time; nothing of a file that cannot be read."""
        path, kind = file.found.file, file.kind
        source = Source(self._tree.name, path, kind.format, kind.derived)
        with suppress(MemferryError):
            if isinstance(kind.reader, Whole):
                snapshot = kind.reader.parse(source, apply.content(self._tree.root, path))
                yield self._by_id(snapshot.records if snapshot else ())
                return
            with opening.opened(self._tree.root, path) as (descriptor, _):
                lines = gzipped.read_gz_lines if path.lower().endswith(".gz") else _lines
                for part in lines(descriptor):
                    if isinstance(part, tail.Chunk):
                        yield self._by_id(kind.reader.parse(source, part.lines, part.start))

    def _by_id(self, records: Sequence[Record]) -> Mapping[int, Record]:
        return {self._fingerprint.key(self._tree.name, one.key): one for one in records}


def _lines(descriptor: int) -> Iterator[tail.Chunk | tail.Oversize]:
    return tail.read_lines(descriptor, 0)


def _is_newer(record: Record, file: _File, until_s: float) -> bool:
    """Whether it was written after the last withdrawal. A document in a file that has changed since was, unless it says
    otherwise; a line or an entry must say so."""
    if file.found.stat.mtime_ns / 1e9 <= until_s:
        return False
    at = seconds(record.ts, zone_h=FURTHEST_ZONE_H)
    return record.key == record.source.file if at is None else at > until_s
