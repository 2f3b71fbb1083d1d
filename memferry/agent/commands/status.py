"""What `memferry status` shows. Reads the state database, and topics that changed: it must answer like a shell
command."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any

from memferry.agent.state import place
from memferry.agent.state.queued import RECORDS_OF_FILES, WAITING
from memferry.agent.state.usable import USABLE, mark
from memferry.errors import ConfigError, StateError
from memferry.looking import SQLITE_ERRORS, looked_at, said
from memferry.places import DATABASE
from memferry.recall.layout import REST

if TYPE_CHECKING:
    from memferry.config import Config

SHOWN_PROBLEMS = 100
LEAST_FREE_BYTES = 16 << 20
"""Where less is free, reading may stop any moment; and a full disk cannot keep the news of it."""


def status(config: Config) -> dict[str, object]:
    """Counted from what was acknowledged; never touches backends, nor files but those of topics."""
    path = os.path.join(config.state, DATABASE)
    if not os.path.exists(path):
        return _new(config)
    try:
        with looked_at(path) as database:
            return _read(database, config)
    except SQLITE_ERRORS as error:
        if "no such" in said(error):  # column or table: looked at only now, for it costs time
            text = f"{path} was written by another version of memferry"
            raise StateError(text, hint="run `memferry doctor --rebuild`, or the newer version") from error
        raise StateError(f"{path} cannot be read: {said(error)}", hint="run `memferry doctor`") from error


def _new(config: Config) -> dict[str, object]:
    problems = unusable_rules(config, "")
    return {
        "state": "new",
        "config": str(config.source),
        "spaces": [],
        "memory": _memory(config),
        "backends": [],
        "notices": nowhere(config),
        "problems": problems,
        "problems_total": len(problems),
    }


def _read(database: sqlite3.Connection, config: Config) -> dict[str, object]:
    meta = dict(database.execute("select name, value from meta"))
    if "machine" not in meta:  # the first command stopped before it came to anything
        return _new(config)
    last_seq = int(meta.get("seq") or 0)
    backends = [_backend(database, config, name, last_seq, _is_moved(config, meta, name)) for name in config.backends]
    shown, total = _problems(database, config, meta.get(USABLE) or "")
    return {
        "state": _state(shown),
        "config": str(config.source),
        "machine": {"id": meta.get("machine"), "name": meta.get("machine name")},
        "service": _service(config, meta),
        "spaces": [_space(database, space.name, str(space.path)) for space in config.spaces],
        "former_spaces": _former_spaces(database, config),
        "held": dict(database.execute(
            "select rule.rule, sum(count) from holding join rule on rule.id = holding.rule group by rule.rule"
            " having sum(count) > 0 order by 1"
        )),
        "journal": {"last_seq": last_seq},
        "memory": _memory(config),
        "backends": backends,
        "last_push": max((one["acknowledged_at"] or 0.0 for one in backends), default=0.0) or None,
        "conflicts": database.execute("select count(*) from conflict").fetchone()[0],
        "counters": dict(database.execute("select name, value from counter order by name")),
        "notices": json.loads(meta.get("notices") or "[]") + nowhere(config),
        "problems": shown,
        "problems_total": total,
        "last_runs": [
            {"kind": kind, "finished_at": finished, "seconds": round(finished - started, 3)}
            for kind, started, finished in database.execute(
                "select kind, started_at, finished_at from run order by number desc limit 3"
            )
        ],
    }  # fmt: skip


def nowhere(config: Config) -> list[dict[str, Any]]:
    """The notice that nothing can be carried, which nothing else would tell: some only learn and recall."""
    text = "no backend is configured, so nothing is carried anywhere"
    return [] if config.backends else [{"since": time.time(), "text": text}]


def _state(problems: list[dict[str, Any]]) -> str:
    """A file that is no memory as it lies there, such as a link, is shown, and is nothing that must be done."""
    if any(one["text"].startswith("halted") for one in problems):
        return "halted"
    return "problems" if any(one["area"] != "skipped" for one in problems) else "ok"


def _problems(database: sqlite3.Connection, config: Config, usable: str) -> tuple[list[dict[str, Any]], int]:
    """Those to show, first those that the state could not keep; and how many there are."""
    fields = ("area", "subject", "text", "hint", "since")
    rows = database.execute(
        f"select {', '.join(fields)} from problem order by area = 'skipped', area, subject limit ?", (SHOWN_PROBLEMS,)
    )
    kept = [dict(zip(fields, row, strict=True)) for row in rows]
    counted = database.execute("select count(*) from problem").fetchone()[0]
    unkept = narrow(config) + resting(config) + twice(database, config) + unusable_rules(config, usable)
    known = {new["subject"] for new in unkept}
    shown = unkept + [one for one in kept if one["subject"] not in known]
    return shown, counted + len(shown) - len(kept)


def narrow(config: Config) -> list[dict[str, Any]]:
    """The problem that there is hardly any room left for the state."""
    free = _free_bytes(config.state)
    if not is_narrow(free):
        return []
    text = f"{free / 1e6:.1f} MB are left on its disk; without room nothing new is read, and nothing is lost"
    hint = "free some, or move it and set `state` in the configuration"
    return [_problem("state", str(config.state), text, hint)]


def is_narrow(free_bytes: int) -> bool:
    """Whether so little room is hardly any."""
    return free_bytes < LEAST_FREE_BYTES


def resting(config: Config) -> list[dict[str, Any]]:
    """The problem that the process of the model died, newer than what the service knows: who asks cannot write it into
    the state."""
    if not os.path.exists(os.path.join(config.state, REST)):
        return []
    from memferry.recall.embed import rests

    rest = rests.resting(config.state, config.recall.model)
    if rest is None:
        return []
    return [_problem("index", "model", str(rest), rests.HINT, rest.since)]


def twice(database: sqlite3.Connection, config: Config) -> list[dict[str, Any]]:
    """The problem that a space lies in another one, and files are carried by both."""
    roots = [(space.name, os.path.join(os.path.realpath(space.path), "")) for space in config.spaces]
    pairs = [(outer, inner) for outer in roots for inner in roots if outer != inner and inner[1].startswith(outer[1])]
    found = []
    for (outer, above), (inner, root) in pairs:
        below = root.removeprefix(above).replace(os.sep, "/")
        (number,) = database.execute(
            "select count(*) from file mine join file theirs on theirs.space = ? and theirs.path = ? || mine.path"
            " where mine.space = ? and mine.cleared and theirs.cleared and not mine.gone and not theirs.gone",
            (outer, below, inner),
        ).fetchone()
        if number:
            text = f"one lies in the other, and both carry the same files: {number:,} of them"
            hint = f"add `exclude: [/{below}]` to {outer}, or remove {inner}, in the configuration"
            found.append(_problem("spaces", f"{outer} and {inner}", text, hint))
    return found


def unusable_rules(config: Config, usable: str) -> list[dict[str, Any]]:
    """The problem that the rules cannot be loaded, which a command that fails by it cannot write into the state.
    `usable`: the mark of those that could be; they are loaded only where they have changed since."""
    if mark(config) in ("", usable):
        return []
    from memferry.agent.commands.trial import judging_of

    try:
        judging_of(config)
    except ConfigError as error:
        return [_problem("policy", "rules", f"halted: {error}", error.hint)]
    except StateError:
        return []  # without this machine's secret nothing else goes either: every command says so
    return []


def _problem(area: str, subject: str, text: str, hint: str, since: float | None = None) -> dict[str, Any]:
    """One that the state could not keep. `since` None: now."""
    return {
        "area": area, "subject": subject, "text": text, "hint": hint, "since": time.time() if since is None else since,
    }  # fmt: skip


def _free_bytes(folder: os.PathLike[str]) -> int:
    if sys.platform == "win32":
        from shutil import disk_usage

        return disk_usage(folder).free
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


def _service(config: Config, meta: dict[str, str]) -> dict[str, object]:
    """Whether it runs is the kernel's lock to say; the rest is what it last wrote."""
    from memferry.agent.lock import holder

    held = holder(config.state)
    running = held is not None and held.purpose == "run"
    last = json.loads(meta.get("service") or "{}")
    return {"running": running, "pid": held.pid if running and held else None, **(last if running else {})}


