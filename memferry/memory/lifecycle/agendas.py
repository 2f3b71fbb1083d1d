"""agenda: what a project still has to do."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Any

from memferry.errors import MemoryRefused
from memferry.memory.lifecycle import ledgers, tree
from memferry.memory.lifecycle.making import agenda_item
from memferry.memory.lifecycle.notes import problem_of
from memferry.memory.lifecycle.records import Fields, labelled
from memferry.memory.lifecycle.turn import Turn
from memferry.memory.lifecycle.words import PRIVATE, csv, is_private, slug

_LAST_DAY = "9999-12-31"
_RANKS = {"high": 0, "medium": 1, "low": 2}


def add(turn: Turn, asked: Namespace) -> Fields:
    """Put something on it."""
    file, tags = tree.agenda(asked.project), csv(asked.tags)
    private = is_private(asked.visibility, tags, asked.add) or turn.quotes_private(asked.add)
    item = agenda_item(
        turn, turn.new_id("agd"), asked.add.strip(), priority=asked.priority or "medium",
        owner=slug(asked.owner or "agent"), tags=tags, origin="manual", due_at=asked.due_at, private=private,
    )  # fmt: skip
    turn.append(file, {"op": "add", "ts": turn.ts, "item": item})
    return {"action": "add", "path": turn.path(file), "item": item}


def close(turn: Turn, asked: Namespace) -> Fields:
    """It is done, or given up."""
    file, item = _item(turn, asked.project, asked.close)
    turn.append(file, labelled(
        {"op": "close", "ts": turn.ts, "target_id": asked.close, "status": asked.status}, private=_says_private(item)
    ))  # fmt: skip
    return {"action": "close", "path": turn.path(file), "target_id": asked.close}


def update(turn: Turn, asked: Namespace) -> Fields:
    """Change what is said about it."""
    file, item = _item(turn, asked.project, asked.update)
    said = {
        "summary": asked.summary, "priority": asked.priority, "due_at": asked.due_at, "tags": csv(asked.tags),
        "owner": slug(asked.owner) if asked.owner else None,
    }  # fmt: skip
    patch: Fields = {name: value for name, value in said.items() if value}
    text = asked.summary or ""
    private = _says_private(item) or is_private(asked.visibility, patch.get("tags", []), text)
    turn.append(file, labelled(
        {"op": "update", "ts": turn.ts, "target_id": asked.update, "patch": patch},
        private=private or turn.quotes_private(text),
    ))  # fmt: skip
    return {"action": "update", "path": turn.path(file), "target_id": asked.update, "patch": patch}


def items(turn: Turn, asked: Namespace) -> Fields:
    """All of it, what matters most first."""
    known = list(_folded(turn, asked.project).values())
    wanted = [item for item in known if not asked.status_filter or item.get("status") == asked.status_filter]
    wanted.sort(key=_rank)
    path = turn.path(tree.agenda(asked.project))
    return {"action": "list", "path": path, "count": len(wanted), "items": wanted}


def _rank(item: dict[str, Any]) -> tuple[int, str, str]:
    priority = _RANKS.get(str(item.get("priority")), 1)
    return priority, str(item.get("due_at") or _LAST_DAY), str(item.get("created_at", ""))


def _item(turn: Turn, project: str, id_: str) -> tuple[str, dict[str, Any]]:
    found = _folded(turn, project).get(id_)
    if found is None:
        raise MemoryRefused(
            f"the agenda of {slug(project)} has no item {id_}",
            hint=f"see `memferry memory agenda --project {slug(project)} --list`",
        )
    return tree.agenda(project), found


def _says_private(item: dict[str, Any]) -> bool:
    return item.get("visibility") == PRIVATE


def _folded(turn: Turn, project: str) -> dict[str, dict[str, Any]]:
    """Every item as it stands, from this machine's ledger and the shards of others, in the order of time."""
    folder = os.path.join(turn.root, "projects", slug(project))
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    entries: list[dict[str, Any]] = []
    for name in names:
        file = f"projects/{slug(project)}/{name}"
        if tree.place(file) is not None:
            entries += _entries(turn, file, os.path.join(folder, name))
    entries.sort(key=lambda entry: (str(entry.get("ts", "")), entry.get("op") != "add"))
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        _apply(found, entry)
    return found


def _entries(turn: Turn, file: str, path: str) -> list[dict[str, Any]]:
    found = []
    for line in ledgers.read(path):
        problem = line.problem or problem_of("projects", line.fields)
        if problem:
            turn.pass_or_refuse(file, line.number, problem)
        else:
            found.append(line.fields)
    return found


def _apply(found: dict[str, dict[str, Any]], entry: dict[str, Any]) -> None:
    item, target = entry.get("item"), found.get(str(entry.get("target_id")))
    if entry.get("op") == "add" and isinstance(item, dict):
        found.setdefault(str(item.get("id")), dict(item))
    elif target is not None and entry.get("op") == "close":
        target |= {"status": entry.get("status", "completed"), "closed_at": entry.get("ts")}
    elif target is not None and isinstance(entry.get("patch"), dict):
        target |= entry["patch"]
    if target is not None and entry.get("visibility") == PRIVATE:
        target["visibility"] = PRIVATE
