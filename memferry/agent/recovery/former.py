"""What a state that is made again takes over from the one before it, as far as that can be read: what no log has, and
by what it knows that something is to stay at home. The files that this came from may be gone.

The one before lies under a name of its own until that is done, so that a crash in between loses nothing of it.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from memferry.agent.recovery import identity
from memferry.agent.state.catalog import Catalog
from memferry.agent.state.database import State, StateDamaged
from memferry.agent.state.journal import COLUMNS, sealed_in, unseal
from memferry.agent.state.known import FORGOTTEN, HELD
from memferry.backends import operations
from memferry.backends.base import HeadSeen
from memferry.formats import registry
from memferry.looking import SQLITE_ERRORS, looking
from memferry.model import Hold, Identity, Op, Put, Retract
from memferry.places import DATABASE

FORMER = "former.db"
KEPT = "former state"
"""In the new state: what came of the one before, as JSON of `TakenOver`."""


class TakenOver(NamedTuple):
    """What a state that was made again says of the one before: the name under which it is kept, how many operations
    were taken over from it, and how many were not although no log has them; None: nobody can tell."""

    kept_as: str
    operations: int
    left: int | None


class Checkpoint(NamedTuple):
    """Through which operation a backend has acknowledged, and may have got, what this machine wrote; and the head."""

    through: int
    attempted: int
    head: HeadSeen | None


class Former:
    """The state before. Its methods give what can be read of it; `whole`: that was everything so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.whole = True
        self.left = 0
        """Operations that cannot be what they were."""

    # -- who it was, and what it had delivered

    def machine(self) -> str | None:
        """The id that its operations have."""
        return self._meta("machine")

    def identity(self, wanted: str | None) -> Identity | None:
        """Who it was, under the name that the configuration gives it by now; None where that cannot be read."""
        id_, name, epoch = (self._meta(one) for one in ("machine", "machine name", "epoch"))
        if not (id_ and name and epoch):
            return None
        if wanted not in (None, self._meta("machine wanted")):
            name = wanted
        return Identity(id_, name or id_, epoch, identity.installation(self._path.parent))

    def checkpoint(self, backend: str) -> Checkpoint | None:
        """What it knew of a backend; None: nothing that can be read."""
        row = next(self._rows("select through, attempted, head from checkpoint where backend = ?", backend), None)
        if row is None:
            return None
        try:
            return Checkpoint(int(row[0]), int(row[1]), HeadSeen(*json.loads(row[2])) if row[2] else None)
        except (ValueError, TypeError):
            return None

    def waiting(self) -> int:
        """How many operations no backend has acknowledged, or a few more."""
        acknowledged = "(select coalesce(max(through), 0) from checkpoint)"
        row = next(self._rows(f"select coalesce(sum(count), 0) from journal where last > {acknowledged}"), (0,))
        return int(row[0])

    # -- what no log has

    def withdrawn(self, after: int) -> set[int]:
        """Its operations that were withdrawn beyond this one: a log may still have them."""
        retracts = (op for ops, _ in self._batches(after) for op in ops if isinstance(op, Retract))
        return {seq for op in retracts for owner, seq in op.ops if owner == self.machine()}

    def operations(self, after: int) -> Iterator[Op]:
        """Those beyond this one, in order."""
        for ops, count in self._batches(after):
            sound = [op for op in ops if _is_sound(op)]
            self.left += count - len(sound)
            yield from (op for op in sound if op.seq > after)

    def _batches(self, after: int) -> Iterator[tuple[Sequence[Op], int]]:
        """Operations that can be read, and how many there should be."""
        for row in self._rows(f"select {COLUMNS} from journal where last > ? order by first", after):
            try:
                yield unseal(sealed_in(row)), row[2]
            except (StateDamaged, ValueError, TypeError):
                yield (), row[2]

    # -- what stays at home, or is another machine's

    def pulled_files(self) -> Iterator[tuple[str, str]]:
        """Space and file of what pulls wrote beside other files."""
        return self._rows("select space, file from pulled_file")

    def knows_by(self, secret: str | None) -> bool:
        """Whether its fingerprints say something to who has this secret."""
        return secret is not None and self._meta(identity.SECRET_MARK) == secret

    def hand_over(self, state: State, catalog: Catalog) -> None:
        """What is held, by what it is recognised in other records, and what was forgotten. Inside a transaction."""
        state.execute_many("insert or ignore into record values(?, ?, ?, 0)", self._rows(
            f"select id, digest, seq from record where seq in ({HELD}, {FORGOTTEN})"
        ))  # fmt: skip
        for table, columns in (("passage", 4), ("held_name", 2)):
            marks = ", ".join("?" * columns)
            state.execute_many(f"insert or ignore into {table} values({marks})", self._rows(f"select * from {table}"))
        state.execute_many(
            "update redacted set removed = ? where id = ?", self._rows("select removed, id from redacted")
        )
        self._hand_over_held(state, catalog)

    def _hand_over_held(self, state: State, catalog: Catalog) -> None:
        files: dict[int, int] = {}
        for table in ("held", "held_too"):  # which an earlier state may not have
            sql = f"select id, space, path, format from file where id in (select file from {table})"
            files |= {id_: _file(catalog, *file) for id_, *file in self._rows(sql)}
        for id_, digest, file, start, rule, reason in self._rows(
            "select held.id, digest, file, start, rule.rule, reason from held join rule on rule.id = held.rule"
        ):
            catalog.hold_again(id_, digest, files.get(file, 0), start, Hold(rule, reason))
        too = self._rows("select id, file, own from held_too")
        state.execute_many(
            "insert or ignore into held_too values(?, ?, ?)", ((id_, files.get(file, 0), own) for id_, file, own in too)
        )

    # -- reading

    def _meta(self, name: str) -> str | None:
        row = next(self._rows("select value from meta where name = ?", name), None)
        return None if row is None else str(row[0])

    def _rows(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        try:
            database = looking(str(self._path)).database
        except SQLITE_ERRORS:
            self.whole = False
            return
        try:
            yield from database.execute(sql, values)
        except SQLITE_ERRORS:
            self.whole = False
        finally:
            database.close()


def _is_sound(op: Op) -> bool:
    if operations.flaw(op) is not None:
        return False
    kind = registry.by_name(op.format).kind(op.file) if isinstance(op, Put) else None
    return kind is None or not isinstance(op, Put) or operations.is_true(op, kind)


def _file(catalog: Catalog, space: str, path: str, format_: str) -> int:
    """By a new id; one that nobody has met again counts as gone until it is read."""
    known = catalog.files.find(space, path)
    if known is None:
        known = catalog.files.save(catalog.files.meet(space, path, format_)._replace(gone=True))
    return known.id


# -- where it lies


def set_aside(directory: Path) -> None:
    """The state gives way to one that is made when it is opened next. The caller holds the state's lock."""
    former, state = directory / FORMER, directory / DATABASE
    if former.exists() and Former(state).machine() is None:
        _rename(state, unused())  # a crash came before anything was taken over
        return
    _rename(former, unused())
    _rename(state, FORMER)


def found(directory: Path) -> Former | None:
    """The state before, if one was set aside and not put away."""
    path = directory / FORMER
    return Former(path) if path.exists() else None


def put_away(directory: Path, state: State) -> None:
    """All was taken over: it is only kept in case somebody wants to look at it."""
    if (directory / FORMER).exists():
        said = told(state)
        _rename(directory / FORMER, said.kept_as if said else unused())


def tell(state: State, taken: TakenOver) -> None:
    """Keep in mind what came of the state before."""
    state.set_meta(KEPT, json.dumps(taken))


def told(state: State) -> TakenOver | None:
    """What came of the state before this one; None: there was none."""
    said = state.meta(KEPT)
    return TakenOver(*json.loads(said)) if said else None


def unused() -> str:
    """A name for a state that is kept beside."""
    return f"damaged-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(2)}"


def _rename(path: Path, name: str) -> None:
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}{suffix}").rename(path.with_name(f"{name}{suffix}"))
