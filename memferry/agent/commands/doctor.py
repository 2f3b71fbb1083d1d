"""What is wrong, and what to run: every check answers with a fact, and with a next step where it is bad."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from memferry import durable
from memferry.agent.commands.status import is_narrow, narrow, status
from memferry.agent.commands.trial import judging_of
from memferry.agent.files.tree import FIND_IT
from memferry.agent.index.lag import lag
from memferry.agent.lock import StateLock, holder
from memferry.agent.recovery import former, identity
from memferry.agent.service import opened
from memferry.agent.state.database import REBUILD as REBUILD_STATE
from memferry.agent.state.database import is_as_made
from memferry.backends.base import Backend, Capacity, Probed, Readable
from memferry.config import Config
from memferry.errors import BackendError, ConfigError, MemferryError, StateError
from memferry.looking import SQLITE_ERRORS, looked_at, said
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
    """Looks, and leaves nothing changed; with `rebuild` a damaged state is set aside and made again from the logs."""
    checks = [] if not rebuild else [_rebuild(config)]
    checks += [_sqlite(), *_state(config), *_index(config), *_rules(config), *_spaces(config)]
    known = _known(config)
    for name in config.backends:
        checks += _backend(config, name, known)
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
    broken = _broken(path) or _changed(path)
    yield Check("state", broken is None, broken or "ok", REBUILD_STATE if broken else "")
    yield from _open_to_others(config.state)
    if broken is None and (error := _lost_secret(config.state)):
        yield Check("state", False, str(error), error.hint)
    if broken is None:
        yield from _shared_ids(path)


def _open_to_others(state: Path) -> Iterator[Check]:
    """What was made for this user alone, and is not any more."""
    if sys.platform == "win32":  # who may read there is no matter of modes, but of where it lies
        if not Path(os.path.realpath(state)).is_relative_to(os.path.realpath(Path.home())):
            hint = "keep it below your user's folder, or look at who may read that folder"
            yield Check("state", True, f"{state} lies outside your user's folder: other users may read it", hint)
        return
    private = [state / name for name in (identity.SECRET_FILE, DATABASE, INDEX, HELD)]
    for path in [*private, *sorted((state / "keys").glob("*"))]:
        if path.is_file() and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
            yield Check("state", False, f"{path} is open to other users (mode {mode:o})", f"run `chmod 600 {path}`")


def _shared_ids(path: Path) -> Iterator[Check]:
    """Entries are known by their ids in a space. That two files have one is often meant, and seldom known."""
    sql = (
        "select min(space), min(path), max(path) from member join file on file.id = file where not gone"
        " group by member.id having min(path) < max(path) order by 1, 2, 3"
    )
    with looked_at(str(path)) as database:
        found = database.execute(sql).fetchall()
    if found:
        space, one, other = found[0]
        many = f"{len(found):,} of them, for instance in {space}/{one} and {other}"
        text = f"entries of two files have one id ({many}): on other machines they are versions of one entry"
        yield Check("entries", True, text, "give each its own, if they are not meant to be the same")


def _lost_secret(state: Path) -> StateError | None:
    try:
        with looked_at(str(state / DATABASE)) as database:
            known = identity.known_secret(database)
        if known is not None:
            identity.matching_secret(state, known)
    except StateError as error:
        return error
    return None


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
    except SQLITE_ERRORS as error:
        verdict = said(error)
    return None if verdict == "ok" else str(verdict)


def _changed(path: Path) -> str | None:
    """What SQLite cannot find wrong with a state."""
    with looked_at(str(path)) as database:
        return None if is_as_made(database) else "its tables are not those that were made"


def _rules(config: Config) -> Iterator[Check]:
    """And what they need: without one of them nothing is read and nothing is sent."""
    try:
        rules = list(judging_of(config).rules)
    except ConfigError as error:
        yield Check("rules", False, f"nothing is sent: {error}", error.hint)
    except StateError:
        return  # said already
    else:
        if rules:
            yield Check("rules", True, f"{len(rules)}, all understood")


def _spaces(config: Config) -> Iterator[Check]:
    for space in config.spaces:
        what = f"space {space.name}"
        if not space.path.is_dir():
            yield Check(what, False, f"{space.path} is not there", FIND_IT)
        elif error := _unusable(space.path):
            yield Check(what, False, f"it cannot be read and written: {error}", error.hint)
        else:
            yield Check(what, True, str(space.path))


def _unusable(folder: Path) -> BackendError | None:
    """Why memory cannot be read from a folder, or what others wrote not be written there."""
    try:
        with durable.explained(folder), durable.Folder.open(folder) as opened_:
            opened_.names()
            opened_.try_writing()
    except BackendError as error:
        return error
    return None


class _Known(NamedTuple):
    """This machine's id, the last seq that it has written, and the backends that have acknowledged something."""

    machine: str | None = None
    written: int = 0
    delivered: frozenset[str] = frozenset()