def _former_spaces(database: sqlite3.Connection, config: Config) -> list[dict[str, object]]:
    """Spaces that are no longer configured and of which something is still stored, or held: nobody reads their files
    any more, and what was sent of them stays."""
    configured = {space.name for space in config.spaces}
    names = sorted({row[0] for row in database.execute("select distinct space from file")} - configured)
    return [one for name in names if (one := _former_space(database, name))["records"] or one["held"]]


def _former_space(database: sqlite3.Connection, name: str) -> dict[str, object]:
    records, first = database.execute(
        f"select count(*), min(record.seq) from {RECORDS_OF_FILES} where file.space = ? and seq > 0", (name,)
    ).fetchone()
    backends = database.execute("select backend from checkpoint where through >= ? order by backend", (first,))
    return {
        "name": name,
        "records": records,
        "held": _held_of(database, name),
        "backends": [row[0] for row in backends],
    }


def _held_of(database: sqlite3.Connection, space: str) -> int:
    (held,) = database.execute(
        "select total(count) from holding join file on file.id = holding.file where file.space = ?", (space,)
    ).fetchone()
    return int(held)


def _space(database: sqlite3.Connection, name: str, path: str) -> dict[str, object]:
    files, gone, waiting = database.execute(
        "select total(not gone), total(gone and cleared), total(stat is null and not gone) from file where space = ?",
        (name,),
    ).fetchone()
    return {
        "name": name,
        "path": path,
        "files": int(files),
        "gone": int(gone),
        "to_read_again": int(waiting),
        "held": _held_of(database, name),
    }


