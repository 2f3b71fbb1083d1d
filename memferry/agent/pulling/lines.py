"""Lines of other machines' ledgers: each is written here once, whichever machines have it, into a ledger of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from memferry.agent.pulling import apply
from memferry.agent.pulling.here import Here
from memferry.agent.state.known import FOREIGN, FORGOTTEN, HELD, WITHDRAWN, Seen, hex_number
from memferry.agent.state.received import Line, Shard
from memferry.backends.base import MachineLog
from memferry.formats.base import Kind, Whole
from memferry.model import Put

Texts = Mapping[Shard, list[bytes]]
"""Lines that are to be added."""


class Arrival(NamedTuple):
    """A version that may be taken in, the id of its record, and the `kind` of its file."""

    put: Put
    id: int
    kind: Kind

    @property
    def is_line(self) -> bool:
        return not isinstance(self.kind.reader, Whole)


class Lines:
    """Of one machine's log."""

    def __init__(self, here: Here, log: MachineLog) -> None:
        self._here = here
        self._log = log

    def sort(self, arrivals: Sequence[Arrival]) -> tuple[list[Line], Texts]:
        """Where each lies from now on, and what is to be added to which shard. What this machine has itself is added to
        none."""
        ids = [one.id for one in arrivals]
        seen, there, own = self._here.catalog.seen(ids), self._here.received.lines(ids), self._own(ids)
        lines: list[Line] = []
        texts: dict[Shard, list[bytes]] = defaultdict(list)
        begun: dict[Shard, int] = {}
        for one in arrivals:
            number = hex_number(one.put.digest)
            line = Line(self._log.id, one.put.seq, one.id, number, 0)
            others = [known for known in there[one.id, number] if known.shard]
            if not _is_welcome(seen.get(one.id)) or (one.id, number) in own:
                pass
            elif others:
                line = line._replace(shard=others[0].shard)
            else:
                shard = one.put.space, apply.shard(one.put.file, self._log.name)
                if shard not in begun:
                    begun[shard] = self._begun(shard)
                line = line._replace(shard=begun[shard])
                texts[shard].append(one.put.body.encode())
            there[one.id, number].append(line)
            lines.append(line)
        return lines, texts

    def add(self, lines: Sequence[Line]) -> None:
        """They lie in their shards. Inside a transaction of the state."""
        self._here.received.add_lines(lines)
        seen = self._here.catalog.seen([line.id for line in lines])
        new = [line for line in lines if line.shard and (line.id not in seen or seen[line.id].seq == WITHDRAWN)]
        self._here.state.execute_many(
            "insert or replace into record values(?, ?, ?, 0)", ((line.id, line.digest, FOREIGN) for line in new)
        )

    def numbers(self, shards: Iterable[Shard]) -> set[int]:
        """Of shards."""
        return {self._here.received.shard(*shard) for shard in shards}

    def _begun(self, shard: Shard) -> int:
        with self._here.state.transaction():  # before the file is there, so that nobody reads it as this machine's own
            return self._here.received.shard(*shard)

    def _own(self, ids: Collection[int]) -> set[tuple[int, int]]:
        """Ids and digests of the versions that this machine wrote itself."""
        sql = "select id, digest from {} where seq > 0 and id in (select value from json_each(?))"
        return {row[:2] for table in ("record", "version") for row in self._here.state.among(sql.format(table), ids)}


def _is_welcome(seen: Seen | None) -> bool:
    return seen is None or seen.seq not in (HELD, FORGOTTEN)
