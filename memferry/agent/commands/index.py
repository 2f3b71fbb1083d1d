"""The local index, and who answers questions from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memferry.agent.report import Report
from memferry.agent.service import Agent


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