def _known(config: Config) -> _Known:
    """As far as the state can be read."""
    try:
        found: dict[str, Any] = status(config)
    except StateError:
        return _Known()
    if found["state"] == "new":
        return _Known()
    delivered = frozenset(one["name"] for one in found["backends"] if one["acknowledged_through"])
    return _Known(found["machine"]["id"], found["journal"]["last_seq"], delivered)


def _backend(config: Config, name: str, known: _Known) -> Iterator[Check]:
    what = f"backend {name}"
    try:
        with identity.visiting(config, name) as backend:
            for probe in backend.probe() if isinstance(backend, Probed) else ():
                yield Check(f"{what}, {probe.what}", probe.good, probe.finding, probe.hint)
                if not probe.good:
                    return
            capacity = backend.capacity()
            yield _holding(what, backend, capacity, known)
    except MemferryError as error:
        yield Check(what, False, str(error), error.hint)
        return
    if capacity.free_bytes is not None and is_narrow(capacity.free_bytes):
        yield Check(what, False, f"{capacity.free_bytes / 1e6:.1f} MB are left there", "free some, or move it")


def _holding(what: str, backend: Backend, capacity: Capacity, known: _Known) -> Check:
    free = "" if capacity.free_bytes is None else f", {capacity.free_bytes / 1e9:.1f} GB free"
    if not isinstance(backend, Readable):
        points = "" if capacity.points is None else f" of {capacity.points} points"
        return Check(what, True, f"an index{points}{free}")
    logs = backend.survey().logs
    if not logs and backend.name in known.delivered:
        repair = f"memferry verify --backend {backend.name} --repair"
        hint = f"mount its disk, or correct its path; if the vault is lost: {repair}"
        return Check(what, False, "no log lies there, though this machine has delivered to it", hint)
    if any(log.goes_on(known.machine, known.written) for log in logs):
        hint = "run `memferry pull`: it goes on under a new name, and nothing is lost"
        text = "this machine's log there is ahead of its state, which was copied, or restored from a backup"
        return Check(what, False, text, hint)
    return Check(what, True, f"machines: {', '.join(log.name for log in logs) or 'none yet'}{free}")


def _rebuild(config: Config) -> Check:
    with StateLock(config.state, "doctor"):
        former.set_aside(config.state)
    with opened(config, "doctor") as agent:
        taken, found = former.told(agent.state), agent.journal.last_seq
    if taken is None:
        return Check("rebuild", True, f"there was no old state; {found} operations came back from the logs")
    back = f"the old state is kept as {taken.kept_as}; {found - taken.operations:,} operations came back from the logs"
    if taken.operations:
        back += f", and {taken.operations:,} from it that no log has"
    if taken.left:
        text = f"{back}; {taken.left:,} that no log has could not be taken over: where their files are gone, they are"
        return Check("rebuild", False, f"{text} only there now", "keep it until you know what they were")
    if taken.left is None:
        back += "; whether it had more that no log has could not be read"
    return Check("rebuild", True, back)
