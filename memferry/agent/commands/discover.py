"""Looks for memory that memferry knows, and foretells what carrying it would send."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from memferry.agent.commands import verbs
from memferry.agent.service import Progress, no_progress, opened
from memferry.config import Agent, Config, Space
from memferry.formats import brand, files, registry

_KNOWN = (
    (".memory", "", None, "DiaSync memory"),
    ("spark-memory", "-spark", "entries", "external memory"),
    (".opencode/memory", "-opencode", "document", "OpenCode memory"),
)
"""Folder of a project, how its space is called after the project, its format (None: found by looking), what it is."""

_SPOKEN = {"diasync": "DiaSync memory", "entries": "external memory"}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 56
_LOOKED_AT = 10_000


class Found(NamedTuple):
    """A space that could be configured. `what`: for people."""

    space: Space
    what: str


class Forecast(NamedTuple):
    """What a first sync of a space would come to: `files` read, `records` that would leave, `held`: by rule; `failed`:
    file -> why."""

    files: int
    size_bytes: int
    records: int
    held: Mapping[str, int]
    failed: Mapping[str, str]


def discover(
    folders: Sequence[Path], claude: Path, *, asked: bool, transcripts: bool, brands: Path | None = None
) -> list[Found]:
    """Every space that is there, once. `folders`: where to look; `asked`: the user named them, so plain files count
    too. `claude`: the folder of Claude Code. `transcripts`: its transcripts too. `brands`: that of brand memory."""
    found: dict[Path, Found] = {}
    for one in (*_in_folders(folders, asked), *_claude(claude, transcripts), *_brands(brands)):
        found.setdefault(one.space.path, one)
    return list(_named_apart(found.values()))


def foretell(space: Space, config: Config, progress: Progress = no_progress) -> Forecast:
    """Read and judge a space as a first sync would; nothing is kept or sent."""
    with tempfile.TemporaryDirectory(prefix="memferry-init-") as folder:
        # A file that was written a moment ago counts too.
        trial = config._replace(state=Path(folder), spaces=(space,), backends={}, agent=Agent(settle_ms=0))
        with opened(trial, "init", progress=progress) as agent:
            report = verbs.perform(agent, "push", {"dry_run": True})
    return Forecast(
        len(report["files"]["read"]),
        report["files"]["read_bytes"],
        report["new"],
        report["held"]["by_rule"],
        {one["file"]: one["reason"] for one in report["failed"]},
    )


def _in_folders(folders: Sequence[Path], asked: bool) -> Iterator[Found]:
    for folder in folders:
        inside = list(_in_project(folder))
        yield from inside
        itself = _as_space(folder, plain=asked and not inside)
        if itself is not None:
            yield itself


def _in_project(folder: Path) -> Iterator[Found]:
    for name, suffix, format_, what in _KNOWN:
        path = folder / name
        if path.is_dir():
            yield Found(Space(_name(folder.name) + suffix, path, format_), what)


def _as_space(folder: Path, *, plain: bool) -> Found | None:
    """The folder itself, where it is a memory of a known format; `plain`: also where it just has files to read."""
    if not folder.is_dir():
        return None
    format_ = registry.recognise(_entries(folder))
    if format_.name != files.FORMAT.name:
        project = folder.parent if folder.name.startswith(".") else folder
        return Found(Space(_name(project.name), folder), _SPOKEN.get(format_.name, f"{format_.name} memory"))
    return Found(Space(_name(folder.name), folder), "files") if plain and _has_files(folder) else None


def _entries(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries]


def _has_files(folder: Path) -> bool:
    looked_at = 0
    for _, _, names in os.walk(folder):
        if any(files.FORMAT.kind(name) for name in names):
            return True
        looked_at += len(names)
        if looked_at > _LOOKED_AT:
            return False
    return False


def _claude(folder: Path, transcripts: bool) -> Iterator[Found]:
    projects = folder / "projects"
    if not projects.is_dir():
        return
    for memory in sorted(projects.glob("*/memory")):
        if memory.is_dir():
            name = _name(f"claude-{memory.parent.name.strip('-')[-_LONGEST_NAME + 7 :].strip('-')}")
            yield Found(Space(name, memory, "document"), "Claude Code memory")
    if transcripts:
        yield Found(Space("claude-transcripts", projects, "jsonl"), "Claude Code transcripts")


def _brands(folder: Path | None) -> Iterator[Found]:
    if folder is not None and folder.is_dir():
        yield Found(Space("brands", folder, brand.FORMAT.name), "brand memory")


def _named_apart(found: Iterable[Found]) -> Iterator[Found]:
    """Each under a name of its own: `atlas`, `atlas-2`."""
    taken: set[str] = set()
    for one in found:
        name = one.space.name
        number = 1
        while name in taken:
            number += 1
            name = f"{one.space.name}-{number}"
        taken.add(name)
        yield one._replace(space=one.space._replace(name=name))


def _name(text: str) -> str:
    """A name that a configuration takes, from a folder's."""
    return _NOT_IN_NAMES.sub("-", text)[:_LONGEST_NAME].strip(".-") or "memory"
