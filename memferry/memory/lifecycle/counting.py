"""stats: how much there is."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter

from memferry.memory.lifecycle.instances import STOPPED
from memferry.memory.lifecycle.records import Fields
from memferry.memory.lifecycle.turn import Turn
from memferry.memory.lifecycle.words import slug


def stats(turn: Turn, asked: Namespace) -> Fields:
    """Events and objects by type, and what is open."""
    turn.refuse_damage("")
    events: Counter[str] = Counter()
    views: Counter[str] = Counter()
    scopes: Counter[str] = Counter()
    for zone, scope, kind, number in turn.index.rows("select zone, scope, kind, number from tally"):
        if asked.scope and slug(scope) != slug(asked.scope):
            continue
        if zone == "views":
            views[kind] += number
            scopes[scope] += number
        else:
            events[kind] += number
    return {
        "scope": asked.scope, "events": dict(events), "views": dict(views), "scopes": dict(scopes),
        "active_instances": turn.index.one("select count(*) from instances where event != ?", STOPPED),
        "open_conflicts": turn.index.one("select count(*) from conflicts where opened and not resolved"),
        "open_findings": turn.index.one("select count(*) from findings where status = 'open'"),
    }  # fmt: skip
