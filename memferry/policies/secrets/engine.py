"""The engine: some five hundred formats of services, kept by others. docs/adr/0013-secret-scanner.md

kingfisher (Rust, Apache-2.0, in this process, never on the network) is asked about what deserves a look, in one call.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from memferry.errors import ScannerBroken
from memferry.policies.secrets import installed

if TYPE_CHECKING:
    from kingfisher_sdk import Scanner as Kingfisher

MODULE = "kingfisher_sdk"
DISTRIBUTION = "kingfisher_secret_scanner"
HINT = (
    "install it with `pip install --force-reinstall kingfisher-secret-scanner google-re2`,"
    " or switch scanning off knowingly with `policy: {secrets: off}`"
)
LIMIT_S = 5.0
"""For one call. Where it does not suffice, what was to be looked at stays at home."""
_PLANTED = b"export GITLAB_TOKEN=glpat-" + b"aB3dE5gH7jK9mN1pQ2rS"


class Hit(NamedTuple):
    """`rule`: as the engine calls it. `start`..`end`: bytes, half-open."""

    rule: str
    start: int
    end: int


def hits(blob: bytes) -> list[Hit]:
    """All that it finds. Raises ScannerBroken, TimeoutError."""
    found = [(one.rule_id, one.location) for one in _engine().scan(blob, timeout=LIMIT_S) if one.visible]
    return [Hit(_named(rule), place["start_offset"], place["end_offset"]) for rule, place in found]


def _named(rule: str) -> str:
    """Without who wrote it: `betterleaks.gitlab-pat` is `gitlab-pat`."""
    return rule.partition(".")[2].replace(".", "-").lower() or rule


def version() -> str:
    """Of the package; it may find other things than another one."""
    found = sorted(_folder().parent.glob(f"{DISTRIBUTION}-*.dist-info"))
    return found[-1].name.removeprefix(f"{DISTRIBUTION}-").removesuffix(".dist-info") if found else "unknown"


def _folder() -> Path:
    origin = installed.origin(MODULE)
    if origin is None:
        raise ScannerBroken("what looks for secrets is not installed: nothing is sent", hint=HINT)
    return origin.parent


def files() -> str:
    """Which make the engine: see `installed`. Raises ScannerBroken."""
    return installed.files(_folder())


def check() -> None:
    """Raises ScannerBroken where it does not find what is planted."""
    if not hits(_PLANTED):
        raise ScannerBroken("the engine does not find a planted secret: nothing is sent", hint=HINT)


@cache
def _engine() -> Kingfisher:
    try:
        from kingfisher_sdk import Scanner
    except Exception as exc:  # a native library fails in many ways; each means that nothing may leave
        raise ScannerBroken(
            f"what looks for secrets cannot be loaded ({type(exc).__name__}): nothing is sent", hint=HINT
        ) from exc
    return Scanner()
