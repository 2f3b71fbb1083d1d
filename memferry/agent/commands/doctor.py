"""What is wrong, and what to run: every check answers with a fact, and with a next step where it is bad."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from memferry.agent.commands.status import narrow
from memferry.agent.index.lag import lag
from memferry.agent.lock import StateLock, holder
from memferry.agent.recovery import identity
from memferry.agent.recovery.rebuild import set_aside
from memferry.agent.service import opened
from memferry.backends.base import Backend, Capacity, Probed, Readable
from memferry.backends.encryption.keys import Keys
from memferry.backends.registry import open_backend
from memferry.config import Config
from memferry.errors import MemferryError
from memferry.looking import looked_at
from memferry.places import DATABASE
from memferry.recall.layout import HELD, INDEX, REBUILD

SAFE_SQLITE = (3, 51, 3)


class Check(NamedTuple):
    """One line. `good` False: `hint` says what to do."""

    what: str
    good: bool
    finding: str
    hint: str = ""


def doctor(config: Config, *, rebuild: bool = False) -> list[Check]:
    """Looks, and changes nothing; with `rebuild` a damaged state is set aside and made again from the logs."""
    checks = [] if not rebuild else [_rebuild(config)]
    checks += [_sqlite(), *_state(config), *_index(config), *_spaces(config)]
    for name in config.backends:
        checks += _backend(config, name)
    return checks


def _sqlite() -> Check:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= SAFE_SQLITE:
        return Check("sqlite", True, version)
    text = f"{version}: safe as memferry uses it (one writer); 3.51.3 fixed a rare fault with several"
    return Check("sqlite", True, text)


def _state(config: Config) -> Iterator[Check]:
    held = holder(config.state)
    who = f"held by memferry {held.purpose} (process {held.pid})" if held else "free"
    yield Check("state directory", True, f"{config.state}, {who}")
    path = config.state / DATABASE
    if not path.exists():
        yield Check("state", True, "not made yet", "run `memferry push`")
        return
    yield from (Check("state directory", False, one["text"], one["hint"]) for one in narrow(config))
    broken = _broken(path)
    hint = "run `memferry doctor --rebuild`: it is made again from your files and backends" if broken else ""
    yield Check("state", broken is None, broken or "ok", hint)


def _index(config: Config) -> Iterator[Check]:
    """Nothing depends on it but `recall`, which makes one that is missing or of another memferry by itself."""
    due = lag(config.state)
    for name in (INDEX, HELD):
        path = config.state / name
        if path.exists() and (broken := _broken(path)) is not None:
            yield Check("index", False, f"{path}: {broken}", REBUILD)
            return
    if due.missing:
        yield Check("index", True, "not made yet, or of another memferry: the next `memferry recall` makes it")
    elif due:
        yield Check(
            "index",
            True,
            f"behind{f' by {due.own:,} operations at most' if due.own else ''}; the next `memferry recall` catches up",
        )
    else:
        yield Check("index", True, "up to date")


def _broken(path: Path) -> str | None:
    """What SQLite finds wrong with a database."""
    try:
        with looked_at(str(path)) as database:
            (verdict,) = database.execute("pragma quick_check").fetchone()
    except sqlite3.Error as error:
        verdict = str(error)
    return None if verdict == "ok" else str(verdict)


def _spaces(config: Config) -> Iterator[Check]:
    for space in config.spaces:
        there = space.path.is_dir()
        hint = "" if there else "mount its disk or correct `path` in the configuration"
        yield Check(f"space {space.name}", there, f"{space.path}{'' if there else ' is not there'}", hint)


def _backend(config: Config, name: str) -> Iterator[Check]:
    visitor = identity.new(config.state, config.machine, ())
    try:
        with contextlib.closing(open_backend(name, config.backends[name], visitor, Keys(config.state))) as backend:
            for probe in backend.probe() if isinstance(backend, Probed) else ():
                yield Check(f"backend {name}, {probe.what}", probe.good, probe.finding, probe.hint)
                if not probe.good:
                    return
            capacity = backend.capacity()
            holds = _held(backend, capacity)
    except MemferryError as error:
        yield Check(f"backend {name}", False, str(error), error.hint)
        return
    free = "" if capacity.free_bytes is None else f", {capacity.free_bytes / 1e9:.1f} GB free"
    yield Check(f"backend {name}", True, holds + free)


def _held(backend: Backend, capacity: Capacity) -> str:
    if isinstance(backend, Readable):
        return f"machines: {', '.join(log.name for log in backend.survey().logs) or 'none yet'}"
    return "an index" if capacity.points is None else f"an index of {capacity.points} points"


def _rebuild(config: Config) -> Check:
    with StateLock(config.state, "doctor"):
        aside = set_aside(config.state)
    with opened(config, "doctor") as agent:
        found = agent.journal.last_seq
    return Check("rebuild", True, f"the old state is kept as {aside}; {found} operations came back from the logs")
