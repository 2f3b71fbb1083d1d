"""Finding passages by their words, in an index that another process may be adding to."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from memferry.errors import IndexBroken
from memferry.looking import looking
from memferry.recall.base import Passage
from memferry.recall.layout import CONTEXT, PASSAGE_BITS, REBUILD, VERSION, context_of, explained
from memferry.recall.passages import passages
from memferry.recall.rank import Facts
from memferry.values import seconds

CACHE_KIB = 4000
"""Of an index's pages, in memory. With twice the default a question takes .97 of the time; with more, as long."""
LOOKED_AT = 600
"""Passages that are scored for one question. FTS5 takes 2 us for each that it scores and 0.1 us for each that it
merely finds. So the frequent words of a question decide only between passages that hold one of its rarer ones."""
EVERYDAY = 0.15
"""What stands in a larger share of the passages tells next to nothing, and is found in the longest time."""

_BEFORE = f"""(select head from entry as one where one.id = entry.before),
    (select substr(text, -{CONTEXT}) from entry as one where one.id = entry.before)"""
_SAID = f"id, head, text, {_BEFORE}"
_NUMBER = (1 << PASSAGE_BITS) - 1
BEFORE = 0.5
"""How much a word counts that stands in the record before, not in a record itself. Tuned on five conversations."""


class Filters(NamedTuple):
    """Which records count. `since`, `until`: ISO times, UTC where they name no zone; `until` is meant with its whole
    second. A record whose own time cannot be read lies in no span."""

    space: str | None = None
    machine: str | None = None
    type: str | None = None
    tag: str | None = None
    scope: str | None = None
    sensitivity: str | None = None
    since: str | None = None
    until: str | None = None

    def condition(self) -> tuple[str, list[object]]:
        """SQL on `entry` and its values; empty where everything counts."""
        given = {name: value for name, value in self._asdict().items() if value is not None}
        parts = [_CONDITIONS[name] for name in given]
        values = [seconds(value) if name in _TIMES else value for name, value in given.items()]
        return " and ".join(parts), values


_CONDITIONS = {
    "space": "entry.space = ?",
    "machine": "exists (select 1 from entry as one where one.key = entry.key and one.space = entry.space"
    " and one.digest = entry.digest and one.machine = ?)",
    "type": "entry.type = ?",
    "tag": "instr(entry.tags, char(10) || ? || char(10))",
    "scope": "entry.scope = ?",
    "sensitivity": "entry.sensitivity = ?",
    "since": "entry.at >= ?",
    "until": "entry.at < ? + 1",
}
_TIMES = frozenset({"since", "until"})


class Found(NamedTuple):
    """A record of the index. `origins`: ids of all machines that hold this very version. `head`: title, speaker and
    date; `before`: the end of the record before it in the same file, if there is one."""

    id: int
    space: str
    key: str
    file: str
    type: str | None
    tags: tuple[str, ...]
    ts: str | None
    scope: str | None
    sensitivity: str | None
    text: str
    machine: str
    origins: tuple[str, ...]
    head: str
    before: str

    def passage(self, id_: int) -> Passage:
        """One of its own, by its id."""
        number = id_ & _NUMBER
        return Passage(id_, passages(self.head, self.text)[number], "" if number else self.before)


class _Term(NamedTuple):
    phrase: str
    passages: float
    """In so many it stands: counted, or estimated from the first of them."""


