"""The lists in `index/` that other tools read: which ledgers, objects, instances, conflicts and findings there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from json import JSONEncoder

from memferry.memory.lifecycle.turn import Turn

_line = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_LISTS = {
    "catalog": (
        ("zone", "path", "scope", "count", "ts_min", "ts_max"),
        """select substr(path, 1, instr(path, '/') - 1) as zone, path, scope, count, ts_min, ts_max from files
           where count and zone in ('streams', 'bus', 'views', 'coordination', 'governance') order by path""",
    ),
    "id_map": (
        ("id", "type", "scope", "status", "path", "line", "ts"),
        "select id, type, scope, status, path, line, ts from objects order by id",
    ),
    "instances_active": (
        ("instance_id", "event", "scope", "project", "ts"),
        "select id, event, scope, project, ts from instances order by id, origin",
    ),
    "conflicts_open": (
        ("conflict_id", "scope", "conflict_key", "summary", "ts"),
        "select id, scope, key, summary, ts from conflicts where opened and not resolved order by id",
    ),
    "findings_open": (
        ("finding_id", "rule_id", "severity", "scope", "project", "ts"),
        "select id, rule, severity, scope, project, ts from findings where status = 'open' order by id",
    ),
}
_COUNTED_AS = {
    "catalog": "catalog_entries", "id_map": "id_entries", "instances_active": "instance_entries",
    "conflicts_open": "open_conflicts", "findings_open": "open_findings",
}  # fmt: skip


def reindexed(turn: Turn, *, write: bool = True) -> dict[str, int]:
    """Write the lists anew, from the ledgers as they are now; answers how long each is."""
    counts = {}
    turn.refresh()
    for name, (fields, sql) in _LISTS.items():
        rows = [dict(zip(fields, row, strict=True)) for row in turn.index.db.execute(sql)]
        counts[_COUNTED_AS[name]] = len(rows)
        if write:
            turn.write_text(f"index/{name}.jsonl", _lines(rows))
    return counts


def _lines(rows: Iterable[Mapping[str, object]]) -> str:
    return "".join(_line(row) + "\n" for row in rows)
