"""Whether an operation of another machine's log can be believed, before anything is made of it. Pure.

The log it stands in was compared with its head; but whoever wrote both may be hostile, or mistaken.
"""

from __future__ import annotations

import re

from memferry.agent.state import clock
from memferry.backends import names
from memferry.formats.base import Kind, Whole
from memferry.keys import digest
from memferry.model import Op, Put, Retract, Settle, Sighting, Source

MAX_NUMBER = 1 << 53
_DIGEST = re.compile(r"[0-9a-f]{64}")


def flaw(op: Op) -> str | None:
    """Why an operation cannot be one; ends the sentence that its number begins."""
    if not clock.is_value(op.hlc):
        return "has no time"
    if isinstance(op, Retract | Settle) and not all(map(_is_name, op.ops)):
        return "names operations that cannot be"
    if isinstance(op, Sighting) and not _is_name((op.machine, op.through)):
        return "names a machine that cannot be"
    if isinstance(op, Put):
        return _flaw_of_put(op)
    return None


def _is_name(op: tuple[str, int]) -> bool:
    machine, seq = op
    return names.is_machine(machine) and 0 <= seq <= MAX_NUMBER


def _flaw_of_put(put: Put) -> str | None:
    if any(_DIGEST.fullmatch(one) is None for one in (put.digest, put.base or put.digest)):
        return "has no digest"
    if why := names.problem(put.file, portable=False):
        return f"names the file {names.shown(put.file)[:200]!r}, which {why}"
    return None


def is_true(put: Put, kind: Kind) -> bool:
    """Whether key and digest are those of the body, and the body is one record."""
    reader, body = kind.reader, put.body.encode("utf-8", "surrogatepass")
    if not isinstance(reader, Whole):
        return b"\n" not in body and digest(body).hex() == put.digest
    source = Source(put.space, put.file, kind.format)
    snapshot = reader.parse(source, body if put.key == put.file else reader.render([body], None))
    if snapshot is None or len(snapshot.records) != 1:
        return False
    (record,) = snapshot.records
    return record.digest.hex() == put.digest and put.key.partition("#")[0] == record.key.partition("#")[0]