class Reader:
    """Reads an index; opened once and used for many questions. Whoever opens it closes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries = range(0)
        self._open()

    def _open(self) -> None:
        with explained(self.path):
            self._database, self._frozen = looking(str(self.path), timeout_s=10)
            self._database.execute(f"pragma cache_size = -{CACHE_KIB}")
            (version,) = self._database.execute("pragma user_version").fetchone()
        if version != VERSION:
            raise IndexBroken(f"{self.path} is of another memferry (version {version})", hint=REBUILD)

    def close(self) -> None:
        self._database.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Meanwhile it sees the index as it is now, whatever is added or taken out. Questions are asked inside."""
        if self._frozen:
            self.close()
            self._open()
        with explained(self.path):
            self._database.execute("begin")
        try:
            self._entries = self._range()
            yield
        finally:
            self._database.rollback()

    def rows(self, sql: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with explained(self.path):
            return self._database.execute(sql, values).fetchall()

    # -- by words

    def candidates(self, terms: Sequence[str], filters: Filters, limit: int) -> dict[int, float]:
        """Passage id -> BM25, the best passage of each record, best first."""
        if not self._entries:
            return {}
        known = [one for one in (self._counted(term, filters) for term in terms) if one.passages]
        if not known:
            return {}
        known.sort(key=_frequency)
        leading = _leading(known)
        lead = " OR ".join(one.phrase for one in known[:leading])
        scores = self._scored(lead, filters)
        for one in known[leading:]:
            everywhere = self._counted(one.phrase, Filters()) if any(filters) else one
            if everywhere.passages <= EVERYDAY * len(self._entries):
                self._add(scores, lead, everywhere)
        return _best_of_each(scores, limit)

    def _counted(self, phrase: str, filters: Filters) -> _Term:
        """How frequent a term is among what counts; where it is very frequent, judged by how far its first passages lie
        apart."""
        source, values = _matching(filters)
        sql = f"select count(*), max(id) from (select words.rowid as id from {source} and words match ? limit ?)"
        count, last = self.rows(sql, *values, phrase, LOOKED_AT)[0]
        if count < LOOKED_AT:
            return _Term(phrase, count)
        seen = (last >> PASSAGE_BITS) - self._entries.start + 1
        return _Term(phrase, max(count, count * len(self._entries) / seen))

    def _range(self) -> range:
        """Ids from the first entry to the last one; empty where there are none."""
        low, high = self.rows("select (select min(id) from entry), (select max(id) from entry)")[0]
        return range(low or 0, (high or -1) + 1)

    def _scored(self, lead: str, filters: Filters) -> dict[int, float]:
        """The newest of the passages that hold a leading term."""
        source, values = _matching(filters)
        score = f"-bm25(words, 1.0, {BEFORE})"
        sql = f"select words.rowid, {score} from {source} and words match ? order by words.rowid desc limit ?"
        return dict(self.rows(sql, *values, lead, LOOKED_AT))

    def _add(self, scores: dict[int, float], lead: str, term: _Term) -> None:
        """What a frequent term adds to those already found: as if it stood there once, in a passage of usual length."""
        weight = math.log((len(self._entries) - term.passages + 0.5) / (term.passages + 0.5))
        # Ascending from the first that counts: FTS5 takes twice the time for the same downwards.
        sql = "select rowid from words where words match ? and rowid >= ?"
        for (id_,) in self.rows(sql, f"({lead}) AND {term.phrase}", min(scores)):
            if id_ in scores:
                scores[id_] += weight

    # -- what they are

    def passages(self, ids: Collection[int]) -> list[Passage]:
        """Those of the ids that the index knows."""
        said = {row[0]: row[1:] for row in self._among(_SAID, {id_ >> PASSAGE_BITS for id_ in ids})}
        texts = {id_: passages(head, text) for id_, (head, text, *_) in said.items()}
        return [
            Passage(id_, texts[entry][number], "" if number else _context(*said[entry][2:]))
            for id_ in ids
            if (number := id_ & _NUMBER) < len(texts.get(entry := id_ >> PASSAGE_BITS, ()))
        ]

    def admitted(self, ids: Iterable[int], filters: Filters) -> set[int]:
        """Those of the passages whose records are current and pass the filters."""
        condition, values = filters.condition()
        by_entry: dict[int, list[int]] = {}
        for id_ in ids:
            by_entry.setdefault(id_ >> PASSAGE_BITS, []).append(id_)
        rows = self._among("id", by_entry, f"and current and {condition}" if condition else "and current", *values)
        return {id_ for (entry,) in rows for id_ in by_entry[entry]}

    def facts(self, ids: Iterable[int]) -> dict[int, Facts]:
        """What ranking asks of records, by entry id, of those that are current."""
        rows = self._among("id, type, ts, importance, used, head", ids, "and current")
        return {row[0]: Facts._make(row[1:]) for row in rows}

    def names(self, ids: Iterable[int]) -> dict[int, tuple[str, str]]:
        """Space and key of records, by entry id."""
        return {id_: (space, key) for id_, space, key in self._among("id, space, key", ids)}

    def texts(self, ids: Iterable[int]) -> dict[int, str]:
        """Of records, by entry id."""
        return dict(self._among("id, text", ids))

    def found(self, ids: Iterable[int]) -> dict[int, Found]:
        """Records by entry id, of those that are current. It takes ten times as long as `facts`."""
        columns = (
            "id, space, key, file, type, tags, ts, scope, sensitivity, text, machine,"
            " (select group_concat(one.machine, char(10)) from entry as one where one.key = entry.key"
            f" and one.space = entry.space and one.digest = entry.digest), head, {_BEFORE}"
        )
        return {row[0]: _found(*row) for row in self._among(columns, ids, "and current")}

    def _among(
        self, columns: str, ids: Iterable[int], further: str = "", *values: object
    ) -> list[tuple]:  # type: ignore[type-arg]  # fmt: skip
        """Of the entries that this part may have: mostly it has all or none."""
        mine = [id_ for id_ in ids if id_ in self._entries]
        if not mine:
            return []
        # One after the other takes two thirds of the time of `id in (...)`, for which SQLite sorts them first.
        wanted = "(select value as wanted from json_each(?)) cross join entry on entry.id = wanted"
        return self.rows(f"select {columns} from {wanted} where true {further}", repr(mine), *values)


def _found(*row: Any) -> Found:
    tags, origins = tuple(row[5].split("\n")[1:-1]), tuple(row[11].split("\n"))
    return Found._make((*row[:5], tags, *row[6:11], origins, row[12], _context(*row[13:])))


def _context(head: str | None, text: str | None) -> str:
    """Of the record before, if there is one."""
    return "" if head is None or text is None else context_of(head, text)


def _matching(filters: Filters) -> tuple[str, list[object]]:
    """What to search, in SQL up to the last condition, with its values."""
    condition, values = filters.condition()
    joined = (
        f"cross join entry on entry.id = words.rowid >> {PASSAGE_BITS} where {condition}" if condition else "where true"
    )
    return f"words {joined}", values


def _frequency(term: _Term) -> float:
    return term.passages


def _leading(terms: Sequence[_Term]) -> int:
    """How many of the terms, rarest first, together stand in no more passages than can be looked at; at least one."""
    total = 0.0
    for number, term in enumerate(terms):
        total += term.passages
        if total > LOOKED_AT:
            return max(1, number)
    return len(terms)


def _best_of_each(scores: Mapping[int, float], limit: int) -> dict[int, float]:
    best: dict[int, int] = {}
    for id_ in sorted(scores, key=scores.__getitem__, reverse=True):
        best.setdefault(id_ >> PASSAGE_BITS, id_)
        if len(best) == limit:
            break
    return {id_: scores[id_] for id_ in best.values()}
