"""The local index, and who answers questions from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memferry.agent.report import Report
from memferry.agent.scope import Scope
from memferry.agent.service import Agent
from memferry.recall.embed.registry import of_settings


def index(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Bring the local index up to date; with `rebuild`, make it again. `embed`: then make the vectors of at most so
    many records, of all for None. `fresh`: read first what changed in the files, as is always done before texts go to a
    model elsewhere; `halted` says what could not be read. Whoever searches reads the index directly."""
    indexing = agent.indexing
    leaves = "embed" in arguments and of_settings(agent.config.recall).remote
    halted = agent.ingest_all(Scope())[1] if leaves or arguments.get("fresh") else []
    count = indexing.rebuild() if arguments.get("rebuild") else indexing.catch_up()
    report: Report = {"indexed": count, "halted": halted, "exit_code": 0}
    if "embed" in arguments:
        report["embedded"] = indexing.embedding.finish(agent.progress, limit=arguments["embed"])
    return report


def answering(agent: Agent, arguments: Mapping[str, Any]) -> Report:
    """Have a process ready for questions about the index."""
    agent.indexing.answering.begin()
    return {"exit_code": 0}
