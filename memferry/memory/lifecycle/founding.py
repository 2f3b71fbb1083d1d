"""Making a `.memory` tree: its folders, and the files that say what it is."""

from __future__ import annotations

import json
import os
from typing import Any

from memferry.memory.lifecycle.ledgers import make_folders, sync_folder
from memferry.memory.lifecycle.records import EVENT, OBJECT, REQUIRED_OF_EVENT, REQUIRED_OF_OBJECT
from memferry.memory.lifecycle.tree import FOLDERS, KEPT_FOLDERS

_KEEP = ".gitkeep"


def missing(root: str, *, force: bool = False) -> dict[str, list[str]]:
    """Which folders and files `found` makes."""
    return {
        "created_dirs": [folder for folder in FOLDERS if not os.path.isdir(os.path.join(root, folder))],
        "written_meta": [name for name in DEFAULTS if force or not os.path.exists(os.path.join(root, name))],
    }


def found(root: str, *, force: bool = False) -> dict[str, list[str]]:
    """Make what is missing of the tree, and answer what that was; `force`: write the files in `_meta` anew."""
    wanted = missing(root, force=force)
    for folder in wanted["created_dirs"]:
        make_folders(os.path.join(root, *folder.split("/")))
    for name in wanted["written_meta"]:
        _write(os.path.join(root, name), json.dumps(DEFAULTS[name], ensure_ascii=False, indent=2) + "\n")
    for folder in KEPT_FOLDERS if wanted["created_dirs"] else ():
        keep = os.path.join(root, *folder.split("/"), _KEEP)
        if not os.path.exists(keep):
            _write(keep, "")
    return wanted


def _write(path: str, text: str) -> None:
    """Two commands may found a tree at once: each writes the same, whole."""
    draft = f"{path}.{os.getpid()}.tmp"
    with open(draft, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    os.replace(draft, path)
    sync_folder(os.path.dirname(path))


def _schema(title: str, required: tuple[str, ...]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, "type": "object",
        "required": list(required),
    }  # fmt: skip


DEFAULTS: dict[str, dict[str, Any]] = {
    "_meta/spec.json": {
        "name": "diasync-memory",
        "version": "3.1",
        "event_schema_version": EVENT,
        "object_schema_version": OBJECT,
        "formats": {"structured": "jsonl", "narrative": "markdown"},
        "collections": [
            "streams", "bus", "views", "coordination", "projects", "governance", "index", "archive", "evidence",
        ],
    },
    "_meta/policy.json": {
        "soft_triggers": {
            "attach": {"on_new_session": True, "entry_skill": "diasync-memory"},
            "capture": {
                "keywords": ["goal", "constraint", "preference", "risk", "dependency", "decision", "tradeoff"]
            },
            "distill": {"stream_threshold": 20, "on_milestone": True, "on_scope_switch": True},
            "recall": {
                "mode": "filesystem-free",
                "entry_skill": "diasync-memory",
                "preferred_tools": ["Read", "Grep", "Glob"],
            },
            "checkpoint": {"on_milestone": True, "before_context_compression": True, "on_strategy_change": True},
            "diagnose": {"run_per_session": True, "run_after_hygiene": True},
        },
        "governance": {"append_only": True, "supersedes_required_for_rewrites": True, "default_wip_limit": 3},
        "health_weights": {
            "sync_lag": 20, "conflict_backlog": 20, "stale_leases": 15, "stale_instances": 15, "attach_coverage": 15,
            "view_freshness": 15,
        },
    },
    "_meta/event_schema.json": _schema("DiaSync Memory Event", REQUIRED_OF_EVENT),
    "_meta/object_schema.json": _schema("DiaSync Memory View Object", REQUIRED_OF_OBJECT),
}  # fmt: skip
