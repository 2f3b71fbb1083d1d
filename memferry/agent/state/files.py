"""What this machine knows of its files: how far each is read, what lies in it, and which are to be read again."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from struct import Struct
from struct import error as StructError  # noqa: N812

import msgspec

from memferry.agent.files.scan import Stat
from memferry.agent.files.tail import Cursor
from memferry.agent.state.database import State
from memferry.agent.state.known import KnownFile
from memferry.agent.state.queued import RECORDS_OF_FILES, SPACES

_cursor_decoder = msgspec.msgpack.Decoder(Cursor)
_cursor_encoder = msgspec.msgpack.Encoder()
_STAT = Struct("<5q")
"""As `Stat` is declared."""

FILE_COLUMNS = (
    "id, space, path, format, stat, cursor, content, layouts, position, placed, cleared, noted_mtime_ns, frame, gone"
)


def _file(row: Sequence) -> KnownFile:  # type: ignore[type-arg]
    id_, space, path, format_, packed, cursor, content, layouts, *rest = row
    position, placed, cleared, noted, frame, gone = rest
    stat = None if packed is None else Stat._make(_STAT.unpack(packed))
    parsed = _cursor_decoder.decode(cursor) if cursor else None
    stretches = tuple((start, layout) for start, layout in json.loads(layouts))
    return KnownFile(
        id_, space, path, format_, stat, parsed, content, stretches, position, placed, bool(cleared), noted, frame,
        bool(gone),
    )  # fmt: skip


def _row(file: KnownFile) -> tuple[object, ...]:
    """Its columns, the id last."""
    id_, space, path, format_, stat, cursor, content, layouts, *rest = file
    packed = _STAT.pack(*stat) if stat else None
    encoded = _cursor_encoder.encode(cursor) if cursor else None
    return (space, path, format_, packed, encoded, content, json.dumps(layouts), *rest, id_)


def stats_of(rows: Sequence[tuple[str, bytes]]) -> dict[str, Stat]:
    """By path, of rows of path and `stat`."""
    # Ten thousand files are compared by every scan: unpacked in one go.
    unpacked = _STAT.iter_unpack(b"".join([row[1] for row in rows]))
    return dict(zip([row[0] for row in rows], map(partial(tuple.__new__, Stat), unpacked), strict=True))


class Files:
    """Reads and writes what the state knows of files. Call inside a transaction of the state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def stats(self, space: str, paths: Sequence[str] | None = None) -> dict[str, Stat]:
        """The stat of every live file of a space as last read, or of these."""
        sql = "select path, stat from file where space = ? and not gone and stat is not null"
        if paths is None:
            rows = self._state.rows(sql, space)
        else:
            rows = self._state.rows(f"{sql} and path in (select value from json_each(?))", space, json.dumps(paths))
        return stats_of(rows)

    def find(self, space: str, path: str) -> KnownFile | None:
        """What is known of a file; None: it was never met. Raises StateError for a damaged row."""
        return self.find_all(space, [path]).get(path)

    def find_all(self, space: str, paths: Collection[str]) -> dict[str, KnownFile]:
        """What is known of these files, by path; those that were never met are left out. Raises StateError for a
        damaged row."""
        sql = f"select {FILE_COLUMNS} from file where space = ? and path in (select value from json_each(?))"
        try:
            return {row[2]: _file(row) for row in self._state.rows(sql, space, json.dumps([*paths]))}
        except (msgspec.MsgspecError, StructError, ValueError) as error:
            raise self._state.damaged("what is known of a file") from error

    def meet(self, space: str, path: str, format_name: str) -> KnownFile:
        """The file's row, made when it is new."""
        return self.meet_all(space, {path: format_name})[path]

    def meet_all(self, space: str, formats: Mapping[str, str]) -> dict[str, KnownFile]:
        """The rows of these files by path, made for those that are new. `formats`: names, by path."""
        known = self.find_all(space, formats)
        new = [path for path in formats if path not in known]
        made = [
            KnownFile(id_, space, path, formats[path], layouts=((0, layout),))
            for path, id_, layout in zip(new, self._free("file"), self._free("layout"), strict=False)
        ]
        self._state.execute_many(
            "insert into file(id, space, path, format, layouts) values(?, ?, ?, ?, ?)",
            ((one.id, one.space, one.path, one.format, json.dumps(one.layouts)) for one in made),
        )
        self._state.execute_many("insert into layout values(?, ?)", ((one.layouts[0][1], one.id) for one in made))
        return known | {one.path: one for one in made}

    def _free(self, table: str) -> Iterator[int]:
        """Ids that no row has."""
        row = self._state.one(f"select coalesce(max(id), 0) + 1 from {table}")
        assert row is not None
        return count(row[0])

    def relay(self, file: KnownFile, position: int) -> KnownFile:
        """A new layout from `position` on: what lay there no longer counts as being in its place."""
        layout = self._state.execute("insert into layout(file) values(?)", (file.id,)).lastrowid
        assert layout is not None
        layouts = (*((start, id_) for start, id_ in file.layouts if start < position), (position, layout))
        return self.save(file._replace(layouts=layouts, placed=min(file.placed, position)))

    def save(self, file: KnownFile) -> KnownFile:
        """From now on this is known of it; returns it."""
        self.save_all([file])
        return file

    def save_all(self, files: Iterable[KnownFile]) -> None:
        """From now on this is known of them."""
        self._state.execute_many(
            "update file set space = ?, path = ?, format = ?, stat = ?, cursor = ?, content = ?, layouts = ?,"
            " position = ?, placed = ?, cleared = ?, noted_mtime_ns = ?, frame = ?, gone = ? where id = ?",
            map(_row, files),
        )

    def displace(self, space: str, path: str) -> None:
        """Another file takes this name; what is known of the one that had it stays, without a name."""
        self._state.execute(
            "update file set path = path || char(0) || id, gone = 1, stat = null, cursor = null"
            " where space = ? and path = ?",
            (space, path),
        )

    # -- what lies in them

    def spaces(self) -> set[str]:
        """Of every file that was read or pulled, also of spaces that are no longer configured."""
        return {row[0] for row in self._state.rows(SPACES)}

    def stored_of(self, space: str) -> list[int]:
        """Ids of the records that lie in the files of a space, or that pulls wrote there."""
        return [row[0] for row in self._state.rows(
            f"select record.id from {RECORDS_OF_FILES} where file.space = ?"
            " union select id from foreign_record where space = ?"
            " union select arrived.id from arrived join pulled_file on number = shard where space = ?",
            space, space, space,
        )]  # fmt: skip

    def named(self, space: str, path: str) -> list[int]:
        """Ids of the files that have this name, or had it until another took it."""
        sql = "select id from file where space = ? and (path = ? or path between ? and ?)"  # see `displace`
        return [row[0] for row in self._state.rows(sql, space, path, f"{path}\0", f"{path}\1")]

    def lying_in(self, file: int) -> list[int]:
        """Ids of the records that were placed in a file; of versions before the current ones the journal tells."""
        return [
            row[0]
            for table in ("record", "place")
            for row in self._state.rows(
                f"select distinct {table}.id from layout cross join {table} on place > 0"
                " and place between layout.id << 32 and (layout.id << 32) + 4294967295 where layout.file = ?",
                file,
            )
        ]

    def of(self, ids: Collection[int]) -> dict[int, int]:
        """The files in which records have their first places, by record id."""
        return dict(self._state.among(
            "select record.id, layout.file from record join layout on layout.id = place >> 32"
            " where record.id in (select value from json_each(?))", ids
        ))  # fmt: skip

    def add_members(self, file: int, ids: Iterable[int]) -> None:
        self._state.execute_many("insert or ignore into member values(?, ?)", ((file, id_) for id_ in ids))

    def drop_members(self, file: int, ids: Iterable[int]) -> None:
        self._state.execute_many("delete from member where file = ? and id = ?", ((file, id_) for id_ in ids))

    def forget_members(self, file: int) -> None:
        """It is gone: what is not in it when it comes back was not removed by anybody."""
        self._state.execute("delete from member where file = ?", (file,))

    def members(self, file: int) -> set[int]:
        """The entries that a JSON array held when last read."""
        return {row[0] for row in self._state.rows("select id from member where file = ?", file)}

    def standing(self, ids: Collection[int]) -> set[tuple[int, int]]:
        """Where these entries stand: (file, id), of arrays now, and of ledgers whose lines no removal withdraws."""
        found = set(
            self._state.among(
                "select file, member.id from member join file on file.id = file where not gone"
                " and member.id in (select value from json_each(?))",
                ids,
            )
        )
        for table in ("record", "place"):
            sql = (
                f"select layout.file, {table}.id from {table} join layout on layout.id = place >> 32"
                f" join file on file.id = layout.file where frame is null and not gone and place > 0"
                f" and {table}.id in (select value from json_each(?))"
            )
            found |= set(self._state.among(sql, ids))
        return found

    def add_notes(self, notes: Iterable[tuple[int, int]]) -> None:
        """Files by id, and the seqs of operations that tell of them."""
        self._state.execute_many("insert into note values(?, ?)", notes)

    def pulled(self, space: str) -> set[str]:
        """Ledgers and copies that pulls wrote: they are another machine's to carry."""
        return {row[0] for row in self._state.rows("select file from pulled_file where space = ?", space)}

    # -- to be read again

    def reconsider(self, space: str) -> None:
        """Something is no longer held: what was held because of it is read and judged again."""
        self._state.execute(
            "update file set stat = null, cursor = null, content = null where space = ? and id in ("
            "select holding.file from holding join rule on rule.id = holding.rule"
            " where holding.count > 0 and rule.rule in ('lineage', 'overlap') union select file from held_too)",
            (space,),
        )

    def reconsider_findings(self) -> None:
        """Something that was found may leave now: what is held or redacted for a finding is read and judged again."""
        self._state.execute(
            "update file set stat = null, cursor = null, content = null where id in ("
            "select holding.file from holding join rule on rule.id = holding.rule"
            " where holding.count > 0 and substr(rule.rule, 1, 8) = 'secrets.'"
            " union select layout.file from redacted join record using(id)"
            " join layout on layout.id = record.place >> 32)"
        )

    def reconsider_these(self, files: Collection[int]) -> None:
        """They are read and judged again."""
        self._state.among(
            "update file set stat = null, cursor = null, content = null where id in (select value from json_each(?))",
            files,
        )

    def reconsider_all(self, space: str) -> None:
        """Every file is read and judged again."""
        self._state.execute("update file set stat = null, cursor = null, content = null where space = ?", (space,))
