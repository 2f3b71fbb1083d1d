"""Finding passages by their words, in an index that another process may be adding to."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from memferry.errors import IndexBroken
from memferry.recall.base import Passage
from memferry.recall.index import PASSAGE_BITS, REBUILD, VERSION, explained
from memferry.recall.passages import passages

LOOKED_AT = 600
"""Passages that are scored for one question. FTS5 takes 2 us for each that it scores and 0.1 us for each that it
merely finds. So the frequent words of a question decide only between passages that hold one of its rarer ones."""


class Filters(NamedTuple):
    """Which records count. `since`, `until`: ISO date or time, compared with a record's own; a date as `until` is meant
    with its whole day."""

    space: str | None = None
    machine: str | None = None
    type: str | None = None
    tag: str | None = None
    scope: str | None = None
    sensitivity: str | None = None
    since: str | None = None
    until: str | None = None

    def condition(self) -> tuple[str, list[str]]:
        """SQL on `entry` and its values; empty where everything counts."""
        parts = [sql for name, sql in _CONDITIONS.items() if getattr(self, name) is not None]
        values = [str(getattr(self, name)) for name in _CONDITIONS if getattr(self, name) is not None]
        return " and ".join(parts), values


_CONDITIONS = {
    "space": "entry.space = ?",
    "machine": "exists (select 1 from entry as one where one.key = entry.key and one.space = entry.space"
    " and one.digest = entry.digest and one.machine = ?)",
    "type": "entry.type = ?",
    "tag": "instr(entry.tags, char(10) || ? || char(10))",
    "scope": "entry.scope = ?",
    "sensitivity": "entry.sensitivity = ?",
    "since": "entry.ts >= ?",
    "until": "entry.ts <= ? || '~'",
}


class Found(NamedTuple):
    """A record of the index. `origins`: ids of all machines that hold this very version."""

    id: int
    space: str
    key: str
    file: str
    type: str | None
    tags: tuple[str, ...]
    ts: str | None
    scope: str | None
    sensitivity: str | None
    importance: float | None
    used: str | None
    before: int | None
    head: str
    text: str
    machine: str
    origins: tuple[str, ...]


class _Term(NamedTuple):
    phrase: str
    passages: float
    """In so many it stands: counted, or estimated from the first of them."""


class Reader:
    """Reads an index; opened once and used for many questions. Whoever opens it closes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained(path):
            self._database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10, isolation_level=None)
            (version,) = self._database.execute("pragma user_version").fetchone()
        if version != VERSION:
            raise IndexBroken(f"{path} is of another memferry (version {version})", hint=REBUILD)

    def close(self) -> None:
        self._database.close()

    def rows(self, sql: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with explained(self.path):
            return self._database.execute(sql, values).fetchall()

    # -- by words

    def candidates(self, terms: Sequence[str], filters: Filters, limit: int) -> dict[int, float]:
        """Passage id -> BM25, the best passage of each record, best first."""
        known = sorted((one for one in map(self._counted, terms) if one.passages), key=lambda one: one.passages)
        if not known:
            return {}
        leading = _leading(known)
        lead = " OR ".join(one.phrase for one in known[:leading])
        scores = self._scored(lead, filters)
        for one in known[leading:]:
            self._add(scores, lead, one)
        return _best_of_each(scores, limit)

    def _counted(self, phrase: str) -> _Term:
        """How frequent a term is; where it is very frequent, judged by how far its first passages lie apart."""
        count, last = self.rows(
            "select count(*), max(rowid) from (select rowid from words where words match ? limit ?)", phrase, LOOKED_AT
        )[0]
        if count < LOOKED_AT:
            return _Term(phrase, count)
        low, high = self._range
        return _Term(phrase, max(count, count * (high - low + 1) / ((last >> PASSAGE_BITS) - low + 1)))

    @property
    def _range(self) -> tuple[int, int]:
        """The first and the last entry."""
        low, high = self.rows("select (select min(id) from entry), (select max(id) from entry)")[0]
        return low or 0, high or 0

    def _scored(self, lead: str, filters: Filters) -> dict[int, float]:
        """The newest of the passages that hold a leading term."""
        condition, values = filters.condition()
        joined = (
            f"cross join entry on entry.id = words.rowid >> {PASSAGE_BITS} where {condition} and"
            if condition
            else "where"
        )
        sql = f"select words.rowid, -bm25(words) from words {joined} words match ? order by words.rowid desc limit ?"
        return dict(self.rows(sql, *values, lead, LOOKED_AT))

    def _add(self, scores: dict[int, float], lead: str, term: _Term) -> None:
        """What a frequent term adds to those already found: as if it stood there once, in a passage of usual length."""
        low, high = self._range
        total = high - low + 1
        weight = math.log(max(1.0, (total - term.passages + 0.5) / (term.passages + 0.5)))
        sql = "select rowid from words where words match ? order by rowid desc limit ?"
        for (id_,) in self.rows(sql, f"({lead}) AND {term.phrase}", LOOKED_AT):
            if id_ in scores:
                scores[id_] += weight

    # -- what they are

    def passages(self, ids: Collection[int]) -> list[Passage]:
        """Those of the ids that the index knows."""
        rows = self._among("id, head, text", {id_ >> PASSAGE_BITS for id_ in ids})
        pieces = {id_: passages(head, text) for id_, head, text in rows}
        return [Passage(id_, text) for id_ in ids if (text := _passage(pieces, id_)) is not None]

    def admitted(self, ids: Iterable[int], filters: Filters) -> set[int]:
        """Those of the passages whose records are current and pass the filters."""
        condition, values = filters.condition()
        by_entry: dict[int, list[int]] = {}
        for id_ in ids:
            by_entry.setdefault(id_ >> PASSAGE_BITS, []).append(id_)
        sql = "select id from entry where id in (select value from json_each(?)) and current"
        rows = self.rows(f"{sql} and {condition}" if condition else sql, repr(list(by_entry)), *values)
        return {id_ for (entry,) in rows for id_ in by_entry[entry]}

    def found(self, ids: Iterable[int]) -> dict[int, Found]:
        """Records by entry id, of those that are current."""
        columns = (
            "id, space, key, file, type, tags, ts, scope, sensitivity, importance, used, before, head, text, machine,"
            " (select group_concat(one.machine, char(10)) from entry as one where one.key = entry.key"
            " and one.space = entry.space and one.digest = entry.digest)"
        )
        return {
            row[0]: Found._make((*row[:5], tuple(row[5].split("\n")[1:-1]), *row[6:15], tuple(row[15].split("\n"))))
            for row in self._among(columns, ids, "and current")
        }

    def _among(self, columns: str, ids: Iterable[int], further: str = "") -> list[tuple]:  # type: ignore[type-arg]
        sql = f"select {columns} from entry where id in (select value from json_each(?)) {further}"
        return self.rows(sql, repr(list(ids)))


def _leading(terms: Sequence[_Term]) -> int:
    """How many of the terms, rarest first, together stand in no more passages than can be looked at; at least one."""
    total = 0.0
    for number, term in enumerate(terms):
        total += term.passages
        if total > LOOKED_AT:
            return max(1, number)
    return len(terms)


def _best_of_each(scores: Mapping[int, float], limit: int) -> dict[int, float]:
    best: dict[int, tuple[int, float]] = {}
    for id_, score in sorted(scores.items(), key=lambda item: (-item[1], -item[0])):
        best.setdefault(id_ >> PASSAGE_BITS, (id_, score))
        if len(best) == limit:
            break
    return dict(best.values())


def _passage(pieces: Mapping[int, Sequence[str]], id_: int) -> str | None:
    texts = pieces.get(id_ >> PASSAGE_BITS, ())
    number = id_ & ((1 << PASSAGE_BITS) - 1)
    return texts[number] if number < len(texts) else None
