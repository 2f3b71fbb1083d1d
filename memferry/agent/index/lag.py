"""What the local index does not know yet. Reads two databases and nothing else: every question asks this first."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

from memferry.agent.state.queued import SPACES
from memferry.looking import SQLITE_ERRORS, looked_at
from memferry.places import DATABASE
from memferry.recall.layout import HELD, INDEX, VERSION


class Lag(NamedTuple):
    """`own`: operations of this machine at most; `others`: whether something was pulled; `held`: or held, or
    `withdrawn`. `missing`: there is no index, or it is of another memferry. `unread`: names of machines whose records
    were pulled and are not in it, also where they cannot be read now."""

    own: int = 0
    others: bool = False
    held: bool = False
    withdrawn: bool = False
    missing: bool = False
    unread: tuple[str, ...] = ()

    @property
    def may_tell_what_is_withdrawn(self) -> bool:
        """Also by what was pulled, which may have been withdrawn there."""
        return self.withdrawn or bool(self.unread)

    def __bool__(self) -> bool:
        """Whether there is something that can be taken in now."""
        return any((self.own, self.others, self.held, self.withdrawn, self.missing))


def lag(state: Path) -> Lag:
    """Of the index in a state directory. What lies where no backend can be reached is not waited for."""
    positions = [_positions(state / name) for name in (INDEX, HELD)]
    missing = None in positions
    known = positions[0] or {}
    if not (state / DATABASE).exists():
        return Lag(missing=missing)
    with contextlib.suppress(*SQLITE_ERRORS), looked_at(str(state / DATABASE)) as database:
        meta = dict(database.execute("select name, value from meta where name in ('seq', 'machine')"))
        waiting = "select exists (select 1 from held_change), exists (select 1 from withdrawn)"
        held, withdrawn = map(bool, database.execute(waiting).fetchone())
        peers = database.execute(
            "select machine, name, applied, exists (select 1 from checkpoint"
            " where checkpoint.backend = peer.backend and failures) from peer order by name"
        )
        behind = [(name, away) for machine, name, applied, away in peers if applied > known.get(machine, 0)]
        others, unread = not all(away for _, away in behind), tuple(dict.fromkeys(name for name, _ in behind))
        own = max(0, int(meta.get("seq") or 0) - known.get(meta.get("machine"), 0))
        return Lag(own, others, held, withdrawn, missing, unread)
    return Lag(withdrawn=True, missing=missing)  # nobody can say


def machine_names(state: Path) -> dict[str, str]:
    """Of all machines that were met, by id."""
    with contextlib.suppress(*SQLITE_ERRORS), looked_at(str(state / DATABASE)) as database:
        meta = dict(database.execute("select name, value from meta where name in ('machine', 'machine name')"))
        names = dict(database.execute("select machine, name from peer"))
        return names | ({meta["machine"]: meta["machine name"]} if len(meta) == 2 else {})
    return {}


def space_names(state: Path) -> set[str]:
    """Of all spaces of which something was read or pulled."""
    with contextlib.suppress(*SQLITE_ERRORS), looked_at(str(state / DATABASE)) as database:
        return {row[0] for row in database.execute(SPACES)}
    return set()


def _positions(path: Path) -> dict[str | None, int] | None:
    """How far the index has got, by machine; None: there is none that can be used. One that is damaged is no lag."""
    if not path.exists():
        return None
    with contextlib.suppress(*SQLITE_ERRORS), looked_at(str(path)) as database:
        (version,) = database.execute("pragma user_version").fetchone()
        return dict(database.execute("select machine, seq from position")) if version == VERSION else None
    return {}
