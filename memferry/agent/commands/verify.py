"""verify: every backend against its heads and against what this machine saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memferry.agent.outcome import Outcome
from memferry.agent.report import Report, VerifyReport
from memferry.agent.sending.connections import require_backends
from memferry.agent.sending.late import look_again
from memferry.agent.service import Agent
from memferry.backends.base import Finding, HeadSeen, Repaired, Verifiable
from memferry.errors import BackendError, TargetRefused

NONE_TO_CHECK = 1
"""Without a backend nothing is found, nor is all well."""


def verify(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Check every backend against its heads and against what this machine saw; with `repair`, mend from the journal."""
    backends = tuple(arguments.get("backends", ()))
    require_backends(agent.config, backends)
    if arguments.get("repair"):
        agent.connections.close_backends()  # one that saw its folder here would never make it anew
    reports = [_verify_one(agent, name, bool(arguments.get("repair"))) for name in backends or agent.config.backends]
    return {
        "backends": [report._asdict() for report in reports],
        "exit_code": max((r.exit_code for r in reports), default=NONE_TO_CHECK),
    }


def _verify_one(agent: Agent, name: str, repair: bool) -> VerifyReport:
    try:
        with agent.backend(name) as backend:
            if not isinstance(backend, Verifiable):
                return VerifyReport(name, [], [], "this backend cannot be verified")
            findings = backend.verify(_heads_seen(agent, name))
            repaired = _repair(agent, backend, findings) if repair and findings else []
            if repaired:
                with agent.state.transaction():
                    agent.dispatch.delivery(backend).remember_head()
    except BackendError as error:
        return VerifyReport(name, [], [], str(error), error.hint, isinstance(error, TargetRefused))
    with agent.state.transaction():
        left = len(findings) - sum(one.done for one in repaired)
        if left:
            text = f"verify found {left} damaged object{'s' if left > 1 else ''}"
            agent.state.report_problem("verify", name, text, f"run `memferry verify --backend {name} --repair`")
        else:
            agent.state.clear_problem("verify", name)
    called = agent.machine_names()
    return VerifyReport(
        name,
        [_shown(finding, called) for finding in findings],
        [{**_shown(one.finding, called), "done": one.done, "detail": one.detail} for one in repaired],
    )


def _shown(finding: Finding, called: Mapping[str, str]) -> dict[str, str]:
    """`name`: of the machine whose log it is in, as far as it is known."""
    return finding._asdict() | {"name": called.get(finding.machine, "")}


def _repair(agent: Agent, backend: Verifiable, findings: Sequence[Finding]) -> Sequence[Repaired]:
    """What the vault has lost is sent once more, so it is looked at once more: it may have become private since."""
    look_again(agent, Outcome(agent.journal.last_seq + 1), 1, agent.journal.last_seq)
    return backend.repair(findings, agent.journal)


def _heads_seen(agent: Agent, name: str) -> dict[str, HeadSeen]:
    seen = agent.connections.heads_seen(name)
    head = agent.checkpoints.of(name).head
    return seen | ({agent.me.id: head} if head else {})
