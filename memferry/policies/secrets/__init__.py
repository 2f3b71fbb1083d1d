"""Secrets in records: passwords, keys, tokens, in plain sight or in disguise. Everything is loaded when first used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memferry.errors import ScannerBroken
from memferry.model import Record
from memferry.policies.findings import Finding
from memferry.policies.secrets import engine
from memferry.policies.secrets.table import VERSION

__all__ = ["VERSION", "check", "found", "search"]

_PLANTED = "the database password is Tr0ub4dor&3, the key AKIA" + "QYLPMN5HFIQR7XYA"


def found(text: str) -> list[Finding]:
    """What should not leave of one text, by our own rules: cheap enough for `learn`. Raises ScannerBroken."""
    try:
        from memferry.policies.secrets.look import look
    except ImportError as exc:
        raise ScannerBroken(f"what looks for secrets is not installed ({exc.name})", hint=engine.HINT) from exc
    return look(text)


def search(records: Sequence[Record]) -> Mapping[int, Sequence[Finding]]:
    """See policies.base.Search."""
    try:
        from memferry.policies.secrets import records as batch
    except ImportError as exc:
        raise ScannerBroken(f"what looks for secrets is not installed ({exc.name})", hint=engine.HINT) from exc
    return batch.search(records)


def check(verified: str | None) -> str:
    """Whether secrets that are planted are found: by our own rules, and by the engine where it is not the one that was
    `verified` before. Returns what to remember as verified. Raises ScannerBroken."""
    if {one.rule for one in found(_PLANTED)} != {"password", "aws-access-key"}:
        raise ScannerBroken("a planted secret is not found: nothing is sent", hint=engine.HINT)
    now = engine.installed()
    if now != verified:
        engine.check()
    return now
