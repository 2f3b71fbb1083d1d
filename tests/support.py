"""What several test suites need: a configuration for a machine of a test."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from memferry.agent.recovery import identity
from memferry.config import Config, load

NAMELESS = identity.computer() is None
"""The system has no id of its own, as in many containers: what loses a whole state would not find its log again."""


def config_for(
    base: Path,
    machine: str,
    *,
    space: str = "notes",
    vault: str = "vault",
    encryption: str = "none",
    backend: str = "",
    more: str = "",
) -> Config:
    """A machine with its own tree and state below `base`, and a `vault` there that all of them share; or another
    `backend`, its settings in YAML."""
    settings = backend or f"{{type: local, path: {base / vault}, encryption: {encryption}}}"
    path = base / machine / "memferry.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"machine: {machine}\nstate: {base / machine / 'state'}\n"
        f"spaces:\n  - {{name: {space}, path: {base / machine / space}}}\n"
        f"backends:\n  vault: {settings}\n{more}"
    )
    return load({}, file=str(path))


def damage_schema(path: Path, table: str, sql: bytes) -> None:
    """What a database says of how one of its tables was made becomes something else, as by a flipped bit."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("pragma writable_schema = on")
        database.execute("update sqlite_schema set sql = cast(? as text) where name = ?", (sql, table))
