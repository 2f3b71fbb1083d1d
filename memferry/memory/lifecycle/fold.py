"""From lines of the ledgers to rows of the index."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

from memferry.memory.lifecycle.ledgers import Line
from memferry.memory.lifecycle.notes import problem_of
from memferry.memory.lifecycle.records import CONFLICT, FINDING, INSTANCE, LEASE, REDUCER
from memferry.memory.lifecycle.tree import Place
from memferry.memory.lifecycle.words import is_private, seconds_of, slug, strings

MOST_TICKS = 1 << 53
"""No tree was written to so often: a clock beyond that is no clock, and SQLite holds no number without end."""
_EVENT_TEXTS = {"event_id": str, "type": str, "scope": str, "payload": dict}
_OBJECT_TEXTS = {"id": str, "type": str, "scope": str, "summary": str}
_WORKED_ON = {"memory.captured": "distill", "memory.published": "reduce"}


class Progress(Protocol):
    """How far a ledger was read before. See `index._Known`."""

    @property
    def offset(self) -> int: ...
    @property
    def lines(self) -> int: ...
    @property
    def records(self) -> int: ...
    @property
    def ts_min(self) -> str | None: ...
    @property
    def ts_max(self) -> str | None: ...
    @property
    def scope(self) -> str | None: ...


class Counted(NamedTuple):
    """How far it is read now, and what its records span."""

    offset: int
    lines: int
    records: int
    ts_min: str | None
    ts_max: str | None
    scope: str | None


class At(NamedTuple):
    """Where a line lies."""

    file: str
    place: Place
    line: Line


_Taker: TypeAlias = Callable[["Fold", At, dict[str, Any]], str | None]
"""Takes the fields of a line in; answers why it cannot, or None."""


class Fold:
    """Takes lines in, file by file; `finish` when there are no more. Works inside the caller's transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._tally: Counter[tuple[str, str, str]] = Counter()
        self._waiting: list[tuple[object, ...]] = []
        self._done: list[tuple[str, str]] = []
        self._told: list[tuple[str, str]] = []
        self._objects: list[tuple[object, ...]] = []
        self._superseded: list[tuple[str]] = []
        self._hidden: list[tuple[str, str]] = []
        self._clock = 0
        self._last_reduce = ""

    def read(self, file: str, place: Place | None, lines: Iterable[Line], known: Progress) -> Counted:
        """Take in what a ledger gained beyond `known`."""
        if place is None:
            self._damage(file, 0, "it is not a ledger of this memory")
            return Counted(known.offset, known.lines, known.records, None, None, None)
        take, scope = _TAKERS[place.zone], known.scope
        end, number, count, times = known.offset, known.lines, known.records, [known.ts_min, known.ts_max]
        for line in lines:
            end, number = line.offset + line.length + 1, line.number
            problem = line.problem or problem_of(place.zone, line.fields)
            problem = problem or take(self, At(file, place, line), line.fields)
            if problem:
                self._damage(file, line.number, problem)
                continue
            count += 1
            scope = scope or _text(line.fields, "scope") or None
            times.append(line.fields.get("ts") or line.fields.get("ts_wall"))
        self._flush()
        stamps = [ts for ts in times if isinstance(ts, str)]
        return Counted(end, number, count, min(stamps, default=None), max(stamps, default=None), scope)

    def finish(self) -> None:
        """Write what is counted over all files."""
        self._db.executemany(
            "insert into tally values (?, ?, ?, ?) on conflict do update set number = number + excluded.number",
            [(*key, number) for key, number in self._tally.items()],
        )
        for name, value in (("clock", self._clock), ("last_reduce", self._last_reduce)):
            if value:
                self._db.execute(
                    "insert into facts values (?, ?) on conflict do update set value = max(value, excluded.value)",
                    (name, value),
                )

    def _damage(self, file: str, line: int, reason: str) -> None:
        self._db.execute("insert into damaged values (?, ?, ?)", (file, line, reason))

    def _flush(self) -> None:
        write = self._db.executemany
        write("insert or ignore into objects values (null, ?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,"
              " not exists (select 1 from superseded where id = ?))", self._objects)  # fmt: skip
        write("insert or ignore into superseded values (?)", self._superseded)
        write("update objects set active = 0 where id = ?", self._superseded)
        write("insert or ignore into done values (?, ?)", self._done)
        write("delete from waiting where verb = ? and event_id = ?", self._done)
        write(
            "insert or ignore into waiting select ?, ?, ?, ?, ?, ?, ?, ?"
            " where not exists (select 1 from done where verb = ? and event_id = ?)",
            ((*row, row[0], row[4]) for row in self._waiting),
        )
        write("insert or ignore into told values (?, ?)", self._told)
        write("insert into hidden values (?, ?)", self._hidden)
        for rows in (self._objects, self._superseded, self._done, self._waiting, self._told, self._hidden):
            rows.clear()

    # -- events

    def take_event(self, at: At, fields: dict[str, Any]) -> str | None:
        """Of a stream or the bus."""
        if problem := _missing(fields, _EVENT_TEXTS, "event"):
            return problem
        type_, event_id, payload = fields["type"], fields["event_id"], fields["payload"]
        self._tally[at.place.zone, fields["scope"], type_] += 1
        lc = fields.get("lc")
        if isinstance(lc, int) and lc <= MOST_TICKS:
            self._clock = max(self._clock, lc)
        if type_ == "memory.distilled" and isinstance(source := payload.get("source_event_id"), str):
            self._told.append(("distilled", source))
        if _WORKED_ON.get(type_) == _VERB_OF_ZONE[at.place.zone]:
            private = self._hide(fields, payload)
            if at.place.zone == "bus" or not at.place.origin:  # a stream is distilled where its instance lives
                self._waiting.append((
                    _WORKED_ON[type_], at.file, at.line.offset, at.line.length, event_id, at.place.scope,
                    at.place.instance, private,
                ))  # fmt: skip
        return None

    def take_worked_on(self, at: At, fields: dict[str, Any]) -> str | None:
        """One of `_meta`."""
        event_id = fields["event_id"]
        if not at.place.origin:
            self._done.append(("distill" if "distilled" in at.file else "reduce", event_id))
        return None

    # -- objects

    def take_object(self, at: At, fields: dict[str, Any]) -> str | None:
        """Of a view."""
        if problem := _missing(fields, _OBJECT_TEXTS, "object"):
            return problem
        scope, type_, private = fields["scope"], fields["type"], self._hide(fields, fields)
        refs = strings(fields.get("event_refs"))
        self._tally["views", scope, type_] += 1
        self._objects.append((
            fields["id"], at.file, at.line.number, at.line.offset, at.line.length, type_, scope, slug(scope),
            _text(fields, "project"), _text(fields, "status"), _text(fields, "ts"), fields["summary"],
            _text(fields, "decision_key"), _text(fields, "due_at"), refs[0] if refs else "", private, at.place.origin,
            fields["id"],
        ))  # fmt: skip
        if supersedes := _text(fields, "supersedes"):
            self._superseded.append((supersedes,))
        if _text(fields, "status") != "active":
            self._superseded.append((fields["id"],))
        if at.place.origin and refs:
            self._done.append(("reduce", refs[0]))
        return None

    def _hide(self, fields: dict[str, Any], said: dict[str, Any]) -> bool:
        """Whether it is private; then its text is remembered, to be known again where it is quoted."""
        summary = _text(said, "summary")
        private = is_private(fields.get("visibility"), said.get("tags"), summary)
        if private:
            self._hidden.append((_text(fields, "event_id") or _text(fields, "id"), summary))
        return private

    # -- notes

    def take_agenda(self, at: At, fields: dict[str, Any]) -> str | None:
        """Of a project: only which items there are. Their state is folded when somebody asks."""
        if fields["op"] == "add":
            self._told.append(("agenda", fields["item"]["id"]))
        return None

    def take_note(self, at: At, fields: dict[str, Any]) -> str | None:
        """Of coordination or governance."""
        schema = fields.get("schema_version")
        take = _NOTES.get(schema) if isinstance(schema, str) else None
        return take(self, at, fields) if take else None

    def take_reducer(self, at: At, fields: dict[str, Any]) -> str | None:
        event_id = _text(fields, "event_id")
        self._last_reduce = max(self._last_reduce, "" if at.place.origin else _text(fields, "ts"))
        if event_id:
            (self._done if at.place.origin else self._told).append(("reduce", event_id))
        return None

    def take_conflict(self, at: At, fields: dict[str, Any]) -> str | None:
        id_, parties = fields["conflict_id"], strings(fields.get("evidence"))
        private = fields.get("visibility") == "private" or self._is_hidden(parties)
        opens = fields.get("op") == "open"
        self._db.execute(
            "insert into conflicts values (null, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (id) do update set"
            " opened = max(opened, excluded.opened), resolved = max(resolved, excluded.resolved),"
            " private = max(private, excluded.private), scope = coalesce(nullif(scope, ''), excluded.scope),"
            " key = coalesce(nullif(key, ''), excluded.key), summary = coalesce(nullif(summary, ''), excluded.summary)",
            (id_, _text(fields, "scope"), _text(fields, "conflict_key"), _text(fields, "summary"), _text(fields, "ts"),
             private, opens, fields.get("op") == "resolve"),
        )  # fmt: skip
        for name in parties:
            self._db.execute("insert or ignore into parties values (?, ?)", (name, id_))
            if name.startswith("evt-"):
                (self._done if at.place.origin else self._told).append(("reduce", name))
        return None

    def _is_hidden(self, ids: list[str]) -> bool:
        """Whether one of these is private: other tools do not say so of what they make of it."""
        return any(self._db.execute("select 1 from hidden where id = ?", (id_,)).fetchone() for id_ in ids)

    def take_instance(self, at: At, fields: dict[str, Any]) -> str | None:
        names = ("event", "scope", "project", "ts")
        self._db.execute(
            "insert or replace into instances values (?, ?, ?, ?, ?, ?)",
            (at.place.origin, fields["instance_id"], *(_text(fields, name) for name in names)),
        )
        return None

    def take_lease(self, at: At, fields: dict[str, Any]) -> str | None:
        scope, key, origin, moment = fields["scope"], fields["key"], at.place.origin, seconds_of(fields["ts"])
        self._db.execute(
            "update leases set released = ? where scope = ? and key = ? and origin = ? and released is null",
            (moment, scope, key, origin),
        )
        if fields.get("op") == "acquire":
            self._db.execute(
                "insert into leases values (null, ?, ?, ?, ?, ?, ?, ?, null, ?, ?)",
                (_text(fields, "lease_id"), origin, scope, key, _text(fields, "instance_id"), moment,
                 seconds_of(fields["expires_at"]), fields.get("visibility") == "private", _as_json(fields)),
            )  # fmt: skip
        return None

    def take_finding(self, at: At, fields: dict[str, Any]) -> str | None:
        names = ("rule_id", "severity", "scope", "project", "status", "ts")
        self._db.execute(
            "insert into findings values (?, ?, ?, ?, ?, ?, ?, ?) on conflict do update set status = 'closed'"
            if fields.get("status") == "closed"
            else "insert or ignore into findings values (?, ?, ?, ?, ?, ?, ?, ?)",
            (fields["finding_id"], *(_text(fields, name) for name in names), fields.get("visibility") == "private"),
        )
        return None


_TAKERS: dict[str, _Taker] = {
    "streams": Fold.take_event,
    "bus": Fold.take_event,
    "views": Fold.take_object,
    "_meta": Fold.take_worked_on,
    "projects": Fold.take_agenda,
    "coordination": Fold.take_note,
    "governance": Fold.take_note,
}
_NOTES: dict[str, _Taker] = {
    REDUCER: Fold.take_reducer,
    CONFLICT: Fold.take_conflict,
    INSTANCE: Fold.take_instance,
    LEASE: Fold.take_lease,
    FINDING: Fold.take_finding,
}
_VERB_OF_ZONE = {"streams": "distill", "bus": "reduce"}


def _missing(fields: dict[str, Any], wanted: Mapping[str, type], what: str) -> str | None:
    for name, type_ in wanted.items():
        if not isinstance(fields.get(name), type_):
            return f"it is no {what}: {name} is missing or of another kind"
    return None


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _as_json(fields: dict[str, Any]) -> str:
    import json

    return json.dumps(fields, ensure_ascii=False)
