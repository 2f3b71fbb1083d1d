"""push, pull and sync-memory: what changed goes out, what others wrote comes in."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from memferry.agent.commands import naming, resolve
from memferry.agent.files.tree import FIND_IT
from memferry.agent.pulling.pull import Pulled
from memferry.agent.report import Report, SyncReport, backend_report, pull_report, sync_report
from memferry.agent.scope import Scope
from memferry.agent.sending.connections import require_backends
from memferry.agent.sending.moved import is_moved
from memferry.agent.service import Agent
from memferry.agent.state.queued import BEYOND
from memferry.backends.base import Capacity
from memferry.errors import BackendError, ConfigError

TENDED_IN_A_PUSH = 20


def push(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Read what changed and deliver until everything due is acknowledged."""
    scope = scope_from(arguments)
    require_backends(agent.config, scope.backends)
    naming.require_about(agent, scope.only)
    return _push(agent, scope, "push").as_dict()


def _push(agent: Agent, scope: Scope, kind: str) -> SyncReport:
    started = agent.state.clock()
    if scope.dry_run:
        with agent.state.rehearsal():
            outcome, halted = agent.ingest_all(scope)
            report = sync_report(outcome, halted, dry_run=True)
            _foretell(agent, report, scope)
        return report
    outcome, halted = agent.ingest_all(scope)
    delivery = agent.deliver(scope.backends, outcome=outcome)
    report = sync_report(outcome, halted, dry_run=False)
    for name, delivered in delivery.items():
        if not delivered.error:
            _tend(agent, name)
        capacity = _capacity(agent, name) if delivered.sent and not delivered.error else None
        report.backends[name] = backend_report(name, delivered, outcome.sample, capacity)
    _finish(agent, report, kind, started)
    return report


def _capacity(agent: Agent, name: str) -> Capacity | None:
    with contextlib.suppress(BackendError), agent.backend(name) as backend:
        return backend.capacity()
    return None


def _tend(agent: Agent, name: str) -> None:
    """Some of what can wait, for those without a service; what is left, the next push or `verify --repair` does."""
    with contextlib.suppress(BackendError):
        any(not agent.tend(name) for _ in range(TENDED_IN_A_PUSH))


def _foretell(agent: Agent, report: SyncReport, scope: Scope) -> None:
    """What delivery would send: what is queued now, this run's records included."""
    for name in scope.backends or tuple(agent.config.backends):
        if is_moved(agent, name):
            with contextlib.suppress(BackendError), agent.backend(name):
                pass  # looked at
        row = agent.state.one("select through from checkpoint where backend = ?", name)
        through = row[0] if row else 0
        queued = agent.state.one(f"select count(*), total(length(frame)) from {BEYOND}", through)
        assert queued is not None
        report.backends[name] = {
            "would_send_batches": queued[0],
            "would_send_bytes": int(queued[1]),
            "checkpoint": {"from": through, "to": through},
        }


def _finish(agent: Agent, report: SyncReport, kind: str, started: float) -> None:
    now = agent.state.clock()
    interval = agent.config.agent.scan_interval_s
    at = datetime.datetime.fromtimestamp(now + interval, datetime.UTC).isoformat(timespec="seconds")
    sizes = agent.state.rows("select json_extract(report, '$.files.read_bytes') from run order by number desc limit 5")
    known = [size for size in (report.files["read_bytes"], *(row[0] for row in sizes)) if size]
    report.next_sync = {"estimated_bytes": int(sum(known) / len(known)) if known else 0, "suggested_at": at}
    agent.remember_run(kind, started, report)


def pull(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Take in what other machines wrote. This machine's own changes are read first, so that nothing is overwritten.
    Spaces whose folder is not there are passed over; the first pull that finds it brings all of theirs."""
    dry_run, backends = bool(arguments.get("dry_run")), tuple(arguments.get("backends", ()))
    require_backends(agent.config, backends)
    with agent.state.rehearsal() if dry_run else contextlib.nullcontext():
        _, halted = agent.ingest_all(Scope(dry_run=dry_run))
        pulled = pull_report(take_in(agent, backends, dry_run=dry_run))
    if not dry_run:
        _read_pulled(agent, Scope())
    codes = [int(str(one["exit_code"])) for one in pulled.values()]
    away = [space for space in agent.missing if space.name not in agent.unreadable]
    told = {f"space {space.name}: {agent.why_missing(space)}" for space in away}
    halted = [text for text in halted if text not in told]
    return {
        "dry_run": dry_run,
        "backends": pulled,
        "passed_over": [{"space": space.name, "path": str(space.path), "next_step": FIND_IT} for space in away],
        "halted": halted,
        "exit_code": max([*codes, int(bool(halted))]) if codes else 1,  # without a backend somebody must add one
    }


def take_in(
    agent: Agent, backends: Sequence[str] = (), *, dry_run: bool = False
) -> Mapping[str, Pulled | BackendError]:
    """What other machines wrote, into this one's files; a conflict whose copy somebody removed is settled first."""
    if not dry_run:
        resolve.settle_removed(agent)
    return agent.pull(backends, dry_run=dry_run)


def _read_pulled(agent: Agent, scope: Scope) -> None:
    """What was written is known at once, so that who then removes an entry of it has removed it."""
    agent.look_at_spaces()  # folders came with it
    agent.ingest_all(scope)
    agent.indexing.take_in_pulled()


def sync_memory(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Push, then pull, with the full report."""
    scope = scope_from(arguments)
    require_backends(agent.config, scope.backends)
    naming.require_about(agent, scope.only)
    report = _push(agent, scope, "sync-memory")
    with agent.state.rehearsal() if scope.dry_run else contextlib.nullcontext():
        report.pulled = pull_report(take_in(agent, scope.backends, dry_run=scope.dry_run))
    if not scope.dry_run:
        _read_pulled(agent, scope._replace(force=False, thorough=False))
    return report.as_dict()


def scope_from(arguments: Mapping[str, Any]) -> Scope:
    """Raises ConfigError for what another version of memferry asks for."""
    given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in arguments.items()}
    if unknown := given.keys() - set(Scope._fields):
        raise ConfigError(f"this memferry knows no {min(unknown)!r}", hint="the service is an older one: restart it")
    return Scope(**given)
