"""Looks for memory that memferry knows, and foretells what carrying it would send."""

from __future__ import annotations

import os
import re
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from memferry.agent.commands import verbs
from memferry.agent.files.tree import entries_of
from memferry.agent.service import opened
from memferry.config import Agent, Config, Space
from memferry.formats import brand, files, registry
from memferry.progress import Progress, silent

_KNOWN = (
    (".memory", "", None, "DiaSync memory"),
    ("spark-memory", "-spark", "entries", "external memory"),
    (".opencode/memory", "-opencode", "document", "OpenCode memory"),
)
"""Folder of a project, how its space is called after the project, its format (None: found by looking), what it is."""

DEPTH = 3
"""So many levels below a folder memory is looked for: `~`, `~/code`, `~/code/group`, `~/code/group/atlas`."""
FOLDERS = 2000
"""In so many folders at most."""
_NO_PROJECTS = {"node_modules", "site-packages", "__pycache__", "venv", "env", *(name for name, *_ in _KNOWN)}
"""Nobody's project lies below these, nor below a hidden folder."""
_SOURCES = {
    "package.json", "pyproject.toml", "setup.py", "requirements.txt", "Cargo.toml", "go.mod", "pom.xml", "build.gradle",
    "CMakeLists.txt", "Gemfile", "composer.json",
}  # fmt: skip
"""Files of a program's sources: what else lies there is about the program, and not what an agent remembers."""

_NONE = "no memory that is known by its name"
_SPOKEN = {"diasync": "DiaSync memory", "entries": "external memory"}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 56
_LOOKED_AT = 10_000


class Found(NamedTuple):
    """A space that could be configured. `what`: for people."""

    space: Space
    what: str


class Discovery(NamedTuple):
    """`passed_over`: folders that were looked at, and why there is nothing, or not all, of them in `found`."""

    found: list[Found]
    passed_over: dict[Path, str]


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
) -> Discovery:
    """Every space that is there, once. `folders`: where to look, and below; `asked`: the user named them, so notes
    count too. `claude`: the folder of Claude Code. `transcripts`: its transcripts too. `brands`: that of brand
    memory."""
    found: dict[Path, Found] = {}
    passed_over: dict[Path, str] = {}
    for one in (*_in_folders(folders, asked, passed_over), *_claude(claude, transcripts), *_brands(brands)):
        found.setdefault(one.space.path.resolve(), one)
    return Discovery(list(_named_apart(found.values())), passed_over)


def foretell(space: Space, config: Config, progress: Progress = silent) -> Forecast:
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


def _in_folders(folders: Sequence[Path], asked: bool, passed_over: dict[Path, str]) -> Iterator[Found]:
    """`passed_over`: takes in what came to nothing."""
    for folder in folders:
        projects = list(islice(_projects(folder), FOLDERS + 1))
        found = [one for project in projects[:FOLDERS] for one in _in_project(project)]
        found += _in_known_format(folder)
        if not found:
            why_not = _why_no_notes(folder) if asked else f"{_NONE}; to carry its notes, name it"
            if why_not:
                passed_over[folder] = why_not
            else:
                found = [Found(Space(_name(folder.name), folder), "files")]
        if len(projects) > FOLDERS:
            passed_over[folder] = f"only {FOLDERS:,} of its folders were looked into: name those that hold memory"
        yield from found


def _projects(folder: Path) -> Iterator[Path]:
    """The folder, and those below it that may be projects, the nearest first."""
    waiting = deque([(folder, 0)])
    while waiting:
        one, depth = waiting.popleft()
        yield one
        if depth < DEPTH:
            waiting.extend((below, depth + 1) for below in _folders_in(one))


def _folders_in(folder: Path) -> list[Path]:
    """What may be a project or hold some; no link is followed. None, where nobody may look."""
    try:
        with os.scandir(folder) as entries:
            names = [one.name for one in entries if _may_hold_projects(one.name) and one.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if not (folder / name / "pyvenv.cfg").exists()]


def _may_hold_projects(name: str) -> bool:
    return not name.startswith(".") and name not in _NO_PROJECTS


def _in_project(folder: Path) -> Iterator[Found]:
    for name, suffix, format_, what in _KNOWN:
        path = folder / name
        if path.is_dir():
            yield Found(Space(_name(folder.name) + suffix, path, format_), what)


def _in_known_format(folder: Path) -> list[Found]:
    """The folder itself, where its entries tell what memory it is."""
    if not folder.is_dir():
        return []
    format_ = registry.recognise(entries_of(folder))
    if format_.name == files.FORMAT.name:
        return []
    project = folder.parent if folder.name.startswith(".") else folder
    return [Found(Space(_name(project.name), folder), _SPOKEN.get(format_.name, f"{format_.name} memory"))]


def _why_no_notes(folder: Path) -> str:
    """Why a folder in no known format is not carried as it is, "" where it is: it could hold anything."""
    home, real = Path(os.path.expanduser("~")).resolve(), folder.resolve()
    if real == home or real in home.parents:
        return f"{_NONE}, and a home folder is not carried whole: name a folder of notes"
    if _is_source(folder):
        return f"{_NONE}, and the rest are a program's sources: name a folder of notes"
    projects = [one.name for one in _folders_in(folder) if (one / ".git").exists() or _is_source(one)]
    if projects:
        return f"{_NONE}, and it holds projects ({', '.join(projects[:3])}): name a folder of notes"
    return "" if _has_files(folder) else f"{_NONE}, and no file that memferry reads"


def _is_source(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _SOURCES)


def _has_files(folder: Path) -> bool:
    """But for what came with a package, or is hidden."""
    looked_at = 0
    for _, folders, names in os.walk(folder):
        folders[:] = filter(_may_hold_projects, folders)
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
