"""restore: a machine's files again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memferry.agent.report import Report
from memferry.agent.sending.connections import require_backends
from memferry.agent.service import Agent
from memferry.backends.base import Readable
from memferry.backends.vault.restore import restore as restore_files
from memferry.errors import ConfigError
from memferry.policies.own import Own


def restore(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """A machine's files again, minus the records that were held."""
    to, wanted, name = Path(arguments["to"]), str(arguments["machine"]), arguments.get("backend")
    require_backends(agent.config, (name,) if name else ())
    if (around := Own(agent.config.own).around(to)) is not None:
        raise ConfigError(f"{to} lies in {around}, which is memferry's own", hint="restore into another folder")
    for candidate in (name,) if name else tuple(agent.config.backends):
        with agent.backend(candidate) as backend:
            if not isinstance(backend, Readable):
                continue
            logs = backend.survey().logs
            log = next((log for log in logs if wanted in (log.name, log.id)), None)
            if log is not None:
                report = restore_files(backend.read(log.id), to, machine=log.id)
                told = report._asdict() | {"left_out": [one._asdict() for one in report.left_out]}
                others = [other.name for other in logs if other.id != log.id]
                return {
                    "machine": log.name, "backend": candidate, "to": str(to), **told, "others": others,
                    "exit_code": report.exit_code,
                }  # fmt: skip
    raise ConfigError(f"no machine {wanted} in {name or 'any backend'}", hint="`memferry machines` lists them")
