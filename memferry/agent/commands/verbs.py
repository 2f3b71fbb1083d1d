"""What each command does with an open agent. One function a command; the rest is `service`."""

from __future__ import annotations

import contextlib
import datetime
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from memferry.agent import doorbell
from memferry.agent.commands import held as held_records
from memferry.agent.commands import machines, resolve
from memferry.agent.commands.explain import explain_target
from memferry.agent.intake.decisions import Decision
from memferry.agent.outcome import Outcome
from memferry.agent.pulling.pull import Pulled
from memferry.agent.recovery import heirs
from memferry.agent.report import SyncReport, VerifyReport, backend_report, pull_report, sync_report
from memferry.agent.scope import Scope
from memferry.agent.sending.connections import require_backends
from memferry.agent.sending.late import look_again
from memferry.agent.service import Agent, Progress, no_progress, opened
from memferry.backends.base import Capacity, Finding, HeadSeen, Readable, Repaired, Verifiable
from memferry.backends.vault.restore import restore as restore_files
from memferry.config import Config
from memferry.errors import BackendError, ConfigError, Halted, TargetRefused

TENDED_IN_A_PUSH = 20
Report = dict[str, Any]
"""What a command answers, ready to be printed as JSON."""


def ask(
    config: Config, command: str, arguments: Report, *, progress: Progress = no_progress, patience_s: float = 600.0
) -> Report:
    """Do it here, or have the running service do it: the answer is the same. Raises StateLocked when another
    command is at work, or the service for longer than `patience_s`."""
    reply = doorbell.ring(config.state, command, arguments, timeout_s=patience_s)
    if reply is None:
        with opened(config, command, progress=progress) as agent:
            return perform(agent, command, arguments)
    if "error" in reply:
        raise _Relayed(reply)
    result: Report = reply["result"]  # type: ignore[assignment]
    return result


class _Relayed(ConfigError):
    """An error that the service met, with its own exit code."""

    def __init__(self, reply: Mapping[str, object]) -> None:
        super().__init__(str(reply["error"]), hint=str(reply["hint"]))
        self.exit_code = int(str(reply["exit_code"]))


def perform(agent: Agent, command: str, arguments: Mapping[str, Any]) -> Report:
    """One command by name. `arguments`: plain values, as they come out of JSON."""
    return COMMANDS[command](agent, arguments)


def scope_from(arguments: Mapping[str, Any]) -> Scope:
    given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in arguments.items()}
    return Scope(**given)