def _memory(config: Config) -> list[dict[str, object]]:
    """What was learned, where there is a space for it: without one, nothing of that is imported."""
    if not any(space.format in (None, "entries") for space in config.spaces):
        return []
    from memferry.memory.where import homes

    if not (found := homes(config)):
        return []
    from memferry.memory.glance import MEMO, glance

    return [one._asdict() for one in glance(found, config.state / MEMO, time.time())]


def _recovery_key(config: Config, name: str) -> str:
    return os.path.join(config.state, "keys", f"{name}.recovery.txt")


def _is_moved(config: Config, meta: dict[str, str], name: str) -> bool:
    """Whether it is configured to lie where nobody has looked yet."""
    return meta.get(place.key(name)) not in (None, place.mark(config.backends[name]))


def _backend(
    database: sqlite3.Connection, config: Config, name: str, last_seq: int, moved: bool
) -> dict[str, Any]:  # fmt: skip
    row = database.execute(
        "select through, acknowledged_at, failures, next_attempt_at, error, hint from checkpoint where backend = ?",
        (name,),
    ).fetchone() or (0, None, 0, 0, None, None)  # fmt: skip
    through, at, failures, next_at, error, hint = (0, None, *row[2:]) if moved else row
    waiting = database.execute(WAITING, (through,)).fetchone()[0]
    since = database.execute("select since from problem where area = 'backend' and subject = ?", (name,)).fetchone()
    refused = database.execute(
        "select total(not parked), total(parked) from refused where backend = ?", (name,)
    ).fetchone()
    parked = database.execute(
        "select seq, attempts, reason from refused where backend = ? and parked order by seq limit 20", (name,)
    )
    return {
        "name": name, "moved": moved, "acknowledged_through": through, "last_seq": last_seq, "waiting": int(waiting),
        "acknowledged_at": at, "failures": failures, "failing_since": since[0] if since else None,
        "next_attempt_at": next_at if failures else None, "error": error, "hint": hint,
        "refused": int(refused[0]), "parked": int(refused[1]),
        "recovery_key_to_write_down": os.path.exists(_recovery_key(config, name)),
        "parked_operations": [dict(zip(("seq", "attempts", "reason"), one, strict=True)) for one in parked],
    }  # fmt: skip
