"""lease: who alone may change something for a while, by (scope, key), on all machines that a sync reaches."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from memferry.errors import MemoryRefused
from memferry.memory.lifecycle import tree
from memferry.memory.lifecycle.conflicts import note, opening
from memferry.memory.lifecycle.records import LEASE, Fields, hashed, labelled
from memferry.memory.lifecycle.turn import Turn
from memferry.memory.lifecycle.words import slug
from memferry.values import iso

LONGEST_S = 10 * 365 * 86400
_SEEN = "leases_compared"
_TALK = "Agree who goes on, then reconcile what both changed."

_HELD = "select origin, instance, expires, lease_id, body from leases where scope = ? and key = ? and released is null"
_HELD_TWICE = """
select ours.lease_id, theirs.lease_id, ours.scope, ours.key, ours.private or theirs.private,
       min(ours.acquired, theirs.acquired)
from leases as theirs cross join leases as ours on ours.scope = theirs.scope and ours.key = theirs.key
where theirs.origin != '' and ours.origin < theirs.origin and max(ours.number, theirs.number) > ?
  and ours.acquired < min(theirs.expires, coalesce(theirs.released, theirs.expires))
  and theirs.acquired < min(ours.expires, coalesce(ours.released, ours.expires))
  and not exists (select 1 from conflicts where scope = ours.scope and key = 'lease:' || ours.key
                  and opened and not resolved)
order by theirs.number, ours.number"""


def acquire(turn: Turn, asked: Namespace) -> Fields:
    """Take a lease, or hold it for longer; MemoryRefused while another instance has it."""
    turn.refuse_damage("coordination/")
    told = tell_double_leases(turn)
    instance, scope, key = slug(asked.instance_id), asked.scope or "global", asked.key
    for origin, holder, expires, *_ in _running(turn, scope, key):
        if origin or holder != instance:
            where = f" on {origin}" if origin else ""
            raise MemoryRefused(
                f"lease is already held by {holder}{where} until {iso(expires)}",
                hint="wait until then, or ask its holder to release it",
            )
    ttl_s = max(1, min(asked.ttl_seconds, LONGEST_S))
    lease = hashed(labelled(
        {"schema_version": LEASE, "op": "acquire", "lease_id": turn.new_id("les"), "scope": scope, "key": key,
         "instance_id": instance, "acquired_at": turn.ts, "expires_at": iso(turn.seconds + ttl_s),
         "ts": turn.ts},
        private=_is_private(turn, scope, key),
    ))  # fmt: skip
    turn.append(tree.LEASES, lease)
    return {"action": "acquire", "lease": lease} | told


def release(turn: Turn, asked: Namespace) -> Fields:
    """Give a lease back. Where there is none, there is nothing to do."""
    turn.refuse_damage("coordination/")
    told = tell_double_leases(turn)
    instance, scope, key = slug(asked.instance_id), asked.scope or "global", asked.key
    own = [row for row in turn.index.rows(_HELD, scope, key) if not row[0]]
    for _, holder, expires, *_ in own:
        if holder != instance and expires > turn.seconds:
            raise MemoryRefused(f"cannot release lease owned by {holder}", hint="its owner can; or wait until it ends")
    held = [row[3] for row in own if row[1] == instance]
    record = _release(turn, held[-1] if held else None, scope, key, instance)
    if held:
        turn.append(tree.LEASES, record)
    return {"action": "release", "release": record} | told


def leases(turn: Turn, asked: Namespace) -> Fields:
    """Every lease that is held now, here and on other machines."""
    turn.refuse_damage("coordination/")
    told = tell_double_leases(turn)
    rows = turn.index.rows(
        "select body, origin from leases where released is null and expires > ? order by number", turn.seconds
    )
    held = [json.loads(body) | ({"machine": origin} if origin else {}) for body, origin in rows]
    wanted = [lease for lease in held if not asked.scope or lease["scope"] == asked.scope]
    return {"action": "list", "count": len(wanted), "leases": wanted} | told


def release_all(turn: Turn, instance: str) -> None:
    """Give back what an instance of this machine still holds."""
    rows = turn.index.rows(
        "select lease_id, scope, key from leases where origin = '' and instance = ? and released is null", instance
    )
    for lease_id, scope, key in rows:
        turn.append(tree.LEASES, _release(turn, lease_id, scope, key, instance))


def stale(turn: Turn) -> list[tuple[str, str, str, str, bool]]:
    """Leases of this machine that ended and were not given back: (id, scope, key, instance, is private)."""
    found: list[Any] = turn.index.rows(
        "select lease_id, scope, key, instance, private from leases"
        " where origin = '' and released is null and expires <= ? order by number",
        turn.seconds,
    )
    return found


def release_stale(turn: Turn) -> int:
    """Give back what ended; answers how many."""
    found = stale(turn)
    for lease_id, scope, key, instance, _ in found:
        turn.append(tree.LEASES, _release(turn, lease_id, scope, key, instance))
    return len(found)


def tell_double_leases(turn: Turn) -> Fields:
    """Open a conflict for every lease that two machines held at the same time; what is new is part of an answer."""
    index = turn.index
    seen, last = (
        index.one("select value from facts where name = ?", _SEEN) or 0,
        index.one("select max(number) from leases") or 0,
    )
    if last == seen:
        return {}
    opened: dict[tuple[str, str], Fields | None] = {}
    for ours, theirs, scope, key, private, acquired in index.rows(_HELD_TWICE, seen):
        if (scope, key) not in opened:
            summary = f"Two machines held the lease on '{key}' at the same time"
            pair, ts = sorted((ours, theirs)), iso(acquired)
            opened[scope, key] = opening(turn, scope, f"lease:{key}", summary, pair, _TALK, private=private, ts=ts)
    turn.afterwards.append(lambda: note(turn, _SEEN, last))
    found = [conflict for conflict in opened.values() if conflict]
    return {"conflicts": found} if found else {}


def _running(turn: Turn, scope: str, key: str) -> list[tuple[Any, ...]]:
    return [row for row in turn.index.rows(_HELD, scope, key) if row[2] > turn.seconds]


def _release(turn: Turn, lease_id: str | None, scope: str, key: str, instance: str) -> Fields:
    return hashed(labelled(
        {"schema_version": LEASE, "op": "release", "lease_id": lease_id, "scope": scope, "key": key,
         "instance_id": instance, "released_at": turn.ts, "ts": turn.ts},
        private=_is_private(turn, scope, key),
    ))  # fmt: skip


def _is_private(turn: Turn, scope: str, key: str) -> bool:
    """A lease on the key of a private decision tells that there is one."""
    found = turn.index.one(
        "select 1 from objects indexed by objects_private where private and scope = ? and decision_key = ?", scope, key
    )
    return found is not None