def push(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Read what changed and deliver until everything due is acknowledged."""
    scope = scope_from(arguments)
    require_backends(agent.config, scope.backends)
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
        row = agent.state.one("select through from checkpoint where backend = ?", name)
        through = row[0] if row else 0
        queued = agent.state.one("select count(*), total(length(frame)) from journal where last > ?", through)
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
    """Take in what other machines wrote. This machine's own changes are read first, so that nothing is overwritten."""
    dry_run, backends = bool(arguments.get("dry_run")), tuple(arguments.get("backends", ()))
    require_backends(agent.config, backends)
    with agent.state.rehearsal() if dry_run else contextlib.nullcontext():
        agent.ingest_all(Scope(dry_run=dry_run))
        pulled = pull_report(take_in(agent, backends, dry_run=dry_run))
        if not dry_run:
            agent.ingest_all(Scope())
    codes = [int(str(one["exit_code"])) for one in pulled.values()]
    return {"dry_run": dry_run, "backends": pulled, "exit_code": max(codes, default=0)}


def take_in(
    agent: Agent, backends: Sequence[str] = (), *, dry_run: bool = False
) -> Mapping[str, Pulled | BackendError]:
    """What other machines wrote, into this one's files; a conflict whose copy somebody removed is settled first."""
    if not dry_run:
        resolve.settle_removed(agent)
    return agent.pull(backends, dry_run=dry_run)


def sync_memory(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Push, then pull, with the full report."""
    scope = scope_from(arguments)
    require_backends(agent.config, scope.backends)
    report = _push(agent, scope, "sync-memory")
    with agent.state.rehearsal() if scope.dry_run else contextlib.nullcontext():
        report.pulled = pull_report(take_in(agent, scope.backends, dry_run=scope.dry_run))
    return report.as_dict()


def verify(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Check every backend against its heads and against what this machine saw; with `repair`, mend from the journal."""
    backends = tuple(arguments.get("backends", ()))
    require_backends(agent.config, backends)
    reports = [_verify_one(agent, name, bool(arguments.get("repair"))) for name in backends or agent.config.backends]
    return {
        "backends": [report._asdict() for report in reports],
        "exit_code": max((r.exit_code for r in reports), default=0),
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
            text = f"verify found {left} damaged objects"
            agent.state.report_problem("verify", name, text, f"run `memferry verify --backend {name} --repair`")
        else:
            agent.state.clear_problem("verify", name)
    return VerifyReport(
        name,
        [finding._asdict() for finding in findings],
        [{**one.finding._asdict(), "done": one.done, "detail": one.detail} for one in repaired],
    )


def _repair(agent: Agent, backend: Verifiable, findings: Sequence[Finding]) -> Sequence[Repaired]:
    """What the vault has lost is sent once more, so it is looked at once more: it may have become private since."""
    look_again(agent, Outcome(agent.journal.last_seq + 1), 1, agent.journal.last_seq)
    return backend.repair(findings, agent.journal)


def _heads_seen(agent: Agent, name: str) -> dict[str, HeadSeen]:
    seen = agent.connections.heads_seen(name)
    head = agent.checkpoints.of(name).head
    return seen | ({agent.me.id: head} if head else {})


def forget(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Withdraw records everywhere, by key or by file, and keep them away although they stay in their files; `undo`:
    carry those again."""
    targets, dry_run = list(arguments["targets"]), bool(arguments.get("dry_run"))
    agent.ingest_all(Scope(dry_run=dry_run))
    if arguments.get("undo"):
        return _undo_forget(agent, targets, dry_run)
    with agent.state.rehearsal() if dry_run else agent.state.transaction():
        found = {target: agent.ids_of(target) for target in targets}
        unknown = [target for target, ids in found.items() if not ids]
        if unknown:
            raise ConfigError(
                f"nothing is known under {', '.join(unknown)}",
                hint="give a record's key, or a file as `space/path`; `memferry explain` shows what is known",
            )
        count = sum(agent.forget(space, ids, dry_run=dry_run) for space, ids in _together(found.values()).items())
    return {"withdrawn": count} | _told(agent, dry_run)


def _together(found: Iterable[Mapping[str, Sequence[int]]]) -> Mapping[str, Sequence[int]]:
    """The records of each space, once, however many targets named them."""
    ids: defaultdict[str, dict[int, None]] = defaultdict(dict)
    for spaces in found:
        for space, some in spaces.items():
            ids[space] |= dict.fromkeys(some)
    return {space: list(some) for space, some in ids.items()}


def _undo_forget(agent: Agent, targets: Sequence[str], dry_run: bool) -> Report:
    with agent.state.rehearsal() if dry_run else agent.state.transaction():
        found = {target: agent.undo_forget(target) for target in targets}
        if unknown := [target for target, ids in found.items() if not ids]:
            raise ConfigError(
                f"nothing is forgotten under {', '.join(unknown)}",
                hint="give a record's key, or a file as `space/path`; `memferry explain` shows what is known",
            )
    undone = {id_ for ids in found.values() for id_ in ids}
    if not dry_run:
        agent.ingest_all(Scope())
        undone = {id_ for id_, seen in agent.catalog.seen(undone).items() if seen.seq > 0}
    return {"carried_again": len(undone)} | _told(agent, dry_run)


def _told(agent: Agent, dry_run: bool) -> Report:
    """Every backend, at once."""
    delivered = {} if dry_run else agent.deliver()
    backends = {name: {"error": one.error, "through": one.after} for name, one in delivered.items()}
    return {"dry_run": dry_run, "backends": backends, "exit_code": int(any(one.error for one in delivered.values()))}


def explain(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Which rule decided about a file or a record, and why."""
    target = str(arguments["target"])
    answers = explain_target(agent, target)
    if not answers:
        raise ConfigError(
            f"nothing is known of {target}",
            hint="give a file inside a configured space, `space/path`, or a record's key",
        )
    return {"target": target, "answers": [answer._asdict() for answer in answers]}


def held(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """What stays at home, by rule, with what was found in it; or what a person decided, or decides now."""
    if arguments.get("do"):
        names, do = list(arguments["names"]), arguments["do"]
        made = [one for name in names for one in held_records.decide(agent, name, do, str(arguments["reason"]))]
        return {"decided": list(map(_decision, made))} | held_records.bring_up_to_date(agent)
    agent.ingest_all(Scope())
    if arguments.get("decisions"):
        return {"decisions": list(map(_decision, agent.judging.decisions))}
    if arguments.get("names"):
        found = [held_records.find(agent, name) for name in arguments["names"]]
        return {"held": [_held(agent, one) for one in found], "total": len(found)}
    wanted = {name: arguments[name] for name in ("rule", "space") if arguments.get(name)}
    every = held_records.listed(agent, **wanted, decided=bool(arguments.get("all")))
    return {"held": [_held(agent, one) for one in every[: int(arguments.get("limit", 50))]], "total": len(every)}


def _held(agent: Agent, one: held_records.HeldRecord) -> Report:
    found = [excerpt._asdict() for excerpt in held_records.excerpts(agent, one)]
    way_out = held_records.WAYS_OUT.get(one.rule) or held_records.WAYS_OUT.get(one.rule.partition(".")[0], "")
    shown = {name: value for name, value in one._asdict().items() if name != "id"}
    return shown | {"line": held_records.line_of(agent, one), "findings": found, "way_out": way_out}


def _decision(one: Decision) -> Report:
    about = {"name": held_records.decision_name(one)}
    return about | {name: value for name, value in one._asdict().items() if name != "about"}


def conflicts(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Versions that lost against another machine's and were kept. `resolve`: settle this one, and `keep` so."""
    _, halted = agent.ingest_all(Scope())
    settled = resolve.settle_removed(agent)
    agent.reconcile().run()
    if "resolve" not in arguments:
        found = [resolve.described(agent, one) for one in resolve.listed(agent)]
        return {"conflicts": found, "settled": settled, "exit_code": 0}
    if halted:
        raise Halted("; ".join(halted), hint="see `memferry status`; settle conflicts after that")
    chosen, keep = resolve.find(agent, str(arguments["resolve"])), str(arguments.get("keep", resolve.CURRENT))
    resolve.resolve(agent, chosen, keep)
    delivered = agent.deliver()
    return {
        "resolved": {"space": chosen.space, "file": chosen.file, "key": chosen.key, "keep": keep},
        "left": len(resolve.listed(agent)),
        "backends": {name: {"error": one.error, "through": one.after} for name, one in delivered.items()},
        "exit_code": max((one.exit_code for one in delivered.values()), default=0),
    }


def index(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Bring the local index up to date; with `rebuild`, make it again. `embed`: then make the vectors of at most so
    many records, of all for None. Whoever searches reads it directly."""
    indexing = agent.indexing
    report = {"indexed": indexing.rebuild() if arguments.get("rebuild") else indexing.catch_up(), "exit_code": 0}
    if "embed" in arguments:
        report["embedded"] = indexing.embedding.finish(agent.progress, limit=arguments["embed"])
    return report


def answering(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Have a process ready for questions about the index."""
    agent.indexing.answering.begin()
    return {"exit_code": 0}


def restore(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """A machine's files again, byte for byte, minus the records that were held."""
    to, wanted, name = Path(arguments["to"]), str(arguments["machine"]), arguments.get("backend")
    require_backends(agent.config, (name,) if name else ())
    for candidate in (name,) if name else tuple(agent.config.backends):
        with agent.backend(candidate) as backend:
            if not isinstance(backend, Readable):
                continue
            log = next((log for log in backend.survey().logs if wanted in (log.name, log.id)), None)
            if log is not None:
                report = restore_files(backend.read(log.id), to, machine=log.id)
                return {"machine": log.name, "backend": candidate, "to": str(to), **report._asdict()}
    raise ConfigError(f"no machine {wanted} in {name or 'any backend'}", hint="`memferry machines` lists them")


COMMANDS: Mapping[str, Callable[[Agent, Mapping[str, Any]], Report]] = {
    "answering": answering,
    "push": push,
    "pull": pull,
    "sync-memory": sync_memory,
    "verify": verify,
    "forget": forget,
    "explain": explain,
    "held": held,
    "conflicts": conflicts,
    "index": index,
    "restore": restore,
    "machines": machines.machines,
    "revoke": machines.revoke,
    "adopt": heirs.adopt,
}
