"""What other machines' logs have told, as facts that add up in any order. Call inside a transaction of the state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import zstandard

from memferry.agent.state.clock import Sightings, effective
from memferry.agent.state.database import State
from memferry.agent.state.journal import Journal
from memferry.agent.state.known import FOREIGN, WITHDRAWN, hex_number
from memferry.agent.state.merge import Version
from memferry.backends.base import MachineLog
from memferry.model import Put, Sighting

Named = tuple[str, int]
"""An operation: machine id, seq."""
Shard = tuple[str, str]
"""A ledger of another machine's lines: space, file."""


class Line(NamedTuple):
    """A ledger line that arrived. `shard`: number of the file it was written to; 0: it was here already."""

    machine: str
    seq: int
    id: int
    digest: int
    shard: int


class Rival(NamedTuple):
    """A version of an entry or a document that arrived, and where it belongs."""

    id: int
    version: Version
    space: str
    file: str
    key: str


class Received:
    """The tables that pulls fill. `machine`: the id of this one."""

    def __init__(self, state: State, journal: Journal) -> None:
        self._state = state
        self._journal = journal
        self._sightings: Sightings | None = None

    @property
    def _me(self) -> str:
        return self._journal.machine

    # -- operations that count no more

    def dead_of(self, machine: str, first: int, last: int) -> set[int]:
        """Seqs of a log, between two inclusive, that somebody withdrew."""
        rows = self._state.rows("select seq from dead where machine = ? and seq between ? and ?", machine, first, last)
        return {row[0] for row in rows}

    def bury(self, ops: Iterable[Named]) -> list[Named]:
        """These are withdrawn for good, known or not; returns those that were not yet."""
        fresh = [op for op in dict.fromkeys(ops) if not self._has("dead", op)]
        self._state.execute_many("insert into dead values(?, ?)", fresh)
        return fresh

    def note_withdrawal(self, space: str, until: str) -> None:
        """Something was withdrawn at this time of this machine's clock, or before."""
        name = f"withdrawn in {space}"
        if until > (self._state.meta(name) or ""):
            self._state.set_meta(name, until)

    def withdrawn_until(self, space: str) -> str | None:
        """When the last withdrawal was made, as an HLC value; None: there was none."""
        return self._state.meta(f"withdrawn in {space}")

    def lacks(self, after: int, before: int) -> bool:
        """Whether an operation of this machine between these two seqs was withdrawn."""
        sql = "select 1 from dead where machine = ? and seq > ? and seq < ? limit 1"
        return self._state.one(sql, self._me, after, before) is not None

    def settle(self, ops: Iterable[Named]) -> None:
        """A person preferred others to these versions."""
        self._state.execute_many("insert or ignore into settled values(?, ?)", ops)

    def _has(self, table: str, op: Named) -> bool:
        return self._state.one(f"select 1 from {table} where machine = ? and seq = ?", *op) is not None

    # -- who wrote when

    @property
    def sightings(self) -> Sightings:
        """What every machine said about clocks that were ahead."""
        if self._sightings is None:
            found: dict[str, list[tuple[int, str]]] = defaultdict(list)
            for machine, through, hlc in self._state.rows("select machine, through, hlc from sighting"):
                found[machine].append((through, hlc))
            self._sightings = dict(found)
        return self._sightings

    def see(self, sighting: Sighting) -> None:
        """Somebody said so; versions of that machine may be earlier than they seemed."""
        row = (sighting.machine, sighting.through, sighting.hlc)
        self._state.execute("insert or ignore into sighting values(?, ?, ?)", row)
        self._sightings = None
        self._state.execute(
            "insert or ignore into unwritten select id from rival where machine = ? and seq <= ?", row[:2]
        )

    def remember_newest(self, log: MachineLog, hlc: str) -> None:
        """The last time that a machine gave."""
        self._state.execute("insert or replace into newest values(?, ?, ?)", (log.id, log.name, hlc))

    def newest(self) -> list[tuple[str, str, str]]:
        """Machine id, name and the last time it gave, of every other machine."""
        return self._state.rows("select machine, name, hlc from newest where machine <> ? order by machine", self._me)

    # -- ledger lines

    def lines(self, ids: Collection[int]) -> dict[tuple[int, int], list[Line]]:
        """Live lines under these keys, by (id, digest number)."""
        found: dict[tuple[int, int], list[Line]] = defaultdict(list)
        for row in self._state.among(
            "select machine, seq, id, digest, shard from arrived where id in (select value from json_each(?))"
            " and not exists (select 1 from dead where dead.machine = arrived.machine and dead.seq = arrived.seq)",
            ids,
        ):
            line = Line(*row)
            found[line.id, line.digest].append(line)
        return found

    def add_lines(self, lines: Iterable[Line]) -> None:
        self._state.execute_many("insert or replace into arrived values(?, ?, ?, ?, ?)", lines)

    def line(self, op: Named) -> Line | None:
        """What arrived as this operation, also a whole record's version (then `shard` is 0)."""
        row = self._state.one("select machine, seq, id, digest, shard from arrived where machine = ? and seq = ?", *op)
        return Line(*row) if row else None

    def shard(self, space: str, file: str) -> int:
        """The number of a file that pulls write, given out when it is new."""
        self._state.execute("insert or ignore into pulled_file(space, file) values(?, ?)", (space, file))
        row = self._state.one("select number from pulled_file where space = ? and file = ?", space, file)
        assert row is not None
        return int(row[0])

    def known_bytes(self, shard: Shard) -> int:
        """How many of its first bytes hold nothing but lines that are known to be there."""
        row = self._state.one("select bytes from pulled_file where space = ? and file = ?", *shard)
        return row[0] if row else 0

    def know_bytes(self, shards: Mapping[Shard, int]) -> None:
        """Together with the lines that were added, so that after a crash those are looked for which nobody knows of."""
        rows = ((size, *shard) for shard, size in shards.items())
        self._state.execute_many("update pulled_file set bytes = ? where space = ? and file = ?", rows)

    def adopt(self, space: str, file: str, digests: Collection[int]) -> None:
        """A shard found again after a loss, with lines of these digest numbers: those that are in no log go."""
        number = self.shard(space, file)
        live = {row[0] for row in self._state.rows("select digest from arrived where shard = ?", number)}
        self.doom_in(space, file, set(digests) - live)

    def doom_in(self, space: str, file: str, digests: Collection[int]) -> None:
        """A file is not this machine's own, and its lines of these digest numbers go."""
        self.shard(space, file)
        rows = ((space, file, digest) for digest in digests)
        self._state.execute_many("insert or ignore into doomed values(?, ?, ?)", rows)

    def shards(self, space: str) -> set[str]:
        """Files of a space that pulls write."""
        return {row[0] for row in self._state.rows("select file from pulled_file where space = ?", space)}

    def digests_in(self, space: str, shards: Collection[str]) -> set[int]:
        """Digest numbers of the lines that lie there."""
        numbers = [self.shard(space, one) for one in shards]
        sql = "select digest from arrived where shard in (select value from json_each(?))"
        return {row[0] for row in self._state.among(sql, numbers)}

    def shard_file(self, number: int) -> tuple[str, str] | None:
        """Its space and path."""
        return self._state.one("select space, file from pulled_file where number = ?", number)

    def written_to(self, space: str, file: str) -> list[int]:
        """Records whose current version a pull wrote into this file, or lines that it did."""
        return [row[0] for row in self._state.rows(
            "select id from foreign_record where space = ? and file = ?"
            " union select arrived.id from arrived join pulled_file on number = shard where space = ? and file = ?",
            space, file, space, file,
        )]  # fmt: skip

    def places(self, ids: Collection[int]) -> dict[int, tuple[str, str | None]]:
        """File and key of records whose current version was pulled; lines are stored without their keys."""
        lines = self._state.among(
            "select id, file, null from arrived join pulled_file on number = shard"
            " where id in (select value from json_each(?))", ids
        )  # fmt: skip
        whole = self._state.among(
            "select id, file, key from foreign_record where id in (select value from json_each(?))", ids
        )
        return {id_: (file, key) for id_, file, key in (*lines, *whole)}

    def release_file(self, space: str, file: str) -> None:
        """A pull writes this file no more: what lies there from now on is this machine's own."""
        self._state.execute("delete from pulled_file where space = ? and file = ?", (space, file))

    # -- versions of entries and documents

    def add_rival(self, machine: str, put: Put, id_: int) -> bool:
        """Whether it was new."""
        raw = put.body.encode()
        body = zstandard.ZstdCompressor().compress(raw)
        row = (machine, put.seq, id_, put.hlc, put.digest, put.base, put.space, put.file, put.key, body, len(raw))
        done = self._state.execute("insert or ignore into rival values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        number = hex_number(put.digest)
        self.add_lines([Line(machine, put.seq, id_, number, 0)])
        self.mark([id_])
        return done.rowcount > 0

    def texts_of(self, ops: Iterable[Named]) -> set[tuple[int, str]]:
        """Records and digests of the versions that arrived as these operations."""
        sql = "select id, digest from rival where machine = ? and seq = ?"
        return {(row[0], row[1]) for op in ops if (row := self._state.one(sql, *op))}

    def is_put_after(self, machine: str, seq: int, id_: int, digest: str) -> bool:
        """Whether this machine put that very version behind this operation."""
        sql = "select 1 from rival where id = ? and machine = ? and seq > ? and digest = ?"
        return self._state.one(sql, id_, machine, seq, digest) is not None

    def versions(self, ids: Sequence[int]) -> dict[int, list[Rival]]:
        """All live versions under these keys, this machine's own among them; none of a key where all are settled."""
        found: dict[int, list[Rival]] = defaultdict(list)
        for machine, seq, id_, hlc, digest, base, space, file, key, body, settled in self._state.among(
            "select machine, seq, id, hlc, digest, base, space, file, key, body, exists"
            " (select 1 from settled where settled.machine = rival.machine and settled.seq = rival.seq)"
            " from rival where id in (select value from json_each(?))",
            ids,
        ):
            text = zstandard.ZstdDecompressor().decompress(body).decode()
            at = effective(machine, seq, hlc, self.sightings)
            version = Version(digest, at, machine, seq, base, text, bool(settled))
            found[id_].append(Rival(id_, version, space, file, key))
        for one in self._own(ids):
            found[one.id].append(one)
        return {id_: rivals for id_, rivals in found.items() if not all(one.version.settled for one in rivals)}

    def _own(self, ids: Sequence[int]) -> Iterable[Rival]:
        seqs: dict[int, int] = {}
        for table in ("record", "version"):
            sql = f"select seq, id from {table} where id in (select value from json_each(?)) and seq > 0"
            seqs |= dict(self._state.rows(sql, repr(list(ids))))
        settled = {row[0] for row in self._state.rows("select seq from settled where machine = ?", self._me)}
        for seq, put in self._journal.puts(seqs).items():
            at = effective(self._me, seq, put.hlc, self.sightings)
            version = Version(put.digest, at, self._me, seq, put.base, put.body, seq in settled)
            yield Rival(seqs[seq], version, put.space, put.file, put.key)

    def withdraw(self, ops: Iterable[Named]) -> list[int]:
        """These operations are withdrawn for good, known or not: their texts go from here, their lines are doomed.
        Returns the ids of the records that they put; those withdrawn before are left out."""
        ids = []
        for op in self.bury(ops):
            line = self.line(op)
            self._state.wipe()
            self._state.execute("delete from rival where machine = ? and seq = ?", op)
            self._state.execute("delete from arrived where machine = ? and seq = ?", op)
            if line is not None:
                ids.append(line.id)
                self._let_line_go(line)
        self.mark(ids)
        return ids

    def _let_line_go(self, line: Line) -> None:
        """The same line of another machine keeps it where it lies."""
        if not line.shard:
            return
        left = self.lines([line.id])
        if (line.id, line.digest) not in left:
            self.doom([line])
        if not left:
            self._state.execute(
                "update record set seq = ?, digest = 0 where id = ? and seq = ?", (WITHDRAWN, line.id, FOREIGN)
            )

    def ops_of(self, ids: Collection[int]) -> list[Named]:
        """Every live operation of other machines under these keys."""
        rows = self._state.among(
            "select machine, seq from arrived where id in (select value from json_each(?))"
            " and not exists (select 1 from dead where dead.machine = arrived.machine and dead.seq = arrived.seq)"
            " order by machine, seq",
            ids,
        )
        return [(row[0], row[1]) for row in rows if row[0] != self._me]

    def ops_with(self, id_: int, digest: str) -> list[Named]:
        """Every operation, of any machine, that put this very version."""
        found = self._state.rows("select machine, seq from rival where id = ? and digest = ?", id_, digest)
        return [*found, *(own.version[2:4] for own in self._own([id_]) if own.version.digest == digest)]

    # -- what is still to be done

    def mark(self, ids: Iterable[int]) -> None:
        """The files are to be brought in line with what is known of these."""
        self._state.execute_many("insert or ignore into unwritten values(?)", ((id_,) for id_ in ids))

    def marked(self) -> list[int]:
        return [row[0] for row in self._state.rows("select id from unwritten order by id")]

    def unmark(self, ids: Iterable[int]) -> None:
        self._state.execute_many("delete from unwritten where id = ?", ((id_,) for id_ in ids))

    def doom(self, lines: Iterable[Line]) -> None:
        """These lines are to be taken out of their shards, unless another machine still has the same one."""
        for line in lines:
            where = self.shard_file(line.shard)
            if where is not None:
                self._state.execute("insert or ignore into doomed values(?, ?, ?)", (*where, line.digest))

    def doomed(self) -> Mapping[tuple[str, str], frozenset[int]]:
        """Space and file -> digest numbers of the lines to take out."""
        found: dict[tuple[str, str], set[int]] = defaultdict(set)
        for space, file, digest in self._state.rows("select space, file, digest from doomed"):
            found[space, file].add(digest)
        return {where: frozenset(digests) for where, digests in found.items()}

    def undoom(self, space: str, file: str) -> None:
        self._state.execute("delete from doomed where space = ? and file = ?", (space, file))

    def let_go(self, id_: int) -> None:
        """Nothing of a key is left: it is welcome again when somebody writes it anew."""
        self._state.execute("delete from foreign_record where id = ?", (id_,))
        self._state.execute("delete from version where id = ? and seq = 0", (id_,))
        self._state.execute("update record set seq = ?, digest = 0 where id = ?", (WITHDRAWN, id_))
