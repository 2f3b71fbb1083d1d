"""Where things lie in a `.memory` tree. Files are named by their path below the root, with `/`. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from memferry.memory.lifecycle.words import slug

FOLDERS = (
    "_meta", "streams", "bus", "views", "views/facts", "views/decisions", "views/commitments", "views/attach",
    "coordination", "projects", "governance", "governance/findings", "governance/health", "governance/actions", "index",
    "archive", "evidence",
)  # fmt: skip
KEPT_FOLDERS = tuple(folder for folder in FOLDERS if folder not in ("_meta", "views", "governance"))
"""Which a version control must keep although they are empty."""

ZONES = ("_meta", "streams", "bus", "views", "coordination", "governance", "projects")
"""Where ledgers lie. The catalogue and the counts leave out `_meta` and `projects`."""

COLLECTIONS = {"fact": "facts", "decision": "decisions", "commitment": "commitments"}

INSTANCES = "coordination/instances.jsonl"
CURSORS = "coordination/cursors.jsonl"
LEASES = "coordination/leases.jsonl"
CONFLICTS = "coordination/conflicts.jsonl"
REDUCERS = "coordination/reducers.jsonl"
FINDINGS = "governance/findings/findings.jsonl"
SCORECARDS = "governance/health/scorecards.jsonl"
TRENDS = "governance/health/trends.jsonl"
PLANS = "governance/actions/plans.jsonl"
EXECUTIONS = "governance/actions/executions.jsonl"
DISTILLED = "_meta/distilled_event_ids.jsonl"
REDUCED = "_meta/reduced_event_ids.jsonl"

_FORMS = {
    "_meta": r"(?:distilled|reduced)_event_ids",
    "streams": r"(?P<scope>[^/@]+)/(?P<instance>[^/@]+)/\d{4}-\d\d-\d\d",
    "bus": r"(?P<scope>[^/@]+)/\d{4}-\d\d-\d\d",
    "views": r"(?:facts|decisions|commitments)/(?P<scope>[^/@]+)/\d{4}-\d\d",
    "coordination": r"(?:instances|cursors|leases|conflicts|reducers)",
    "governance": r"(?:findings/findings|health/(?:scorecards|trends)|actions/(?:plans|executions))",
    "projects": r"(?P<scope>[^/@]+)/agenda",
}
_ENDING = r"(?P<part>-p\d+)?(?:@(?P<origin>[^/@]+?)(?:-p\d\d+)?)?\.jsonl"


class Place(NamedTuple):
    """What a ledger's name says. `scope`, `instance`: slugs, "" where it has none (of an agenda, `scope` is the
    project); `origin`: the machine whose lines they are, "" for this one."""

    zone: str
    scope: str
    instance: str
    origin: str
    is_part: bool


def place(file: str) -> Place | None:
    """Where a ledger belongs; None: it is no ledger of this format."""
    zone = file.partition("/")[0]
    match = re.fullmatch(f"{zone}/{_FORMS[zone]}{_ENDING}", file) if zone in _FORMS else None
    if match is None:
        return None
    found = match.groupdict()
    return Place(
        zone, found.get("scope") or "", found.get("instance") or "", found["origin"] or "", found["part"] is not None
    )


def stream(scope: str, instance: str, ts: str) -> str:
    """Of one instance and day."""
    return f"streams/{slug(scope)}/{slug(instance)}/{ts[:10]}.jsonl"


def bus(scope: str, ts: str) -> str:
    """What is shared in a scope on a day."""
    return f"bus/{slug(scope)}/{ts[:10]}.jsonl"


def view(type_: str, scope: str, ts: str) -> str:
    """Objects of one type, scope and month."""
    return f"views/{COLLECTIONS[type_]}/{slug(scope)}/{ts[:7]}.jsonl"


def agenda(project: str) -> str:
    """What a project still has to do."""
    return f"projects/{slug(project)}/agenda.jsonl"


def state(project: str) -> str:
    """Where a project stands: the last checkpoint."""
    return f"projects/{slug(project)}/state.md"


def resume(project: str) -> str:
    """How a project goes on: the last handoff."""
    return f"projects/{slug(project)}/resume.md"


def capsule(project: str) -> str:
    """What a new session reads first."""
    return f"views/attach/{slug(project)}.md"


def own_name(file: str) -> str:
    """The ledger of which a shard holds another machine's lines."""
    return re.sub(r"@[^/@]+\.jsonl$", ".jsonl", file)
