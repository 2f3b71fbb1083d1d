"""Secrets in records: passwords, keys, tokens, in plain sight or in disguise. Everything is loaded when first used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memferry.errors import ScannerBroken
from memferry.model import Record
from memferry.policies.findings import Finding
from memferry.policies.secrets import engine, installed

__all__ = ["check", "found", "search", "version"]

HINT = engine.HINT

_PLANTED = "the database password is Tr0ub4dor&3, the key AKIA" + "QYLPMN5HFIQR7XYA"


def found(text: str) -> list[Finding]:
    """What should not leave of one text, by our own rules: cheap enough for `learn`. Raises ScannerBroken."""
    try:
        from memferry.policies.secrets.look import look
    except ImportError as exc:
        raise ScannerBroken(f"what looks for secrets is not installed ({exc.name})", hint=HINT) from exc
    return look(text)


def search(
    records: Sequence[Record], *, secrets: bool = True, engine: bool = True, personal: tuple[str, ...] = ()
) -> Mapping[int, Sequence[Finding]]:
    """See policies.base.Search. `engine`: whether it is asked too; `personal`: kinds of personal data to find."""
    try:
        from memferry.policies.secrets import records as batch
    except ImportError as exc:
        raise ScannerBroken(f"what looks for secrets is not installed ({exc.name})", hint=HINT) from exc
    return batch.search(records, batch.Wanted(secrets, engine, personal))


def check(verified: str | None, *, engine_asked: bool) -> str:
    """Whether secrets that are planted are found, by our own rules and by the engine, where these are not the ones that
    were `verified` before: that takes a quarter of a second, and the engine half of one. Returns what to remember as
    verified. Raises ScannerBroken."""
    now = f"{installed.own()} {engine.files()}" if engine_asked else installed.own()
    if now != verified:
        _check_own()
        if engine_asked:
            engine.check()
    return now


def _check_own() -> None:
    if {one.rule for one in found(_PLANTED)} != {"password", "aws-access-key"}:
        raise ScannerBroken("a planted secret is not found: nothing is sent", hint=HINT)


def version(*, engine_asked: bool) -> str:
    """Another one when other things may be found. Raises ScannerBroken."""
    from memferry.policies.secrets.table import VERSION

    return f"{VERSION}+{engine.version()}" if engine_asked else str(VERSION)
