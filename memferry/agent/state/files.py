"""What this machine knows of its files: how far each is read, what lies in it, and which are to be read again."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from struct import Struct
from struct import error as StructError  # noqa: N812

import msgspec

from memferry.agent.files.scan import Stat
from memferry.agent.files.tail import Cursor
from memferry.agent.state.database import State
from memferry.agent.state.known import KnownFile

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
        # Ten thousand files are compared by every scan: unpacked in one go.
        unpacked = _STAT.iter_unpack(b"".join([row[1] for row in rows]))
        return dict(zip([row[0] for row in rows], map(partial(tuple.__new__, Stat), unpacked), strict=True))

    def stats_of(self, files: Collection[int]) -> list[tuple[str, str, Stat]]:
        """(space, path, stat as last read) of those of these files that are not gone."""
        rows = self._state.among(
            "select space, path, stat from file where not gone and stat is not null"
            " and id in (select value from json_each(?))", files
        )  # fmt: skip
        return [(space, path, Stat._make(_STAT.unpack(packed))) for space, path, packed in rows]

    def find(self, space: str, path: str) -> KnownFile | None:
        """What is known of a file; None: it was never met. Raises StateError for a damaged row."""
        row = self._state.one(f"select {FILE_COLUMNS} from file where space = ? and path = ?", space, path)
        try:
            return None if row is None else _file(row)
        except (msgspec.MsgspecError, StructError, ValueError) as error:
            raise self._state.damaged("what is known of a file") from error

    def meet(self, space: str, path: str, format_name: str) -> KnownFile:
        """The file's row, made when it is new."""
        known = self.find(space, path)
        if known is not None:
            return known
        self._state.execute("insert into file(space, path, format) values(?, ?, ?)", (space, path, format_name))
        made = self.find(space, path)
        assert made is not None
        return self.relay(made, 0)

    def relay(self, file: KnownFile, position: int) -> KnownFile:
        """A new layout from `position` on: what lay there no longer counts as being in its place."""
        layout = self._state.execute("insert into layout(file) values(?)", (file.id,)).lastrowid
        assert layout is not None
        layouts = (*((start, id_) for start, id_ in file.layouts if start < position), (position, layout))
        return self.save(file._replace(layouts=layouts, placed=min(file.placed, position)))

    def save(self, file: KnownFile) -> KnownFile:
        """From now on this is known of it; returns it."""
        stat = _STAT.pack(*file.stat) if file.stat else None
        cursor = _cursor_encoder.encode(file.cursor) if file.cursor else None
        self._state.execute(
            "update file set space = ?, path = ?, format = ?, stat = ?, cursor = ?, content = ?, layouts = ?,"
            " position = ?, placed = ?, cleared = ?, noted_mtime_ns = ?, frame = ?, gone = ? where id = ?",
            (
                file.space, file.path, file.format, stat, cursor, file.content, json.dumps(file.layouts),
                file.position, file.placed, file.cleared, file.noted_mtime_ns, file.frame, file.gone, file.id,
            ),
        )  # fmt: skip
        return file

    def displace(self, space: str, path: str) -> None:
        """Another file takes this name; what is known of the one that had it stays, without a name."""
        self._state.execute(
            "update file set path = path || char(0) || id, gone = 1, stat = null, cursor = null"
            " where space = ? and path = ?",
            (space, path),
        )

    # -- what lies in them

    def lying_in(self, file: int) -> list[int]:
        """Ids of the records that were placed in a file."""
        return [
            row[0]
            for table in ("record", "place")
            for row in self._state.rows(
                f"select distinct {table}.id from layout cross join {table} on place > 0"
                " and place between layout.id << 32 and (layout.id << 32) + 4294967295 where layout.file = ?",
                file,
            )
        ]

    def add_members(self, file: int, ids: Iterable[int]) -> None:
        self._state.execute_many("insert or ignore into member values(?, ?)", ((file, id_) for id_ in ids))

    def drop_members(self, file: int, ids: Iterable[int]) -> None:
        self._state.execute_many("delete from member where file = ? and id = ?", ((file, id_) for id_ in ids))

    def members(self, file: int) -> set[int]:
        """The entries that a JSON array held when last read."""
        return {row[0] for row in self._state.rows("select id from member where file = ?", file)}

    def add_note(self, file: int, seq: int) -> None:
        self._state.execute("insert into note values(?, ?)", (file, seq))

    def pulled(self, space: str) -> set[str]:
        """Ledgers and copies that pulls wrote: they are another machine's to carry."""
        return {row[0] for row in self._state.rows("select file from pulled_file where space = ?", space)}

    # -- to be read again

    def reconsider(self, space: str) -> None:
        """Something is no longer held: what was held because of it is read and judged again."""
        self._state.execute(
            "update file set stat = null, cursor = null, content = null where space = ? and id in ("
            "select holding.file from holding join rule on rule.id = holding.rule"
            " where holding.count > 0 and rule.rule in ('lineage', 'overlap'))",
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

    def reconsider_all(self, space: str) -> None:
        """Every file is read and judged again."""
        self._state.execute("update file set stat = null, cursor = null, content = null where space = ?", (space,))
