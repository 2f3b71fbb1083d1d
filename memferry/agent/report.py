"""What a sync tells: built from what was read and what was acknowledged, nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from memferry.agent.outcome import Outcome
from memferry.agent.pulling.pull import Pulled
from memferry.agent.sending.deliver import Delivered
from memferry.backends.base import Capacity
from memferry.errors import BackendError, TargetRefused
from memferry.model import Put
from memferry.recall.prose import prose

EXCERPT_CHARACTERS = 100
FULL_PERCENT = 80.0


Report = dict[str, Any]
"""What a command answers, ready to be printed as JSON."""


@dataclass(slots=True)
class SyncReport:
    """One sync. `held`: how many, by rule. `failed` and `halted` name what a person must look at. `backends`: what each
    acknowledged. `next_sync`: an estimate in bytes and a time (ISO, UTC)."""

    dry_run: bool
    new: int
    modified: int
    unchanged: int
    removed: int
    withdrawn: int
    forgotten: int
    held: dict[str, object]
    excluded: dict[str, str]
    skipped: dict[str, str]
    duplicates: dict[str, object]
    failed: list[dict[str, str]]
    halted: list[str]
    gaps: int
    files: dict[str, object]
    backends: dict[str, dict[str, object]] = field(default_factory=dict)
    pulled: dict[str, dict[str, object]] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    next_sync: dict[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        return asdict(self) | {"exit_code": self.exit_code}

    @property
    def exit_code(self) -> int:
        """0: all done. 1: something needs a person. 4: a target was refused."""
        codes = [int(str(one.get("exit_code", 0))) for one in (*self.backends.values(), *self.pulled.values())]
        left = self.failed or self.halted or any(backend.get("refused") for backend in self.backends.values())
        return max(int(bool(left) or not self.backends), *codes, 0)


def sync_report(outcome: Outcome, halted: Sequence[str], *, dry_run: bool) -> SyncReport:
    by_rule: Counter[str] = Counter()
    for (rule, _), count in outcome.held.items():
        by_rule[rule] += count
    reasons = [{"rule": rule, "reason": reason, "count": n} for (rule, reason), n in sorted(outcome.held.items())]
    return SyncReport(
        dry_run=dry_run,
        new=outcome.new,
        modified=outcome.modified,
        unchanged=outcome.unchanged,
        removed=outcome.removed,
        withdrawn=outcome.withdrawn,
        forgotten=outcome.forgotten,
        held={"total": sum(by_rule.values()), "by_rule": dict(sorted(by_rule.items())), "reasons": reasons},
        excluded=dict(sorted(outcome.excluded.items())),
        skipped=dict(sorted(outcome.skipped.items())),
        duplicates={
            "total": outcome.duplicates,
            "reason": "the same record in one more place; its text is stored once",
        },
        failed=[
            {"file": file, "reason": text, "next_step": hint} for file, (text, hint) in sorted(outcome.failed.items())
        ],
        halted=list(halted),
        gaps=outcome.gaps,
        files={
            "seen": sum(outcome.files.values()),
            "read": sorted(set(outcome.changed_files)),
            "read_bytes": outcome.read_bytes,
            "unsettled": sorted(set(outcome.unsettled)),
            "reread": dict(outcome.restarted),
        },
        totals={
            "read": outcome.new + outcome.modified + outcome.unchanged + outcome.duplicates + sum(by_rule.values())
        },
    )


def backend_report(
    name: str, delivered: Delivered, sample: Sequence[Put], capacity: Capacity | None
) -> dict[str, object]:
    """`stored`: the first records that it acknowledged in this run; `storage_id` names them there."""
    acknowledged = [put for put in sample if put.seq <= delivered.after]
    return {
        "stored": [
            {
                "key": put.key,
                "space": put.space,
                "excerpt": " ".join(prose(put).body.split())[:EXCERPT_CHARACTERS],
                "type": put.type,
                "tags": list(put.tags),
                "storage_id": f"{name}:{put.seq}",
            }
            for put in acknowledged
        ],
        "sent": delivered.sent,
        "refused": delivered.refused,
        "checkpoint": {"from": delivered.before, "to": delivered.after},
        "capacity": capacity_report(capacity),
        "error": delivered.error,
        "hint": delivered.hint,
        "exit_code": delivered.exit_code,
    }


def delivery_report(delivered: Mapping[str, Delivered]) -> dict[str, object]:
    """How far each backend came, and the worst exit code."""
    return {
        "backends": {name: {"error": one.error, "through": one.after} for name, one in delivered.items()},
        "exit_code": max((one.exit_code for one in delivered.values()), default=0),
    }


def capacity_report(capacity: Capacity | None) -> dict[str, object] | None:
    if capacity is None:
        return None
    used, free = capacity.used_bytes, capacity.free_bytes
    percent = None
    if capacity.total_bytes and free is not None:
        percent = round(100 * (1 - free / capacity.total_bytes), 1)
    return {
        "points": capacity.points,
        "used_bytes": used,
        "free_bytes": free,
        "used_percent": percent,
        "alert": percent is not None and percent > FULL_PERCENT,
    }


def pull_report(results: Mapping[str, Pulled | BackendError]) -> dict[str, dict[str, object]]:
    return {
        name: {"error": str(one), "hint": one.hint, "exit_code": one.exit_code}
        if isinstance(one, BackendError)
        else _pulled(one)
        for name, one in results.items()
    }


def _pulled(one: Pulled) -> dict[str, object]:
    """`edits`: every file touched, and how."""
    report: dict[str, object] = one._asdict() | {
        "files": tuple(one.files),
        "edits": [{"file": file, "how": how} for file, how in one.files.items()],
        "failed": [{"file": file, "reason": reason} for file, reason in one.failed.items()],
        "refused": [refused._asdict() for refused in one.refused],
        "exit_code": one.exit_code,
    }
    if one.refused:
        report |= {"error": "; ".join(refused.error for refused in one.refused), "hint": one.refused[0].hint}
    return report


class VerifyReport(NamedTuple):
    """`findings` of one backend and, after a repair, what became of them. `error`: why it could not be verified;
    `refused`: because it is not to be trusted."""

    backend: str
    findings: list[dict[str, str]]
    repaired: list[dict[str, object]]
    error: str | None = None
    hint: str = ""
    refused: bool = False

    @property
    def exit_code(self) -> int:
        """0: whole, or whole again. 1: something is left to do. 4: the target was refused."""
        if self.refused:
            return TargetRefused.exit_code
        return 1 if self.error or len(self.findings) > sum(bool(one["done"]) for one in self.repaired) else 0
